/* SPDX-License-Identifier: MPL-2.0 */

/*  mp.h - bounded reading of MessagePack, without allocation.
 *
 *  DESIGN. msgpack-c's unpacker allocates by the counts that a message claims; this cursor believes
 *  nothing: a count is compared with the bytes that remain, nesting with a bound, and an error
 *  sticks, so that a decoder reads all its fields and checks once. Writing is msgpack-c's packer
 *  on a bn_buffer_t. Format: https://github.com/msgpack/msgpack/blob/master/spec.md  */
#ifndef BN_MP_H
#define BN_MP_H

#include "base/buffer.h"
#include <baton/error.h>
#include <msgpack.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct {
    const uint8_t *start;  /* of the window, for positions in errors */
    const uint8_t *at;     /* next byte */
    const uint8_t *end;    /* one past the last */
    baton_err_t err;       /* the first error, sticks: MALFORMED, TOO_DEEP, TOO_LARGE */
    size_t err_at;         /* byte position of it */
    const char *err_what;  /* static text: what was expected, or NULL */
} bn_mp_t;

static inline void bn_mp_init (bn_mp_t *self, const void *bytes, size_t size)
{
    static const uint8_t nothing[1];
    const uint8_t *start = size ? (const uint8_t *)bytes : nothing;
    *self = (bn_mp_t){.start = start, .at = start, .end = start + size};
}
/*  Marks an error of the caller's own at the current position (only the first one is kept).  */
void bn_mp_fail (bn_mp_t *self, baton_err_t err, const char *what);
static inline bool bn_mp_ok (const bn_mp_t *self)
{
    return self->err == BATON_OK;
}
static inline size_t bn_mp_left (const bn_mp_t *self)
{
    return (size_t)(self->end - self->at);
}

/*  What comes next, without reading it: 'n' nil, 'b' bool, 'i' integer, 'r' real, 's' str, 'B' bin,
 *  'a' array, 'm' map, 'e' ext, 0 at the end or after an error.  */
extern const char bn_mp_kinds[]; /* by tag */
static inline char bn_mp_peek (const bn_mp_t *self)
{
    return self->at == self->end ? '\0' : bn_mp_kinds[*self->at];
}

/*  Each returns the value, or 0/false/empty after an error. `what` names the field in it.
 *
 *  The shortest form of a value, which most values of a header or an event have, is read inline:
 *  there the call would cost more than the value. All others, and all that is wrong, is for the
 *  function behind it (bn_mp_any_...), which reads every form.  */
bool bn_mp_bool (bn_mp_t *self, const char *what);
uint64_t bn_mp_any_uint (bn_mp_t *self, uint64_t max, const char *what);
static inline uint64_t bn_mp_uint (bn_mp_t *self, uint64_t max, const char *what)
{
    if (self->at < self->end && *self->at < 0x80 && *self->at <= max)
        return *self->at++;
    return bn_mp_any_uint (self, max, what);
}

int64_t bn_mp_any_int (bn_mp_t *self, const char *what);
static inline int64_t bn_mp_int (bn_mp_t *self, const char *what)
{
    if (self->at < self->end && *self->at < 0x80)
        return *self->at++;
    return bn_mp_any_int (self, what);
}

double bn_mp_real (bn_mp_t *self, const char *what);
/*  Reads a nil if one is next.  */
static inline bool bn_mp_nil (bn_mp_t *self)
{
    if (self->at == self->end || *self->at != 0xc0)
        return false;
    self->at++;
    return true;
}

/*  Text: borrowed bytes, not NUL-terminated; valid UTF-8 without U+0000 is required.  */
const char *bn_mp_str (bn_mp_t *self, size_t bytes_max, size_t *size, const char *what);
/*  The same without the look at the bytes: for text that was checked before it was stored.  */
const char *bn_mp_any_str (bn_mp_t *self, size_t bytes_max, size_t *size, const char *what);
static inline const char *bn_mp_str_trusted (bn_mp_t *self, size_t bytes_max, size_t *size,
                                             const char *what)
{
    const uint8_t *at = self->at;
    size_t left = bn_mp_left (self);
    if (left > 0 && (*at & 0xe0) == 0xa0) {
        size_t bytes = *at & 0x1f;
        if (bytes < left && bytes <= bytes_max) {
            self->at = at + 1 + bytes;
            *size = bytes;
            return (const char *)at + 1;
        }
    }
    return bn_mp_any_str (self, bytes_max, size, what);
}

const uint8_t *bn_mp_any_bin (bn_mp_t *self, size_t bytes_max, size_t *size, const char *what);
static inline const uint8_t *bn_mp_bin (bn_mp_t *self, size_t bytes_max, size_t *size,
                                        const char *what)
{
    const uint8_t *at = self->at;
    size_t left = bn_mp_left (self);
    if (left >= 2 && at[0] == 0xc4 && at[1] <= left - 2 && at[1] <= bytes_max) {
        self->at = at + 2 + at[1];
        *size = at[1];
        return at + 2;
    }
    return bn_mp_any_bin (self, bytes_max, size, what);
}

/*  The count; refused if more than max or more than the bytes that remain.  */
uint32_t bn_mp_any_array (bn_mp_t *self, uint32_t max, const char *what);
static inline uint32_t bn_mp_array (bn_mp_t *self, uint32_t max, const char *what)
{
    size_t left = bn_mp_left (self);
    if (left > 0 && (*self->at & 0xf0) == 0x90) {
        uint32_t entries = *self->at & 0x0f;
        if (entries < left && entries <= max) {
            self->at++;
            return entries;
        }
    }
    return bn_mp_any_array (self, max, what);
}

uint32_t bn_mp_map (bn_mp_t *self, uint32_t max, const char *what);
/*  Steps over one value of any kind, nested at most depth_max (0: a scalar), without recursion.
 *  depth_max is at most BN_MP_DEPTH_MAX.  */
#define BN_MP_DEPTH_MAX 64
void bn_mp_skip (bn_mp_t *self, uint32_t depth_max);
/*  Fails unless everything was read.  */
void bn_mp_end (bn_mp_t *self);

/*  OK if the bytes are exactly one well-formed value, nested at most depth_max.  */
baton_err_t bn_mp_scan (const void *bytes, size_t size, uint32_t depth_max, size_t *err_at);

/*  True if the bytes are valid UTF-8 (no overlong forms, no surrogates) without U+0000.  */
bool bn_utf8_valid (const void *bytes, size_t size);
/*  Bytes of the character at the start of `left` bytes, at least one; 0: it is not UTF-8.  */
size_t bn_utf8_length (const void *at, size_t left);

/*  Writing: msgpack_packer on a bn_buffer_t; the buffer's `failed` is the error.  */
static inline msgpack_packer bn_mp_packer (bn_buffer_t *buffer)
{
    msgpack_packer packer;
    msgpack_packer_init (&packer, buffer, bn_buffer_msgpack_write);
    return packer;
}
void bn_mp_pack_str (msgpack_packer *packer, const char *text, size_t size);
void bn_mp_pack_cstr (msgpack_packer *packer, const char *text);
void bn_mp_pack_bin (msgpack_packer *packer, const void *bytes, size_t size);

#endif
