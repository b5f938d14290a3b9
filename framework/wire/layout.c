/* SPDX-License-Identifier: MPL-2.0 */
#include "wire/layout.h"
#include "base/assert.h"
#include "wire/mp_put.h"
#include "wire/topic.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAP_DEPTH_MAX 8 /* of a status */

_Static_assert(sizeof (bn_role_t) == sizeof (uint32_t), "enums are read as 32 bits");

static const size_t s_element_sizes[] = {
    [BN_FIELD_TEXTS] = sizeof (bn_text_t), [BN_FIELD_U64S] = sizeof (uint64_t)};

static size_t element_size (const bn_field_t *field)
{
    return field->kind == BN_FIELD_LIST ? field->of->size : s_element_sizes[field->kind];
}

static bool is_list (const bn_field_t *field)
{
    return field->kind == BN_FIELD_LIST || field->kind == BN_FIELD_TEXTS ||
           field->kind == BN_FIELD_U64S;
}

static bool is_sections (const bn_field_t *field)
{
    return field->of == &bn_layout_section || field->of == &bn_layout_events_section ||
           field->of == &bn_layout_record_section;
}

/*  Members of a struct that only the table knows.  */
static void *member (void *base, size_t at)
{
    return (char *)base + at;
}

static const void *const_member (const void *base, size_t at)
{
    return (const char *)base + at;
}

static void *pointer_at (const void *base, size_t at)
{
    void *pointer;
    memcpy (&pointer, const_member (base, at), sizeof (pointer));
    return pointer;
}

/*  ---- reading ---- */

static baton_err_t check_name (bn_check_t check, const char *text, size_t size)
{
    if (check == BN_CHECK_TOPIC || (check == BN_CHECK_TOPIC_OR_NONE && size > 0))
        return bn_topic_valid (text, size) ? BATON_OK : BATON_ERR_TOPIC;
    if (check == BN_CHECK_TOPIC_OR_NONE)
        return BATON_OK;
    if (check == BN_CHECK_PATTERN)
        return bn_pattern_valid (text, size) ? BATON_OK : BATON_ERR_TOPIC;
    bool valid = check == BN_CHECK_ACTOR ? bn_actor_name_valid (text, size)
                                         : bn_instance_name_valid (text, size);
    return valid ? BATON_OK : BATON_ERR_NAME;
}

static void read_text (const bn_field_t *field, uint64_t bytes_max, bn_mp_t *mp, bn_text_t *text)
{
    const uint8_t *before = mp->at;
    if (field->check == BN_CHECK_NONE) {
        text->text = bn_mp_str (mp, bytes_max, &text->size, field->name);
        return;
    }
    /*  What passes one of these checks is ASCII and not too long.  */
    text->text = bn_mp_str_trusted (mp, SIZE_MAX, &text->size, field->name);
    if (!bn_mp_ok (mp))
        return;
    baton_err_t err = check_name (field->check, text->text, text->size);
    if (err) {
        mp->at = before;
        bn_mp_fail (mp, err, field->name);
    }
}

static void out_of_range (const bn_field_t *field, bn_mp_t *mp, const uint8_t *at)
{
    mp->at = at;
    bn_mp_fail (mp, field->check == BN_CHECK_PARTITION ? BATON_ERR_PARTITION : BATON_ERR_MALFORMED,
                field->name);
}

static inline uint64_t read_number (const bn_field_t *field, bn_mp_t *mp)
{
    const uint8_t *before = mp->at;
    uint64_t value = bn_mp_uint (mp, UINT64_MAX, field->name);
    if ((value < field->min || value > field->max) && bn_mp_ok (mp))
        out_of_range (field, mp, before);
    return value;
}

static void read_map (const bn_field_t *field, bn_mp_t *mp, bn_slice_t *slice)
{
    if (bn_mp_peek (mp) != 'm') {
        bn_mp_fail (mp, BATON_ERR_MALFORMED, field->name);
        return;
    }
    const uint8_t *start = mp->at;
    bn_mp_skip (mp, MAP_DEPTH_MAX);
    *slice = (bn_slice_t){.data = start, .size = (size_t)(mp->at - start)};
}

static void read_fields (const bn_layout_t *self, uint32_t count, bn_mp_t *mp, void *base);

/*  An array of exactly the layout's fields.  */
static void read_struct (const bn_layout_t *self, bn_mp_t *mp, void *base)
{
    const uint8_t *before = mp->at;
    uint32_t count = bn_mp_array (mp, UINT32_MAX, self->name);
    if (count != self->field_count && !(self->last_optional && count + 1 == self->field_count)) {
        if (bn_mp_ok (mp))
            mp->at = before;
        bn_mp_fail (mp, BATON_ERR_MALFORMED, self->name);
        return;
    }
    read_fields (self, count, mp, base);
}

void bn_layout_read_list (const bn_field_t *field, bn_mp_t *mp, void *base)
{
    bn_assert (field->max <= UINT32_MAX);
    if (field->set_at) {
        bool set = !bn_mp_nil (mp);
        memcpy (member (base, field->set_at), &set, sizeof (set));
        if (!set)
            return;
    }
    const uint8_t *before = mp->at;
    uint32_t count = bn_mp_array (mp, (uint32_t)field->max, field->name);
    if (bn_mp_ok (mp) && count < field->min) {
        mp->at = before;
        bn_mp_fail (mp, BATON_ERR_MALFORMED, field->name);
    }
    if (!bn_mp_ok (mp) || count == 0)
        return;
    size_t size = element_size (field);
    char *list = malloc (count * size);
    if (!list) {
        bn_mp_fail (mp, BATON_ERR_MEMORY, field->name);
        return;
    }
    memcpy (member (base, field->at), &list, sizeof (list));
    uint32_t *read = member (base, field->count_at);
    /*  Only what is read is in the list, so that only that is released, and each is zeroed when its
     *  turn comes: a long list does not go through the cache twice.  */
    for (*read = 0; *read < count && bn_mp_ok (mp); ++*read) {
        void *element = list + *read * size;
        if (field->kind == BN_FIELD_LIST)
            read_struct (field->of, mp, memset (element, 0, size));
        else if (field->kind == BN_FIELD_TEXTS)
            read_text (field, BATON_TOPIC_BYTES_MAX, mp, element);
        else
            *(uint64_t *)element = bn_mp_uint (mp, UINT64_MAX, field->name);
    }
}

/*  What is not a number, a flag or a text.  */
static void read_nested (const bn_field_t *field, bn_mp_t *mp, void *base)
{
    void *place = member (base, field->at);
    if (field->kind == BN_FIELD_MAP)
        read_map (field, mp, place);
    else if (field->kind == BN_FIELD_STRUCT)
        read_struct (field->of, mp, place);
    else
        bn_layout_read_list (field, mp, base);
}

static void read_fields (const bn_layout_t *self, uint32_t count, bn_mp_t *mp, void *base)
{
    for (uint32_t i = 0; i < count && bn_mp_ok (mp); i++) {
        const bn_field_t *field = &self->fields[i];
        void *place = member (base, field->at);
        if (field->kind == BN_FIELD_U32)
            *(uint32_t *)place = (uint32_t)read_number (field, mp);
        else if (field->kind == BN_FIELD_TEXT)
            read_text (field, field->max, mp, place);
        else if (field->kind == BN_FIELD_U64)
            *(uint64_t *)place = read_number (field, mp);
        else if (field->kind == BN_FIELD_SIZE)
            *(size_t *)place = (size_t)read_number (field, mp);
        else if (field->kind == BN_FIELD_BOOL)
            *(bool *)place = bn_mp_bool (mp, field->name);
        else
            read_nested (field, mp, base);
    }
}

void bn_layout_read (const bn_layout_t *self, bn_mp_t *mp, void *base)
{
    read_fields (self, self->field_count, mp, base);
}

/*  ---- writing ---- */

/*  Values gather here and are appended many at a time: a header of many sections is many small
 *  values.  */
typedef struct {
    bn_buffer_t *buffer; /* borrowed */
    uint8_t *at;         /* the next value goes there */
    uint8_t bytes[512];
} writer_t;

static void flush (writer_t *self)
{
    bn_buffer_append (self->buffer, self->bytes, (size_t)(self->at - self->bytes));
    self->at = self->bytes;
}

/*  Room for `size` bytes at `at`.  */
static inline void need (writer_t *self, size_t size)
{
    bn_assert (size <= sizeof (self->bytes));
    if (size > (size_t)(self->bytes + sizeof (self->bytes) - self->at))
        flush (self);
}

static inline void write_uint (writer_t *self, uint64_t value)
{
    need (self, BN_MP_NUMBER_BYTES_MAX);
    self->at = bn_mp_put_uint (self->at, value);
}

static inline void write_byte (writer_t *self, uint8_t value)
{
    need (self, 1);
    *self->at++ = value;
}

static inline void write_array (writer_t *self, uint32_t count)
{
    need (self, BN_MP_HEADER_BYTES_MAX);
    self->at = bn_mp_put_array_header (self->at, count);
}

static void write_text (writer_t *self, const bn_text_t *text)
{
    bool small = text->size <= sizeof (self->bytes) - BN_MP_HEADER_BYTES_MAX;
    need (self, BN_MP_HEADER_BYTES_MAX + (small ? text->size : 0));
    self->at = bn_mp_put_str_header (self->at, text->size);
    if (small)
        self->at = bn_mp_put_bytes (self->at, text->text, text->size);
    else {
        flush (self);
        bn_buffer_append (self->buffer, text->text, text->size);
    }
}

static void write_fields (const bn_layout_t *self, uint32_t count, writer_t *writer,
                          const void *base);

/*  An optional field that says nothing.  */
static bool is_empty (const bn_field_t *field, const void *base)
{
    const void *place = const_member (base, field->at);
    bn_assert (field->kind == BN_FIELD_TEXT || field->kind == BN_FIELD_U64);
    return field->kind == BN_FIELD_TEXT ? ((const bn_text_t *)place)->size == 0
                                        : *(const uint64_t *)place == 0;
}

static void write_struct (const bn_layout_t *self, writer_t *writer, const void *base)
{
    uint32_t count = self->field_count;
    if (self->last_optional)
        count -= is_empty (&self->fields[count - 1], base);
    write_array (writer, count);
    write_fields (self, count, writer, base);
}

static void write_list (const bn_field_t *field, writer_t *writer, const void *base)
{
    if (field->set_at && !*(const bool *)const_member (base, field->set_at)) {
        write_byte (writer, 0xc0);
        return;
    }
    uint32_t count = *(const uint32_t *)const_member (base, field->count_at);
    const char *list = pointer_at (base, field->at);
    size_t size = element_size (field);
    write_array (writer, count);
    for (uint32_t i = 0; i < count; i++) {
        const void *element = list + i * size;
        if (field->kind == BN_FIELD_LIST)
            write_struct (field->of, writer, element);
        else if (field->kind == BN_FIELD_TEXTS)
            write_text (writer, element);
        else
            write_uint (writer, *(const uint64_t *)element);
    }
}

/*  What is not a number, a flag or a text.  */
static void write_nested (const bn_field_t *field, writer_t *writer, const void *base)
{
    const void *place = const_member (base, field->at);
    if (field->kind == BN_FIELD_MAP) {
        const bn_slice_t *slice = place;
        flush (writer);
        bn_buffer_append (writer->buffer, slice->data, slice->size);
    } else if (field->kind == BN_FIELD_STRUCT)
        write_struct (field->of, writer, place);
    else
        write_list (field, writer, base);
}

static void write_fields (const bn_layout_t *self, uint32_t count, writer_t *writer,
                          const void *base)
{
    for (uint32_t i = 0; i < count; i++) {
        const bn_field_t *field = &self->fields[i];
        const void *place = const_member (base, field->at);
        if (field->kind == BN_FIELD_U32)
            write_uint (writer, *(const uint32_t *)place);
        else if (field->kind == BN_FIELD_TEXT)
            write_text (writer, place);
        else if (field->kind == BN_FIELD_U64)
            write_uint (writer, *(const uint64_t *)place);
        else if (field->kind == BN_FIELD_SIZE)
            write_uint (writer, *(const size_t *)place);
        else if (field->kind == BN_FIELD_BOOL)
            write_byte (writer, *(const bool *)place ? 0xc3 : 0xc2);
        else
            write_nested (field, writer, base);
    }
}

void bn_layout_write (const bn_layout_t *self, msgpack_packer *packer, const void *base)
{
    writer_t writer; /* its bytes are written before they are read */
    writer.buffer = packer->data;
    writer.at = writer.bytes;
    write_fields (self, self->field_count, &writer, base);
    flush (&writer);
}

/*  ---- releasing ---- */

static bool owns_memory (const bn_layout_t *self)
{
    for (uint32_t i = 0; i < self->field_count; i++)
        if (is_list (&self->fields[i]) || self->fields[i].kind == BN_FIELD_STRUCT)
            return true;
    return false;
}

static void fini_list (const bn_field_t *field, void *base)
{
    uint32_t count = *(const uint32_t *)const_member (base, field->count_at);
    char *list = pointer_at (base, field->at);
    if (!list)
        return;
    if (is_sections (field)) {
        bn_section_array_free ((bn_section_t *)list, count);
        return;
    }
    if (field->kind == BN_FIELD_LIST && owns_memory (field->of))
        for (uint32_t i = 0; i < count; i++)
            bn_layout_fini (field->of, list + i * field->of->size);
    free (list);
}

void bn_layout_fini (const bn_layout_t *self, void *base)
{
    for (uint32_t i = 0; i < self->field_count; i++) {
        const bn_field_t *field = &self->fields[i];
        if (is_list (field))
            fini_list (field, base);
        else if (field->kind == BN_FIELD_STRUCT)
            bn_layout_fini (field->of, member (base, field->at));
    }
}

baton_err_t bn_layout_error (const bn_mp_t *mp, const char *subject, char what[256])
{
    if (mp->err && what)
        snprintf (what, 256, "%s: %s: %s (byte %zu)", subject,
                  mp->err_what ? mp->err_what : "contents", baton_err_text (mp->err), mp->err_at);
    return mp->err;
}
