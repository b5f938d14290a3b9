/* SPDX-License-Identifier: MPL-2.0 */

/*  message.c - the envelope: frame 0, the request number, and which frame is whose payload. The
 *  fields themselves are tables in message_layout.c.
 *
 *    frame 0 = 'B' 'T' version type [request, field, ...]
 *    frame k = payload of section k  */
#include "base/assert.h"
#include "wire/message_layout.h"
#include "wire/topic.h"
#include <stdio.h>
#include <string.h>

#define PROTOCOL_VERSION  1
#define HEADER_BYTES      4
#define ENCODED_BYTES_MAX UINT32_MAX
#define ERROR_BYTES_MAX   BATON_ATTRIBUTE_BYTES_MAX /* of an ERROR's text */

/*  All messages lie in the union; their layouts count from its start.  */
static void *fields_of (bn_message_t *message)
{
    return &message->hello;
}

static bn_section_t *sections_of (bn_message_t *message, uint32_t *count)
{
    switch (message->type) {
    case BN_PUBLISH:
        *count = message->publish.section_count;
        return message->publish.sections;
    case BN_SETTLE:
        *count = message->settle.section_count;
        return message->settle.sections;
    case BN_EVENTS:
        *count = message->events.section_count;
        return message->events.sections;
    default:
        *count = 0;
        return NULL;
    }
}

static baton_err_t fail (char what[256], baton_err_t err, const char *text)
{
    if (what)
        snprintf (what, 256, "%s", text);
    return err;
}

/*  ---- what no single field can tell ---- */

static bool twice (bool *seen, uint32_t partition)
{
    bool before = seen[partition];
    seen[partition] = true;
    return before;
}

static void check_fetch (const bn_fetch_request_t *fetch, bn_mp_t *mp)
{
    if ((fetch->partition_count == 0) == (fetch->offset_count == 0))
        bn_mp_fail (mp, BATON_ERR_MALFORMED, "either partitions or offsets");
    bool seen[BN_PARTITIONS_MAX] = {false};
    for (uint32_t i = 0; i < fetch->partition_count; i++)
        if (twice (seen, fetch->partitions[i].partition))
            bn_mp_fail (mp, BATON_ERR_MALFORMED, "a partition comes twice");
}

static void check_settle (const bn_settle_t *settle, bn_mp_t *mp)
{
    bool seen[BN_PARTITIONS_MAX] = {false};
    for (uint32_t i = 0; i < settle->settlement_count; i++)
        if (twice (seen, settle->settlements[i].partition))
            bn_mp_fail (mp, BATON_ERR_MALFORMED, "a partition comes twice");
}

static void check_beat (const bn_beat_t *beat, bn_mp_t *mp)
{
    bool seen[BN_PARTITIONS_MAX] = {false};
    for (uint32_t i = 0; i < beat->assignment_count; i++) {
        const bn_assignment_t *assignment = &beat->assignments[i];
        if (twice (seen, assignment->partition))
            bn_mp_fail (mp, BATON_ERR_MALFORMED, "a partition comes twice");
        for (uint32_t k = 1; k < assignment->parked_count; k++)
            if (assignment->parked[k].offset <= assignment->parked[k - 1].offset)
                bn_mp_fail (mp, BATON_ERR_MALFORMED, "parked offsets do not ascend");
    }
}

static void check_message (const bn_message_t *message, bn_mp_t *mp)
{
    switch (message->type) {
    case BN_HELLO: {
        const bn_hello_t *hello = &message->hello;
        if (hello->role == BN_ROLE_PRODUCER && hello->name.size == 0)
            bn_mp_fail (mp, BATON_ERR_NAME, "name");
        if (hello->role == BN_ROLE_ACTOR &&
            !bn_actor_name_valid (hello->name.text, hello->name.size))
            bn_mp_fail (mp, BATON_ERR_NAME, "name");
        break;
    }
    case BN_JOIN:
        if (message->join.policy.backoff_min_ms > message->join.policy.backoff_max_ms)
            bn_mp_fail (mp, BATON_ERR_MALFORMED, "backoff_min_ms is above backoff_max_ms");
        break;
    case BN_FETCH:
        check_fetch (&message->fetch, mp);
        break;
    case BN_SETTLE:
        check_settle (&message->settle, mp);
        break;
    case BN_JOINED:
    case BN_BEAT:
        check_beat (&message->beat, mp);
        break;
    default:
        break;
    }
}

/*  ---- decoding ---- */

static baton_err_t attach_payloads (bn_message_t *message, const bn_frame_t *frames, size_t count,
                                    char what[256])
{
    uint32_t section_count;
    bn_section_t *sections = sections_of (message, &section_count);
    if (count - 1 != section_count) {
        if (what)
            snprintf (what, 256, "%s: %u sections, but %zu payload frames",
                      bn_message_layout (message->type)->name, section_count, count - 1);
        return BATON_ERR_MALFORMED;
    }
    for (uint32_t i = 0; i < section_count; i++)
        sections[i].payload = (bn_slice_t){.data = frames[i + 1].data, .size = frames[i + 1].size};
    return BATON_OK;
}

baton_err_t bn_message_decode (bn_message_t *message, const bn_frame_t *frames, size_t count,
                               char what[256])
{
    memset (message, 0, sizeof (*message));
    const uint8_t *head = count ? frames[0].data : NULL;
    if (!head || frames[0].size < HEADER_BYTES || head[0] != 'B' || head[1] != 'T')
        return fail (what, BATON_ERR_MALFORMED, "the message does not start with BT");
    message->type = head[3];

    bn_mp_t mp;
    bn_mp_init (&mp, head + HEADER_BYTES, frames[0].size - HEADER_BYTES);
    uint32_t elements = bn_mp_array (&mp, UINT32_MAX, "not an array");
    message->request = bn_mp_uint (&mp, UINT64_MAX, "request number");

    const bn_layout_t *layout = bn_message_layout (message->type);
    if (head[2] != PROTOCOL_VERSION) {
        if (what)
            snprintf (what, 256, "protocol version %u, known is %u", head[2], PROTOCOL_VERSION);
        return BATON_ERR_VERSION;
    }
    if (!layout) {
        if (what)
            snprintf (what, 256, "message type 0x%02x", head[3]);
        return BATON_ERR_UNKNOWN_TYPE;
    }
    if (count > BN_FRAMES_MAX)
        return fail (what, BATON_ERR_TOO_LARGE, "too many frames");
    if (bn_mp_ok (&mp) && elements != layout->field_count + 1)
        bn_mp_fail (&mp, BATON_ERR_MALFORMED, "wrong number of fields");
    bn_layout_read (layout, &mp, fields_of (message));
    bn_mp_end (&mp);
    if (bn_mp_ok (&mp))
        check_message (message, &mp);
    baton_err_t err = bn_layout_error (&mp, layout->name, what);
    if (!err)
        err = attach_payloads (message, frames, count, what);
    if (!err && message->type == BN_JOINED)
        message->beat.assignments_set = true;
    if (err) {
        bn_message_type_t type = message->type;
        uint64_t request = message->request;
        bn_layout_fini (layout, fields_of (message));
        memset (message, 0, sizeof (*message));
        message->type = type;
        message->request = request;
    }
    return err;
}

void bn_message_fini (bn_message_t *message)
{
    const bn_layout_t *layout = bn_message_layout (message->type);
    if (layout)
        bn_layout_fini (layout, fields_of (message));
    memset (message, 0, sizeof (*message));
}

/*  ---- encoding ---- */

static void write_header (bn_buffer_t *buffer, uint32_t type, size_t elements,
                          msgpack_packer *packer)
{
    const uint8_t header[HEADER_BYTES] = {'B', 'T', PROTOCOL_VERSION, (uint8_t)type};
    bn_buffer_init (buffer, ENCODED_BYTES_MAX);
    bn_buffer_append (buffer, header, sizeof (header));
    *packer = bn_mp_packer (buffer);
    msgpack_pack_array (packer, elements);
}

static bn_blob_t *finish (bn_buffer_t *buffer)
{
    bn_blob_t *blob = bn_buffer_take (buffer);
    bn_buffer_fini (buffer);
    return blob;
}

bn_blob_t *bn_message_encode (const bn_message_t *message)
{
    const bn_layout_t *layout = bn_message_layout (message->type);
    bn_assert (layout);
    bn_buffer_t buffer;
    msgpack_packer packer;
    write_header (&buffer, message->type, layout->field_count + 1, &packer);
    msgpack_pack_uint64 (&packer, message->request);
    bn_layout_write (layout, &packer, &message->hello);
    return finish (&buffer);
}

/*  One line of valid text, whatever a peer's bytes got into it.  */
static size_t clean_text (char *clean, const char *text)
{
    size_t size = strnlen (text, ERROR_BYTES_MAX + 1);
    if (size > ERROR_BYTES_MAX) {
        size = ERROR_BYTES_MAX;
        while (size > 0 && ((uint8_t)text[size] & 0xc0) == 0x80)
            size--;
    }
    bool ascii_only = !bn_utf8_valid (text, size);
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = (uint8_t)text[i];
        bool bad = byte < 0x20 || byte == 0x7f || (ascii_only && byte >= 0x80);
        clean[i] = bad ? '?' : text[i];
    }
    return size;
}

bn_blob_t *bn_error_encode (uint64_t request, baton_err_t err, uint64_t detail, const char *text)
{
    char clean[ERROR_BYTES_MAX];
    size_t size = clean_text (clean, text ? text : baton_err_text (err));
    const char *name = baton_err_name (err);
    bn_message_t message = {.type = BN_ERROR,
                            .request = request,
                            .error = {.code = (uint32_t)err,
                                      .retriable = baton_err_retriable (err),
                                      .name = {name, strlen (name)},
                                      .text = {clean, size},
                                      .detail = detail}};
    return bn_message_encode (&message);
}
