/* SPDX-License-Identifier: MPL-2.0 */

#include "orchestrator/read_service.h"
#include "shell/log.h"
#include "wire/record.h"
#include "wire/topic.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECORD_OVERHEAD 64 /* bytes that looking at a record costs beside its body */

typedef struct {
    const bn_read_spec_t *spec;
    bn_read_reply_t *reply;
    uint32_t capacity;   /* of reply->sections */
    size_t bytes;        /* of payload gathered */
    size_t scanned;      /* journal bytes looked at */
    uint64_t from;       /* offset where the scan started */
    uint64_t scanned_to; /* everything asked for below is in the reply */
    bool from_set;
    bool full; /* the next wanted section does not fit */
    char detail[512];
} scan_t;

void bn_read_reply_fini (bn_read_reply_t *reply)
{
    bn_blob_unref (&reply->head);
    bn_section_array_free (reply->sections, reply->section_count);
    *reply = (bn_read_reply_t){.head = NULL};
}

/*  Is this section asked for, whatever its offsets?  */
static bool wanted_kind (const bn_read_spec_t *spec, const bn_section_t *section)
{
    if (section->partition >= BN_PARTITIONS_MAX)
        return false;
    if (spec->filter_partitions && spec->from_by_partition[section->partition] == BN_NO_OFFSET)
        return false;
    bool former = section->base < spec->former_until;
    const bn_text_t *patterns = former ? spec->patterns + spec->pattern_count : spec->patterns;
    uint32_t count = former ? spec->former_count : spec->pattern_count;
    if (spec->pattern_count == 0)
        return true;
    for (uint32_t i = 0; i < count; i++)
        if (bn_pattern_matches (patterns[i].text, patterns[i].size, section->topic.text,
                                section->topic.size))
            return true;
    return false;
}

static bool wanted (const scan_t *scan, const bn_section_t *section)
{
    uint64_t from = scan->from;
    if (scan->spec->filter_partitions && section->partition < BN_PARTITIONS_MAX)
        from = scan->spec->from_by_partition[section->partition];
    return wanted_kind (scan->spec, section) && section->base + section->count > from;
}

static bool fits (const scan_t *scan, size_t size)
{
    if (scan->reply->section_count == 0)
        return true;
    return scan->reply->section_count < BN_SECTIONS_MAX && size <= scan->spec->bytes_max &&
           scan->bytes <= scan->spec->bytes_max - size;
}

/*  Adds a section with a copy of `payload`; the topic's bytes follow it in the same blob. false: no
 *  memory.  */
static bool add (scan_t *scan, const bn_section_t *section, const void *payload, size_t size)
{
    bn_read_reply_t *reply = scan->reply;
    if (reply->section_count == scan->capacity) {
        uint32_t capacity = scan->capacity ? scan->capacity * 2 : 16;
        bn_section_t *sections = realloc (reply->sections, capacity * sizeof *sections);
        if (!sections)
            return false;
        reply->sections = sections;
        scan->capacity = capacity;
    }
    bn_blob_t *blob = bn_blob_new (size + section->topic.size);
    if (!blob)
        return false;
    memcpy (blob->data, payload, size);
    memcpy (blob->data + size, section->topic.text, section->topic.size);
    bn_section_t *copy = &reply->sections[reply->section_count++];
    *copy = *section;
    copy->topic.text = (const char *)blob->data + size;
    copy->payload = (bn_slice_t){.blob = blob, .data = blob->data, .size = size};
    scan->bytes += size;
    return true;
}

/*  Its checksums are right, and it still is no record that was ever accepted.  */
static baton_err_t unsound (scan_t *scan, const bn_journal_record_t *record, baton_err_t err)
{
    if (err == BATON_ERR_MEMORY)
        return err;
    snprintf (scan->detail, sizeof scan->detail,
              "segment %" PRIu64 ", byte %" PRIu64 ": record %" PRIu64
              ": its body is no record (%s)",
              record->segment, record->position, record->sequence, baton_err_name (err));
    return BATON_ERR_ROT;
}

/*  Takes the wanted sections of one record, up to the first that does not fit.  */
static baton_err_t scan_record (scan_t *scan, const bn_journal_record_t *record)
{
    bn_section_t *sections;
    uint32_t count;
    baton_err_t err = bn_record_sections (record->type, record->base, record->body,
                                          record->body_size, &sections, &count);
    if (err)
        return unsound (scan, record, err);
    for (uint32_t i = 0; i < count && !scan->full && !err; i++) {
        const bn_section_t *section = &sections[i];
        if (section->base >= scan->spec->upto || !wanted (scan, section))
            continue;
        if (!fits (scan, section->payload.size)) {
            scan->full = true;
            scan->scanned_to = section->base;
        } else if (!add (scan, section, section->payload.data, section->payload.size))
            err = BATON_ERR_MEMORY;
    }
    bn_section_array_free (sections, count);
    if (!err && !scan->full)
        scan->scanned_to = record->base + record->count;
    return err;
}

/*  Everything from an offset or a time on.  */
static baton_err_t scan_range (scan_t *scan, bn_journal_reader_t *reader)
{
    const bn_read_spec_t *spec = scan->spec;
    baton_err_t err = spec->from_kind == BN_FROM_TIME
                          ? bn_journal_seek_time (reader, spec->from, scan->detail)
                          : bn_journal_seek (reader, spec->from, scan->detail);
    if (spec->from_kind == BN_FROM_OFFSET) {
        uint64_t first = bn_journal_reader_first (reader);
        scan->from = spec->from > first ? spec->from : first;
        scan->scanned_to = scan->from;
        scan->from_set = true;
    }
    bool end = false;
    /*  A seek by offset ends at a record with events, so that each request makes progress.  */
    while (!err && !scan->full && scan->scanned < BN_READ_SCAN_BYTES_MAX) {
        bn_journal_record_t record;
        err = bn_journal_next (reader, &record, &end, scan->detail);
        end = end || (!err && record.base >= spec->upto);
        if (err || end)
            break;
        if (!scan->from_set) {
            scan->from = scan->scanned_to = record.base;
            scan->from_set = true;
        }
        scan->scanned += record.body_size + RECORD_OVERHEAD;
        if (record.count > 0)
            err = scan_record (scan, &record);
    }
    /*  Below upto everything is durable (that is what the gate waited for), so the end of the
     *  journal is not before it.  */
    if (!err && (end || scan->scanned_to > spec->upto))
        scan->scanned_to = spec->upto;
    if (!scan->from_set)
        scan->from = spec->upto;
    return err;
}

/*  One event, as a section of its own. Events that are no longer there are left out.  */
static baton_err_t pick (scan_t *scan, bn_journal_reader_t *reader, uint64_t offset)
{
    bn_journal_record_t record;
    bool end = false;
    baton_err_t err = bn_journal_seek (reader, offset, scan->detail);
    do
        err = err ? err : bn_journal_next (reader, &record, &end, scan->detail);
    while (!err && !end && record.base + record.count <= offset);
    if (err || end || record.base > offset)
        return err;
    scan->scanned += record.body_size;
    bn_section_t *sections = NULL;
    uint32_t count = 0;
    err = bn_record_sections (record.type, record.base, record.body, record.body_size, &sections,
                              &count);
    if (err)
        return unsound (scan, &record, err);
    for (uint32_t i = 0; i < count && !err; i++) {
        const bn_section_t *section = &sections[i];
        if (offset < section->base || offset >= section->base + section->count ||
            !wanted_kind (scan->spec, section))
            continue;
        bn_blob_t *event = bn_batch_slice (section->payload.data, section->payload.size,
                                           section->count, (uint32_t)(offset - section->base));
        if (!event)
            err = BATON_ERR_MEMORY;
        else if (!fits (scan, event->size))
            scan->full = true;
        else {
            bn_section_t single = *section;
            single.base = offset;
            single.count = 1;
            err = add (scan, &single, event->data, event->size) ? BATON_OK : BATON_ERR_MEMORY;
        }
        bn_blob_unref (&event);
    }
    bn_section_array_free (sections, count);
    return err;
}

/*  The events asked for by name, in the order asked.  */
static baton_err_t scan_offsets (scan_t *scan, bn_journal_reader_t *reader)
{
    baton_err_t err = BATON_OK;
    scan->from = scan->spec->from;
    uint32_t i = 0;
    while (i < scan->spec->offset_count && !err && !scan->full &&
           scan->scanned < BN_READ_SCAN_BYTES_MAX) {
        err = pick (scan, reader, scan->spec->offsets[i]);
        i += !err && !scan->full;
    }
    /*  What was left out for its size is asked for again.  */
    scan->scanned_to = i < scan->spec->offset_count ? scan->spec->offsets[i] : scan->spec->upto;
    return err;
}

void bn_read_service (bn_journal_reader_t *reader, const bn_read_spec_t *spec,
                      bn_read_reply_t *reply)
{
    *reply = (bn_read_reply_t){.head = NULL};
    scan_t scan = {.spec = spec, .reply = reply};
    baton_err_t err = spec->offsets ? scan_offsets (&scan, reader) : scan_range (&scan, reader);
    if (!err) {
        bn_message_t message = {
            .type = BN_EVENTS,
            .request = spec->request,
            .events = {.from = scan.from,
                       .scanned_to = scan.scanned_to,
                       .at_tail = scan.scanned_to >= spec->upto,
                       .sections = reply->sections,
                       .section_count = reply->section_count},
        };
        reply->scanned_to = message.events.scanned_to;
        reply->at_tail = message.events.at_tail;
        reply->head = bn_message_encode (&message);
        if (reply->head)
            return;
        err = BATON_ERR_MEMORY;
    }
    if (err == BATON_ERR_IO || err == BATON_ERR_PERMISSION)
        err = BATON_ERR_UNREADABLE;
    const char *text = *scan.detail ? scan.detail : baton_err_text (err);
    bn_log (BN_LOG_ERROR, "cannot read the journal: %s", text);
    bn_read_reply_fini (reply);
    reply->failed = true;
    reply->head = bn_error_encode (spec->request, err, 0, text);
}
