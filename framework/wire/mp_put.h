/* SPDX-License-Identifier: MPL-2.0 */

/*  mp_put.h - MessagePack values into memory that is there.
 *
 *  msgpack-c's packer calls back for each value and each length. Where a value takes a few bytes
 *  and millions of them are written, the call costs more than the value: there the room is made
 *  once, and these write. Each returns the end of what it wrote.  */
#ifndef BN_MP_PUT_H
#define BN_MP_PUT_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define BN_MP_NUMBER_BYTES_MAX 9
#define BN_MP_HEADER_BYTES_MAX 5 /* of an array, a map or a text */

static inline size_t bn_mp_uint_bytes (uint64_t value)
{
    return value < 0x80          ? 1
           : value <= UINT8_MAX  ? 2
           : value <= UINT16_MAX ? 3
           : value <= UINT32_MAX ? 5
                                 : 9;
}

/*  The last `width` bytes of the value, big endian. With a width that is known when it is compiled,
 *  it is a shift, a swap and a store; a loop over the bytes is not made into that.  */
static inline uint8_t *bn_mp_put_tagged (uint8_t *at, uint8_t tag, uint64_t value, unsigned width)
{
    uint64_t big = htobe64 (value << (64 - 8 * width));
    *at = tag;
    memcpy (at + 1, &big, width);
    return at + 1 + width;
}

static inline uint8_t *bn_mp_put_uint (uint8_t *at, uint64_t value)
{
    switch (bn_mp_uint_bytes (value)) {
    case 1:
        *at = (uint8_t)value;
        return at + 1;
    case 2:
        return bn_mp_put_tagged (at, 0xcc, value, 1);
    case 3:
        return bn_mp_put_tagged (at, 0xcd, value, 2);
    case 5:
        return bn_mp_put_tagged (at, 0xce, value, 4);
    default:
        return bn_mp_put_tagged (at, 0xcf, value, 8);
    }
}

static inline uint8_t *bn_mp_put_bytes (uint8_t *at, const void *bytes, size_t size)
{
    if (size)
        memcpy (at, bytes, size);
    return at + size;
}

static inline uint8_t *bn_mp_put_str_header (uint8_t *at, size_t size)
{
    if (size < 32) {
        *at = (uint8_t)(0xa0 | size);
        return at + 1;
    }
    return size <= UINT8_MAX    ? bn_mp_put_tagged (at, 0xd9, size, 1)
           : size <= UINT16_MAX ? bn_mp_put_tagged (at, 0xda, size, 2)
                                : bn_mp_put_tagged (at, 0xdb, size, 4);
}

static inline uint8_t *bn_mp_put_array_header (uint8_t *at, uint32_t count)
{
    if (count < 16) {
        *at = (uint8_t)(0x90 | count);
        return at + 1;
    }
    return count <= UINT16_MAX ? bn_mp_put_tagged (at, 0xdc, count, 2)
                               : bn_mp_put_tagged (at, 0xdd, count, 4);
}

static inline uint8_t *bn_mp_put_map_header (uint8_t *at, uint32_t count)
{
    if (count < 16) {
        *at = (uint8_t)(0x80 | count);
        return at + 1;
    }
    return count <= UINT16_MAX ? bn_mp_put_tagged (at, 0xde, count, 2)
                               : bn_mp_put_tagged (at, 0xdf, count, 4);
}

#endif
