/* SPDX-License-Identifier: MPL-2.0 */

/*  message_layout.c - the fields of each message, in the order in which they are sent.
 *  docs/protocol.md has the same tables for people.  */
#include "wire/message_layout.h"

#define WAIT_MS_MAX        30000
#define DELAY_MS_MAX       86400000 /* a day: backoffs, deadlines */
#define ATTEMPTS_MAX       1000
#define LETTERS_MAX        1000 /* dead letters in one message */
#define ERROR_NAME_MAX     64
#define ERROR_TEXT_MAX     BATON_ATTRIBUTE_BYTES_MAX
#define MILLISECONDS(t, m) BN_U32 (t, m, 0, UINT32_MAX)
#define COUNT(t, m)        BN_U32 (t, m, 0, UINT32_MAX)

/*  ---- parts ---- */

const bn_layout_t bn_layout_policy =
    BN_LAYOUT (bn_policy_t, "policy", BN_U32 (bn_policy_t, max_attempts, 1, ATTEMPTS_MAX),
               BN_U32 (bn_policy_t, backoff_min_ms, 0, DELAY_MS_MAX),
               BN_U32 (bn_policy_t, backoff_max_ms, 0, DELAY_MS_MAX),
               BN_U32 (bn_policy_t, handler_deadline_ms, 1, DELAY_MS_MAX));

#define SECTION_FIELDS(check)                                                                      \
    BN_TEXT (bn_section_t, topic, BATON_TOPIC_BYTES_MAX, check),                                   \
        BN_PARTITION (bn_section_t, partition),                                                    \
        BN_U32 (bn_section_t, count, 1, BN_SECTION_EVENTS_MAX)

const bn_layout_t bn_layout_section =
    BN_LAYOUT (bn_section_t, "section", SECTION_FIELDS (BN_CHECK_TOPIC_OR_NONE));

const bn_layout_t bn_layout_events_section = BN_LAYOUT (
    bn_section_t, "section", SECTION_FIELDS (BN_CHECK_TOPIC), BN_U64 (bn_section_t, base));

const bn_layout_t bn_layout_record_section =
    BN_LAYOUT (bn_section_t, "section", SECTION_FIELDS (BN_CHECK_TOPIC_OR_NONE),
               {BN_AT (bn_section_t, payload.size), .kind = BN_FIELD_SIZE, .max = UINT32_MAX});

#define PARKED_FIELDS                                                                              \
    BN_U64 (bn_parked_t, offset), COUNT (bn_parked_t, attempts), BN_U64 (bn_parked_t, due_ms),     \
        BN_U64 (bn_parked_t, key_hash)

static const bn_layout_t s_parked = BN_LAYOUT (bn_parked_t, "parked", PARKED_FIELDS);

static const bn_layout_t s_park = BN_LAYOUT_LAST_OPTIONAL (
    bn_parked_t, "park", PARKED_FIELDS,
    BN_TEXT (bn_parked_t, reason, BN_PARKED_REASON_BYTES_MAX, BN_CHECK_NONE));

static const bn_layout_t s_charged = BN_LAYOUT (
    bn_charged_t, "charged", BN_U64 (bn_charged_t, offset), COUNT (bn_charged_t, attempts));

static const bn_layout_t s_assignment = BN_LAYOUT_LAST_OPTIONAL (
    bn_assignment_t, "assignment", BN_PARTITION (bn_assignment_t, partition),
    BN_U64 (bn_assignment_t, generation), BN_BOOL (bn_assignment_t, revoked),
    BN_U64 (bn_assignment_t, floor), BN_U64 (bn_assignment_t, head),
    BN_U64 (bn_assignment_t, careful_until),
    BN_LIST (bn_assignment_t, parked, parked_count, 0, BN_PARKED_MAX, s_parked),
    BN_LIST (bn_assignment_t, charged, charged_count, 0, BN_PARKED_MAX, s_charged),
    BN_U64 (bn_assignment_t, until));

static const bn_layout_t s_head =
    BN_LAYOUT (bn_partition_u64_t, "head", BN_PARTITION (bn_partition_u64_t, partition),
               BN_U64 (bn_partition_u64_t, value));

static const bn_layout_t s_fetch_partition =
    BN_LAYOUT (bn_fetch_t, "partition", BN_PARTITION (bn_fetch_t, partition),
               BN_U64 (bn_fetch_t, generation), BN_U64 (bn_fetch_t, from));

static const bn_layout_t s_died =
    BN_LAYOUT (bn_died_t, "died", BN_U64 (bn_died_t, offset), COUNT (bn_died_t, attempts));

const bn_layout_t bn_layout_settlement =
    BN_LAYOUT (bn_settlement_t, "settlement", BN_PARTITION (bn_settlement_t, partition),
               BN_U64 (bn_settlement_t, generation), BN_U64 (bn_settlement_t, floor),
               COUNT (bn_settlement_t, handled),
               BN_LIST (bn_settlement_t, parks, park_count, 0, BN_PARKED_MAX, s_park),
               BN_U64S (bn_settlement_t, dones, done_count, BN_PARKED_MAX),
               BN_LIST (bn_settlement_t, died, died_count, 0, BN_PARKED_MAX, s_died),
               BN_BOOL (bn_settlement_t, release));

static const bn_layout_t s_letter =
    BN_LAYOUT (bn_dead_letter_t, "letter", BN_U64 (bn_dead_letter_t, dead_offset),
               BN_U64 (bn_dead_letter_t, offset), BN_PARTITION (bn_dead_letter_t, partition),
               COUNT (bn_dead_letter_t, attempts), BN_U64 (bn_dead_letter_t, time_us));

static const bn_layout_t s_chain = BN_LAYOUT (bn_chain_t, "chain", COUNT (bn_chain_t, actor_id),
                                              BN_U64 (bn_chain_t, previous_end));

/*  ---- requests ---- */

static const bn_layout_t s_hello =
    BN_LAYOUT (bn_hello_t, "HELLO", BN_U32 (bn_hello_t, role, BN_ROLE_PRODUCER, BN_ROLE_ADMIN),
               BN_TEXT (bn_hello_t, name, BATON_ATTRIBUTE_BYTES_MAX, BN_CHECK_NONE),
               BN_U64 (bn_hello_t, incarnation));

static const bn_layout_t s_publish = BN_LAYOUT (
    bn_publish_t, "PUBLISH", BN_U64 (bn_publish_t, producer_id),
    {BN_AT (bn_publish_t, sequence), .kind = BN_FIELD_U64, .min = 1, .max = UINT64_MAX},
    BN_LIST (bn_publish_t, sections, section_count, 1, BN_SECTIONS_MAX, bn_layout_section));

static const bn_layout_t s_join =
    BN_LAYOUT (bn_join_t, "JOIN", BN_TEXT (bn_join_t, actor, BATON_NAME_BYTES_MAX, BN_CHECK_ACTOR),
               BN_TEXT (bn_join_t, instance, BATON_NAME_BYTES_MAX, BN_CHECK_INSTANCE),
               BN_U64 (bn_join_t, incarnation), BN_PATTERNS (bn_join_t, 1),
               BN_U32 (bn_join_t, start, BN_START_TAIL, BN_START_OFFSET),
               BN_U64 (bn_join_t, start_offset), BN_STRUCT (bn_join_t, policy, bn_layout_policy));

static const bn_layout_t s_fetch =
    BN_LAYOUT (bn_fetch_request_t, "FETCH", BN_U32 (bn_fetch_request_t, wait_ms, 0, WAIT_MS_MAX),
               COUNT (bn_fetch_request_t, bytes_max),
               BN_LIST (bn_fetch_request_t, partitions, partition_count, 0, BN_PARTITIONS_MAX,
                        s_fetch_partition),
               BN_U64S (bn_fetch_request_t, offsets, offset_count, BN_PARKED_MAX));

static const bn_layout_t s_settle = BN_LAYOUT (
    bn_settle_t, "SETTLE",
    BN_LIST (bn_settle_t, settlements, settlement_count, 1, BN_PARTITIONS_MAX,
             bn_layout_settlement),
    BN_LIST (bn_settle_t, sections, section_count, 0, BN_SECTIONS_MAX, bn_layout_section));

static const bn_layout_t s_begin =
    BN_LAYOUT (bn_begin_t, "BEGIN", BN_PARTITION (bn_begin_t, partition),
               BN_U64 (bn_begin_t, generation), BN_U64 (bn_begin_t, offset));

static const bn_layout_t s_heartbeat =
    BN_LAYOUT (bn_heartbeat_t, "HEARTBEAT", BN_U64 (bn_heartbeat_t, version),
               BN_U64 (bn_heartbeat_t, in_flight));

static const bn_layout_t s_leave =
    BN_LAYOUT (bn_leave_message_t, "LEAVE",
               BN_U32 (bn_leave_message_t, reason, BN_LEAVE_CLEAN, BN_LEAVE_EXPIRED),
               BN_PARTITION (bn_leave_message_t, partition), BN_U64 (bn_leave_message_t, offset));

static const bn_layout_t s_status = {.name = "STATUS"};

static const bn_layout_t s_read = BN_LAYOUT (
    bn_read_t, "READ", BN_U32 (bn_read_t, wait_ms, 0, WAIT_MS_MAX), COUNT (bn_read_t, bytes_max),
    BN_U32 (bn_read_t, from_kind, BN_FROM_OFFSET, BN_FROM_TIME), BN_U64 (bn_read_t, from),
    BN_PATTERNS (bn_read_t, 0));

static const bn_layout_t s_dead = BN_LAYOUT (
    bn_dead_t, "DEAD", BN_U32 (bn_dead_t, op, BN_DEAD_LIST, BN_DEAD_DISCARD),
    BN_TEXT (bn_dead_t, actor, BATON_NAME_BYTES_MAX, BN_CHECK_ACTOR), BN_BOOL (bn_dead_t, dry_run),
    BN_U64 (bn_dead_t, from), BN_U32 (bn_dead_t, count_max, 0, LETTERS_MAX),
    BN_U64S (bn_dead_t, offsets, offset_count, BN_PARKED_MAX));

static const bn_layout_t s_forget = {.name = "FORGET",
                                     .size = sizeof (bn_text_t),
                                     .field_count = 1,
                                     .fields = (const bn_field_t[]){{.name = "actor",
                                                                     .kind = BN_FIELD_TEXT,
                                                                     .max = BATON_NAME_BYTES_MAX,
                                                                     .check = BN_CHECK_ACTOR}}};

static const bn_layout_t s_gone =
    BN_LAYOUT (bn_gone_t, "GONE", BN_TEXT (bn_gone_t, actor, BATON_NAME_BYTES_MAX, BN_CHECK_NONE),
               BN_TEXT (bn_gone_t, instance, BATON_NAME_BYTES_MAX, BN_CHECK_INSTANCE),
               BN_U64 (bn_gone_t, incarnation));

static const bn_layout_t s_explain = BN_LAYOUT (
    bn_explain_t, "EXPLAIN", BN_TEXT (bn_explain_t, actor, BATON_NAME_BYTES_MAX, BN_CHECK_ACTOR),
    BN_PARTITION (bn_explain_t, partition), BN_U64 (bn_explain_t, offset),
    BN_TEXT (bn_explain_t, key, BATON_KEY_BYTES_MAX, BN_CHECK_NONE));

/*  ---- replies ---- */

static const bn_layout_t s_welcome = BN_LAYOUT (
    bn_welcome_t, "WELCOME", BN_U64 (bn_welcome_t, journal_id),
    BN_U32 (bn_welcome_t, partitions, 1, BN_PARTITIONS_MAX), BN_U64 (bn_welcome_t, tail),
    MILLISECONDS (bn_welcome_t, heartbeat_ms), MILLISECONDS (bn_welcome_t, session_timeout_ms),
    COUNT (bn_welcome_t, message_bytes_max), COUNT (bn_welcome_t, data_bytes_max),
    BN_U64 (bn_welcome_t, producer_sequence),
    BN_TEXT (bn_welcome_t, fanout_endpoint, BN_ENDPOINT_BYTES_MAX, BN_CHECK_NONE));

static const bn_layout_t s_receipt = BN_LAYOUT (
    bn_receipt_t, "RECEIPT", BN_U64 (bn_receipt_t, sequence), BN_U64 (bn_receipt_t, base),
    COUNT (bn_receipt_t, count), BN_BOOL (bn_receipt_t, duplicate));

#define BEAT_FIELDS                                                                                \
    BN_U64 (bn_beat_t, version), BN_U64 (bn_beat_t, tail),                                         \
        BN_LIST (bn_beat_t, heads, head_count, 0, BN_PARTITIONS_MAX, s_head)

/*  JOINED and BEAT share a struct; nil for "as you know them" makes sense in the latter only.  */
static const bn_layout_t s_joined = BN_LAYOUT (
    bn_beat_t, "JOINED", COUNT (bn_beat_t, actor_id),
    BN_U32 (bn_beat_t, parked_max, 1, BN_PARKED_MAX), BEAT_FIELDS,
    BN_LIST (bn_beat_t, assignments, assignment_count, 0, BN_PARTITIONS_MAX, s_assignment));

static const bn_layout_t s_beat = BN_LAYOUT (bn_beat_t, "BEAT", BEAT_FIELDS,
                                             {BN_AT (bn_beat_t, assignments), .kind = BN_FIELD_LIST,
                                              .count_at = offsetof (bn_beat_t, assignment_count),
                                              .set_at = offsetof (bn_beat_t, assignments_set),
                                              .max = BN_PARTITIONS_MAX, .of = &s_assignment});

static const bn_layout_t s_events = BN_LAYOUT (
    bn_events_t, "EVENTS", BN_U64 (bn_events_t, from), BN_U64 (bn_events_t, scanned_to),
    BN_BOOL (bn_events_t, at_tail),
    BN_LIST (bn_events_t, sections, section_count, 0, BN_SECTIONS_MAX, bn_layout_events_section));

static const bn_layout_t s_settled =
    BN_LAYOUT (bn_settled_t, "SETTLED", BN_U64 (bn_settled_t, base), COUNT (bn_settled_t, count));

static const bn_layout_t s_begun = {.name = "BEGUN"};
static const bn_layout_t s_left = {.name = "LEFT"};
static const bn_layout_t s_forgotten = {.name = "FORGOTTEN"};
static const bn_layout_t s_gone_reply =
    BN_LAYOUT (bn_gone_reply_t, "GONE reply", COUNT (bn_gone_reply_t, count));

static const bn_layout_t s_status_reply = {
    .name = "STATUS reply",
    .size = sizeof (bn_slice_t),
    .field_count = 1,
    .fields = (const bn_field_t[]){{.name = "status", .kind = BN_FIELD_MAP}}};

static const bn_layout_t s_dead_reply =
    BN_LAYOUT (bn_dead_reply_t, "DEAD reply", BN_BOOL (bn_dead_reply_t, more),
               BN_U64 (bn_dead_reply_t, affected),
               BN_LIST (bn_dead_reply_t, letters, letter_count, 0, LETTERS_MAX, s_letter));

static const bn_layout_t s_explained = BN_LAYOUT (
    bn_explained_t, "EXPLAINED", BN_U32 (bn_explained_t, state, BN_EVENT_NOT_ASKED, BN_EVENT_DEAD),
    COUNT (bn_explained_t, attempts), BN_U64 (bn_explained_t, due_ms),
    BN_TEXT (bn_explained_t, reason, BN_PARKED_REASON_BYTES_MAX, BN_CHECK_NONE),
    BN_U64 (bn_explained_t, elder), BN_U64 (bn_explained_t, dead_offset),
    BN_U64 (bn_explained_t, died_us), BN_U64 (bn_explained_t, floor), BN_U64 (bn_explained_t, head),
    BN_U64 (bn_explained_t, ready), BN_BOOL (bn_explained_t, exact), COUNT (bn_explained_t, parked),
    COUNT (bn_explained_t, parked_max), BN_U64 (bn_explained_t, careful_until),
    BN_U64 (bn_explained_t, begun), BN_U64 (bn_explained_t, generation),
    BN_TEXT (bn_explained_t, instance, BATON_NAME_BYTES_MAX, BN_CHECK_NONE),
    BN_BOOL (bn_explained_t, connected), BN_BOOL (bn_explained_t, revoked),
    BN_U64 (bn_explained_t, in_flight), BN_BOOL (bn_explained_t, more),
    BN_LIST (bn_explained_t, waiting, waiting_count, 0, BN_EXPLAINED_MAX, s_parked),
    BN_LIST (bn_explained_t, letters, letter_count, 0, BN_EXPLAINED_MAX, s_letter));

static const bn_layout_t s_error = BN_LAYOUT (
    bn_error_t, "ERROR", COUNT (bn_error_t, code), BN_BOOL (bn_error_t, retriable),
    BN_TEXT (bn_error_t, name, ERROR_NAME_MAX, BN_CHECK_NONE),
    BN_TEXT (bn_error_t, text, ERROR_TEXT_MAX, BN_CHECK_NONE), BN_U64 (bn_error_t, detail));

const bn_layout_t bn_layout_fanout =
    BN_LAYOUT (bn_fanout_t, "fan-out", BN_U64 (bn_fanout_t, base),
               BN_U32 (bn_fanout_t, count, 1, BN_SECTION_EVENTS_MAX),
               BN_LIST (bn_fanout_t, chain, chain_count, 0, UINT16_MAX, s_chain));

static const bn_layout_t s_bundled =
    BN_LAYOUT (bn_bundled_t, "section",
               BN_TEXT (bn_bundled_t, topic, BATON_TOPIC_BYTES_MAX, BN_CHECK_TOPIC_OR_NONE),
               BN_PARTITION (bn_bundled_t, partition), BN_U64 (bn_bundled_t, base),
               BN_U32 (bn_bundled_t, count, 1, BN_SECTION_EVENTS_MAX),
               BN_U64 (bn_bundled_t, previous_end), BN_U32 (bn_bundled_t, bytes, 1, UINT32_MAX));

const bn_layout_t bn_layout_bundle =
    BN_LAYOUT (bn_bundle_t, "bundle",
               BN_LIST (bn_bundle_t, sections, section_count, 1, BN_SECTIONS_MAX, s_bundled));

const bn_layout_t *bn_message_layout (uint32_t type)
{
    static const bn_layout_t *const layouts[256] = {
        [BN_HELLO] = &s_hello,
        [BN_PUBLISH] = &s_publish,
        [BN_JOIN] = &s_join,
        [BN_FETCH] = &s_fetch,
        [BN_SETTLE] = &s_settle,
        [BN_BEGIN] = &s_begin,
        [BN_HEARTBEAT] = &s_heartbeat,
        [BN_LEAVE] = &s_leave,
        [BN_STATUS] = &s_status,
        [BN_READ] = &s_read,
        [BN_DEAD] = &s_dead,
        [BN_FORGET] = &s_forget,
        [BN_GONE] = &s_gone,
        [BN_EXPLAIN] = &s_explain,
        [BN_WELCOME] = &s_welcome,
        [BN_RECEIPT] = &s_receipt,
        [BN_JOINED] = &s_joined,
        [BN_EVENTS] = &s_events,
        [BN_SETTLED] = &s_settled,
        [BN_BEGUN] = &s_begun,
        [BN_BEAT] = &s_beat,
        [BN_LEFT] = &s_left,
        [BN_STATUS_REPLY] = &s_status_reply,
        [BN_DEAD_REPLY] = &s_dead_reply,
        [BN_FORGOTTEN] = &s_forgotten,
        [BN_GONE_REPLY] = &s_gone_reply,
        [BN_EXPLAINED] = &s_explained,
        [BN_ERROR] = &s_error,
    };
    return type < 256 ? layouts[type] : NULL;
}
