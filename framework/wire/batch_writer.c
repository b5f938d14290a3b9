/* SPDX-License-Identifier: MPL-2.0 */

/*  batch_writer.c - packing events into the payload of a section; the layout is in batch.h.
 *
 *  DESIGN. An event is measured, then written: it goes in whole or not at all, into memory that was
 *  made in one step. msgpack-c's packer calls back for each field and each length; this is the path
 *  of each event, so the few kinds of values that an event has are written directly.  */
#include "base/assert.h"
#include "wire/message.h"
#include "wire/mp_put.h"
#include <string.h>

enum { ID_PREFIX, SOURCE, DATACONTENTTYPE, DATASCHEMA };

static const char *const s_override_names[] = {NULL, "source", "datacontenttype", "dataschema"};

/*  ---- values: how many bytes, and the bytes ---- */

static size_t int_bytes (int64_t value)
{
    if (value >= 0)
        return bn_mp_uint_bytes ((uint64_t)value);
    return value >= -32         ? 1
           : value >= INT8_MIN  ? 2
           : value >= INT16_MIN ? 3
           : value >= INT32_MIN ? 5
                                : 9;
}

static size_t str_bytes (size_t size)
{
    return size + (size < 32 ? 1 : size <= UINT8_MAX ? 2 : 3);
}

static size_t bin_bytes (size_t size)
{
    return size + (size <= UINT8_MAX ? 2 : size <= UINT16_MAX ? 3 : 5);
}

static uint8_t *put_str (uint8_t *at, bn_text_t text)
{
    return bn_mp_put_bytes (bn_mp_put_str_header (at, text.size), text.text, text.size);
}

static uint8_t *put_int (uint8_t *at, int64_t value)
{
    if (value >= 0)
        return bn_mp_put_uint (at, (uint64_t)value);
    switch (int_bytes (value)) {
    case 1:
        *at = (uint8_t)value;
        return at + 1;
    case 2:
        return bn_mp_put_tagged (at, 0xd0, (uint64_t)value, 1);
    case 3:
        return bn_mp_put_tagged (at, 0xd1, (uint64_t)value, 2);
    case 5:
        return bn_mp_put_tagged (at, 0xd2, (uint64_t)value, 4);
    default:
        return bn_mp_put_tagged (at, 0xd3, (uint64_t)value, 8);
    }
}

static uint8_t *put_bin (uint8_t *at, const void *bytes, size_t size)
{
    at = size <= UINT8_MAX    ? bn_mp_put_tagged (at, 0xc4, size, 1)
         : size <= UINT16_MAX ? bn_mp_put_tagged (at, 0xc5, size, 2)
                              : bn_mp_put_tagged (at, 0xc6, size, 4);
    return bn_mp_put_bytes (at, bytes, size);
}

/*  ---- an event, measured ---- */

typedef struct {
    bool opens;      /* the first event: the common attributes are written before it */
    bool id_number;  /* the id goes as a number behind the common prefix */
    char digits[21]; /* else, if it is a number: "-" and its digits */
    size_t digit_count;
    bool overrides[4]; /* attribute differs from the common one */
    uint32_t ext_entries;
    size_t ext_bytes; /* of the whole ext */
    bool ext_as_is;   /* event->ext is copied */
    int64_t base_us;  /* common time */
    int64_t delta_us;
    const bn_text_t *topic; /* of a mixed section's; NULL: of a plain one */
    bool topic_same;        /* as the event before has */
    size_t bytes;           /* all of it */
} plan_t;

static bn_text_t attribute (const bn_event_fields_t *event, int which)
{
    static const char msgpack[] = "application/msgpack";
    bn_text_t text = which == ID_PREFIX         ? event->id_prefix
                     : which == SOURCE          ? event->source
                     : which == DATACONTENTTYPE ? event->datacontenttype
                                                : event->dataschema;
    if (which == DATACONTENTTYPE && text.size == sizeof (msgpack) - 1 &&
        memcmp (text.text, msgpack, text.size) == 0)
        text.size = 0;
    return text;
}

static bool same_as_common (const bn_batch_writer_t *self, const bn_event_fields_t *event,
                            int which)
{
    bn_text_t text = attribute (event, which);
    const uint8_t *common = self->buffer.blob->data + self->common_at[which];
    return text.size == self->common_size[which] &&
           (text.size == 0 || memcmp (text.text, common, text.size) == 0);
}

static bool is_override (bn_text_t name)
{
    for (int which = SOURCE; which <= DATASCHEMA; which++)
        if (name.size == strlen (s_override_names[which]) &&
            memcmp (name.text, s_override_names[which], name.size) == 0)
            return true;
    return false;
}

/*  The next entry of an ext map: name, and the bytes of name and value.  */
static bn_text_t next_entry (bn_mp_t *mp, const uint8_t **start, size_t *size)
{
    bn_text_t name;
    size_t value_size;
    *start = mp->at;
    name.text = bn_mp_str_trusted (mp, UINT16_MAX, &name.size, "ext: name");
    bn_mp_str_trusted (mp, BATON_ATTRIBUTE_BYTES_MAX, &value_size, "ext: value");
    *size = (size_t)(mp->at - *start);
    return name;
}

static baton_err_t plan_ext (plan_t *plan, const bn_event_fields_t *event)
{
    size_t bytes = 0;
    uint32_t given = 0;
    if (event->ext) {
        bn_mp_t mp;
        bn_mp_init (&mp, event->ext, event->ext_size);
        given = bn_mp_map (&mp, UINT16_MAX, "ext");
        for (uint32_t i = 0; i < given; i++) {
            const uint8_t *start;
            size_t size;
            if (is_override (next_entry (&mp, &start, &size)))
                continue;
            plan->ext_entries++;
            bytes += size;
        }
        bn_mp_end (&mp);
        if (!bn_mp_ok (&mp))
            return mp.err;
    }
    bool as_is = plan->ext_entries == given;
    for (int which = SOURCE; which <= DATASCHEMA; which++)
        if (plan->overrides[which]) {
            plan->ext_entries++;
            bytes += str_bytes (strlen (s_override_names[which])) +
                     str_bytes (attribute (event, which).size);
            as_is = false;
        }
    plan->ext_as_is = as_is && given > 0;
    plan->ext_bytes = plan->ext_as_is     ? event->ext_size
                      : plan->ext_entries ? bytes + (plan->ext_entries < 16 ? 1 : 3)
                                          : 1;
    return BATON_OK;
}

static void plan_digits (plan_t *plan, uint64_t number)
{
    char *at = plan->digits + sizeof (plan->digits);
    do
        *--at = (char)('0' + number % 10);
    while (number /= 10);
    *--at = '-';
    plan->digit_count = (size_t)(plan->digits + sizeof (plan->digits) - at);
    memmove (plan->digits, at, plan->digit_count);
}

static bool within_limits (const bn_event_fields_t *event)
{
    return event->id_prefix.size <= BATON_ID_BYTES_MAX && event->id.size <= BATON_ID_BYTES_MAX &&
           event->key.size <= BATON_KEY_BYTES_MAX &&
           event->source.size <= BATON_ATTRIBUTE_BYTES_MAX &&
           event->datacontenttype.size <= BATON_ATTRIBUTE_BYTES_MAX &&
           event->dataschema.size <= BATON_ATTRIBUTE_BYTES_MAX &&
           event->data_size <= BATON_DATA_BYTES_MAX;
}

static baton_err_t plan_event (const bn_batch_writer_t *self, const bn_event_fields_t *event,
                               plan_t *plan)
{
    if (!within_limits (event))
        return BATON_ERR_TOO_LARGE;
    plan->opens = self->count == 0;
    plan->base_us = plan->opens ? (event->time_us > 0 ? event->time_us : 0) : self->time_us;
    if (__builtin_sub_overflow (event->time_us, plan->base_us, &plan->delta_us))
        return BATON_ERR_ARGUMENT;
    size_t bytes = 0;
    if (plan->opens) {
        bytes += 1 + bn_mp_uint_bytes ((uint64_t)plan->base_us);
        for (int which = ID_PREFIX; which <= DATASCHEMA; which++)
            bytes += str_bytes (
                which == ID_PREFIX && !event->id_number_set ? 0 : attribute (event, which).size);
    } else
        for (int which = SOURCE; which <= DATASCHEMA; which++)
            plan->overrides[which] = !same_as_common (self, event, which);
    plan->id_number =
        event->id_number_set && (plan->opens || same_as_common (self, event, ID_PREFIX));
    if (plan->id_number)
        bytes += bn_mp_uint_bytes (event->id_number);
    else if (event->id_number_set) {
        plan_digits (plan, event->id_number);
        bytes += str_bytes (event->id_prefix.size + plan->digit_count);
    } else
        bytes += str_bytes (event->id.size);
    baton_err_t err = plan_ext (plan, event);
    if (err)
        return err;
    if (plan->topic)
        bytes += plan->topic_same ? 1 : str_bytes (plan->topic->size);
    plan->bytes = bytes + 1 + str_bytes (event->key.size) + int_bytes (plan->delta_us) +
                  bin_bytes (event->data_size) + plan->ext_bytes;
    return BATON_OK;
}

/*  ---- an event, written ---- */

static uint8_t *write_common (bn_batch_writer_t *self, uint8_t *at, const bn_event_fields_t *event,
                              const plan_t *plan)
{
    const uint8_t *start = self->buffer.blob->data;
    self->time_us = plan->base_us;
    *at++ = 0x95;
    for (int which = ID_PREFIX; which <= DATASCHEMA; which++) {
        bn_text_t text = attribute (event, which);
        if (which == ID_PREFIX && !plan->id_number)
            text.size = 0;
        at = put_str (at, text);
        self->common_at[which] = (uint32_t)((size_t)(at - start) - text.size);
        self->common_size[which] = (uint32_t)text.size;
        if (which == SOURCE)
            at = bn_mp_put_uint (at, (uint64_t)plan->base_us);
    }
    return at;
}

static uint8_t *write_ext (uint8_t *at, const bn_event_fields_t *event, const plan_t *plan)
{
    if (plan->ext_as_is)
        return bn_mp_put_bytes (at, event->ext, event->ext_size);
    if (plan->ext_entries == 0) {
        *at = 0xc0;
        return at + 1;
    }
    if (plan->ext_entries < 16)
        *at++ = (uint8_t)(0x80 | plan->ext_entries);
    else
        at = bn_mp_put_tagged (at, 0xde, plan->ext_entries, 2);
    if (event->ext) {
        bn_mp_t mp;
        bn_mp_init (&mp, event->ext, event->ext_size);
        uint32_t given = bn_mp_map (&mp, UINT16_MAX, "ext");
        for (uint32_t i = 0; i < given; i++) {
            const uint8_t *start;
            size_t size;
            if (!is_override (next_entry (&mp, &start, &size)))
                at = bn_mp_put_bytes (at, start, size);
        }
    }
    for (int which = SOURCE; which <= DATASCHEMA; which++)
        if (plan->overrides[which]) {
            const char *name = s_override_names[which];
            at = put_str (at, (bn_text_t){name, strlen (name)});
            at = put_str (at, attribute (event, which));
        }
    return at;
}

static uint8_t *write_event (uint8_t *at, const bn_event_fields_t *event, const plan_t *plan)
{
    *at++ = plan->topic ? 0x96 : 0x95;
    if (plan->id_number)
        at = bn_mp_put_uint (at, event->id_number);
    else if (event->id_number_set) {
        at = bn_mp_put_str_header (at, event->id_prefix.size + plan->digit_count);
        at = bn_mp_put_bytes (at, event->id_prefix.text, event->id_prefix.size);
        at = bn_mp_put_bytes (at, plan->digits, plan->digit_count);
    } else
        at = put_str (at, event->id);
    at = put_str (at, event->key);
    at = put_int (at, plan->delta_us);
    at = put_bin (at, event->data, event->data_size);
    return write_ext (at, event, plan);
}

void bn_batch_writer_init (bn_batch_writer_t *self, size_t bytes_max)
{
    *self = (bn_batch_writer_t){0};
    bn_buffer_init (&self->buffer, bytes_max);
}

void bn_batch_writer_fini (bn_batch_writer_t *self)
{
    bn_buffer_fini (&self->buffer);
    self->count = 0;
}

static uint8_t *write_topic (bn_batch_writer_t *self, uint8_t *at, const plan_t *plan)
{
    if (plan->topic_same) {
        *at = 0xc0;
        return at + 1;
    }
    at = put_str (at, *plan->topic);
    self->topic_size = (uint32_t)plan->topic->size;
    self->topic_at = (uint32_t)((size_t)(at - self->buffer.blob->data) - plan->topic->size);
    return at;
}

static inline baton_err_t add (bn_batch_writer_t *self, const bn_text_t *topic,
                               const bn_event_fields_t *event)
{
    plan_t plan;
    memset (&plan, 0, sizeof (plan));
    plan.topic = topic;
    plan.topic_same =
        topic && self->count > 0 && topic->size == self->topic_size &&
        memcmp (topic->text, self->buffer.blob->data + self->topic_at, topic->size) == 0;
    baton_err_t err = plan_event (self, event, &plan);
    if (err)
        return err;
    if (plan.bytes > self->buffer.bound - self->buffer.size)
        return BATON_ERR_TOO_LARGE;
    uint8_t *at = bn_buffer_grow (&self->buffer, plan.bytes);
    if (!at) {
        self->buffer.failed = false; /* nothing was appended: what is in it stays good */
        return BATON_ERR_MEMORY;
    }
    const uint8_t *end = at + plan.bytes;
    if (plan.opens)
        at = write_common (self, at, event, &plan);
    at = write_event (at, event, &plan);
    if (topic)
        at = write_topic (self, at, &plan);
    bn_assert (at == end);
    self->count++;
    return BATON_OK;
}

baton_err_t bn_batch_writer_add (bn_batch_writer_t *self, const bn_event_fields_t *event)
{
    return add (self, NULL, event);
}

baton_err_t bn_batch_writer_add_mixed (bn_batch_writer_t *self, bn_text_t topic,
                                       const bn_event_fields_t *event)
{
    bn_assert (topic.size >= 1 && topic.size <= BATON_TOPIC_BYTES_MAX);
    return add (self, &topic, event);
}

bn_blob_t *bn_batch_writer_take (bn_batch_writer_t *self, uint32_t *count)
{
    *count = 0;
    if (self->count == 0)
        return NULL;
    bn_blob_t *payload = bn_buffer_take (&self->buffer);
    if (payload) {
        *count = self->count;
        self->count = 0;
    }
    return payload;
}
