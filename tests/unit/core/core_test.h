/* SPDX-License-Identifier: MPL-2.0 */

/*  core_test.h - what each test of the core begins with.  */
#ifndef CORE_TEST_H
#define CORE_TEST_H

#include "support/conductor_harness.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/*  Refused with that code, and the text names what it is about.  */
#define assert_refused(harness, call, err, word)                                                   \
    do {                                                                                           \
        assert_int_equal ((call), (err));                                                          \
        if (!strstr (harness_error_text (harness), (word)))                                        \
            fail_msg ("\"%s\" does not name \"%s\"", harness_error_text (harness), (word));        \
    } while (0)

#endif
