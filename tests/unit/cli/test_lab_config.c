/* SPDX-License-Identifier: MPL-2.0 */

#include "cli/lab_config.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static bn_lab_config_t s_config;
static char s_detail[512];

/*  The text in a file of its own, read as a system or as a drill.  */
static baton_err_t s_load (const char *text, uint32_t hosts, bool drill, double scale)
{
    char path[] = "/tmp/baton-test-XXXXXX";
    int fd = mkstemp (path);
    assert_true (fd >= 0);
    assert_int_equal (write (fd, text, strlen (text)), (ssize_t)strlen (text));
    close (fd);
    *s_detail = 0;
    baton_err_t err = drill ? bn_lab_config_drill (&s_config, path, hosts, scale, s_detail)
                            : bn_lab_config_system (&s_config, path, hosts, s_detail);
    unlink (path);
    return err;
}

static void s_assert_counts (size_t service, uint32_t first, uint32_t second, uint32_t third)
{
    const uint32_t *counts = s_config.plan.services[service].counts;
    assert_int_equal (counts[0], first);
    assert_int_equal (counts[1], second);
    assert_int_equal (counts[2], third);
}

static void instances_are_spread (void **state)
{
    (void)state;
    assert_int_equal (s_load ("orchestrator\n"
                              "    disk_reserve_bytes = 3MiB\n"
                              "restart_backoff_max = 1s\n"
                              "actors\n"
                              "    a\n"
                              "        command = true\n"
                              "        instances = 4\n"
                              "    b\n"
                              "        command = true\n"
                              "    c\n"
                              "        command = true\n"
                              "        instances = 1..8\n",
                              3, false, 1),
                      BATON_OK);
    assert_int_equal (s_config.plan.service_count, 3);
    assert_int_equal (s_config.hosts, 3);
    assert_true (s_config.plan.services[0].spread);
    s_assert_counts (0, 2, 1, 1);
    s_assert_counts (1, 0, 1, 0);                    /* each actor begins on another host */
    assert_false (s_config.plan.services[2].spread); /* a range is for one host to scale */
    assert_int_equal (s_config.plan.reserve_bytes, 3 << 20);
    assert_non_null (zconfig_locate (s_config.plan.top, "restart_backoff_max"));
    bn_lab_config_fini (&s_config);
}

static void hosts_have_the_names_of_the_file (void **state)
{
    static const char text[] = "orchestrator\n"
                               "nodes = tcp://10.1.2.3:7713\n"
                               "actors\n"
                               "    a\n"
                               "        command = true\n"
                               "        host = berlin\n"
                               "    b\n"
                               "        command = true\n"
                               "        hosts\n"
                               "            up = 1\n"
                               "            host2 = 2\n"
                               "            paris = 1..3\n";
    (void)state;
    assert_int_equal (s_load (text, 0, false, 1), BATON_OK);
    assert_int_equal (s_config.hosts, 4);
    assert_string_equal (s_config.plan.hosts[0], "up");
    assert_string_equal (s_config.plan.hosts[1], "host2"); /* a number is a place */
    assert_string_equal (s_config.plan.hosts[2], "berlin");
    assert_string_equal (s_config.plan.hosts[3], "paris");
    assert_false (s_config.plan.services[0].spread || s_config.plan.services[1].spread);
    bn_lab_config_fini (&s_config);
    assert_int_equal (s_load (text, 5, false, 1), BATON_OK);
    assert_int_equal (s_config.hosts, 5);
    assert_string_equal (s_config.plan.hosts[4], "host5");
    bn_lab_config_fini (&s_config);
    assert_int_equal (s_load (text, 3, false, 1), BATON_ERR_CONFIG);
    assert_non_null (strstr (s_detail, "4 are needed, not 3"));
    bn_lab_config_fini (&s_config);
}

static const char s_drill[] = "drill\n"
                              "    hosts = 3\n"
                              "system\n"
                              "    orchestrator\n"
                              "    actors\n"
                              "        pay\n"
                              "            command = true\n"
                              "        log\n"
                              "            command = true\n"
                              "load\n"
                              "    orders\n"
                              "        topic = orders\n"
                              "        rate = 50\n"
                              "        for = 20s\n"
                              "        data = '{\"total\": 3}'\n"
                              "    more\n"
                              "        topic = more\n"
                              "        count = 1000\n"
                              "        start = 2s\n"
                              "steps\n"
                              "    1s = \"kill pay-1.host2\"\n"
                              "    2s = \"provider bank down for 10s\"\n"
                              "effects\n"
                              "    pay = \"orders -> paid\"\n"
                              "expect\n"
                              "    outage = 5s\n"
                              "    dead = 1..3\n";

static void a_drill_is_read (void **state)
{
    (void)state;
    assert_int_equal (s_load (s_drill, 0, true, 1), BATON_OK);
    const bn_lab_drill_t *drill = &s_config.drill;
    assert_int_equal (s_config.hosts, 3);
    assert_int_equal (drill->stream_count, 2);
    assert_string_equal (drill->streams[0].topic, "orders");
    assert_int_equal (drill->streams[0].data_size, 8); /* {"total": 3} in MessagePack */
    assert_memory_equal (drill->streams[0].data, "\x81\xa5total\x03", 8);
    assert_int_equal (drill->step_count, 2);
    assert_int_equal (drill->steps[1].order.for_ms, 10000);
    assert_int_equal (drill->ready_count, 2); /* all actors, if it does not say which */
    assert_string_equal (drill->ready[1], "log");
    assert_string_equal (drill->effects[0].to, "paid");
    assert_int_equal (drill->expect.outage_ms, 5000);
    assert_int_equal (drill->expect.dead_min, 1);
    assert_int_equal (drill->expect.dead_max, 3);
    assert_true (drill->expect.p99_ms[BN_LAB_AFTER] == BN_LAB_NO_LIMIT);
    bn_lab_config_fini (&s_config);
}

static void scale_is_of_the_time_table (void **state)
{
    (void)state;
    assert_int_equal (s_load (s_drill, 2, true, 0.1), BATON_OK);
    const bn_lab_drill_t *drill = &s_config.drill;
    assert_int_equal (s_config.hosts, 2);
    assert_int_equal (drill->streams[0].for_ms, 2000);
    assert_true (drill->streams[0].rate > 49 && drill->streams[0].rate < 51);
    assert_int_equal (drill->streams[1].count, 100);
    assert_int_equal (drill->streams[1].start_ms, 200);
    assert_int_equal (drill->steps[1].at_ms, 200);
    assert_int_equal (drill->steps[1].order.for_ms, 1000);
    assert_int_equal (drill->expect.outage_ms, 5000); /* not of what is expected */
    bn_lab_config_fini (&s_config);
}

static void what_is_wrong_is_named (void **state)
{
    static const struct {
        const char *old, *fresh, *what;
    } wrong[] = {
        {"hosts = 3", "hosts = 0", ":2: hosts = 0"},
        {"orchestrator\n", "nothing\n", ":4: unknown section 'nothing'"},
        {"        pay\n", "        p ay\n", ":6: "},
        {"command = true", "command = /no/such/program", ":7: command"},
        {"rate = 50", "rate = nan", ":13: rate = nan"},
        {"rate = 50", "rate = 1e9", ":13: rate = 1e9"},
        {"for = 20s", "keys = 3", ":11: orders needs a topic, and count or for"},
        {"'{\"total\": 3}'", "'{total}'", ":15: data: not JSON"},
        {"count = 1000", "count = 5000000", ":18: count"},
        {"kill pay-1.host2", "kill pax", ":21: kill pax: there is no 'pax'"},
        {"kill pay-1.host2", "partition host4", ":21: partition host4: there is no 'host4'"},
        {"    2s = ", "    2 s = ", ":22: "},
        {"pay = \"orders -> paid\"", "pay = \"orders -> paid.*\"", ":24: "},
        {"dead = 1..3", "dead = 3..1", ":27: dead = 3..1"},
        {"outage = 5s", "outages = 5s", ":26: unknown property 'outages'"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof (wrong) / sizeof (wrong[0]); i++) {
        char text[2048];
        const char *at = strstr (s_drill, wrong[i].old);
        assert_non_null (at);
        snprintf (text, sizeof (text), "%.*s%s%s", (int)(at - s_drill), s_drill, wrong[i].fresh,
                  at + strlen (wrong[i].old));
        assert_int_equal (s_load (text, 0, true, 1), BATON_ERR_CONFIG);
        bn_lab_config_fini (&s_config);
        if (!strstr (s_detail, wrong[i].what))
            fail_msg ("'%s' was expected in: %s", wrong[i].what, s_detail);
    }
}

static void sections_that_are_missing_are_named (void **state)
{
    (void)state;
    assert_int_equal (s_load ("drill\n", 0, true, 1), BATON_ERR_CONFIG);
    assert_non_null (strstr (s_detail, "'system' is needed"));
    bn_lab_config_fini (&s_config);
    assert_int_equal (s_load ("system\n    orchestrator\n", 0, true, 1), BATON_ERR_CONFIG);
    assert_non_null (strstr (s_detail, "'load' is needed"));
    bn_lab_config_fini (&s_config);
    assert_int_equal (s_load ("connect = tcp://127.0.0.1:1\n", 1, false, 1), BATON_ERR_CONFIG);
    assert_non_null (strstr (s_detail, "needs a section 'orchestrator'"));
    bn_lab_config_fini (&s_config);
    assert_int_equal (s_load ("drill\ndrill\n", 0, true, 1), BATON_ERR_CONFIG);
    assert_non_null (strstr (s_detail, ":2: a second section 'drill'"));
    bn_lab_config_fini (&s_config);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (instances_are_spread),
        cmocka_unit_test (hosts_have_the_names_of_the_file),
        cmocka_unit_test (a_drill_is_read),
        cmocka_unit_test (scale_is_of_the_time_table),
        cmocka_unit_test (what_is_wrong_is_named),
        cmocka_unit_test (sections_that_are_missing_are_named),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
