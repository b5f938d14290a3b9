/* SPDX-License-Identifier: MPL-2.0 */

/*  fuzz_batch.c - payloads of sections. Oracles: what bn_batch_check accepts, the reader reads to
 *  its end (B1); each event of it can be cut out, is accepted alone, and goes through the writer
 *  and back with nothing changed. What is refused does no harm to the reader either.  */
#include "fuzz.h"
#include "wire/message.h"
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
