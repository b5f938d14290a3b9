/* SPDX-License-Identifier: MPL-2.0 */

/*  Conductor and mailboxes together under random faults. A failure prints its seed; to see it
 *  again:
 *
 *    BATON_TEST_SEED=N test_mailbox_world  */

#include "support/core_world.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define SEEDS 40

static void run (uint64_t first, uint64_t seeds, uint32_t instances, bool faults)
{
    const char *only = getenv ("BATON_TEST_SEED");
    const char *count = getenv ("BATON_TEST_SEEDS");
    if (count)
        seeds = strtoull (count, NULL, 10);
    for (uint64_t i = 0; i < seeds; i++) {
        world_options_t options = {.seed = only ? strtoull (only, NULL, 10) : first + i,
                                   .instances = instances,
                                   .events = 400,
                                   .faults = faults,
                                   .loud = only != NULL};
        world_run (&options);
        if (only)
            return;
    }
}

static void test_without_faults (void **state)
{
    (void)state;
    run (1, 5, 3, false);
}

static void test_one_instance_under_faults (void **state)
{
    (void)state;
    run (1000, SEEDS, 1, true);
}

static void test_three_instances_under_faults (void **state)
{
    (void)state;
    run (2000, SEEDS, 3, true);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_without_faults),
        cmocka_unit_test (test_one_instance_under_faults),
        cmocka_unit_test (test_three_instances_under_faults),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
