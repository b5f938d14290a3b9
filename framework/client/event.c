/* SPDX-License-Identifier: MPL-2.0 */

#include "base/assert.h"
#include "client/event_internal.h"
#include <stdlib.h>
#include <string.h>

#define MSGPACK_TYPE "application/msgpack"

/*  Attributes within their limits: 200 + 255 + 150 (id) + 3 * 1024, and 32 extensions of
 *  20 + 1024 bytes each with their two pointers. What does not fit gets a chunk of its own.  */
#define SCRATCH_BYTES (40 * 1024)

typedef struct chunk {
    struct chunk *next;
    _Alignas(max_align_t) char bytes[];
} chunk_t;

/*  A text of the data that was handed out: asking for it again gives the same copy.  */
typedef struct handed_out {
    struct handed_out *next;
    const char *from; /* in the data */
    const char *text; /* the copy */
} handed_out_t;

struct bn_event_scratch {
    const char *topic; /* copies, NULL until asked for */
    const char *key;
    const char *id;
    const char *source;
    const char *datacontenttype;
    const char *dataschema;
    baton_extension_t *extensions; /* in the area; valid when extensions_read */
    size_t extension_count;
    bool extensions_read;
    handed_out_t *texts;
    chunk_t *chunks; /* owned; what did not fit into the area */
    size_t used;
    _Alignas(max_align_t) char area[SCRATCH_BYTES];
};

bool bn_event_init (baton_event_t *self)
{
    *self = (baton_event_t){.scratch = malloc (sizeof *self->scratch)};
    if (!self->scratch)
        return false;
    /*  All but the area, which is never read before it is written.  */
    memset (self->scratch, 0, offsetof (bn_event_scratch_t, area));
    return true;
}

static void scratch_clear (bn_event_scratch_t *self)
{
    while (self->chunks) {
        chunk_t *chunk = self->chunks;
        self->chunks = chunk->next;
        free (chunk);
    }
    memset (self, 0, offsetof (bn_event_scratch_t, area));
}

void bn_event_fini (baton_event_t *self)
{
    if (!self->scratch)
        return;
    scratch_clear (self->scratch);
    free (self->scratch);
    *self = (baton_event_t){.scratch = NULL};
}

void bn_event_set (baton_event_t *self, bn_text_t topic, const bn_event_fields_t *fields,
                   uint64_t offset, uint32_t partition, uint32_t attempt)
{
    bn_assert (self->scratch);
    scratch_clear (self->scratch);
    self->topic = topic;
    self->fields = *fields;
    self->offset = offset;
    self->partition = partition;
    self->attempt = attempt;
}

static void *scratch_take (bn_event_scratch_t *self, size_t size)
{
    size_t at = (self->used + _Alignof(max_align_t) - 1) & ~(_Alignof(max_align_t) - 1);
    if (size <= SCRATCH_BYTES && at <= SCRATCH_BYTES - size) {
        self->used = at + size;
        return self->area + at;
    }
    chunk_t *chunk = malloc (sizeof *chunk + size);
    if (!chunk)
        return NULL;
    chunk->next = self->chunks;
    self->chunks = chunk;
    return chunk->bytes;
}

static const char *scratch_text (bn_event_scratch_t *self, const char *text, size_t size)
{
    char *copy = scratch_take (self, size + 1);
    if (!copy)
        return NULL;
    if (size > 0)
        memcpy (copy, text, size);
    copy[size] = 0;
    return copy;
}

/*  An attribute: copied once, "" when even that is impossible.  */
static const char *attribute (const baton_event_t *self, const char **slot, bn_text_t text)
{
    if (!*slot) {
        *slot = scratch_text (self->scratch, text.text, text.size);
        if (!*slot)
            return "";
    }
    return *slot;
}

const char *baton_event_topic (const baton_event_t *self)
{
    return attribute (self, &self->scratch->topic, self->topic);
}

const char *baton_event_key (const baton_event_t *self)
{
    return attribute (self, &self->scratch->key, self->fields.key);
}

const char *baton_event_id (const baton_event_t *self)
{
    const bn_event_fields_t *fields = &self->fields;
    if (!fields->id_number_set)
        return attribute (self, &self->scratch->id, fields->id);
    if (self->scratch->id)
        return self->scratch->id;

    char digits[20]; /* UINT64_MAX has 20 */
    size_t count = 0;
    uint64_t number = fields->id_number;
    do
        digits[count++] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    char *text = scratch_take (self->scratch, fields->id_prefix.size + 1 + count + 1);
    if (!text)
        return "";
    char *at = text;
    if (fields->id_prefix.size > 0)
        memcpy (at, fields->id_prefix.text, fields->id_prefix.size);
    at += fields->id_prefix.size;
    *at++ = '-';
    while (count > 0)
        *at++ = digits[--count];
    *at = 0;
    self->scratch->id = text;
    return text;
}

const char *baton_event_source (const baton_event_t *self)
{
    return attribute (self, &self->scratch->source, self->fields.source);
}

int64_t baton_event_time_us (const baton_event_t *self)
{
    return self->fields.time_us;
}

const char *baton_event_datacontenttype (const baton_event_t *self)
{
    if (self->fields.datacontenttype.size == 0)
        return MSGPACK_TYPE;
    return attribute (self, &self->scratch->datacontenttype, self->fields.datacontenttype);
}

const char *baton_event_dataschema (const baton_event_t *self)
{
    return attribute (self, &self->scratch->dataschema, self->fields.dataschema);
}

/*  Attributes that travel in the extension map when they differ from the batch's.  */
static bool is_core_attribute (const char *name, size_t size)
{
    static const char *const names[] = {"source", "datacontenttype", "dataschema"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strlen (names[i]) == size && memcmp (names[i], name, size) == 0)
            return true;
    return false;
}

static bool next_extension (bn_mp_t *mp, bn_text_t *name, bn_text_t *value)
{
    name->text = bn_mp_str (mp, BATON_ATTRIBUTE_BYTES_MAX, &name->size, "extension name");
    value->text = bn_mp_str (mp, BATON_ATTRIBUTE_BYTES_MAX, &value->size, "extension value");
    return bn_mp_ok (mp);
}

static void read_extensions (bn_event_scratch_t *self, const bn_event_fields_t *fields)
{
    if (self->extensions_read || !fields->ext)
        return;
    bn_mp_t mp;
    bn_mp_init (&mp, fields->ext, fields->ext_size);
    uint32_t count = bn_mp_map (&mp, UINT32_MAX, "extensions");
    self->extensions = count > 0 ? scratch_take (self, count * sizeof *self->extensions) : NULL;
    if (!self->extensions)
        return;
    bn_text_t name, value;
    while (count-- > 0 && next_extension (&mp, &name, &value)) {
        if (is_core_attribute (name.text, name.size))
            continue;
        baton_extension_t extension = {.name = scratch_text (self, name.text, name.size),
                                       .value = scratch_text (self, value.text, value.size)};
        if (extension.name && extension.value)
            self->extensions[self->extension_count++] = extension;
    }
    self->extensions_read = true;
}

const char *baton_event_extension (const baton_event_t *self, const char *name)
{
    bn_event_scratch_t *scratch = self->scratch;
    read_extensions (scratch, &self->fields);
    for (size_t i = 0; i < scratch->extension_count; i++)
        if (strcmp (scratch->extensions[i].name, name) == 0)
            return scratch->extensions[i].value;
    return NULL;
}

size_t baton_event_extension_count (const baton_event_t *self)
{
    read_extensions (self->scratch, &self->fields);
    return self->scratch->extension_count;
}

bool baton_event_extension_at (const baton_event_t *self, size_t index,
                               baton_extension_t *extension)
{
    read_extensions (self->scratch, &self->fields);
    if (index >= self->scratch->extension_count)
        return false;
    *extension = self->scratch->extensions[index];
    return true;
}

const void *baton_event_data (const baton_event_t *self, size_t *size)
{
    *size = self->fields.data_size;
    return self->fields.data_size > 0 ? (const void *)self->fields.data : "";
}

uint64_t baton_event_offset (const baton_event_t *self)
{
    return self->offset;
}

uint32_t baton_event_partition (const baton_event_t *self)
{
    return self->partition;
}

uint32_t baton_event_attempt (const baton_event_t *self)
{
    return self->attempt;
}

bool bn_content_is_msgpack (const char *text, size_t size)
{
    return size == 0 || (size == sizeof MSGPACK_TYPE - 1 && memcmp (text, MSGPACK_TYPE, size) == 0);
}

baton_value_t baton_event_value (const baton_event_t *self)
{
    const bn_event_fields_t *fields = &self->fields;
    if (fields->data_size == 0 ||
        !bn_content_is_msgpack (fields->datacontenttype.text, fields->datacontenttype.size))
        return (baton_value_t){.bytes = NULL};
    return (baton_value_t){.bytes = fields->data, .size = fields->data_size};
}

bool baton_event_field (const baton_event_t *self, const char *field, baton_value_t *result)
{
    return baton_value_get (baton_event_value (self), field, result);
}

const char *baton_event_str (const baton_event_t *self, const char *field)
{
    baton_value_t value;
    const char *from;
    size_t size;
    if (!baton_event_field (self, field, &value) || !baton_value_str (value, &from, &size))
        return NULL;
    bn_event_scratch_t *scratch = self->scratch;
    for (const handed_out_t *text = scratch->texts; text; text = text->next)
        if (text->from == from)
            return text->text;
    handed_out_t *text = scratch_take (scratch, sizeof *text);
    const char *copy = text ? scratch_text (scratch, from, size) : NULL;
    if (!copy)
        return NULL;
    *text = (handed_out_t){.next = scratch->texts, .from = from, .text = copy};
    scratch->texts = text;
    return copy;
}

bool baton_event_int (const baton_event_t *self, const char *field, int64_t *result)
{
    baton_value_t value;
    return baton_event_field (self, field, &value) && baton_value_int (value, result);
}

bool baton_event_real (const baton_event_t *self, const char *field, double *result)
{
    baton_value_t value;
    return baton_event_field (self, field, &value) && baton_value_real (value, result);
}
