/* SPDX-License-Identifier: MPL-2.0 */

/*  fuzz.h - what the fuzz targets share.  */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t size);

/*  An oracle that does not hold ends the run and keeps the input.  */
#define FUZZ_CHECK(expression)                                                                     \
    do                                                                                             \
        if (!(expression))                                                                         \
            abort ();                                                                              \
    while (0)

#endif
