/* SPDX-License-Identifier: MPL-2.0 */

/*  assert.h - for what we did wrong, never for what came from outside. On in release.  */
#ifndef BN_ASSERT_H
#define BN_ASSERT_H

_Noreturn void bn_assert_failed (const char *expression, const char *file, int line);

#define bn_assert(expression)                                                                      \
    ((expression) ? (void) 0 : bn_assert_failed (#expression, __FILE__, __LINE__))

#endif
