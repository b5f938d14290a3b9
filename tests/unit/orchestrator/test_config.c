/* SPDX-License-Identifier: MPL-2.0 */

#include "orchestrator/config.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/*  Parses `text` as the file "x.conf" and reads its first section.  */
static baton_err_t load (bn_orchestrator_config_t *config, const char *text, char detail[512])
{
    bn_zpl_t *zpl;
    bn_orchestrator_config_init (config);
    baton_err_t err = bn_zpl_parse (&zpl, text, "x.conf", detail);
    if (err)
        return err;
    zconfig_t *section = zconfig_locate (bn_zpl_root (zpl), "orchestrator");
    assert_non_null (section);
    err = bn_orchestrator_config_section (config, zpl, section, detail);
    bn_zpl_destroy (&zpl);
    return err;
}

static void refuses (const char *text, const char *expected)
{
    bn_orchestrator_config_t config;
    char detail[512] = "";
    assert_int_equal (load (&config, text, detail), BATON_ERR_CONFIG);
    assert_string_equal (detail, expected);
    bn_orchestrator_config_fini (&config);
}

static void test_reads_properties (void **state)
{
    (void)state;
    bn_orchestrator_config_t config;
    char detail[512] = "";
    baton_err_t err = load (&config,
                            "#  a comment\n"
                            "orchestrator\n"
                            "\n"
                            "    data_dir = \"/tmp/a b\"   # quoted\n"
                            "    endpoint = tcp://127.0.0.1:*\n"
                            "    partitions = 8\n"
                            "    sync = interval\n"
                            "    sync_interval_ms = 2s\n"
                            "    segment_bytes = 4MiB\n"
                            "    retention_ms = 7d\n"
                            "    disk_reserve_bytes = 1048576\n"
                            "    topics_max = 77  \n"
                            "    actors_max = 55\r\n"
                            "    heartbeat_ms = 250 # milliseconds",
                            detail);
    assert_string_equal (detail, "");
    assert_int_equal (err, BATON_OK);
    assert_string_equal (config.options.data_dir, "/tmp/a b");
    assert_string_equal (config.options.endpoint, "tcp://127.0.0.1:*");
    assert_int_equal (config.options.partitions, 8);
    assert_int_equal (config.options.sync, BATON_SYNC_INTERVAL);
    assert_int_equal (config.options.sync_interval_ms, 2000);
    assert_int_equal (config.options.segment_bytes, 4 * 1024 * 1024);
    assert_int_equal (config.options.retention_ms, UINT64_C (7) * 86400000);
    assert_int_equal (config.options.disk_reserve_bytes, 1048576);
    assert_int_equal (config.options.topics_max, 77);
    assert_int_equal (config.options.actors_max, 55);
    assert_int_equal (config.options.heartbeat_ms, 250);
    bn_orchestrator_config_fini (&config);
}

static void test_names_the_line_of_what_is_wrong (void **state)
{
    (void)state;
    refuses ("orchestrator\n    partitons = 8\n",
             "x.conf:2: unknown property 'partitons' (baton orchestrator --help lists them)");
    refuses ("#\n#\norchestrator\n    data_dir = x\n    partitions = many\n",
             "x.conf:5: partitions = many: expected a whole number");
    refuses ("orchestrator\n    partitions = 257\n",
             "x.conf:2: partitions = 257 is out of range: expected 1 to 256");
    refuses ("orchestrator\n    partitions = 0\n",
             "x.conf:2: partitions = 0 is out of range: expected 1 to 256");
    refuses ("orchestrator\n    segment_bytes = 64 MB\n",
             "x.conf:2: segment_bytes = 64 MB: expected a size such as 4096, 64KiB, 8MiB or 1GiB");
    refuses ("orchestrator\n    segment_bytes = 4KiB\n",
             "x.conf:2: segment_bytes = 4KiB is out of range: expected 1 MiB to 4 GiB");
    refuses ("orchestrator\n    retention_ms = 99999999999999999999d\n",
             "x.conf:2: retention_ms = 99999999999999999999d: expected a time such as 500ms, 2s, "
             "10m, 12h or 7d");
    refuses ("orchestrator\n    sync = sometimes\n",
             "x.conf:2: sync = sometimes: expected always, interval or never");
    refuses ("orchestrator\n    endpoint = 127.0.0.1:7711\n",
             "x.conf:2: endpoint = 127.0.0.1:7711: expected tcp://HOST:PORT or ipc://PATH");
    refuses ("orchestrator\n    endpoint = tcp://127.0.0.1:70000\n",
             "x.conf:2: endpoint = tcp://127.0.0.1:70000: expected a port, 0 to 65535, or *");
    refuses ("orchestrator\n    data_dir =\n", "x.conf:2: data_dir needs a value");
    refuses ("orchestrator\n    partitions = 8\n    partitions = 8\n",
             "x.conf:3: 'partitions' is set twice");
    refuses ("orchestrator\n    partitions = 8\n        deeper = 1\n",
             "x.conf:3: partitions has no properties of its own");
    refuses ("orchestrator\n    heartbeat_ms = 4s\n",
             "x.conf:1: session_timeout_ms (6000) must be at least twice heartbeat_ms (4000)");
}

static void test_names_the_line_of_bad_syntax (void **state)
{
    (void)state;
    refuses ("orchestrator\n  partitions = 8\n",
             "x.conf:2: indent with four spaces for each level");
    refuses ("orchestrator\n\tpartitions = 8\n", "x.conf:2: a tab: indent with four spaces");
    refuses ("orchestrator\n        partitions = 8\n",
             "x.conf:2: indented deeper than the line above allows");
    refuses ("    orchestrator\n", "x.conf:1: indented deeper than the line above allows");
    refuses ("orchestrator\n    partitions: 8\n", "x.conf:2: expected '=' after the name");
    refuses ("orchestrator\n    data_dir = \"open\n", "x.conf:2: the closing quote is missing");
    refuses ("orchestrator\n    data_dir = \"a\" b\n", "x.conf:2: text after the closing quote");
    refuses ("orchestrator\n    = 8\n",
             "x.conf:2: expected a name of letters, digits and $-_@.&+/");
}

static void test_checks_a_whole_file (void **state)
{
    (void)state;
    char directory[] = "/tmp/baton-config-XXXXXX", path[64], detail[512], expected[600];
    assert_non_null (mkdtemp (directory));
    snprintf (path, sizeof path, "%s/a.conf", directory);
    bn_orchestrator_config_t config;

    bn_orchestrator_config_init (&config);
    assert_int_equal (bn_orchestrator_config_load (&config, path, detail), BATON_ERR_NOT_FOUND);
    snprintf (expected, sizeof expected, "%s: No such file or directory", path);
    assert_string_equal (detail, expected);

    FILE *file = fopen (path, "w");
    fputs ("orchestrator\n    partitions = 4\norchestra\n", file);
    fclose (file);
    assert_int_equal (bn_orchestrator_config_load (&config, path, detail), BATON_ERR_CONFIG);
    snprintf (expected, sizeof expected,
              "%s:3: unknown section 'orchestra': expected 'orchestrator'", path);
    assert_string_equal (detail, expected);
    bn_orchestrator_config_fini (&config);

    file = fopen (path, "w");
    fwrite ("orchestrator\0", 1, 13, file);
    fclose (file);
    bn_orchestrator_config_init (&config);
    assert_int_equal (bn_orchestrator_config_load (&config, path, detail), BATON_ERR_CONFIG);
    bn_orchestrator_config_fini (&config);

    assert_int_equal (remove (path), 0);
    assert_int_equal (remove (directory), 0);
}

/*  What --help prints is a file that loads, and means the defaults.  */
static void test_printed_defaults_load (void **state)
{
    (void)state;
    char *text = NULL, detail[512] = "";
    size_t size;
    FILE *out = open_memstream (&text, &size);
    bn_orchestrator_config_print (out);
    fclose (out);

    bn_orchestrator_config_t config;
    baton_err_t err = load (&config, text, detail);
    assert_string_equal (detail, "");
    assert_int_equal (err, BATON_OK);
    baton_orchestrator_options_t defaults;
    assert_int_equal (bn_orchestrator_options_fill (&defaults, NULL, detail), BATON_OK);
    assert_string_equal (config.options.data_dir, defaults.data_dir);
    assert_string_equal (config.options.endpoint, defaults.endpoint);
    assert_null (config.options.fanout_endpoint);
    assert_int_equal (config.options.segment_bytes, defaults.segment_bytes);
    assert_int_equal (config.options.session_timeout_ms, 6000);
    assert_int_equal (config.options.checkpoint_bytes, 64 * 1024 * 1024);
    bn_orchestrator_config_fini (&config);
    free (text);
}

static void test_checks_options_given_in_code (void **state)
{
    (void)state;
    char detail[512];
    baton_orchestrator_options_t filled;
    baton_orchestrator_options_t options = {.partitions = 1000};
    assert_int_equal (bn_orchestrator_options_fill (&filled, &options, detail), BATON_ERR_CONFIG);
    assert_string_equal (detail, "partitions = 1000 is out of range: expected 1 to 256");
    options = (baton_orchestrator_options_t){.endpoint = "inproc://x"};
    assert_int_equal (bn_orchestrator_options_fill (&filled, &options, detail), BATON_ERR_CONFIG);
    options = (baton_orchestrator_options_t){.sync = (baton_sync_t)7};
    assert_int_equal (bn_orchestrator_options_fill (&filled, &options, detail), BATON_ERR_CONFIG);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_reads_properties),
        cmocka_unit_test (test_names_the_line_of_what_is_wrong),
        cmocka_unit_test (test_names_the_line_of_bad_syntax),
        cmocka_unit_test (test_checks_a_whole_file),
        cmocka_unit_test (test_printed_defaults_load),
        cmocka_unit_test (test_checks_options_given_in_code),
    };
    return cmocka_run_group_tests_name ("config", tests, NULL, NULL);
}
