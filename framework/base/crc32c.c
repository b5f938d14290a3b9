/* SPDX-License-Identifier: MPL-2.0 */

/*  crc32c.c - one instruction for eight bytes where the processor has it, tables elsewhere.
 *
 *  The tables are built at the first use: 8 KiB that are the same however often they are computed,
 *  so that two threads that race to build them write the same values; the flag is released after
 *  them.  */
#include "base/crc32c.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

#define POLYNOMIAL 0x82f63b78u /* reflected */

static _Atomic uint32_t s_table[8][256];
static atomic_bool s_table_ready;

static uint32_t entry (int slice, uint32_t index)
{
    return atomic_load_explicit (&s_table[slice][index & 0xff], memory_order_relaxed);
}

static void build_tables (void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (crc & 1 ? POLYNOMIAL : 0);
        atomic_store_explicit (&s_table[0][i], crc, memory_order_relaxed);
    }
    for (int slice = 1; slice < 8; slice++)
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t before = entry (slice - 1, i);
            atomic_store_explicit (&s_table[slice][i], (before >> 8) ^ entry (0, before),
                                   memory_order_relaxed);
        }
    atomic_store_explicit (&s_table_ready, true, memory_order_release);
}

uint32_t bn_crc32c_portable (uint32_t crc, const void *bytes, size_t size)
{
    if (!atomic_load_explicit (&s_table_ready, memory_order_acquire))
        build_tables ();
    const uint8_t *at = bytes;
    crc = ~crc;
    for (; size >= 8; size -= 8, at += 8) {
        uint32_t low = crc ^ ((uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
                              (uint32_t)at[3] << 24);
        crc = entry (7, low) ^ entry (6, low >> 8) ^ entry (5, low >> 16) ^ entry (4, low >> 24) ^
              entry (3, at[4]) ^ entry (2, at[5]) ^ entry (1, at[6]) ^ entry (0, at[7]);
    }
    for (; size; size--, at++)
        crc = (crc >> 8) ^ entry (0, crc ^ *at);
    return ~crc;
}

#if defined(__x86_64__)
static bool has_instruction (void)
{
    return __builtin_cpu_supports ("sse4.2");
}

__attribute__ ((target ("sse4.2"))) static uint32_t crc_hardware (uint32_t crc, const uint8_t *at,
                                                                  size_t size)
{
    uint64_t wide = ~crc;
    for (; size >= 8; size -= 8, at += 8) {
        uint64_t word;
        memcpy (&word, at, 8);
        wide = _mm_crc32_u64 (wide, word);
    }
    uint32_t narrow = (uint32_t)wide;
    for (; size; size--, at++)
        narrow = _mm_crc32_u8 (narrow, *at);
    return ~narrow;
}
#elif defined(__aarch64__) && defined(__linux__)
static bool has_instruction (void)
{
    return getauxval (AT_HWCAP) & (1u << 7); /* HWCAP_CRC32 */
}

/*  Assembly, because the intrinsics exist only when the whole file is compiled for a processor that
 *  has the instruction.  */
static uint32_t crc_hardware (uint32_t crc, const uint8_t *at, size_t size)
{
    crc = ~crc;
    for (; size >= 8; size -= 8, at += 8) {
        uint64_t word;
        memcpy (&word, at, 8);
        __asm__(".arch_extension crc\n\tcrc32cx %w0, %w0, %x1" : "+r"(crc) : "r"(word));
    }
    for (; size; size--, at++)
        __asm__(".arch_extension crc\n\tcrc32cb %w0, %w0, %w1" : "+r"(crc) : "r"((uint32_t)*at));
    return ~crc;
}
#else
static bool has_instruction (void)
{
    return false;
}

static uint32_t crc_hardware (uint32_t crc, const uint8_t *at, size_t size)
{
    return bn_crc32c_portable (crc, at, size);
}
#endif

uint32_t bn_crc32c (uint32_t crc, const void *bytes, size_t size)
{
    if (has_instruction ())
        return crc_hardware (crc, bytes, size);
    return bn_crc32c_portable (crc, bytes, size);
}
