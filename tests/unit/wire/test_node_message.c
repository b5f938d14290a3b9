/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/prng.h"
#include "node_samples.h"
#include <stdlib.h>
#include <string.h>

#define T(text)                                                                                    \
    {                                                                                              \
        text, sizeof (text) - 1                                                                    \
    }
#define MESSAGES g_node_sample_count

/*  Decodes from memory of exactly that size.  */
static baton_err_t decode (bn_node_message_t *message, const void *bytes, size_t size, void **copy,
                           char what[256])
{
    *copy = malloc (size ? size : 1);
    if (size)
        memcpy (*copy, bytes, size);
    return bn_node_message_decode (message, *copy, size, what);
}

static baton_err_t judge (const void *bytes, size_t size)
{
    bn_node_message_t message;
    char what[256] = "";
    void *copy;
    baton_err_t err = decode (&message, bytes, size, &copy, what);
    if (err)
        assert_true (*what);
    else
        bn_node_message_fini (&message);
    free (copy);
    return err;
}

static baton_err_t judge_message (const bn_node_message_t *message)
{
    bn_blob_t *bytes = bn_node_message_encode (message);
    assert_non_null (bytes);
    baton_err_t err = judge (bytes->data, bytes->size);
    bn_blob_unref (&bytes);
    return err;
}

static void what_is_sent_arrives (void **state)
{
    (void)state;
    for (size_t i = 0; i < MESSAGES; i++) {
        bn_node_message_t message;
        char what[256] = "";
        void *copy;
        bn_blob_t *first = bn_node_message_encode (&g_node_samples[i]);
        assert_int_equal (decode (&message, first->data, first->size, &copy, what), BATON_OK);
        assert_int_equal (message.type, g_node_samples[i].type);
        bn_blob_t *second = bn_node_message_encode (&message);
        assert_int_equal (first->size, second->size);
        assert_memory_equal (first->data, second->data, first->size);
        bn_node_message_fini (&message);
        free (copy);
        bn_blob_unref (&first);
        bn_blob_unref (&second);
    }
}

static void fields_are_where_they_belong (void **state)
{
    (void)state;
    bn_node_message_t message;
    void *copy;
    char what[256];
    bn_blob_t *bytes = bn_node_message_encode (&g_node_samples[2]);
    assert_int_equal (decode (&message, bytes->data, bytes->size, &copy, what), BATON_OK);
    const bn_node_task_t *task = message.part.tasks;
    assert_int_equal (message.part.task_count, 1);
    assert_int_equal (task->word_count, 4);
    assert_int_equal (task->words[3].text.size, 0);
    assert_memory_equal (task->words[2].text.text, "a b", 3);
    assert_int_equal (task->instances, 3);
    assert_int_equal (task->restart, 2);
    assert_int_equal (task->watchdog_ms, 5);
    assert_int_equal (task->rounds, 6);
    assert_int_equal (task->revivals, 7);
    bn_node_message_fini (&message);
    free (copy);
    bn_blob_unref (&bytes);
}

static void every_prefix_and_more_is_refused (void **state)
{
    (void)state;
    for (size_t i = 0; i < MESSAGES; i++) {
        bn_blob_t *bytes = bn_node_message_encode (&g_node_samples[i]);
        for (size_t size = 0; size < bytes->size; size++)
            assert_int_not_equal (judge (bytes->data, size), BATON_OK);
        uint8_t *longer = malloc (bytes->size + 1);
        memcpy (longer, bytes->data, bytes->size);
        longer[bytes->size] = 0xc0;
        assert_int_not_equal (judge (longer, bytes->size + 1), BATON_OK);
        free (longer);
        bn_blob_unref (&bytes);
    }
}

/*  Whatever changes: it is refused with a reason, or it is a message.  */
static void changed_bytes_do_no_harm (void **state)
{
    (void)state;
    bn_prng_t prng;
    size_t refused = 0;
    bn_prng_init (&prng, 3);
    for (size_t i = 0; i < MESSAGES; i++) {
        bn_blob_t *bytes = bn_node_message_encode (&g_node_samples[i]);
        for (int round = 0; round < 5000; round++) {
            uint8_t *changed = malloc (bytes->size);
            memcpy (changed, bytes->data, bytes->size);
            for (uint64_t k = 1 + bn_prng_below (&prng, 4); k > 0; k--)
                changed[bn_prng_below (&prng, bytes->size)] = (uint8_t)bn_prng_below (&prng, 256);
            refused += judge (changed, bytes->size) != BATON_OK;
            free (changed);
        }
        bn_blob_unref (&bytes);
    }
    assert_true (refused > 10000);
}

static void envelopes_that_are_not_ours (void **state)
{
    (void)state;
    assert_int_equal (judge ("BT\x01\x01\x90", 5), BATON_ERR_MALFORMED);
    assert_int_equal (judge ("BN\x02\x01\x90", 5), BATON_ERR_VERSION);
    assert_int_equal (judge ("BN\x01\x7f\x90", 5), BATON_ERR_UNKNOWN_TYPE);
    assert_int_equal (judge ("BN\x01\x82\x90", 5), BATON_OK);
    assert_int_equal (judge ("BN\x01\x82\x91\x01", 6), BATON_ERR_MALFORMED);
    /*  Reports that claim services, in no bytes: 2^32 - 1, and no more than there may be.  */
    assert_int_equal (judge ("BN\x01\x01\x96\xa1"
                             "a\x01\xa0\x00\xa0\xdd\xff\xff\xff\xff",
                             16),
                      BATON_ERR_TOO_LARGE);
    assert_int_equal (judge ("BN\x01\x01\x96\xa1"
                             "a\x01\xa0\x00\xa0\xdd\x00\x00\x00\x80",
                             16),
                      BATON_ERR_MALFORMED);
    uint8_t *large = calloc (1, BN_NODE_MESSAGE_BYTES_MAX + 1);
    memcpy (large, "BN\x01\x01", 4);
    assert_int_equal (judge (large, BN_NODE_MESSAGE_BYTES_MAX + 1), BATON_ERR_TOO_LARGE);
    free (large);
}

static void names_and_numbers_out_of_bounds (void **state)
{
    (void)state;
    bn_node_message_t report = g_node_samples[0], part = g_node_samples[2];
    report.report.host = (bn_text_t)T ("a.b");
    assert_int_equal (judge_message (&report), BATON_ERR_NAME);
    report.report.host = (bn_text_t)T ("a123456789a123456789a123456789abc");
    assert_int_equal (judge_message (&report), BATON_ERR_NAME);
    report.report.host = (bn_text_t){"", 0};
    assert_int_equal (judge_message (&report), BATON_ERR_NAME);

    const bn_node_service_t *service = &report.report.services[1];
    bn_node_service_t twice[] = {*service, *service};
    report = g_node_samples[0];
    report.report.services = twice;
    assert_int_equal (judge_message (&report), BATON_ERR_MALFORMED);

    bn_node_instance_t many[BN_NODE_INSTANCES_MAX];
    for (uint32_t i = 0; i < BN_NODE_INSTANCES_MAX; i++)
        many[i] = (bn_node_instance_t){.slot = i + 1};
    bn_node_service_t full[] = {{.name = T ("a"), .instances = many, .instance_count = 256},
                                {.name = T ("b"), .instances = many, .instance_count = 1}};
    report.report.services = full;
    assert_int_equal (judge_message (&report), BATON_ERR_LIMIT);
    report.report.service_count = 1;
    assert_int_equal (judge_message (&report), BATON_OK);
    many[0].state = BN_NODE_STATES;
    assert_int_equal (judge_message (&report), BATON_ERR_MALFORMED);
    many[0] = (bn_node_instance_t){.slot = 0};
    assert_int_equal (judge_message (&report), BATON_ERR_MALFORMED);

    bn_node_task_t task = part.part.tasks[0], tasks[] = {task, task};
    part.part.tasks = tasks;
    part.part.task_count = 2;
    assert_int_equal (judge_message (&part), BATON_ERR_MALFORMED);
    part.part.task_count = 1;
    tasks[0].word_count = 0;
    assert_int_equal (judge_message (&part), BATON_ERR_MALFORMED);
    tasks[0] = task;
    tasks[0].instances = BN_NODE_INSTANCES_MAX + 1;
    assert_int_equal (judge_message (&part), BATON_ERR_MALFORMED);
    tasks[0] = task;
    tasks[0].directory = (bn_text_t)T ("not\xff utf-8");
    assert_int_not_equal (judge_message (&part), BATON_OK);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (what_is_sent_arrives),
        cmocka_unit_test (fields_are_where_they_belong),
        cmocka_unit_test (every_prefix_and_more_is_refused),
        cmocka_unit_test (changed_bytes_do_no_harm),
        cmocka_unit_test (envelopes_that_are_not_ours),
        cmocka_unit_test (names_and_numbers_out_of_bounds),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
