/* SPDX-License-Identifier: MPL-2.0 */
#include "wire/mp.h"
#include "base/assert.h"
#include <endian.h>
#include <string.h>

/*  Tags of the format; a fix type carries its count or value in the low bits.  */
enum {
    TAG_FIXMAP = 0x80,
    TAG_FIXARRAY = 0x90,
    TAG_FIXSTR = 0xa0,
    TAG_NIL = 0xc0,
    TAG_NEVER_USED = 0xc1,
    TAG_FALSE = 0xc2,
    TAG_TRUE = 0xc3,
    TAG_BIN8 = 0xc4,
    TAG_EXT8 = 0xc7,
    TAG_FLOAT32 = 0xca,
    TAG_FLOAT64 = 0xcb,
    TAG_UINT8 = 0xcc,
    TAG_UINT64 = 0xcf,
    TAG_INT8 = 0xd0,
    TAG_INT64 = 0xd3,
    TAG_FIXEXT1 = 0xd4,
    TAG_FIXEXT16 = 0xd8,
    TAG_STR8 = 0xd9,
    TAG_ARRAY16 = 0xdc,
    TAG_ARRAY32 = 0xdd,
    TAG_MAP16 = 0xde,
    TAG_MAP32 = 0xdf,
    TAG_NEGATIVE_FIXINT = 0xe0
};

static const char s_early_end[] = "the bytes end inside a value";

void bn_mp_fail (bn_mp_t *self, baton_err_t err, const char *what)
{
    if (self->err)
        return;
    self->err = err;
    self->err_what = what;
    self->err_at = (size_t)(self->at - self->start);
    /*  Nothing is left: every read after this one runs into the end by itself.  */
    self->end = self->at;
}

/*  A number of 1, 2, 4 or 8 bytes, big endian.  */
static uint64_t load (const uint8_t *at, unsigned width)
{
    uint16_t two;
    uint32_t four;
    uint64_t eight;
    switch (width) {
    case 1:
        return *at;
    case 2:
        memcpy (&two, at, sizeof two);
        return be16toh (two);
    case 4:
        memcpy (&four, at, sizeof four);
        return be32toh (four);
    default:
        memcpy (&eight, at, sizeof eight);
        return be64toh (eight);
    }
}

#define SAME32(c) c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c
/* clang-format off */
const char bn_mp_kinds[] =
    SAME32 ("i") SAME32 ("i") SAME32 ("i") SAME32 ("i") /* small numbers */
    "mmmmmmmmmmmmmmmm" "aaaaaaaaaaaaaaaa" SAME32 ("s")
    "n\0bbBBBeeerriiii" "iiiieeeeesssaamm"
    SAME32 ("i");
/* clang-format on */
_Static_assert(sizeof bn_mp_kinds == 256 + 1, "one for each tag");

bool bn_mp_bool (bn_mp_t *self, const char *what)
{
    if (self->at == self->end || (*self->at != TAG_FALSE && *self->at != TAG_TRUE)) {
        bn_mp_fail (self, BATON_ERR_MALFORMED, what);
        return false;
    }
    return *self->at++ == TAG_TRUE;
}

/*  Reads an integer of any width: its 64 bits, and whether they are below zero.  */
static bool integer (bn_mp_t *self, uint64_t *bits, bool *negative)
{
    if (self->at == self->end)
        return false;
    uint8_t tag = *self->at;
    *negative = false;
    if (tag < TAG_FIXMAP) {
        *bits = tag;
        self->at++;
        return true;
    }
    if (tag >= TAG_NEGATIVE_FIXINT) {
        *bits = (uint64_t)(int64_t)(int8_t)tag;
        *negative = true;
        self->at++;
        return true;
    }
    if (tag < TAG_UINT8 || tag > TAG_INT64)
        return false;
    unsigned width = 1u << ((tag - TAG_UINT8) & 3);
    if (bn_mp_left (self) < 1 + width)
        return false;
    uint64_t value = load (self->at + 1, width);
    if (tag >= TAG_INT8) {
        unsigned unused = 64 - 8 * width;
        int64_t extended = (int64_t)(value << unused) >> unused;
        value = (uint64_t)extended;
        *negative = extended < 0;
    }
    *bits = value;
    self->at += 1 + width;
    return true;
}

/*  A number that is not negative, and not so small that its tag is all of it, as everybody writes
 *  them: its bytes behind a tag that tells how many; else 0.  */
static unsigned unsigned_bytes (const bn_mp_t *self)
{
    if (self->at == self->end)
        return 0;
    unsigned power = (unsigned)*self->at - TAG_UINT8;
    return power < 4 && bn_mp_left (self) > 1u << power ? 1u << power : 0;
}

uint64_t bn_mp_any_uint (bn_mp_t *self, uint64_t max, const char *what)
{
    const uint8_t *before = self->at;
    unsigned width = unsigned_bytes (self);
    if (width) {
        uint64_t value = load (before + 1, width);
        if (value <= max) {
            self->at = before + 1 + width;
            return value;
        }
    }
    uint64_t bits;
    bool negative;
    if (!integer (self, &bits, &negative) || negative || bits > max) {
        self->at = before;
        bn_mp_fail (self, BATON_ERR_MALFORMED, what);
        return 0;
    }
    return bits;
}

int64_t bn_mp_any_int (bn_mp_t *self, const char *what)
{
    const uint8_t *before = self->at;
    unsigned width = unsigned_bytes (self);
    if (width) {
        uint64_t value = load (before + 1, width);
        if (value <= INT64_MAX) {
            self->at = before + 1 + width;
            return (int64_t)value;
        }
    }
    uint64_t bits;
    bool negative;
    if (!integer (self, &bits, &negative) || (!negative && bits > INT64_MAX)) {
        self->at = before;
        bn_mp_fail (self, BATON_ERR_MALFORMED, what);
        return 0;
    }
    return (int64_t)bits;
}

double bn_mp_real (bn_mp_t *self, const char *what)
{
    size_t left = bn_mp_left (self);
    if (left >= 5 && *self->at == TAG_FLOAT32) {
        uint32_t bits = (uint32_t)load (self->at + 1, 4);
        float value;
        memcpy (&value, &bits, sizeof (value));
        self->at += 5;
        return value;
    }
    if (left >= 9 && *self->at == TAG_FLOAT64) {
        uint64_t bits = load (self->at + 1, 8);
        double value;
        memcpy (&value, &bits, sizeof (value));
        self->at += 9;
        return value;
    }
    bn_mp_fail (self, BATON_ERR_MALFORMED, what);
    return 0;
}

/*  Steps over a tag of the run [tag8, tag8 + widths) and the big-endian length behind it.  */
static bool length (bn_mp_t *self, unsigned width, size_t *size)
{
    if (bn_mp_left (self) < 1 + width)
        return false;
    *size = (size_t)load (self->at + 1, width);
    self->at += 1 + width;
    return true;
}

/*  The bytes behind a header that has been read. */
static const uint8_t *content (bn_mp_t *self, const uint8_t *before, size_t bytes_max, size_t *size,
                               const char *what)
{
    bool too_large = *size > bytes_max;
    if (too_large || *size > bn_mp_left (self)) {
        self->at = before;
        bn_mp_fail (self, too_large ? BATON_ERR_TOO_LARGE : BATON_ERR_MALFORMED,
                    too_large ? what : s_early_end);
        *size = 0;
        return before;
    }
    const uint8_t *bytes = self->at;
    self->at += *size;
    return bytes;
}

const char *bn_mp_any_str (bn_mp_t *self, size_t bytes_max, size_t *size, const char *what)
{
    const uint8_t *before = self->at;
    uint8_t tag = self->at < self->end ? *self->at : TAG_NEVER_USED;
    bool read = true;
    if ((tag & 0xe0) == TAG_FIXSTR) {
        *size = tag & 0x1f;
        self->at++;
    } else if (tag >= TAG_STR8 && tag < TAG_ARRAY16)
        read = length (self, 1u << (tag - TAG_STR8), size);
    else
        read = false;
    if (!read) {
        *size = 0;
        bn_mp_fail (self, BATON_ERR_MALFORMED, what);
        return (const char *)before;
    }
    return (const char *)content (self, before, bytes_max, size, what);
}

const char *bn_mp_str (bn_mp_t *self, size_t bytes_max, size_t *size, const char *what)
{
    const uint8_t *before = self->at;
    const char *text = bn_mp_str_trusted (self, bytes_max, size, what);
    if (*size && !bn_utf8_valid (text, *size)) {
        self->at = before;
        bn_mp_fail (self, BATON_ERR_MALFORMED, what);
        *size = 0;
    }
    return text;
}

const uint8_t *bn_mp_any_bin (bn_mp_t *self, size_t bytes_max, size_t *size, const char *what)
{
    const uint8_t *before = self->at;
    uint8_t tag = self->at < self->end ? *self->at : TAG_NEVER_USED;
    if (tag < TAG_BIN8 || tag >= TAG_EXT8 || !length (self, 1u << (tag - TAG_BIN8), size)) {
        *size = 0;
        bn_mp_fail (self, BATON_ERR_MALFORMED, what);
        return before;
    }
    return content (self, before, bytes_max, size, what);
}

/*  A count of an array or map whose entries take at least `entry_bytes`.  */
static uint32_t count (bn_mp_t *self, uint8_t fix, uint8_t tag16, size_t entry_bytes, uint32_t max,
                       const char *what)
{
    const uint8_t *before = self->at;
    uint8_t tag = self->at < self->end ? *self->at : TAG_NEVER_USED;
    size_t entries = 0;
    bool read = true;
    if ((tag & 0xf0) == fix) {
        entries = tag & 0x0f;
        self->at++;
    } else if (tag == tag16 || tag == tag16 + 1)
        read = length (self, tag == tag16 ? 2 : 4, &entries);
    else
        read = false;
    if (!read) {
        bn_mp_fail (self, BATON_ERR_MALFORMED, what);
        return 0;
    }
    if (entries > max || entries > bn_mp_left (self) / entry_bytes) {
        self->at = before;
        bn_mp_fail (self, entries > max ? BATON_ERR_TOO_LARGE : BATON_ERR_MALFORMED,
                    entries > max ? what : "a count is greater than the bytes that follow");
        return 0;
    }
    return (uint32_t)entries;
}

uint32_t bn_mp_any_array (bn_mp_t *self, uint32_t max, const char *what)
{
    return count (self, TAG_FIXARRAY, TAG_ARRAY16, 1, max, what);
}

uint32_t bn_mp_map (bn_mp_t *self, uint32_t max, const char *what)
{
    return count (self, TAG_FIXMAP, TAG_MAP16, 2, max, what);
}

/*  Steps over a scalar, whole, or over the header of a container: *entries values follow then.  */
static bool skip_one (bn_mp_t *self, uint64_t *entries)
{
    uint8_t tag = *self->at;
    size_t left = bn_mp_left (self);
    size_t size = 0;
    *entries = 0;
    if (tag < TAG_FIXMAP || tag >= TAG_NEGATIVE_FIXINT || tag == TAG_NIL || tag == TAG_FALSE ||
        tag == TAG_TRUE)
        size = 1;
    else if (tag < TAG_FIXARRAY) {
        *entries = 2 * (uint64_t)(tag & 0x0f);
        size = 1;
    } else if (tag < TAG_FIXSTR) {
        *entries = tag & 0x0f;
        size = 1;
    } else if (tag < TAG_NIL)
        size = 1 + (size_t)(tag & 0x1f);
    else if (tag >= TAG_ARRAY16) {
        unsigned width = tag & 1 ? 4 : 2;
        if (left < 1 + width)
            return false;
        *entries = load (self->at + 1, width) * (tag >= TAG_MAP16 ? 2 : 1);
        size = 1 + width;
    } else if (tag == TAG_FLOAT32 || tag == TAG_FLOAT64)
        size = tag == TAG_FLOAT32 ? 5 : 9;
    else if (tag >= TAG_UINT8 && tag <= TAG_INT64)
        size = 1 + ((size_t)1 << ((tag - TAG_UINT8) & 3));
    else if (tag >= TAG_FIXEXT1 && tag <= TAG_FIXEXT16)
        size = 2 + ((size_t)1 << (tag - TAG_FIXEXT1));
    else if (tag != TAG_NEVER_USED) {
        bool ext = tag >= TAG_EXT8 && tag < TAG_FLOAT32;
        uint8_t first = tag >= TAG_STR8 ? TAG_STR8 : ext ? TAG_EXT8 : TAG_BIN8;
        unsigned width = 1u << (tag - first);
        if (left < 1 + width)
            return false;
        size = 1 + width + (ext ? 1 : 0) + (size_t)load (self->at + 1, width);
    }
    if (size == 0 || size > left)
        return false;
    self->at += size;
    return *entries <= bn_mp_left (self);
}

/*  Bytes of a value by its tag alone; 0: the tag does not tell, or it is a container, or none.  */
#define SAME16(n) n, n, n, n, n, n, n, n, n, n, n, n, n, n, n, n
/* clang-format off */
static const uint8_t plain_bytes[256] = {
    SAME16 (1), SAME16 (1), SAME16 (1), SAME16 (1), /* small numbers */
    SAME16 (1), SAME16 (1), SAME16 (1), SAME16 (1),
    SAME16 (0), SAME16 (0),                         /* small maps, small arrays */
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, /* short texts */
    17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32,
    1, 0, 1, 1, 0, 0, 0, 0, 0, 0, 5, 9, 2, 3, 5, 9, /* nil to uint64 */
    2, 3, 5, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* int8 to map32 */
    SAME16 (1), SAME16 (1)};                        /* small numbers below 0 */
/* clang-format on */

/*  Steps over numbers, texts and the like, which most values of real data are. At most `values`;
 *  returns how many are left.  */
static uint64_t skip_plain (bn_mp_t *self, uint64_t values)
{
    const uint8_t *at = self->at;
    const uint8_t *end = self->end;
    for (; values && at < end; values--) {
        size_t left = (size_t)(end - at);
        size_t size = plain_bytes[*at];
        if (size - 1 >= left) { /* or 0 */
            if (*at != TAG_STR8 || left < 2 || (size_t)at[1] > left - 2)
                break;
            size = 2 + (size_t)at[1];
        }
        at += size;
    }
    self->at = at;
    return values;
}

void bn_mp_skip (bn_mp_t *self, uint32_t depth_max)
{
    bn_assert (depth_max <= BN_MP_DEPTH_MAX);
    uint64_t left[BN_MP_DEPTH_MAX + 1]; /* values still to come, by level */
    uint32_t depth = 0;
    left[0] = 1;
    for (;;) {
        left[depth] = skip_plain (self, left[depth]);
        if (left[depth] == 0) {
            if (depth == 0)
                return;
            depth--;
            continue;
        }
        left[depth]--;
        if (self->at == self->end) {
            bn_mp_fail (self, BATON_ERR_MALFORMED, s_early_end);
            return;
        }
        char kind = bn_mp_peek (self);
        if ((kind == 'a' || kind == 'm') && depth == depth_max) {
            bn_mp_fail (self, BATON_ERR_TOO_DEEP, "nested too deeply");
            return;
        }
        uint64_t entries;
        if (!skip_one (self, &entries)) {
            bn_mp_fail (self, BATON_ERR_MALFORMED,
                        kind ? s_early_end : "a byte that starts no value");
            return;
        }
        if (kind == 'a' || kind == 'm')
            left[++depth] = entries;
    }
}

void bn_mp_end (bn_mp_t *self)
{
    if (self->at != self->end)
        bn_mp_fail (self, BATON_ERR_MALFORMED, "bytes follow the last value");
}

baton_err_t bn_mp_scan (const void *bytes, size_t size, uint32_t depth_max, size_t *err_at)
{
    bn_mp_t mp;
    bn_mp_init (&mp, bytes, size);
    bn_mp_skip (&mp, depth_max);
    bn_mp_end (&mp);
    if (err_at)
        *err_at = mp.err_at;
    return mp.err;
}

/*  Length of the multi-byte sequence at `at`, 0 if it is none. Table 3-7 of the Unicode standard.
 */
static size_t utf8_sequence (const uint8_t *at, size_t left)
{
    uint8_t lead = at[0];
    size_t size = lead >= 0xc2 && lead < 0xe0   ? 2
                  : lead >= 0xe0 && lead < 0xf0 ? 3
                  : lead >= 0xf0 && lead < 0xf5 ? 4
                                                : 0;
    if (size == 0 || size > left)
        return 0;
    uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (at[1] < low || at[1] > high)
        return 0;
    for (size_t i = 2; i < size; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    return size;
}

size_t bn_utf8_length (const void *at, size_t left)
{
    return *(const uint8_t *)at < 0x80 ? 1 : utf8_sequence (at, left);
}

/*  Eight bytes of ASCII, none of them zero. Without a high bit among them, the subtraction borrows
 *  only from a zero byte.  */
static bool is_plain (uint64_t word)
{
    return !((word | (word - 0x0101010101010101u)) & 0x8080808080808080u);
}

/*  Is all of it? Its last bytes are looked at together with some of those before them.  */
static bool all_plain (const uint8_t *at, size_t size)
{
    uint64_t word;
    uint32_t first, last;
    if (size >= sizeof word) {
        const uint8_t *end = at + size;
        for (; (size_t)(end - at) > sizeof word; at += sizeof word) {
            memcpy (&word, at, sizeof word);
            if (!is_plain (word))
                return false;
        }
        memcpy (&word, end - sizeof word, sizeof word);
        return is_plain (word);
    }
    if (size >= sizeof first) {
        memcpy (&first, at, sizeof first);
        memcpy (&last, at + size - sizeof last, sizeof last);
        return is_plain ((uint64_t)first << 32 | last);
    }
    for (size_t i = 0; i < size; i++)
        if (at[i] == 0 || at[i] >= 0x80)
            return false;
    return true;
}

bool bn_utf8_valid (const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    if (all_plain (at, size))
        return true;
    while (size) {
        if (size >= 8 && all_plain (at, 8)) {
            at += 8;
            size -= 8;
            continue;
        }
        size_t step = 1;
        if (*at == 0)
            return false;
        if (*at >= 0x80)
            step = utf8_sequence (at, size);
        if (step == 0)
            return false;
        at += step;
        size -= step;
    }
    return true;
}

void bn_mp_pack_str (msgpack_packer *packer, const char *text, size_t size)
{
    msgpack_pack_str (packer, size);
    msgpack_pack_str_body (packer, text, size);
}

void bn_mp_pack_cstr (msgpack_packer *packer, const char *text)
{
    bn_mp_pack_str (packer, text, strlen (text));
}

void bn_mp_pack_bin (msgpack_packer *packer, const void *bytes, size_t size)
{
    msgpack_pack_bin (packer, size);
    msgpack_pack_bin_body (packer, bytes, size);
}
