/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/topic.h"
#include <string.h>

static void test_topics (void **state)
{
    (void)state;
    static const struct {
        const char *topic;
        bool valid;
    } cases[] = {
        {"a", true},         {"orders.placed", true},
        {"A-1_b.C", true},   {"$dead.payment", true},
        {"", false},         {".", false},
        {"a.", false},       {".a", false},
        {"a..b", false},     {"a b", false},
        {"a.*", false},      {"*", false},
        {">", false},        {"$", false},
        {"$.a", false},      {"a.$b", false},
        {"a$", false},       {"a\n", false},
        {"\xc3\xa4", false}, {"a/b", false},
    };
    for (size_t i = 0; i < sizeof (cases) / sizeof (cases[0]); i++)
        if (bn_topic_valid (cases[i].topic, strlen (cases[i].topic)) != cases[i].valid)
            fail_msg ("topic \"%s\"", cases[i].topic);
    assert_false (bn_topic_valid ("a\0b", 3));
    char longest[201];
    memset (longest, 'x', sizeof (longest));
    assert_true (bn_topic_valid (longest, 200));
    assert_false (bn_topic_valid (longest, 201));
    assert_true (bn_topic_reserved ("$dead.a", 7));
    assert_false (bn_topic_reserved ("dead", 4));
    assert_false (bn_topic_reserved ("", 0));
}

static void test_patterns (void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        bool valid;
        size_t prefix; /* where valid */
    } cases[] = {
        {"a.b", true, 3},     {"a.*", true, 2},   {"a.>", true, 2},     {"*", true, 0},
        {">", true, 0},       {"*.b", true, 0},   {"a.b.*.c", true, 4}, {"$dead.*", true, 6},
        {"$dead.>", true, 6}, {"*.*.>", true, 0}, {"a.*b", false, 0},   {"a.>.b", false, 0},
        {">.a", false, 0},    {"a.>>", false, 0}, {"", false, 0},       {"a.", false, 0},
        {"$*", false, 0},     {"**", false, 0},   {"a*", false, 0},
    };
    for (size_t i = 0; i < sizeof (cases) / sizeof (cases[0]); i++) {
        size_t size = strlen (cases[i].pattern);
        if (bn_pattern_valid (cases[i].pattern, size) != cases[i].valid)
            fail_msg ("pattern \"%s\"", cases[i].pattern);
        if (cases[i].valid && bn_pattern_prefix (cases[i].pattern, size) != cases[i].prefix)
            fail_msg ("prefix of \"%s\"", cases[i].pattern);
    }
}

static void test_matching (void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        const char *topic;
        bool matches;
    } cases[] = {
        {"a.b", "a.b", true},
        {"a.b", "a.c", false},
        {"a.b", "a", false},
        {"a", "a.b", false},
        {"a.*", "a.b", true},
        {"a.*", "a.b.c", false},
        {"a.*", "a", false},
        {"a.>", "a.b", true},
        {"a.>", "a.b.c.d", true},
        {"a.>", "a", false},
        {"*", "a", true},
        {"*", "a.b", false},
        {">", "a", true},
        {">", "a.b.c", true},
        {"*.b", "a.b", true},
        {"*.b", "a.c", false},
        {"a.*.c", "a.b.c", true},
        {"a.*.c", "a.b.d", false},
        {"*.>", "a.b", true},
        {"*.>", "a", false},
        {"*", "$dead", false},
        {">", "$dead.x", false},
        {"*.x", "$dead.x", false},
        {"$dead.*", "$dead.x", true},
        {"$dead.>", "$dead.x", true},
        {"$dead.x", "$dead.x", true},
        {"ab", "a", false},
        {"a", "ab", false},
        {"a.b", "a.bc", false},
    };
    for (size_t i = 0; i < sizeof (cases) / sizeof (cases[0]); i++)
        if (bn_pattern_matches (cases[i].pattern, strlen (cases[i].pattern), cases[i].topic,
                                strlen (cases[i].topic)) != cases[i].matches)
            fail_msg ("\"%s\" on \"%s\"", cases[i].pattern, cases[i].topic);
}

static const char *const s_patterns[] = {
    "a",    "b",    "*",     ">",     "a.a",   "a.b",     "a.*",    "a.>",   "*.a",
    "*.*",  "*.>",  "a.a.a", "a.*.a", "a.*.*", "a.*.>",   "*.*.a",  "*.a.>", "$d.a",
    "$d.*", "$d.>", "$d",    "*.*.*", "a.a.>", "a.b.c.d", "*.*.*.*"};
static const char *const s_topics[] = {
    "a",      "b",       "$d",      "a.a",       "a.b",    "b.a",   "b.b",   "$d.a",
    "$d.b",   "a.a.a",   "a.a.b",   "a.b.a",     "b.b.a",  "b.a.a", "b.a.b", "$d.a.a",
    "$d.b.b", "a.b.c.d", "b.b.b.b", "a.a.a.a.a", "z.z.z",  "z.z",   "z",     "a.z",
    "z.a",    "a.z.z.z", "z.z.z.z", "$d.z",      "$d.z.z", "a.z.a"};

/*  Over a set of topics with all shapes up to four segments that the patterns can tell apart:
 *  covering is the same as matching whatever the other one matches, and a topic covers itself.  */
static void test_covering_agrees_with_matching (void **state)
{
    (void)state;
    size_t patterns = sizeof (s_patterns) / sizeof (s_patterns[0]);
    size_t topics = sizeof (s_topics) / sizeof (s_topics[0]);
    for (size_t outer = 0; outer < patterns; outer++)
        for (size_t inner = 0; inner < patterns; inner++) {
            const char *out = s_patterns[outer];
            const char *in = s_patterns[inner];
            bool covers = true;
            for (size_t t = 0; t < topics; t++)
                if (bn_pattern_matches (in, strlen (in), s_topics[t], strlen (s_topics[t])) &&
                    !bn_pattern_matches (out, strlen (out), s_topics[t], strlen (s_topics[t])))
                    covers = false;
            if (bn_pattern_covers (out, strlen (out), in, strlen (in)) != covers)
                fail_msg ("\"%s\" and \"%s\"", out, in);
        }
    for (size_t p = 0; p < patterns; p++)
        for (size_t t = 0; t < topics; t++)
            if (bn_pattern_covers (s_patterns[p], strlen (s_patterns[p]), s_topics[t],
                                   strlen (s_topics[t])) !=
                bn_pattern_matches (s_patterns[p], strlen (s_patterns[p]), s_topics[t],
                                    strlen (s_topics[t])))
                fail_msg ("\"%s\" and \"%s\"", s_patterns[p], s_topics[t]);
}

static void test_names (void **state)
{
    (void)state;
    char longest[65];
    memset (longest, 'x', sizeof (longest));
    assert_true (bn_actor_name_valid ("payment-2_x", 11));
    assert_false (bn_actor_name_valid ("a.b", 3));
    assert_false (bn_actor_name_valid ("", 0));
    assert_false (bn_actor_name_valid ("*", 1));
    assert_false (bn_actor_name_valid ("$a", 2));
    assert_true (bn_actor_name_valid (longest, 64));
    assert_false (bn_actor_name_valid (longest, 65));
    assert_true (bn_instance_name_valid ("host.example-17", 15));
    assert_false (bn_instance_name_valid ("a b", 3));
    assert_false (bn_instance_name_valid ("", 0));
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_topics),   cmocka_unit_test (test_patterns),
        cmocka_unit_test (test_matching), cmocka_unit_test (test_covering_agrees_with_matching),
        cmocka_unit_test (test_names),
    };
    return cmocka_run_group_tests_name ("wire.topic", tests, NULL, NULL);
}
