/* SPDX-License-Identifier: MPL-2.0 */
#include "base/assert.h"
#include <stdio.h>
#include <stdlib.h>

void bn_assert_failed (const char *expression, const char *file, int line)
{
    fprintf (stderr, "baton: assertion failed: %s (%s:%d)\n", expression, file, line);
    fflush (stderr);
    abort ();
}
