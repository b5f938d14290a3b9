/* SPDX-License-Identifier: MPL-2.0 */

/*  record.c - bodies of journal records; the picture is in record.h.
 *
 *  INVARIANT R1: the payload sizes in meta add up to exactly the bytes behind it.  */
#include "wire/record.h"
#include "base/assert.h"
#include "wire/layout.h"
#include "wire/mixed.h"
#include "wire/topic.h"
#include <stdio.h>
#include <string.h>

#define LENGTH_BYTES 4

/*  ---- layouts; offsets count from the union of bn_record_t ---- */

static const bn_layout_t s_genesis =
    BN_LAYOUT (bn_genesis_t, "GENESIS", BN_U64 (bn_genesis_t, journal_id),
               BN_U32 (bn_genesis_t, partitions, 1, BN_PARTITIONS_MAX));

static const bn_layout_t s_register = BN_LAYOUT (
    bn_register_record_t, "REGISTER", BN_U32 (bn_register_record_t, actor_id, 0, UINT32_MAX),
    BN_TEXT (bn_register_record_t, name, BATON_NAME_BYTES_MAX, BN_CHECK_ACTOR),
    BN_PATTERNS (bn_register_record_t, 1), BN_U64 (bn_register_record_t, start),
    BN_BOOL (bn_register_record_t, exact),
    BN_STRUCT (bn_register_record_t, policy, bn_layout_policy));

static const bn_layout_t s_publish = BN_LAYOUT (
    bn_publish_t, "PUBLISH", BN_U64 (bn_publish_t, producer_id), BN_U64 (bn_publish_t, sequence),
    BN_LIST (bn_publish_t, sections, section_count, 1, BN_SECTIONS_MAX, bn_layout_record_section));

static const bn_layout_t s_settle =
    BN_LAYOUT (bn_settle_record_t, "SETTLE", BN_U32 (bn_settle_record_t, actor_id, 0, UINT32_MAX),
               BN_LIST (bn_settle_record_t, settlements, settlement_count, 1, BN_PARTITIONS_MAX,
                        bn_layout_settlement),
               BN_LIST (bn_settle_record_t, sections, section_count, 0, BN_SECTIONS_MAX,
                        bn_layout_record_section));

/*  "" is nobody: not a valid name, and checked by hand.  */
static const bn_layout_t s_owner = BN_LAYOUT (
    bn_owner_t, "owner", BN_PARTITION (bn_owner_t, partition), BN_U64 (bn_owner_t, generation),
    BN_TEXT (bn_owner_t, instance, BATON_NAME_BYTES_MAX, BN_CHECK_NONE),
    BN_U64 (bn_owner_t, incarnation));

static const bn_layout_t s_assign =
    BN_LAYOUT (bn_assign_record_t, "ASSIGN", BN_U32 (bn_assign_record_t, actor_id, 0, UINT32_MAX),
               BN_LIST (bn_assign_record_t, owners, owner_count, 0, BN_PARTITIONS_MAX, s_owner));

static const bn_layout_t s_begin =
    BN_LAYOUT (bn_begin_record_t, "BEGIN", BN_U32 (bn_begin_record_t, actor_id, 0, UINT32_MAX),
               BN_PARTITION (bn_begin_record_t, partition), BN_U64 (bn_begin_record_t, generation),
               BN_U64 (bn_begin_record_t, offset));

static const bn_layout_t s_suspicion = BN_LAYOUT_LAST_OPTIONAL (
    bn_suspicion_t, "suspicion", BN_PARTITION (bn_suspicion_t, partition),
    BN_U64 (bn_suspicion_t, careful_until), BN_U64 (bn_suspicion_t, charged),
    BN_U64 (bn_suspicion_t, due_ms),
    BN_TEXT (bn_suspicion_t, reason, BN_PARKED_REASON_BYTES_MAX, BN_CHECK_NONE));

static const bn_layout_t s_suspect = BN_LAYOUT (
    bn_suspect_record_t, "SUSPECT", BN_U32 (bn_suspect_record_t, actor_id, 0, UINT32_MAX),
    BN_LIST (bn_suspect_record_t, suspicions, suspicion_count, 0, BN_PARTITIONS_MAX, s_suspicion));

static const bn_layout_t s_dead =
    BN_LAYOUT (bn_dead_record_t, "dead letters", BN_U32 (bn_dead_record_t, actor_id, 0, UINT32_MAX),
               BN_U64S (bn_dead_record_t, dead_offsets, dead_count, UINT32_MAX));

static const bn_layout_t s_forget = {
    .name = "FORGET",
    .size = sizeof (uint32_t),
    .field_count = 1,
    .fields = (const bn_field_t[]){{.name = "actor_id", .kind = BN_FIELD_U32, .max = UINT32_MAX}}};

static const bn_layout_t s_lost = BN_LAYOUT (
    bn_lost_record_t, "LOST", BN_U64 (bn_lost_record_t, first), BN_U64 (bn_lost_record_t, last));

static const bn_layout_t *layout_of (uint32_t type)
{
    switch (type) {
    case BN_RECORD_GENESIS:
        return &s_genesis;
    case BN_RECORD_REGISTER:
        return &s_register;
    case BN_RECORD_PUBLISH:
        return &s_publish;
    case BN_RECORD_SETTLE:
        return &s_settle;
    case BN_RECORD_ASSIGN:
        return &s_assign;
    case BN_RECORD_BEGIN:
        return &s_begin;
    case BN_RECORD_SUSPECT:
        return &s_suspect;
    case BN_RECORD_REDRIVE:
    case BN_RECORD_DISCARD:
        return &s_dead;
    case BN_RECORD_FORGET:
        return &s_forget;
    case BN_RECORD_LOST:
        return &s_lost;
    default:
        return NULL;
    }
}

static bn_section_t *sections_of (const bn_record_t *record, uint32_t *count)
{
    if (record->type == BN_RECORD_PUBLISH) {
        *count = record->publish.section_count;
        return record->publish.sections;
    }
    if (record->type == BN_RECORD_SETTLE) {
        *count = record->settle.section_count;
        return record->settle.sections;
    }
    *count = 0;
    return NULL;
}

static void set_sections (bn_record_t *record, bn_section_t *sections, uint32_t count)
{
    if (record->type == BN_RECORD_PUBLISH) {
        record->publish.sections = sections;
        record->publish.section_count = count;
    } else if (record->type == BN_RECORD_SETTLE) {
        record->settle.sections = sections;
        record->settle.section_count = count;
    }
}

/*  ---- encoding ---- */

bn_blob_t *bn_record_encode (const bn_record_t *record)
{
    const bn_layout_t *layout = layout_of (record->type);
    bn_assert (layout);
    bn_buffer_t buffer;
    bn_buffer_init (&buffer, UINT32_MAX);
    (void)bn_buffer_grow (&buffer, LENGTH_BYTES);
    msgpack_packer packer = bn_mp_packer (&buffer);
    msgpack_pack_array (&packer, layout->field_count);
    bn_layout_write (layout, &packer, &record->genesis);
    size_t meta = buffer.size - LENGTH_BYTES;

    uint32_t count;
    const bn_section_t *sections = sections_of (record, &count);
    size_t payloads = 0;
    for (uint32_t i = 0; i < count; i++)
        payloads += sections[i].payload.size;
    uint8_t *at = bn_buffer_grow (&buffer, payloads);
    if (at)
        for (uint32_t i = 0; i < count; i++) {
            if (sections[i].payload.size)
                memcpy (at, sections[i].payload.data, sections[i].payload.size);
            at += sections[i].payload.size;
        }
    if (!buffer.failed)
        for (unsigned i = 0; i < LENGTH_BYTES; i++)
            bn_buffer_data (&buffer)[i] = (uint8_t)(meta >> (8 * i));
    bn_blob_t *blob = bn_buffer_take (&buffer);
    bn_buffer_fini (&buffer);
    return blob;
}

/*  ---- decoding ---- */

/*  The meta of a body, as a cursor; *payloads and *size are what lies behind it.  */
static void open_meta (bn_mp_t *mp, const void *body, size_t size, const uint8_t **payloads,
                       size_t *payloads_size)
{
    const uint8_t *bytes = body;
    size_t meta = 0;
    if (size >= LENGTH_BYTES)
        for (unsigned i = LENGTH_BYTES; i-- > 0;)
            meta = meta << 8 | bytes[i];
    if (size < LENGTH_BYTES || meta > size - LENGTH_BYTES) {
        bn_mp_init (mp, body, 0);
        bn_mp_fail (mp, BATON_ERR_MALFORMED, "length of meta");
        *payloads = NULL;
        *payloads_size = 0;
        return;
    }
    bn_mp_init (mp, bytes + LENGTH_BYTES, meta);
    *payloads = bytes + LENGTH_BYTES + meta;
    *payloads_size = size - LENGTH_BYTES - meta;
}

/*  Gives each section its payload and its base (R1).  */
static void attach_payloads (bn_mp_t *mp, bn_section_t *sections, uint32_t count, uint64_t base,
                             const uint8_t *payloads, size_t size)
{
    for (uint32_t i = 0; i < count; i++) {
        bn_section_t *section = &sections[i];
        if (section->payload.size > size) {
            bn_mp_fail (mp, BATON_ERR_MALFORMED, "a payload is longer than the body");
            return;
        }
        section->payload.data = payloads;
        payloads += section->payload.size;
        size -= section->payload.size;
        section->base = base;
        base += section->count;
    }
    if (size)
        bn_mp_fail (mp, BATON_ERR_MALFORMED, "bytes follow the last payload");
}

/*  Payloads, bases, and mixed sections by their parts.  */
static void complete_sections (bn_mp_t *mp, bn_record_t *record, uint64_t base,
                               const uint8_t *payloads, size_t size)
{
    uint32_t count;
    bn_section_t *sections = sections_of (record, &count);
    attach_payloads (mp, sections, count, base, payloads, size);
    baton_err_t err = bn_mp_ok (mp) ? bn_mixed_take_apart (&sections, &count) : BATON_OK;
    if (err)
        bn_mp_fail (mp, err, "a mixed section");
    set_sections (record, sections, count);
}

static void check_record (const bn_record_t *record, bn_mp_t *mp)
{
    if (record->type == BN_RECORD_ASSIGN)
        for (uint32_t i = 0; i < record->assign.owner_count; i++) {
            bn_text_t instance = record->assign.owners[i].instance;
            if (instance.size && !bn_instance_name_valid (instance.text, instance.size))
                bn_mp_fail (mp, BATON_ERR_NAME, "instance");
        }
    if (record->type == BN_RECORD_REDRIVE || record->type == BN_RECORD_DISCARD)
        for (uint32_t i = 1; i < record->dead.dead_count; i++)
            if (record->dead.dead_offsets[i] <= record->dead.dead_offsets[i - 1])
                bn_mp_fail (mp, BATON_ERR_MALFORMED, "dead offsets do not ascend");
}

/*  Whatever does not parse in a body that its checksum vouches for is damage or a defect.  */
static baton_err_t rot (const bn_mp_t *mp, const char *name, char what[256])
{
    baton_err_t err = bn_layout_error (mp, name, what);
    return err == BATON_OK || err == BATON_ERR_MEMORY ? err : BATON_ERR_ROT;
}

baton_err_t bn_record_decode (bn_record_t *record, uint32_t type, uint64_t base, const void *body,
                              size_t size, char what[256])
{
    memset (record, 0, sizeof (*record));
    const bn_layout_t *layout = layout_of (type);
    if (!layout) {
        if (what)
            snprintf (what, 256, "record type %u", type);
        return BATON_ERR_FORMAT;
    }
    record->type = type;
    bn_mp_t mp;
    const uint8_t *payloads;
    size_t payloads_size;
    open_meta (&mp, body, size, &payloads, &payloads_size);
    if (bn_mp_array (&mp, UINT32_MAX, "not an array") != layout->field_count)
        bn_mp_fail (&mp, BATON_ERR_MALFORMED, "wrong number of fields");
    bn_layout_read (layout, &mp, &record->genesis);
    bn_mp_end (&mp);
    if (bn_mp_ok (&mp)) {
        complete_sections (&mp, record, base, payloads, payloads_size);
        check_record (record, &mp);
    }
    if (mp.err)
        bn_record_fini (record);
    return rot (&mp, layout->name, what);
}

void bn_record_fini (bn_record_t *record)
{
    const bn_layout_t *layout = layout_of (record->type);
    if (layout)
        bn_layout_fini (layout, &record->genesis);
    memset (record, 0, sizeof (*record));
}

baton_err_t bn_record_sections (uint32_t type, uint64_t base, const void *body, size_t size,
                                bn_section_t **sections, uint32_t *count)
{
    *sections = NULL;
    *count = 0;
    if (type != BN_RECORD_PUBLISH && type != BN_RECORD_SETTLE)
        return layout_of (type) ? BATON_OK : BATON_ERR_FORMAT;
    bn_mp_t mp;
    const uint8_t *payloads;
    size_t payloads_size;
    open_meta (&mp, body, size, &payloads, &payloads_size);
    /*  In both, the sections are the third field; the two before it are stepped over.  */
    bn_record_t record = {.type = type};
    const bn_layout_t *layout = layout_of (type);
    if (bn_mp_array (&mp, UINT32_MAX, "not an array") != layout->field_count)
        bn_mp_fail (&mp, BATON_ERR_MALFORMED, "wrong number of fields");
    for (uint32_t i = 0; i + 1 < layout->field_count && bn_mp_ok (&mp); i++)
        bn_mp_skip (&mp, BN_MP_DEPTH_MAX);
    if (bn_mp_ok (&mp))
        bn_layout_read_list (&layout->fields[layout->field_count - 1], &mp, &record.genesis);
    bn_mp_end (&mp);
    if (bn_mp_ok (&mp))
        complete_sections (&mp, &record, base, payloads, payloads_size);
    *sections = sections_of (&record, count);
    if (mp.err) {
        bn_record_fini (&record);
        *sections = NULL;
        *count = 0;
    }
    return rot (&mp, layout->name, NULL);
}
