/* SPDX-License-Identifier: MPL-2.0 */

/*  batch_reader.c - reading and checking the payload of a section; the layout is in batch.h.
 *
 *  DESIGN. One walk serves both: reading trusts texts (their UTF-8 was checked when the section was
 *  published), checking does the same reads and then looks closer. So what is accepted can be read
 *  (B1) because nothing is read in two ways. Both are on the path of each event: no allocation.  */
#include "base/assert.h"
#include "base/hash.h"
#include "wire/mixed.h"
#include <string.h>

/*  Extensions, those of a dead letter, and overrides.  */
#define EXT_ENTRIES_MAX    (BATON_EXTENSIONS_COUNT_MAX + BATON_DEAD_EXTENSIONS_COUNT + 3)
#define EXT_NAME_BYTES_MAX 20
#define EVENT_FIRST        0x95 /* of a plain section: an array of 5 */

static bool text_is (bn_text_t text, const char *name)
{
    return text.size == strlen (name) && memcmp (text.text, name, text.size) == 0;
}

static inline bn_text_t read_text (bn_mp_t *mp, size_t bytes_max, const char *what)
{
    bn_text_t text;
    text.text = bn_mp_str_trusted (mp, bytes_max, &text.size, what);
    return text;
}

static void read_common (bn_mp_t *mp, bn_event_fields_t *common)
{
    *common = (bn_event_fields_t){0};
    if (bn_mp_array (mp, 5, "common: not an array of 5") != 5)
        bn_mp_fail (mp, BATON_ERR_MALFORMED, "common: not an array of 5");
    common->id_prefix = read_text (mp, BATON_ID_BYTES_MAX, "common: id prefix");
    common->source = read_text (mp, BATON_ATTRIBUTE_BYTES_MAX, "common: source");
    common->time_us = (int64_t)bn_mp_uint (mp, INT64_MAX, "common: time");
    common->datacontenttype = read_text (mp, BATON_ATTRIBUTE_BYTES_MAX, "common: datacontenttype");
    common->dataschema = read_text (mp, BATON_ATTRIBUTE_BYTES_MAX, "common: dataschema");
}

/*  Where the value of an ext entry of this name goes; NULL: it is an extension.  */
static bn_text_t *override_of (bn_event_fields_t *event, bn_text_t name)
{
    switch (name.size) {
    case 6:
        return text_is (name, "source") ? &event->source : NULL;
    case 10:
        return text_is (name, "dataschema") ? &event->dataschema : NULL;
    case 15:
        return text_is (name, "datacontenttype") ? &event->datacontenttype : NULL;
    default:
        return NULL;
    }
}

static void read_ext (bn_mp_t *mp, bn_event_fields_t *event)
{
    if (bn_mp_nil (mp))
        return;
    const uint8_t *start = mp->at;
    uint32_t entries = bn_mp_map (mp, EXT_ENTRIES_MAX, "ext: not nil and not a small map");
    for (uint32_t i = 0; i < entries && bn_mp_ok (mp); i++) {
        bn_text_t name = read_text (mp, EXT_NAME_BYTES_MAX, "ext: name");
        bn_text_t value = read_text (mp, BATON_ATTRIBUTE_BYTES_MAX, "ext: value");
        bn_text_t *attribute = override_of (event, name);
        if (attribute)
            *attribute = value;
    }
    event->ext = start;
    event->ext_size = (size_t)(mp->at - start);
}

/*  All but the topic of one in a mixed section.  */
static inline void read_event (bn_mp_t *mp, const bn_event_fields_t *common,
                               bn_event_fields_t *event, uint32_t elements)
{
    const char *wrong = elements == 5 ? "event: not an array of 5" : "event: not an array of 6";
    *event = *common;
    if (bn_mp_array (mp, elements, wrong) != elements)
        bn_mp_fail (mp, BATON_ERR_MALFORMED, wrong);
    if (bn_mp_peek (mp) == 's')
        event->id = read_text (mp, BATON_ID_BYTES_MAX, "id");
    else {
        event->id_number = bn_mp_uint (mp, UINT64_MAX, "id: not text and not an unsigned integer");
        event->id_number_set = true;
    }
    event->key = read_text (mp, SIZE_MAX, "key");
    if (event->key.size > BATON_KEY_BYTES_MAX)
        bn_mp_fail (mp, BATON_ERR_KEY, "key: longer than 255 bytes");
    int64_t delta = bn_mp_int (mp, "time");
    if (__builtin_add_overflow (common->time_us, delta, &event->time_us))
        bn_mp_fail (mp, BATON_ERR_MALFORMED, "time: out of range");
    event->data = bn_mp_bin (mp, BATON_DATA_BYTES_MAX, &event->data_size, "data");
    read_ext (mp, event);
}

static void read_topic (bn_mp_t *mp, bn_text_t *topic)
{
    if (!bn_mp_nil (mp))
        *topic = read_text (mp, BATON_TOPIC_BYTES_MAX, "topic");
    if (topic->size == 0)
        bn_mp_fail (mp, BATON_ERR_TOPIC, "topic: there is none");
}

baton_err_t bn_batch_reader_init (bn_batch_reader_t *self, const void *payload, size_t size,
                                  uint32_t count)
{
    bn_mp_init (&self->mp, payload, size);
    self->left = count;
    self->mixed = false;
    read_common (&self->mp, &self->common);
    return self->mp.err;
}

baton_err_t bn_mixed_reader_init (bn_batch_reader_t *self, const void *payload, size_t size,
                                  uint32_t count)
{
    baton_err_t err = bn_batch_reader_init (self, payload, size, count);
    self->mixed = true;
    self->topic = (bn_text_t){NULL, 0};
    return err;
}

bool bn_batch_next (bn_batch_reader_t *self, bn_event_fields_t *event)
{
    if (self->left == 0) {
        bn_mp_end (&self->mp);
        return false;
    }
    read_event (&self->mp, &self->common, event, self->mixed ? 6 : 5);
    if (self->mixed)
        read_topic (&self->mp, &self->topic);
    if (!bn_mp_ok (&self->mp)) {
        self->left = 0;
        return false;
    }
    self->left--;
    return true;
}

bool bn_ext_get (const uint8_t *ext, size_t ext_size, const char *name, bn_text_t *value)
{
    bn_mp_t mp;
    bn_mp_init (&mp, ext, ext_size);
    uint32_t entries = ext_size ? bn_mp_map (&mp, EXT_ENTRIES_MAX, NULL) : 0;
    for (uint32_t i = 0; i < entries; i++) {
        bn_text_t entry_name = read_text (&mp, EXT_NAME_BYTES_MAX, NULL);
        bn_text_t entry_value = read_text (&mp, BATON_ATTRIBUTE_BYTES_MAX, NULL);
        if (!bn_mp_ok (&mp))
            return false;
        if (text_is (entry_name, name)) {
            *value = entry_value;
            return true;
        }
    }
    return false;
}

/*  ---- checking ---- */

static const char *check_texts (const bn_event_fields_t *common)
{
    if (!bn_utf8_valid (common->id_prefix.text, common->id_prefix.size))
        return "common: id prefix is not UTF-8";
    if (!bn_utf8_valid (common->source.text, common->source.size))
        return "common: source is not UTF-8";
    if (!bn_utf8_valid (common->datacontenttype.text, common->datacontenttype.size))
        return "common: datacontenttype is not UTF-8";
    if (!bn_utf8_valid (common->dataschema.text, common->dataschema.size))
        return "common: dataschema is not UTF-8";
    return NULL;
}

static size_t decimal_digits (uint64_t number)
{
    size_t digits = 1;
    while (number >= 10) {
        number /= 10;
        digits++;
    }
    return digits;
}

static const char *check_id (const bn_event_fields_t *event)
{
    if (!event->id_number_set) {
        if (event->id.size == 0)
            return "id: empty";
        return bn_utf8_valid (event->id.text, event->id.size) ? NULL : "id: not UTF-8";
    }
    if (event->id_prefix.size == 0)
        return "id: a number without an id prefix";
    /*  Longer than any prefix and number could be without the digits: do not count them.  */
    if (event->id_prefix.size + 1 + 20 > BATON_ID_BYTES_MAX &&
        event->id_prefix.size + 1 + decimal_digits (event->id_number) > BATON_ID_BYTES_MAX)
        return "id: too long with its prefix";
    return NULL;
}

/*  Attributes of CloudEvents that are fields of their own here.  */
static bool is_reserved_name (bn_text_t name)
{
    switch (name.size) {
    case 2:
        return text_is (name, "id");
    case 4:
        return text_is (name, "type") || text_is (name, "time") || text_is (name, "data");
    case 7:
        return text_is (name, "subject");
    case 11:
        return text_is (name, "specversion");
    default:
        return false;
    }
}

bool bn_ext_of_dead_letter (const char *name, size_t size)
{
    static const char *const names[BATON_DEAD_EXTENSIONS_COUNT] = {
        "deadactor", "deadreason", "deadattempts", "deadoffset",
        "deadtopic", "deadid",     "deadsource"};
    if (size < 4 || memcmp (name, "dead", 4) != 0)
        return false;
    for (size_t i = 0; i < BATON_DEAD_EXTENSIONS_COUNT; i++)
        if (text_is ((bn_text_t){name, size}, names[i]))
            return true;
    return false;
}

static const char *check_ext_name (bn_text_t name)
{
    if (name.size == 0)
        return "ext: empty name";
    for (size_t i = 0; i < name.size; i++) {
        char c = name.text[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')))
            return "ext: a name is of lower-case letters and digits";
    }
    return is_reserved_name (name) ? "ext: the name of an attribute" : NULL;
}

static const char *check_ext (bn_event_fields_t *event)
{
    bn_text_t seen[EXT_ENTRIES_MAX];
    uint32_t extensions = 0;
    bn_mp_t mp;
    bn_mp_init (&mp, event->ext, event->ext_size);
    uint32_t entries = bn_mp_map (&mp, EXT_ENTRIES_MAX, NULL);
    for (uint32_t i = 0; i < entries; i++) {
        bn_text_t name = read_text (&mp, EXT_NAME_BYTES_MAX, NULL);
        bn_text_t value = read_text (&mp, BATON_ATTRIBUTE_BYTES_MAX, NULL);
        bn_assert (bn_mp_ok (&mp)); /* read_ext has been here */
        const char *wrong = check_ext_name (name);
        if (wrong)
            return wrong;
        if (!bn_utf8_valid (value.text, value.size))
            return "ext: a value is not UTF-8";
        for (uint32_t k = 0; k < i; k++)
            if (seen[k].size == name.size && !memcmp (seen[k].text, name.text, name.size))
                return "ext: a name comes twice";
        seen[i] = name;
        if (!override_of (event, name) && !bn_ext_of_dead_letter (name.text, name.size) &&
            ++extensions > BATON_EXTENSIONS_COUNT_MAX)
            return "ext: too many extensions";
    }
    return NULL;
}

static bool is_messagepack (bn_text_t content_type)
{
    return content_type.size == 0 || text_is (content_type, "application/msgpack");
}

/*  What read_event did not look at. `mp` gets the error.  */
static void check_event (bn_mp_t *mp, bn_event_fields_t *event, const bn_batch_limits_t *limits)
{
    const char *wrong = check_id (event);
    if (!wrong && event->ext)
        wrong = check_ext (event);
    if (!wrong && event->source.size == 0)
        wrong = "source: empty";
    if (wrong) {
        bn_mp_fail (mp, BATON_ERR_MALFORMED, wrong);
        return;
    }
    if (event->key.size) {
        if (!bn_utf8_valid (event->key.text, event->key.size)) {
            bn_mp_fail (mp, BATON_ERR_KEY, "key: not UTF-8");
            return;
        }
        uint64_t hash = bn_hash (event->key.text, event->key.size);
        if (bn_hash_partition (hash, limits->partitions) != limits->partition) {
            bn_mp_fail (mp, BATON_ERR_KEY, "key: belongs to another partition");
            return;
        }
    }
    if (event->data_size > limits->data_bytes_max) {
        bn_mp_fail (mp, BATON_ERR_TOO_LARGE, "data: more bytes than allowed");
        return;
    }
    if (event->data_size && is_messagepack (event->datacontenttype)) {
        baton_err_t err = bn_mp_scan (event->data, event->data_size, BATON_DATA_DEPTH_MAX, NULL);
        if (err == BATON_ERR_TOO_DEEP)
            bn_mp_fail (mp, err, "data: nested too deeply");
        else if (err)
            bn_mp_fail (mp, err, "data: not exactly one MessagePack value");
    }
}

/*  The sixth element, and where the event is. What is cut out of the section starts with another
 *  byte, so that the one that it replaces has to be this one.  */
static void place (bn_mp_t *mp, const uint8_t *from, bn_text_t *topic, bn_mixed_event_t *event)
{
    const uint8_t *bare = mp->at;
    read_topic (mp, topic);
    if (*from != BN_MIXED_EVENT_FIRST)
        bn_mp_fail (mp, BATON_ERR_MALFORMED, "event: not the shortest array of 6");
    *event = (bn_mixed_event_t){.at = (uint32_t)(from - mp->start),
                                .bare = (uint32_t)(bare - from),
                                .topic_at = (uint32_t)((const uint8_t *)topic->text - mp->start),
                                .topic_size = (uint32_t)topic->size};
}

/*  events NULL: a section of one topic.  */
static inline baton_err_t check (const void *payload, size_t size, uint32_t count,
                                 const bn_batch_limits_t *limits, bn_mixed_event_t *events,
                                 uint32_t *event_index, const char **what)
{
    bn_mp_t mp;
    bn_event_fields_t common, event;
    bn_text_t topic = {NULL, 0};
    uint32_t index = 0;
    bn_mp_init (&mp, payload, size);
    if (count == 0 || count > BN_SECTION_EVENTS_MAX)
        bn_mp_fail (&mp, BATON_ERR_MALFORMED, "count of events out of range");
    read_common (&mp, &common);
    const char *wrong = bn_mp_ok (&mp) ? check_texts (&common) : NULL;
    if (wrong)
        bn_mp_fail (&mp, BATON_ERR_MALFORMED, wrong);
    while (index < count && bn_mp_ok (&mp)) {
        const uint8_t *from = mp.at;
        if (events && bn_mp_left (&mp) > 0 && *from == EVENT_FIRST)
            bn_mp_fail (&mp, BATON_ERR_TOPIC, "topic: neither the section has one nor the event");
        read_event (&mp, &common, &event, events ? 6 : 5);
        if (bn_mp_ok (&mp))
            check_event (&mp, &event, limits);
        if (events && bn_mp_ok (&mp))
            place (&mp, from, &topic, &events[index]);
        if (bn_mp_ok (&mp))
            index++;
    }
    if (bn_mp_ok (&mp))
        bn_mp_end (&mp);
    if (event_index)
        *event_index = index;
    if (what)
        *what = mp.err_what;
    return mp.err;
}

baton_err_t bn_batch_check (const void *payload, size_t size, uint32_t count,
                            const bn_batch_limits_t *limits, uint32_t *event_index,
                            const char **what)
{
    return check (payload, size, count, limits, NULL, event_index, what);
}

baton_err_t bn_mixed_check (const void *payload, size_t size, uint32_t count,
                            const bn_batch_limits_t *limits, bn_mixed_event_t *events,
                            uint32_t *event_index, const char **what)
{
    bn_assert (count <= size / BN_MIXED_EVENT_BYTES_MIN && size <= UINT32_MAX);
    return check (payload, size, count, limits, events, event_index, what);
}

baton_err_t bn_mixed_scan (const void *payload, size_t size, uint32_t count,
                           bn_mixed_event_t *events)
{
    bn_batch_reader_t reader;
    bn_assert (count <= size / BN_MIXED_EVENT_BYTES_MIN && size <= UINT32_MAX);
    bn_mixed_reader_init (&reader, payload, size, count);
    for (uint32_t i = 0; i < count && bn_mp_ok (&reader.mp); i++) {
        const uint8_t *from = reader.mp.at;
        bn_event_fields_t event;
        read_event (&reader.mp, &reader.common, &event, 6);
        if (bn_mp_ok (&reader.mp))
            place (&reader.mp, from, &reader.topic, &events[i]);
    }
    if (bn_mp_ok (&reader.mp))
        bn_mp_end (&reader.mp);
    return reader.mp.err;
}

bn_blob_t *bn_batch_slice (const void *payload, size_t size, uint32_t count, uint32_t index)
{
    bn_batch_reader_t reader;
    if (index >= count || bn_batch_reader_init (&reader, payload, size, count))
        return NULL;
    size_t common_size = (size_t)(reader.mp.at - reader.mp.start);
    const uint8_t *start = reader.mp.at;
    for (uint32_t i = 0; i <= index; i++) {
        bn_event_fields_t event;
        start = reader.mp.at;
        if (!bn_batch_next (&reader, &event))
            return NULL;
    }
    size_t event_size = (size_t)(reader.mp.at - start);
    bn_blob_t *slice = bn_blob_new (common_size + event_size);
    if (slice) {
        memcpy (slice->data, payload, common_size);
        memcpy (slice->data + common_size, start, event_size);
    }
    return slice;
}
