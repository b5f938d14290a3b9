/* SPDX-License-Identifier: MPL-2.0 */

#include "cli/up_config.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char s_path[] = "/tmp/baton-up.XXXXXX";

static int make_file (void **state)
{
    (void)state;
    int fd = mkstemp (s_path);
    return fd < 0 ? -1 : close (fd);
}

static int remove_file (void **state)
{
    (void)state;
    return unlink (s_path);
}

static baton_err_t load (bn_up_config_t *config, const char *text, char detail[512])
{
    FILE *file = fopen (s_path, "we");
    assert_non_null (file);
    assert_true (fputs (text, file) >= 0);
    fclose (file);
    return bn_up_config_load (config, s_path, detail);
}

/*  Refused with LINE and a part of the text.  */
static void refuses (const char *text, int line, const char *part)
{
    bn_up_config_t config;
    char detail[512] = "", lead[64];
    assert_int_equal (load (&config, text, detail), BATON_ERR_CONFIG);
    snprintf (lead, sizeof (lead), line ? "%s:%d: " : "%s: ", s_path, line);
    if (strncmp (detail, lead, strlen (lead)) || !strstr (detail, part))
        print_error ("%s\n", detail);
    assert_memory_equal (detail, lead, strlen (lead));
    assert_non_null (strstr (detail, part));
    bn_up_config_fini (&config);
}

static void test_reads_a_file (void **state)
{
    bn_up_config_t config;
    char detail[512] = "";
    (void)state;
    baton_err_t err = load (&config,
                            "orchestrator\n"
                            "    data_dir = /tmp/x\n"
                            "    endpoint = tcp://127.0.0.1:*\n"
                            "restart_backoff_max = 500ms\n"
                            "actors\n"
                            "    payment\n"
                            "        command = \"sh -c 'exit 3' a''b\"\n"
                            "        instances = 3\n"
                            "        directory = /tmp\n"
                            "        stop_timeout = 2s\n"
                            "        environment\n"
                            "            LEVEL = debug\n"
                            "            EMPTY =\n"
                            "    ledger\n"
                            "        command = true\n",
                            detail);
    assert_string_equal (detail, "");
    assert_int_equal (err, BATON_OK);
    assert_string_equal (config.data_dir, "/tmp/x");
    assert_int_equal (config.backoff_max_ms, 500);
    assert_int_equal (config.actor_count, 2);
    const bn_up_actor_t *payment = &config.actors[0];
    assert_string_equal (payment->name, "payment");
    assert_string_equal (payment->argv[0], "sh");
    assert_string_equal (payment->argv[2], "exit 3");
    assert_string_equal (payment->argv[3], "ab");
    assert_null (payment->argv[4]);
    assert_string_equal (payment->environment[0], "LEVEL=debug");
    assert_string_equal (payment->environment[1], "EMPTY=");
    assert_null (payment->environment[2]);
    assert_string_equal (payment->directory, "/tmp");
    assert_int_equal (payment->instances, 3);
    assert_int_equal (payment->stop_timeout_ms, 2000);
    assert_int_equal (config.actors[1].instances, 1);

    /*  The free port is a real one, the actors are told it, and the file for the orchestrator has
     *  it.  */
    assert_int_equal (bn_up_config_settle (&config, detail), BATON_OK);
    assert_int_equal (strncmp (config.connect, "tcp://127.0.0.1:", 16), 0);
    assert_true (atoi (config.connect + 16) > 0);
    assert_true (bn_up_config_write (&config, s_path));
    bn_orchestrator_config_t written;
    bn_orchestrator_config_init (&written);
    assert_int_equal (bn_orchestrator_config_load (&written, s_path, detail), BATON_OK);
    assert_string_equal (written.options.endpoint, config.connect);
    assert_string_equal (written.options.data_dir, "/tmp/x");
    bn_orchestrator_config_fini (&written);
    bn_up_config_fini (&config);
}

static void test_elastic_actors_and_logs (void **state)
{
    bn_up_config_t config;
    char detail[512] = "";
    (void)state;
    assert_int_equal (load (&config,
                            "log_bytes_max = 1MiB\n"
                            "orchestrator\n"
                            "actors\n"
                            "    a\n"
                            "        command = true\n"
                            "        instances = 2..8\n"
                            "        target_lag = 500\n"
                            "        cooldown = 5s\n"
                            "    b\n"
                            "        command = true\n"
                            "        instances = 0\n",
                            detail),
                      BATON_OK);
    assert_int_equal (config.log_bytes_max, 1024 * 1024);
    assert_int_equal (config.actors[0].instances, 2);
    assert_int_equal (config.actors[0].instances_max, 8);
    assert_int_equal (config.actors[0].target_lag, 500);
    assert_int_equal (config.actors[0].cooldown_ms, 5000);
    assert_int_equal (config.actors[1].instances, 0);
    assert_int_equal (config.actors[1].instances_max, 0);
    bn_up_config_fini (&config);
    assert_int_equal (load (&config, "log_bytes_max = 0\norchestrator\n", detail), BATON_OK);
    assert_int_equal (config.log_bytes_max, 0);
    bn_up_config_fini (&config);
}

static void is_at (const bn_up_actor_t *actor, const char *host, uint32_t least, uint32_t most)
{
    const bn_up_place_t *place = bn_up_actor_at (actor, host);
    assert_non_null (place);
    assert_int_equal (place->instances, least);
    assert_int_equal (place->instances_max, most);
}

static void test_several_hosts (void **state)
{
    bn_up_config_t config;
    char detail[512] = "";
    (void)state;
    assert_int_equal (load (&config,
                            "orchestrator\n"
                            "nodes = tcp://127.0.0.1:7713\n"
                            "actors\n"
                            "    here\n"
                            "        command = true\n"
                            "        instances = 2\n"
                            "    there\n"
                            "        command = /only/there\n"
                            "        instances = 1..4\n"
                            "        host = a\n"
                            "    both\n"
                            "        hosts\n"
                            "            up = 1\n"
                            "            a = 2\n"
                            "            b-2 = 1..3\n"
                            "        command = true\n",
                            detail),
                      BATON_OK);
    assert_string_equal (config.nodes, "tcp://127.0.0.1:7713");
    const bn_up_actor_t *actor = config.actors;
    assert_true (bn_up_actor_is_here (actor));
    is_at (actor, "up", 2, 2);
    actor++;
    assert_false (bn_up_actor_is_here (actor));
    assert_null (bn_up_actor_at (actor, "up"));
    is_at (actor, "a", 1, 4);
    actor++;
    assert_int_equal (actor->place_count, 3);
    is_at (actor, "up", 1, 1);
    is_at (actor, "a", 2, 2);
    is_at (actor, "b-2", 1, 3);
    assert_int_equal (actor->instances, 4);
    assert_int_equal (actor->instances_max, 6);
    bn_up_config_fini (&config);
}

static void test_connects_to_what_listens_everywhere (void **state)
{
    bn_up_config_t config;
    char detail[512] = "";
    (void)state;
    assert_int_equal (load (&config, "orchestrator\n    endpoint = tcp://0.0.0.0:*\n", detail),
                      BATON_OK);
    assert_int_equal (bn_up_config_settle (&config, detail), BATON_OK);
    assert_int_equal (strncmp (config.connect, "tcp://127.0.0.1:", 16), 0);
    bn_up_config_fini (&config);
}

static void test_goes_without_an_orchestrator (void **state)
{
    bn_up_config_t config;
    char detail[512] = "";
    (void)state;
    assert_int_equal (load (&config,
                            "connect = tcp://10.0.0.1:7711\n"
                            "actors\n"
                            "    a\n"
                            "        command = true\n",
                            detail),
                      BATON_OK);
    assert_false (config.orchestrator_set);
    assert_string_equal (config.data_dir, "./.baton");
    assert_int_equal (bn_up_config_settle (&config, detail), BATON_OK);
    assert_string_equal (config.connect, "tcp://10.0.0.1:7711");
    bn_up_config_fini (&config);
}

static void test_reads_what_an_end_leads_to (void **state)
{
    bn_up_config_t config;
    char detail[512] = "";
    (void)state;
    assert_int_equal (load (&config,
                            "orchestrator\n"
                            "actors\n"
                            "    a\n"
                            "        command = true\n"
                            "    b\n"
                            "        command = true\n"
                            "        restart = transient\n"
                            "        restart_order = start-first\n"
                            "        intensity = 5 in 10s\n"
                            "        watchdog = 500ms\n"
                            "    c\n"
                            "        command = true\n"
                            "        restart = temporary\n"
                            "        restart_order = stop-first\n"
                            "        intensity = 0\n"
                            "        watchdog = 0\n",
                            detail),
                      BATON_OK);
    assert_int_equal (config.actors[0].restart, BN_RESTART_PERMANENT);
    assert_int_equal (config.actors[0].intensity, 10);
    assert_int_equal (config.actors[0].intensity_period_ms, 60000);
    assert_int_equal (config.actors[0].watchdog_ms, 30000);
    assert_int_equal (config.actors[0].restart_order, BN_RESTART_STOP_FIRST);
    assert_int_equal (config.actors[1].restart, BN_RESTART_TRANSIENT);
    assert_int_equal (config.actors[1].restart_order, BN_RESTART_START_FIRST);
    assert_int_equal (config.actors[1].intensity, 5);
    assert_int_equal (config.actors[1].intensity_period_ms, 10000);
    assert_int_equal (config.actors[1].watchdog_ms, 500);
    assert_int_equal (config.actors[2].restart, BN_RESTART_TEMPORARY);
    assert_int_equal (config.actors[2].restart_order, BN_RESTART_STOP_FIRST);
    assert_int_equal (config.actors[2].intensity, 0);
    assert_int_equal (config.actors[2].watchdog_ms, 0);
    bn_up_config_fini (&config);
}

/*  A file that is read anew; `part`: why it is refused, NULL: it is taken.  */
static void follows (const char *text, const char *part, bool changed)
{
    static const char before[] = "orchestrator\n"
                                 "    data_dir = /tmp/x\n"
                                 "    endpoint = tcp://127.0.0.1:*\n"
                                 "    partitions = 8\n";
    bn_up_config_t running, config;
    char detail[512] = "";
    bool orchestrator_changed = !changed;
    assert_int_equal (load (&running, before, detail), BATON_OK);
    assert_int_equal (bn_up_config_settle (&running, detail), BATON_OK);
    assert_int_equal (load (&config, text, detail), BATON_OK);
    baton_err_t err = bn_up_config_follow (&config, &running, &orchestrator_changed, detail);
    if (part) {
        assert_int_equal (err, BATON_ERR_CONFIG);
        assert_non_null (strstr (detail, part));
    } else {
        assert_int_equal (err, BATON_OK);
        assert_int_equal (orchestrator_changed, changed);
        assert_string_equal (config.connect, running.connect);
        assert_string_equal (zconfig_get (config.section, "endpoint", ""), running.connect);
    }
    bn_up_config_fini (&config);
    bn_up_config_fini (&running);
}

#define SAME "orchestrator\n    data_dir = /tmp/x\n    endpoint = tcp://127.0.0.1:*\n"

static void test_follows_what_runs (void **state)
{
    (void)state;
    follows (SAME "    partitions = 8\nactors\n    a\n        command = true\n", NULL, false);
    follows (SAME "    partitions = 8\n    parked_max = 7\n", NULL, true);
    follows (SAME, NULL, true);
    follows ("orchestrator\n    endpoint = tcp://127.0.0.1:*\n", "data_dir cannot change", false);
    follows ("orchestrator\n    data_dir = /tmp/x\n", "endpoint cannot change", false);
    follows (SAME "    fanout_endpoint = tcp://127.0.0.1:*\n", "fanout_endpoint cannot", false);
    follows ("connect = tcp://127.0.0.1:1\ndata_dir = /tmp/x\n", "section 'orchestrator'", false);
}

#define ACTOR "orchestrator\nactors\n    a\n"

#define NODES "nodes = ipc:///tmp/n\n"
#define HOSTS ACTOR "        command = true\n        hosts\n"

static void test_refuses_hosts_that_cannot_be (void **state)
{
    (void)state;
    refuses (ACTOR "        command = true\n        host = a\n", 0, "'nodes' is needed");
    refuses (ACTOR "        command = true\n        host = a.b\n", 5, "host 'a.b'");
    refuses (ACTOR "        command = true\n        host =\n", 5, "host ''");
    refuses (ACTOR "        command = /no/such\n        host = up\n", 4, "no such program");
    refuses (HOSTS, 5, "expected HOST = how many");
    refuses (HOSTS "            a = some\n", 6, "a = some: expected 0 to 256");
    refuses (HOSTS "            a = 1\n            a = 2\n", 7, "'a' is set twice");
    refuses (HOSTS "            a = 1\n        host = b\n", 5, "'hosts' goes without 'host'");
    refuses (HOSTS "            a = 1\n        instances = 2\n", 5,
             "'hosts' goes without 'instances'");
    refuses (HOSTS "            up = 200\n            a = 56\n", 3, "in all");
    refuses (HOSTS "            a = 1\n" NODES "nodes = ipc:///x\n", 8, "twice");
    refuses ("orchestrator\nnodes = udp://x\n", 2, "tcp://ADDRESS:PORT");
    refuses (ACTOR "        command = \"a \xff\"\n        host = a\n" NODES, 3, "UTF-8");
    refuses ("orchestrator\nactors\n    a23456789a23456789a23456789a23456789\n"
             "        command = true\n        host = b23456789b23456789b23456789\n" NODES,
             5, "are longer than");
    char text[2048] = HOSTS;
    for (int i = 0; i < 17; i++)
        snprintf (text + strlen (text), sizeof (text) - strlen (text), "            n%d = 1\n", i);
    strcat (text, NODES);
    refuses (text, 0, "more than 16 hosts");
}

#define START_FIRST "        command = true\n        restart_order = start-first\n"

static void test_refuses_orders_that_cannot_be (void **state)
{
    char text[2048] = NODES ACTOR START_FIRST "        host = a\n        environment\n";
    char detail[512];
    bn_up_config_t config;
    (void)state;
    refuses (ACTOR "        command = true\n        restart_order = first\n", 5,
             "restart_order = first: expected stop-first or start-first");
    refuses (ACTOR "        command = true\n        environment\n"
                   "            BATON_RESTART_ORDER = start-first\n",
             6, "that is a property");
    /*  Room for the one that starts first.  */
    refuses (ACTOR START_FIRST "        instances = 255\n", 3, "with one that starts first");
    refuses (ACTOR START_FIRST "    b\n        command = true\n        instances = 254\n", 6,
             "with one that starts first");
    assert_int_equal (load (&config, ACTOR START_FIRST "        instances = 254\n", detail),
                      BATON_OK);
    bn_up_config_fini (&config);
    /*  Nodes are told it as one variable more.  */
    for (int i = 0; i < 31; i++)
        snprintf (text + strlen (text), sizeof (text) - strlen (text), "            V%d = 1\n", i);
    assert_int_equal (load (&config, text, detail), BATON_OK);
    bn_up_config_fini (&config);
    strcat (text, "            LAST = 1\n");
    refuses (text, 4, "has at most 31 variables");
}

static void test_refuses_mistakes (void **state)
{
    (void)state;
    refuses ("", 0, "'orchestrator'");
    refuses ("orchestrator\nfoo = 1\n", 2, "unknown section 'foo'");
    refuses ("orchestrator\n    endpint = 1\n", 2, "unknown property 'endpint'");
    refuses ("orchestrator\norchestrator\n", 2, "second");
    refuses ("orchestrator\nconnect = tcp://127.0.0.1:1\n", 0, "'connect'");
    refuses ("orchestrator\ndata_dir = x\n", 0, "'data_dir'");
    refuses ("orchestrator\nrestart_backoff_max = soon\n", 2, "soon");
    refuses (ACTOR, 3, "has no command");
    refuses (ACTOR "        command =\n", 4, "needs a value");
    refuses (ACTOR "        command = \"sh 'a\"\n", 4, "quote");
    refuses (ACTOR "        command = /no/such/program\n", 4, "no such program");
    refuses (ACTOR "        command = /tmp\n", 4, "not a program");
    refuses (ACTOR "        comand = true\n", 4, "unknown property 'comand'");
    refuses (ACTOR "        command = true\n        instances = two\n", 5, "instances = two");
    refuses (ACTOR "        command = true\n        instances = 1\n        instances = 2\n", 6,
             "twice");
    refuses (ACTOR "        command = true\n        instances = 256\n", 3, "in all");
    refuses (ACTOR "        command = true\n        instances = 1..256\n", 3, "in all");
    static const char *const ranges[] = {"0..8",  "8..1",    "1..",   "..8",    "1..257",
                                         "1...8", "1..8..9", "-1..8", "1 .. 8", "12345678..8"};
    for (size_t i = 0; i < sizeof (ranges) / sizeof (ranges[0]); i++) {
        char text[256];
        snprintf (text, sizeof (text), ACTOR "        command = true\n        instances = %s\n",
                  ranges[i]);
        refuses (text, 5, "such as 1..8");
    }
    refuses (ACTOR "        command = true\n        target_lag = 0\n", 5, "target_lag = 0");
    refuses (ACTOR "        command = true\n        target_lag = 10\n", 3, "needs a range");
    refuses (ACTOR "        command = true\n        cooldown = 3s\n", 3, "needs a range");
    refuses ("orchestrator\nlog_bytes_max = 1KiB\n", 2, "log_bytes_max = 1KiB");
    refuses (ACTOR "        command = true\n        stop_timeout = 2d\n", 5, "stop_timeout");
    refuses (ACTOR "        command = true\n        restart = always\n", 5, "restart = always");
    refuses (ACTOR "        command = true\n        watchdog = -1s\n", 5, "watchdog = -1s");
    static const char *const intensities[] = {"5",        "5 in",       "5 in 2h",   "100 in 10s",
                                              "-1 in 1s", "5 in 10s x", "5 per 10s", "in 10s"};
    for (size_t i = 0; i < sizeof (intensities) / sizeof (intensities[0]); i++) {
        char text[256];
        snprintf (text, sizeof (text), ACTOR "        command = true\n        intensity = %s\n",
                  intensities[i]);
        refuses (text, 5, "such as 5 in 10s");
    }
    refuses (ACTOR "        command = true\n    a\n        command = true\n", 5, "is taken");
    refuses ("orchestrator\nactors\n    a.b\n", 3, "'a.b'");
    refuses ("orchestrator\nactors\n    orchestrator\n        command = true\n", 3, "is taken");
    refuses ("orchestrator\nactors\n  a\n", 3, "four spaces");
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_reads_a_file),
        cmocka_unit_test (test_elastic_actors_and_logs),
        cmocka_unit_test (test_several_hosts),
        cmocka_unit_test (test_connects_to_what_listens_everywhere),
        cmocka_unit_test (test_goes_without_an_orchestrator),
        cmocka_unit_test (test_reads_what_an_end_leads_to),
        cmocka_unit_test (test_follows_what_runs),
        cmocka_unit_test (test_refuses_hosts_that_cannot_be),
        cmocka_unit_test (test_refuses_orders_that_cannot_be),
        cmocka_unit_test (test_refuses_mistakes),
    };
    return cmocka_run_group_tests (tests, make_file, remove_file);
}
