/* SPDX-License-Identifier: MPL-2.0 */
#include "samples.h"

#define TEXT(literal)                                                                              \
    {                                                                                              \
        literal, sizeof (literal) - 1                                                              \
    }
#define COUNT(array) (sizeof (array) / sizeof ((array)[0]))
#define MAX64        "18446744073709551615"

static bn_section_t s_sections[] = {
    {.topic = TEXT ("orders.placed"),
     .partition = 3,
     .count = 2,
     .payload = {NULL, (const uint8_t *)"abc", 3}},
    {.topic = TEXT ("a"),
     .partition = 255,
     .count = 1000000,
     .payload = {NULL, (const uint8_t *)"", 0}},
};
static bn_section_t s_events[] = {
    {.topic = TEXT ("$dead.payment"),
     .partition = 0,
     .count = 1,
     .base = 70,
     .payload = {NULL, (const uint8_t *)"x", 1}},
    {.topic = TEXT ("a-b_c.d"),
     .partition = 31,
     .count = 5,
     .base = UINT64_MAX - 5,
     .payload = {NULL, (const uint8_t *)"yz", 2}},
};
static bn_text_t s_patterns[] = {TEXT ("orders.*"), TEXT (">")};
static bn_partition_u64_t s_heads[] = {{3, 70}, {4, 0}};
static bn_parked_t s_parked[] = {{40, 2, 1500, 77}, {41, 0, 0, UINT64_MAX}};
static bn_charged_t s_charged[] = {{50, 1}};
static bn_assignment_t s_assignments[] = {
    {.partition = 3,
     .generation = 9,
     .revoked = false,
     .floor = 60,
     .head = 70,
     .careful_until = 65,
     .parked = s_parked,
     .parked_count = 2,
     .charged = s_charged,
     .charged_count = 1},
    {.partition = 4, .generation = UINT64_MAX, .revoked = true},
};
static bn_fetch_t s_fetches[] = {{0, 1, 0}, {255, 2, UINT64_MAX}};
static uint64_t s_offsets[] = {40, 41};
static bn_died_t s_died[] = {{42, 5}};
static bn_settlement_t s_settlements[] = {
    {.partition = 3,
     .generation = 9,
     .floor = 66,
     .handled = 4,
     .parks = s_parked,
     .park_count = 2,
     .dones = s_offsets,
     .done_count = 2,
     .died = s_died,
     .died_count = 1,
     .release = true},
    {.partition = 4, .generation = 10, .floor = 0},
};
static bn_dead_letter_t s_letters[] = {{90, 42, 3, 5, 1700000000000000}};
static const uint8_t s_status[] = {0x81, 0xa4, 't', 'a', 'i', 'l', 0x05};

const sample_t g_samples[] = {
    {{.type = BN_HELLO, .request = 1, .hello = {BN_ROLE_ACTOR, TEXT ("payment"), 77}},
     "[1, 2, \"payment\", 77]"},
    {{.type = BN_HELLO,
      .request = UINT64_MAX,
      .hello = {BN_ROLE_PRODUCER, TEXT ("/shop/\xc3\xa4"), UINT64_MAX}},
     "[" MAX64 ", 1, \"/shop/\xc3\xa4\", " MAX64 "]"},
    {{.type = BN_HELLO, .request = 0, .hello = {BN_ROLE_ADMIN, TEXT (""), 0}}, "[0, 3, \"\", 0]"},
    {{.type = BN_WELCOME,
      .request = 1,
      .welcome = {10, 32, 70, 1000, 10000, 8388608, 1048576, 3, TEXT ("tcp://127.0.0.1:7712")}},
     "[1, 10, 32, 70, 1000, 10000, 8388608, 1048576, 3, \"tcp://127.0.0.1:7712\"]"},
    {{.type = BN_PUBLISH, .request = 2, .publish = {77, 1, s_sections, COUNT (s_sections)}},
     "[2, 77, 1, [[\"orders.placed\", 3, 2], [\"a\", 255, 1000000]]]"},
    {{.type = BN_PUBLISH, .request = 3, .publish = {0, UINT64_MAX, s_sections, 1}},
     "[3, 0, " MAX64 ", [[\"orders.placed\", 3, 2]]]"},
    {{.type = BN_RECEIPT, .request = 2, .receipt = {1, 68, 2, false}}, "[2, 1, 68, 2, false]"},
    {{.type = BN_RECEIPT, .request = 3, .receipt = {UINT64_MAX, BN_NO_OFFSET, UINT32_MAX, true}},
     "[3, " MAX64 ", " MAX64 ", 4294967295, true]"},
    {{.type = BN_JOIN,
      .request = 4,
      .join = {TEXT ("payment"),
               TEXT ("host.a-17"),
               77,
               s_patterns,
               COUNT (s_patterns),
               BN_START_OFFSET,
               12,
               {5, 100, 30000, 30000}}},
     "[4, \"payment\", \"host.a-17\", 77, [\"orders.*\", \">\"], 2, 12, [5, 100, 30000, 30000]]"},
    {{.type = BN_JOIN,
      .request = 4,
      .join = {TEXT ("p"), TEXT ("i"), 0, s_patterns, 1, BN_START_TAIL, 0, {1, 0, 0, 1}}},
     "[4, \"p\", \"i\", 0, [\"orders.*\"], 0, 0, [1, 0, 0, 1]]"},
    {{.type = BN_JOINED,
      .request = 4,
      .beat = {2, 3, 71, s_heads, COUNT (s_heads), true, s_assignments, COUNT (s_assignments)}},
     "[4, 2, 3, 71, [[3, 70], [4, 0]], [[3, 9, false, 60, 70, 65, [[40, 2, 1500, 77], [41, 0, "
     "0, " MAX64 "]], [[50, 1]]], [4, " MAX64 ", true, 0, 0, 0, [], []]]]"},
    {{.type = BN_JOINED, .request = 4, .beat = {.actor_id = UINT32_MAX, .assignments_set = true}},
     "[4, 4294967295, 0, 0, [], []]"},
    {{.type = BN_BEAT,
      .request = 0,
      .beat = {.version = 8, .tail = 71, .heads = s_heads, .head_count = 1}},
     "[0, 8, 71, [[3, 70]], nil]"},
    {{.type = BN_BEAT,
      .request = 5,
      .beat = {.version = 9,
               .assignments_set = true,
               .assignments = s_assignments,
               .assignment_count = 1}},
     "[5, 9, 0, [], [[3, 9, false, 60, 70, 65, [[40, 2, 1500, 77], [41, 0, 0, " MAX64
     "]], [[50, 1]]]]]"},
    {{.type = BN_BEAT, .request = 5, .beat = {.version = 10, .assignments_set = true}},
     "[5, 10, 0, [], []]"},
    {{.type = BN_FETCH,
      .request = 6,
      .fetch = {30000, UINT32_MAX, s_fetches, COUNT (s_fetches), NULL, 0}},
     "[6, 30000, 4294967295, [[0, 1, 0], [255, 2, " MAX64 "]], []]"},
    {{.type = BN_FETCH, .request = 6, .fetch = {0, 0, NULL, 0, s_offsets, COUNT (s_offsets)}},
     "[6, 0, 0, [], [40, 41]]"},
    {{.type = BN_EVENTS, .request = 6, .events = {60, 76, false, s_events, COUNT (s_events)}},
     "[6, 60, 76, false, [[\"$dead.payment\", 0, 1, 70], [\"a-b_c.d\", 31, 5, "
     "18446744073709551610]]]"},
    {{.type = BN_EVENTS, .request = 6, .events = {0, UINT64_MAX, true, NULL, 0}},
     "[6, 0, " MAX64 ", true, []]"},
    {{.type = BN_SETTLE,
      .request = 7,
      .settle = {s_settlements, COUNT (s_settlements), s_sections, 1}},
     "[7, [[3, 9, 66, 4, [[40, 2, 1500, 77], [41, 0, 0, " MAX64
     "]], [40, 41], [[42, 5]], true], [4, 10, 0, 0, [], [], [], false]], [[\"orders.placed\", 3, "
     "2]]]"},
    {{.type = BN_SETTLE, .request = 7, .settle = {s_settlements + 1, 1, NULL, 0}},
     "[7, [[4, 10, 0, 0, [], [], [], false]], []]"},
    {{.type = BN_SETTLED, .request = 7, .settled = {71, 2}}, "[7, 71, 2]"},
    {{.type = BN_SETTLED, .request = 7, .settled = {BN_NO_OFFSET, 0}}, "[7, " MAX64 ", 0]"},
    {{.type = BN_BEGIN, .request = 8, .begin = {3, 9, 61}}, "[8, 3, 9, 61]"},
    {{.type = BN_BEGUN, .request = 8}, "[8]"},
    {{.type = BN_HEARTBEAT, .request = 9, .heartbeat = {UINT64_MAX, 7}}, "[9, " MAX64 ", 7]"},
    {{.type = BN_LEAVE, .request = 10, .leave = {BN_LEAVE_CLEAN, 0, BN_NO_OFFSET}},
     "[10, 0, 0, " MAX64 "]"},
    {{.type = BN_LEAVE, .request = 10, .leave = {BN_LEAVE_EXPIRED, 255, 61}}, "[10, 1, 255, 61]"},
    {{.type = BN_LEFT, .request = 10}, "[10]"},
    {{.type = BN_STATUS, .request = 11}, "[11]"},
    {{.type = BN_STATUS_REPLY, .request = 11, .status = {NULL, s_status, sizeof (s_status)}},
     "[11, {\"tail\"=>5}]"},
    {{.type = BN_READ,
      .request = 12,
      .read = {30000, 65536, BN_FROM_TIME, 1700000000000000, s_patterns, COUNT (s_patterns)}},
     "[12, 30000, 65536, 1, 1700000000000000, [\"orders.*\", \">\"]]"},
    {{.type = BN_READ, .request = 12, .read = {.from = UINT64_MAX}},
     "[12, 0, 0, 0, " MAX64 ", []]"},
    {{.type = BN_DEAD,
      .request = 13,
      .dead = {BN_DEAD_REDRIVE, TEXT ("payment"), true, 0, 0, s_offsets, COUNT (s_offsets)}},
     "[13, 1, \"payment\", true, 0, 0, [40, 41]]"},
    {{.type = BN_DEAD,
      .request = 13,
      .dead = {BN_DEAD_LIST, TEXT ("p"), false, UINT64_MAX, 1000, NULL, 0}},
     "[13, 0, \"p\", false, " MAX64 ", 1000, []]"},
    {{.type = BN_DEAD_REPLY, .request = 13, .dead_reply = {true, 1, s_letters, COUNT (s_letters)}},
     "[13, true, 1, [[90, 42, 3, 5, 1700000000000000]]]"},
    {{.type = BN_FORGET, .request = 14, .forget = TEXT ("payment")}, "[14, \"payment\"]"},
    {{.type = BN_FORGOTTEN, .request = 14}, "[14]"},
    {{.type = BN_ERROR,
      .request = 15,
      .error = {42, false, TEXT ("FENCED"), TEXT ("a newer one"), 3}},
     "[15, 42, false, \"FENCED\", \"a newer one\", 3]"},
};
const size_t g_sample_count = COUNT (g_samples);
