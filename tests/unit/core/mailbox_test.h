/* SPDX-License-Identifier: MPL-2.0 */

/*  mailbox_test.h - what each test of the mailbox begins with.  */
#ifndef MAILBOX_TEST_H
#define MAILBOX_TEST_H

#include "support/mailbox_harness.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static inline uint32_t run_count (const box_t *box)
{
    return box->run ? box->run->count : 0;
}

#endif
