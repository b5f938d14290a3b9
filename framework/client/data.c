/* SPDX-License-Identifier: MPL-2.0 */

/*  data.c - a builder for a MessagePack map.
 *
 *  DESIGN. MessagePack writes counts before contents, a builder learns them after. The outermost
 *  map has HEAD_BYTES_MAX bytes kept free in front, and its head is written right-aligned into them
 *  each time the bytes are asked for. A nested one starts with a head of one byte (up to 15
 *  entries, the usual case); when it is closed with more, its contents move up by the two or four
 *  bytes that the larger head needs. Rejected: always taking the largest head, which costs four
 *  bytes on every nesting of every event for ever.  */

#include "base/buffer.h"
#include "wire/mp.h"
#include <baton/event.h>
#include <stdlib.h>
#include <string.h>

#define HEAD_BYTES_MAX 5

typedef struct {
    size_t at;      /* where the head goes */
    uint32_t count; /* elements or entries so far */
    bool map;
} level_t;

struct baton_data {
    bn_buffer_t buffer;                   /* HEAD_BYTES_MAX free bytes, then the entries */
    level_t levels[BATON_DATA_DEPTH_MAX]; /* levels[0] is the outermost map */
    uint32_t depth;                       /* levels in use, >= 1 */
    baton_err_t err;                      /* the first error, sticks */
};

baton_data_t *baton_data_new (void)
{
    baton_data_t *self = calloc (1, sizeof *self);
    if (!self)
        return NULL;
    bn_buffer_init (&self->buffer, HEAD_BYTES_MAX + BATON_DATA_BYTES_MAX);
    baton_data_clear (self);
    if (self->err)
        baton_data_destroy (&self);
    return self;
}

void baton_data_destroy (baton_data_t **self_p)
{
    if (!*self_p)
        return;
    bn_buffer_fini (&(*self_p)->buffer);
    free (*self_p);
    *self_p = NULL;
}

void baton_data_clear (baton_data_t *self)
{
    if (!self)
        return;
    bn_buffer_clear (&self->buffer);
    self->err = bn_buffer_grow (&self->buffer, HEAD_BYTES_MAX) ? BATON_OK : BATON_ERR_MEMORY;
    self->levels[0] = (level_t){.at = HEAD_BYTES_MAX, .map = true};
    self->depth = 1;
}

static void fail (baton_data_t *self, baton_err_t err)
{
    if (self && !self->err)
        self->err = err;
}

/*  After writing: the buffer knows that it failed, not why.  */
static void check (baton_data_t *self, size_t wanted)
{
    if (self->buffer.failed)
        fail (self, self->buffer.size + wanted > self->buffer.bound ? BATON_ERR_TOO_LARGE
                                                                    : BATON_ERR_MEMORY);
}

/*  Text must be UTF-8 without U+0000: a reader would refuse it otherwise, and too late.  */
static void write_text (baton_data_t *self, const char *text, size_t size)
{
    if (size > BATON_DATA_BYTES_MAX) {
        fail (self, BATON_ERR_TOO_LARGE);
        return;
    }
    size_t before = self->buffer.size;
    msgpack_packer packer = bn_mp_packer (&self->buffer);
    bn_mp_pack_str (&packer, text, size);
    check (self, size + HEAD_BYTES_MAX);
    if (self->err)
        return;
    bn_mp_t mp;
    size_t found;
    bn_mp_init (&mp, bn_buffer_data (&self->buffer) + before, self->buffer.size - before);
    bn_mp_str (&mp, SIZE_MAX, &found, "text");
    if (!bn_mp_ok (&mp))
        fail (self, BATON_ERR_ARGUMENT);
}

/*  Writes the name where one belongs and counts the entry; false after an error.  */
static bool begin_entry (baton_data_t *self, const char *name)
{
    if (!self || self->err)
        return false;
    level_t *level = &self->levels[self->depth - 1];
    if (level->map) {
        if (name)
            write_text (self, name, strlen (name));
        else
            fail (self, BATON_ERR_ARGUMENT);
    }
    level->count++;
    return !self->err;
}

void baton_data_put_nil (baton_data_t *self, const char *name)
{
    if (!begin_entry (self, name))
        return;
    msgpack_packer packer = bn_mp_packer (&self->buffer);
    msgpack_pack_nil (&packer);
    check (self, 1);
}

void baton_data_put_bool (baton_data_t *self, const char *name, bool value)
{
    if (!begin_entry (self, name))
        return;
    msgpack_packer packer = bn_mp_packer (&self->buffer);
    if (value)
        msgpack_pack_true (&packer);
    else
        msgpack_pack_false (&packer);
    check (self, 1);
}

void baton_data_put_int (baton_data_t *self, const char *name, int64_t value)
{
    if (!begin_entry (self, name))
        return;
    msgpack_packer packer = bn_mp_packer (&self->buffer);
    msgpack_pack_int64 (&packer, value);
    check (self, 9);
}

void baton_data_put_uint (baton_data_t *self, const char *name, uint64_t value)
{
    if (!begin_entry (self, name))
        return;
    msgpack_packer packer = bn_mp_packer (&self->buffer);
    msgpack_pack_uint64 (&packer, value);
    check (self, 9);
}

void baton_data_put_real (baton_data_t *self, const char *name, double value)
{
    if (!begin_entry (self, name))
        return;
    msgpack_packer packer = bn_mp_packer (&self->buffer);
    msgpack_pack_double (&packer, value);
    check (self, 9);
}

void baton_data_put_str (baton_data_t *self, const char *name, const char *text)
{
    baton_data_put_strn (self, name, text, text ? strlen (text) : 0);
}

void baton_data_put_strn (baton_data_t *self, const char *name, const char *text, size_t size)
{
    if (!text)
        fail (self, BATON_ERR_ARGUMENT);
    if (begin_entry (self, name))
        write_text (self, text, size);
}

void baton_data_put_bin (baton_data_t *self, const char *name, const void *bytes, size_t size)
{
    if (!bytes && size > 0)
        fail (self, BATON_ERR_ARGUMENT);
    if (size > BATON_DATA_BYTES_MAX)
        fail (self, BATON_ERR_TOO_LARGE);
    if (!begin_entry (self, name))
        return;
    msgpack_packer packer = bn_mp_packer (&self->buffer);
    bn_mp_pack_bin (&packer, bytes ? bytes : "", size);
    check (self, size + HEAD_BYTES_MAX);
}

void baton_data_put_value (baton_data_t *self, const char *name, baton_value_t value)
{
    if (!value.bytes) {
        fail (self, BATON_ERR_ARGUMENT);
        return;
    }
    if (!self)
        return;
    /*  A value made by the getters is well-formed, but it may nest too deeply for this place.  */
    baton_err_t err =
        bn_mp_scan (value.bytes, value.size, BATON_DATA_DEPTH_MAX - self->depth, NULL);
    if (err)
        fail (self, err == BATON_ERR_TOO_DEEP ? err : BATON_ERR_ARGUMENT);
    if (!begin_entry (self, name))
        return;
    bn_buffer_append (&self->buffer, value.bytes, value.size);
    check (self, value.size);
}

static void begin_nested (baton_data_t *self, const char *name, bool map)
{
    if (self && self->depth == BATON_DATA_DEPTH_MAX)
        fail (self, BATON_ERR_TOO_DEEP);
    if (!begin_entry (self, name))
        return;
    self->levels[self->depth++] = (level_t){.at = self->buffer.size, .map = map};
    bn_buffer_grow (&self->buffer, 1);
    check (self, 1);
}

void baton_data_begin_map (baton_data_t *self, const char *name)
{
    begin_nested (self, name, true);
}

void baton_data_begin_array (baton_data_t *self, const char *name)
{
    begin_nested (self, name, false);
}

static size_t head_bytes (uint32_t count)
{
    return count < 16 ? 1 : count <= UINT16_MAX ? 3 : 5;
}

static void write_head (uint8_t *at, bool map, uint32_t count)
{
    switch (head_bytes (count)) {
    case 1:
        at[0] = (uint8_t)((map ? 0x80 : 0x90) | count);
        break;
    case 3:
        at[0] = map ? 0xde : 0xdc;
        at[1] = (uint8_t)(count >> 8);
        at[2] = (uint8_t)count;
        break;
    default:
        at[0] = map ? 0xdf : 0xdd;
        at[1] = (uint8_t)(count >> 24);
        at[2] = (uint8_t)(count >> 16);
        at[3] = (uint8_t)(count >> 8);
        at[4] = (uint8_t)count;
    }
}

void baton_data_end (baton_data_t *self)
{
    if (!self)
        return;
    if (self->depth == 1)
        fail (self, BATON_ERR_ARGUMENT);
    if (self->err)
        return;
    const level_t *level = &self->levels[--self->depth];
    size_t more = head_bytes (level->count) - 1;
    size_t size = self->buffer.size - level->at - 1;
    if (more > 0) {
        bn_buffer_grow (&self->buffer, more);
        check (self, more);
        if (self->err)
            return;
    }
    uint8_t *head = bn_buffer_data (&self->buffer) + level->at;
    if (more > 0)
        memmove (head + 1 + more, head + 1, size);
    write_head (head, level->map, level->count);
}

const void *baton_data_bytes (baton_data_t *self, size_t *size)
{
    *size = 0;
    if (!self)
        return NULL;
    if (self->depth != 1)
        fail (self, BATON_ERR_ARGUMENT);
    size_t head = head_bytes (self->levels[0].count);
    if (self->buffer.size - HEAD_BYTES_MAX + head > BATON_DATA_BYTES_MAX)
        fail (self, BATON_ERR_TOO_LARGE);
    if (self->err)
        return NULL;
    uint8_t *at = bn_buffer_data (&self->buffer) + HEAD_BYTES_MAX - head;
    write_head (at, true, self->levels[0].count);
    *size = self->buffer.size - HEAD_BYTES_MAX + head;
    return at;
}

baton_err_t baton_data_error (const baton_data_t *self)
{
    return self ? self->err : BATON_ERR_MEMORY;
}
