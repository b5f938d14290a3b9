/* SPDX-License-Identifier: MPL-2.0 */

/*  crc32c.h - CRC-32C (Castagnoli), polynomial 0x1EDC6F41 reflected, as in RFC 3720 appendix B.4.
 *  Hardware instruction where the processor has it, tables (slicing by 8) elsewhere.  */
#ifndef BN_CRC32C_H
#define BN_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/*  crc of what came before, or 0 to start. crc32c ("123456789") is 0xE3069283.  */
uint32_t bn_crc32c (uint32_t crc, const void *bytes, size_t size);
/*  The table version, for comparing the two in tests.  */
uint32_t bn_crc32c_portable (uint32_t crc, const void *bytes, size_t size);

#endif
