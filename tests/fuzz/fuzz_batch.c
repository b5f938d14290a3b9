/* SPDX-License-Identifier: MPL-2.0 */

/*  fuzz_batch.c - payloads of sections. Oracles: what bn_batch_check accepts, the reader reads to
 *  its end (B1); each event of it can be cut out, is accepted alone, and goes through the writer
 *  and back with nothing changed. What is refused does no harm to the reader either. The same bytes
 *  as a mixed section: what is accepted is read to its end, and each of its parts is accepted.  */
#include "fuzz.h"
#include "wire/mixed.h"
#include <stdlib.h>
#include <string.h>

static bool same_bytes (const void *a, size_t a_size, const void *b, size_t b_size)
{
    return a_size == b_size && (a_size == 0 || memcmp (a, b, a_size) == 0);
}

static bool same (bn_text_t a, bn_text_t b)
{
    return same_bytes (a.text, a.size, b.text, b.size);
}

/*  The default content type may be spelt out or left out.  */
static bool same_type (bn_text_t a, bn_text_t b)
{
    bn_text_t spelt_out = {"application/msgpack", 19};
    return same (a.size ? a : spelt_out, b.size ? b : spelt_out);
}

static void check_writer (const bn_event_fields_t *event, const bn_batch_limits_t *limits)
{
    bn_batch_writer_t writer;
    bn_batch_writer_init (&writer, 1 << 20);
    baton_err_t err = bn_batch_writer_add (&writer, event);
    if (err == BATON_OK) { /* ARGUMENT: times at the ends of the range */
        uint32_t index, count;
        const char *what;
        bn_blob_t *payload = bn_batch_writer_take (&writer, &count);
        FUZZ_CHECK (bn_batch_check (payload->data, payload->size, 1, limits, &index, &what) ==
                    BATON_OK);
        bn_batch_reader_t reader;
        bn_event_fields_t again;
        FUZZ_CHECK (bn_batch_reader_init (&reader, payload->data, payload->size, 1) == BATON_OK);
        FUZZ_CHECK (bn_batch_next (&reader, &again));
        FUZZ_CHECK (same (event->key, again.key) && same (event->source, again.source));
        FUZZ_CHECK (same_type (event->datacontenttype, again.datacontenttype));
        FUZZ_CHECK (same (event->dataschema, again.dataschema));
        FUZZ_CHECK (event->time_us == again.time_us);
        FUZZ_CHECK (event->id_number_set == again.id_number_set);
        FUZZ_CHECK (event->id_number_set ? event->id_number == again.id_number &&
                                               same (event->id_prefix, again.id_prefix)
                                         : same (event->id, again.id));
        FUZZ_CHECK (same_bytes (event->data, event->data_size, again.data, again.data_size));
        bn_blob_unref (&payload);
    } else
        FUZZ_CHECK (err == BATON_ERR_ARGUMENT);
    bn_batch_writer_fini (&writer);
}

static uint32_t read_all (const uint8_t *bytes, size_t size, uint32_t count, bool accepted,
                          const bn_batch_limits_t *limits)
{
    bn_batch_reader_t reader;
    bn_event_fields_t event;
    uint32_t read = 0;
    if (bn_batch_reader_init (&reader, bytes, size, count))
        return 0;
    while (bn_batch_next (&reader, &event)) {
        bn_text_t value;
        if (event.ext)
            (void)bn_ext_get (event.ext, event.ext_size, "traceparent", &value);
        if (accepted && read < 4)
            check_writer (&event, limits);
        read++;
    }
    FUZZ_CHECK (!accepted || reader.mp.err == BATON_OK);
    return read;
}

static void check_parts (const uint8_t *bytes, size_t size, uint32_t count,
                         const bn_mixed_event_t *events, const bn_batch_limits_t *limits)
{
    size_t parts = 0;
    for (uint32_t i = 0, run; i < count; i += run) {
        run = bn_mixed_run (bytes, events + i, count - i);
        size_t part_size = bn_mixed_run_bytes (events[0].at, events + i, run);
        uint8_t *part = malloc (part_size);
        uint32_t index;
        const char *what;
        bn_mixed_run_write (part, bytes, events[0].at, events + i, run);
        FUZZ_CHECK (bn_batch_check (part, part_size, run, limits, &index, &what) == BATON_OK);
        free (part);
        parts += part_size;
    }
    FUZZ_CHECK (parts == bn_mixed_parts_bytes (bytes, events, count));
    bn_section_t *sections = calloc (1, sizeof *sections);
    sections->count = count;
    sections->payload = (bn_slice_t){NULL, bytes, size};
    uint32_t section_count = 1;
    baton_err_t err = bn_mixed_take_apart (&sections, &section_count);
    FUZZ_CHECK (err == BATON_OK || err == BATON_ERR_TOPIC || err == BATON_ERR_TOO_LARGE);
    FUZZ_CHECK ((err == BATON_ERR_TOO_LARGE) == (parts > BN_MIXED_PARTS_MAX * size));
    bn_section_array_free (sections, section_count);
}

static void check_mixed (const uint8_t *bytes, size_t size, uint32_t count,
                         const bn_batch_limits_t *limits)
{
    static bn_mixed_event_t events[255], again[255];
    uint32_t index;
    const char *what;
    if (count > size / BN_MIXED_EVENT_BYTES_MIN)
        return;
    baton_err_t err = bn_mixed_check (bytes, size, count, limits, events, &index, &what);
    baton_err_t scan_err = bn_mixed_scan (bytes, size, count, again);
    FUZZ_CHECK ((err != BATON_OK) == (what != NULL) && index <= count);
    FUZZ_CHECK (err || !scan_err);
    bn_batch_reader_t reader;
    bn_event_fields_t event;
    uint32_t read = 0;
    if (bn_mixed_reader_init (&reader, bytes, size, count) == BATON_OK)
        for (; bn_batch_next (&reader, &event); read++)
            FUZZ_CHECK (err || (same (reader.topic, bn_mixed_topic (bytes, &events[read])) &&
                                memcmp (&events[read], &again[read], sizeof *events) == 0));
    if (err)
        return;
    FUZZ_CHECK (read == count && reader.mp.err == BATON_OK);
    check_parts (bytes, size, count, events, limits);
}

int LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t size)
{
    if (size < 1)
        return 0;
    uint32_t count = bytes[0];
    bytes++;
    size--;
    const bn_batch_limits_t limits = {0, 1, BATON_DATA_BYTES_MAX};
    uint32_t index;
    const char *what;
    check_mixed (bytes, size, count, &limits);
    baton_err_t err = bn_batch_check (bytes, size, count, &limits, &index, &what);
    FUZZ_CHECK ((err != BATON_OK) == (what != NULL));
    uint32_t read = read_all (bytes, size, count, err == BATON_OK, &limits);
    if (err) {
        FUZZ_CHECK (index <= count);
        return 0;
    }
    FUZZ_CHECK (read == count);
    for (uint32_t i = 0; i < count && i < 8; i++) {
        bn_blob_t *slice = bn_batch_slice (bytes, size, count, i);
        FUZZ_CHECK (slice);
        FUZZ_CHECK (bn_batch_check (slice->data, slice->size, 1, &limits, &index, &what) ==
                    BATON_OK);
        bn_blob_unref (&slice);
    }
    return 0;
}
