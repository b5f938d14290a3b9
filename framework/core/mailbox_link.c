/* SPDX-License-Identifier: MPL-2.0 */

/*  mailbox_link.c - the session: HELLO, JOIN, HEARTBEAT, LEAVE, time limits, assignments.
 *
 *      DOWN --LINK_UP--> IDLE --HELLO--> GREETING --WELCOME--> (STARTING) --> JOINING --JOINED-->
 *      JOINED
 *        ^                ^                                                                    |
 *        |                +---- NO_SESSION, or the run of an expired handler is back ----------+
 *        +---- LINK_DOWN, or no answer in time (RESET_LINK) --------------------------------- any
 *
 *  A new session starts from the floors that JOINED tells: what was not settled is handled again
 *  (G2), a run that is still out is stale, and its results are dropped when it is back (M4).  */

#include "core/mailbox_internal.h"
#include <baton/actor.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_MS 1000 /* a refused HELLO or JOIN that may be repeated */

static const struct {
    bn_message_type_t answer;
    const char *name;
} s_asks[BN_ASK_COUNT] = {
    [BN_ASK_HELLO] = {BN_WELCOME, "HELLO"},   [BN_ASK_START] = {BN_EVENTS, "READ"},
    [BN_ASK_JOIN] = {BN_JOINED, "JOIN"},      [BN_ASK_HEARTBEAT] = {BN_BEAT, "HEARTBEAT"},
    [BN_ASK_FETCH] = {BN_EVENTS, "FETCH"},    [BN_ASK_OFFSETS] = {BN_EVENTS, "FETCH"},
    [BN_ASK_SETTLE] = {BN_SETTLED, "SETTLE"}, [BN_ASK_BEGIN] = {BN_BEGUN, "BEGIN"},
    [BN_ASK_LEAVE] = {BN_LEFT, "LEAVE"},
};

/*  ---- requests --------------------------------------------------------------------------- */

bool bn_mailbox_asking (const bn_mailbox_t *self, bn_ask_kind_t kind)
{
    return self->asks[kind].request != 0;
}

static bool attach (bn_mailbox_effect_t *effect, const bn_section_t *sections, uint32_t count)
{
    if (count == 0)
        return true;
    effect->payloads = malloc (count * sizeof *effect->payloads);
    if (!effect->payloads)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        effect->payloads[i] = sections[i].payload;
        bn_blob_ref (effect->payloads[i].blob);
    }
    effect->payload_count = count;
    return true;
}

bool bn_mailbox_ask (bn_mailbox_t *self, bn_ask_kind_t kind, bn_message_t *message,
                     const bn_section_t *sections, uint32_t section_count)
{
    message->request = ++self->request_last;
    bn_blob_t *head = bn_message_encode (message);
    bn_mailbox_effect_t *effect = head ? bn_mailbox_effect (self, BN_MAILBOX_SEND) : NULL;
    if (!effect) {
        bn_blob_unref (&head);
        bn_mailbox_no_memory (self);
        return false;
    }
    effect->head = head;
    if (!attach (effect, sections, section_count)) {
        bn_mailbox_no_memory (self);
        return false;
    }
    self->asks[kind] = (bn_ask_t){.request = message->request, .sent_ms = self->now.mono_ms};
    return true;
}

static void hello (bn_mailbox_t *self)
{
    bn_message_t message = {.type = BN_HELLO,
                            .hello = {.role = BN_ROLE_ACTOR,
                                      .name = {self->options.actor, strlen (self->options.actor)},
                                      .incarnation = self->options.incarnation}};
    self->hello_sent_ms = self->now.mono_ms;
    self->link = BN_LINK_GREETING;
    bn_mailbox_ask (self, BN_ASK_HELLO, &message, NULL, 0);
}

static void resolve_start (bn_mailbox_t *self)
{
    bn_message_t message = {
        .type = BN_READ,
        .read = {.bytes_max = 1, .from_kind = BN_FROM_TIME, .from = self->options.start_value}};
    bn_mailbox_ask (self, BN_ASK_START, &message, NULL, 0);
}

static void join (bn_mailbox_t *self)
{
    bn_text_t patterns[BN_PATTERNS_MAX];
    for (uint32_t i = 0; i < self->options.pattern_count; i++)
        patterns[i] = (bn_text_t){self->options.patterns[i], strlen (self->options.patterns[i])};
    bool by_time = self->options.start_kind == BATON_START_TIME;
    bn_message_t message = {
        .type = BN_JOIN,
        .join = {.actor = {self->options.actor, strlen (self->options.actor)},
                 .instance = {self->options.instance, strlen (self->options.instance)},
                 .incarnation = self->options.incarnation,
                 .patterns = patterns,
                 .pattern_count = self->options.pattern_count,
                 .start = by_time ? BN_START_OFFSET : (bn_start_t)self->options.start_kind,
                 .start_offset = by_time ? self->start_offset : self->options.start_value,
                 .policy = self->options.policy}};
    bn_mailbox_ask (self, BN_ASK_JOIN, &message, NULL, 0);
}

static void heartbeat (bn_mailbox_t *self)
{
    bn_message_t message = {
        .type = BN_HEARTBEAT,
        .heartbeat = {.version = self->version, .in_flight = bn_mailbox_in_flight (self)}};
    bn_mailbox_ask (self, BN_ASK_HEARTBEAT, &message, NULL, 0);
    uint64_t wait_ms = self->heartbeat_ms;
    if (self->quick_beats > 0) {
        uint64_t early_ms = (uint64_t)BN_QUICK_BEAT_MS << (BN_QUICK_BEATS - self->quick_beats);
        self->quick_beats--;
        if (early_ms < wait_ms)
            wait_ms = early_ms;
    }
    self->beat_at_ms = self->now.mono_ms + wait_ms;
}

void bn_mailbox_beat_early (bn_mailbox_t *self, uint32_t wait_ms)
{
    if (self->beat_at_ms > self->now.mono_ms + wait_ms)
        self->beat_at_ms = self->now.mono_ms + wait_ms;
}

static void leave (bn_mailbox_t *self, bn_leave_t reason, uint32_t partition, uint64_t offset)
{
    bn_message_t message = {.type = BN_LEAVE,
                            .leave = {.reason = reason, .partition = partition, .offset = offset}};
    bn_mailbox_ask (self, BN_ASK_LEAVE, &message, NULL, 0);
}

/*  ---- a session ends ---------------------------------------------------------------------- */

static void forget_all (bn_mailbox_t *self)
{
    for (uint32_t i = 0; i < BN_PARTITIONS_MAX; i++)
        bn_slot_forget (self, &self->slots[i]);
    memset (self->asks, 0, sizeof self->asks);
    bn_run_destroy (&self->begin_run);
    self->careful = BN_CAREFUL_NONE;
    self->careful_turn = false;
    self->version = 0;
    self->quick_beats = 0;
    self->begin_at_ms = self->settle_at_ms = self->fetch_at_ms = self->offsets_at_ms = 0;
    self->settle_partitions_max = self->settle_emitting_max = UINT32_MAX;
}

void bn_mailbox_rejoin (bn_mailbox_t *self)
{
    forget_all (self);
    self->link = BN_LINK_IDLE;
    self->hello_at_ms = self->hello_sent_ms + BN_REJOIN_MS;
}

void bn_mailbox_link_down (bn_mailbox_t *self)
{
    forget_all (self);
    self->link = BN_LINK_DOWN;
}

void bn_mailbox_link_up (bn_mailbox_t *self)
{
    forget_all (self);
    self->link = BN_LINK_IDLE;
    self->hello_at_ms = self->now.mono_ms;
    self->heard_ms = self->now.mono_ms;
}

static void reset (bn_mailbox_t *self)
{
    bn_mailbox_effect (self, BN_MAILBOX_RESET_LINK);
    bn_mailbox_link_down (self);
}

void bn_mailbox_expired (bn_mailbox_t *self, uint32_t partition, uint64_t offset)
{
    if (!self->run_out || self->expired)
        return;
    self->expired = true;
    if (self->link == BN_LINK_DOWN)
        return;
    bool joined = self->link == BN_LINK_JOINED;
    bool owned = joined && partition < self->partitions && self->slots[partition].owned &&
                 self->slots[partition].out_epoch == self->slots[partition].epoch;
    forget_all (self);
    self->link = BN_LINK_IDLE;
    if (owned)
        leave (self, BN_LEAVE_EXPIRED, partition, offset);
    else if (joined)
        leave (self, BN_LEAVE_CLEAN, 0, BN_NO_OFFSET);
}

/*  ---- assignments ------------------------------------------------------------------------- */

void bn_mailbox_refused (bn_mailbox_t *self, uint32_t partition)
{
    if (partition < self->partitions)
        bn_slot_forget (self, &self->slots[partition]);
    self->version = 0;
    self->beat_at_ms = self->now.mono_ms;
}

static void assign (bn_mailbox_t *self, const bn_beat_t *beat)
{
    bool named[BN_PARTITIONS_MAX] = {false};
    for (uint32_t i = 0; i < beat->assignment_count; i++) {
        const bn_assignment_t *entry = &beat->assignments[i];
        if (entry->partition >= self->partitions)
            continue;
        bn_slot_t *slot = &self->slots[entry->partition];
        named[entry->partition] = true;
        if (!slot->owned || slot->generation != entry->generation)
            bn_slot_start (self, slot, entry);
        else {
            if (entry->until)
                bn_slot_limit (self, slot, entry->until);
            if (entry->revoked)
                bn_slot_revoke (self, slot);
        }
    }
    for (uint32_t i = 0; i < self->partitions; i++)
        if (!named[i])
            bn_slot_forget (self, &self->slots[i]);
    self->version = beat->version;
}

static void beat (bn_mailbox_t *self, const bn_beat_t *message)
{
    if (message->assignments_set)
        assign (self, message);
    for (uint32_t i = 0; i < message->head_count; i++) {
        uint64_t partition = message->heads[i].partition;
        if (partition < self->partitions)
            bn_mailbox_head (self, (uint32_t)partition, message->heads[i].value);
    }
}

/*  ---- answers ------------------------------------------------------------------------------ */

static void welcome (bn_mailbox_t *self, const bn_welcome_t *message)
{
    if (self->journal_id && self->journal_id != message->journal_id)
        bn_mailbox_log (self, BN_LOG_WARNING,
                        "the orchestrator has another journal (%016" PRIx64 ", before: %016" PRIx64
                        ")",
                        message->journal_id, self->journal_id);
    self->journal_id = message->journal_id;
    self->partitions = message->partitions;
    self->heartbeat_ms = message->heartbeat_ms;
    self->message_bytes_max = message->message_bytes_max;
    self->data_bytes_max = message->data_bytes_max;
    self->turn = 0;
    char endpoint[sizeof self->fanout_endpoint];
    snprintf (endpoint, sizeof endpoint, "%.*s", (int)message->fanout_endpoint.size,
              message->fanout_endpoint.text);
    if (strcmp (endpoint, self->fanout_endpoint) != 0) {
        memcpy (self->fanout_endpoint, endpoint, sizeof endpoint);
        bn_mailbox_effect_t *effect = bn_mailbox_effect (self, BN_MAILBOX_CONNECT_SUB);
        if (effect && !(effect->text = strdup (endpoint)))
            bn_mailbox_no_memory (self);
    }
    bool resolve = self->options.start_kind == BATON_START_TIME && !self->start_resolved;
    self->link = resolve ? BN_LINK_STARTING : BN_LINK_JOINING;
    self->join_at_ms = self->now.mono_ms;
}

static void joined (bn_mailbox_t *self, const bn_beat_t *message)
{
    self->link = BN_LINK_JOINED;
    self->actor_id = message->actor_id;
    self->parked_max = message->parked_max;
    self->beat_at_ms = self->now.mono_ms + self->heartbeat_ms;
    assign (self, message);
    beat (self, message);
    bn_mailbox_log (self, BN_LOG_DEBUG, "joined with %" PRIu32 " partitions", self->owned_count);
}

static void drained (bn_mailbox_t *self)
{
    forget_all (self);
    self->link = BN_LINK_OVER;
    bn_mailbox_effect (self, BN_MAILBOX_DRAINED);
}

static void answered (bn_mailbox_t *self, bn_ask_kind_t kind, const bn_message_t *message,
                      bn_blob_t *const *blobs)
{
    switch (kind) {
    case BN_ASK_HELLO:
        welcome (self, &message->welcome);
        break;
    case BN_ASK_START:
        self->start_offset = message->events.from;
        self->start_resolved = true;
        self->link = BN_LINK_JOINING;
        self->join_at_ms = self->now.mono_ms;
        break;
    case BN_ASK_JOIN:
        joined (self, &message->beat);
        break;
    case BN_ASK_HEARTBEAT:
        beat (self, &message->beat);
        break;
    case BN_ASK_FETCH:
        bn_mailbox_fetched (self, message, blobs);
        break;
    case BN_ASK_OFFSETS:
        bn_mailbox_offsets_fetched (self, message, blobs);
        break;
    case BN_ASK_SETTLE:
        bn_mailbox_settled (self);
        break;
    case BN_ASK_BEGIN:
        bn_mailbox_begun (self);
        break;
    case BN_ASK_LEAVE:
        if (self->link == BN_LINK_LEAVING)
            drained (self);
        break;
    case BN_ASK_COUNT:
        break;
    }
}

static void fatal_error (bn_mailbox_t *self, const char *request, const bn_error_t *error)
{
    bn_mailbox_fatal (self, (baton_err_t)error->code, "%s is refused (%.*s): %.*s", request,
                      (int)error->name.size, error->name.text, (int)error->text.size,
                      error->text.text);
}

bool bn_mailbox_common_error (bn_mailbox_t *self, const bn_error_t *error)
{
    switch (error->code) {
    case BATON_ERR_FENCED:
    case BATON_ERR_NOT_OWNER:
    case BATON_ERR_OFFSET:
        bn_mailbox_refused (self, error->detail < self->partitions ? (uint32_t)error->detail
                                                                   : UINT32_MAX);
        return true;
    case BATON_ERR_NO_SESSION:
        bn_mailbox_rejoin (self);
        return true;
    default:
        break;
    }
    if (error->retriable)
        return false;
    fatal_error (self, "a request", error);
    return true;
}

static void greeting_refused (bn_mailbox_t *self, bn_ask_kind_t kind, const bn_error_t *error)
{
    if (error->code == BATON_ERR_NO_SESSION) {
        bn_mailbox_rejoin (self);
        return;
    }
    if (!error->retriable) {
        fatal_error (self, s_asks[kind].name, error);
        return;
    }
    bn_mailbox_log (self, BN_LOG_WARNING, "%s is refused for now (%.*s): %.*s", s_asks[kind].name,
                    (int)error->name.size, error->name.text, (int)error->text.size,
                    error->text.text);
    if (kind == BN_ASK_HELLO)
        self->link = BN_LINK_IDLE;
    self->hello_at_ms = self->join_at_ms = self->now.mono_ms + RETRY_MS;
}

static void refused (bn_mailbox_t *self, bn_ask_kind_t kind, const bn_error_t *error)
{
    switch (kind) {
    case BN_ASK_HELLO:
    case BN_ASK_START:
    case BN_ASK_JOIN:
        greeting_refused (self, kind, error);
        break;
    case BN_ASK_HEARTBEAT:
        if (error->code == BATON_ERR_NO_SESSION)
            bn_mailbox_rejoin (self);
        else if (!error->retriable)
            fatal_error (self, s_asks[kind].name, error);
        break;
    case BN_ASK_FETCH:
        bn_mailbox_fetch_refused (self, error);
        break;
    case BN_ASK_OFFSETS:
        bn_mailbox_offsets_refused (self, error);
        break;
    case BN_ASK_SETTLE:
        bn_mailbox_settle_refused (self, error);
        break;
    case BN_ASK_BEGIN:
        bn_mailbox_begin_refused (self, error);
        break;
    case BN_ASK_LEAVE:
        if (self->link == BN_LINK_LEAVING)
            drained (self);
        break;
    case BN_ASK_COUNT:
        break;
    }
}

static void dispatch (bn_mailbox_t *self, const bn_message_t *message, bn_blob_t *const *blobs)
{
    if (message->request == 0) {
        if (message->type == BN_BEAT && self->link == BN_LINK_JOINED)
            beat (self, &message->beat);
        else if (message->type == BN_ERROR)
            bn_mailbox_log (self, BN_LOG_WARNING, "the orchestrator could not read a message: %.*s",
                            (int)message->error.text.size, message->error.text.text);
        return;
    }
    for (int kind = 0; kind < BN_ASK_COUNT; kind++) {
        if (self->asks[kind].request != message->request)
            continue;
        self->asks[kind] = (bn_ask_t){0};
        if (message->type == s_asks[kind].answer) {
            answered (self, (bn_ask_kind_t)kind, message, blobs);
        } else if (message->type == BN_ERROR) {
            refused (self, (bn_ask_kind_t)kind, &message->error);
        } else {
            bn_mailbox_log (self, BN_LOG_ERROR, "%s was answered with a message of type 0x%02x",
                            s_asks[kind].name, (unsigned)message->type);
            reset (self);
        }
        return;
    }
    /*  To a request of an earlier session.  */
}

void bn_mailbox_message (bn_mailbox_t *self, const bn_mailbox_event_t *event)
{
    if (self->link == BN_LINK_DOWN)
        return;
    self->heard_ms = self->now.mono_ms;
    bn_message_t message;
    char what[256];
    baton_err_t err = bn_message_decode (&message, event->frames, event->frame_count, what);
    if (err == BATON_ERR_MEMORY) {
        bn_mailbox_no_memory (self);
        return;
    }
    if (err) {
        bn_mailbox_log (self, BN_LOG_ERROR, "an answer is not readable (%s): %s",
                        baton_err_name (err), what);
        reset (self);
        return;
    }
    dispatch (self, &message, event->blobs);
    bn_message_fini (&message);
}

/*  ---- time --------------------------------------------------------------------------------- */

static uint64_t answer_limit_ms (const bn_mailbox_t *self)
{
    return 2 * (uint64_t)(self->heartbeat_ms ? self->heartbeat_ms : 1000) + 2000;
}

/*  When it is too late for the answer: sooner if nothing at all was heard.  */
static uint64_t too_late_ms (const bn_mailbox_t *self, const bn_ask_t *ask)
{
    uint64_t limit = answer_limit_ms (self);
    uint64_t silent = (ask->sent_ms > self->heard_ms ? ask->sent_ms : self->heard_ms) + limit;
    uint64_t lost = ask->sent_ms + 4 * limit;
    return silent < lost ? silent : lost;
}

void bn_mailbox_link_pump (bn_mailbox_t *self)
{
    uint64_t now_ms = self->now.mono_ms;
    for (int kind = 0; kind < BN_ASK_COUNT && self->link != BN_LINK_DOWN; kind++)
        if (self->asks[kind].request && now_ms >= too_late_ms (self, &self->asks[kind])) {
            bn_mailbox_log (self, BN_LOG_WARNING,
                            "no answer to %s for %" PRIu64 " ms; reconnecting", s_asks[kind].name,
                            now_ms - self->asks[kind].sent_ms);
            reset (self);
        }
    switch (self->link) {
    case BN_LINK_IDLE:
        if (!self->expired && !self->stopping && now_ms >= self->hello_at_ms)
            hello (self);
        break;
    case BN_LINK_STARTING:
        if (!bn_mailbox_asking (self, BN_ASK_START) && now_ms >= self->join_at_ms)
            resolve_start (self);
        break;
    case BN_LINK_JOINING:
        if (!bn_mailbox_asking (self, BN_ASK_JOIN) && now_ms >= self->join_at_ms)
            join (self);
        break;
    case BN_LINK_JOINED:
        if (!bn_mailbox_asking (self, BN_ASK_HEARTBEAT) && now_ms >= self->beat_at_ms)
            heartbeat (self);
        break;
    default:
        break;
    }
}

static bool all_settled (bn_mailbox_t *self)
{
    if (!bn_mailbox_asking (self, BN_ASK_SETTLE) && !bn_mailbox_dirty (self))
        return true;
    if (self->now.mono_ms < self->stop_at_ms)
        return false;
    bn_mailbox_log (self, BN_LOG_WARNING,
                    "leaving without the last settle: what it held will be handled again");
    return true;
}

void bn_mailbox_leave_pump (bn_mailbox_t *self)
{
    if (!self->stopping || self->run_out || self->link == BN_LINK_OVER ||
        (self->link == BN_LINK_JOINED && !bn_mailbox_halts (self)))
        return;
    if (!self->stop_at_ms)
        self->stop_at_ms = self->now.mono_ms + BN_DRAIN_MS;
    switch (self->link) {
    case BN_LINK_JOINED:
        if (all_settled (self)) {
            leave (self, BN_LEAVE_CLEAN, 0, BN_NO_OFFSET);
            self->link = BN_LINK_LEAVING;
        }
        break;
    case BN_LINK_LEAVING:
        if (self->now.mono_ms >= self->asks[BN_ASK_LEAVE].sent_ms + BN_LEAVE_MS)
            drained (self);
        break;
    case BN_LINK_JOINING:
        /*  The answer is waited for, so that it can be left in order.  */
        if (!bn_mailbox_asking (self, BN_ASK_JOIN) || self->now.mono_ms >= self->stop_at_ms)
            drained (self);
        break;
    default:
        drained (self);
    }
}

uint64_t bn_mailbox_link_due (const bn_mailbox_t *self)
{
    uint64_t due = UINT64_MAX;
    for (int kind = 0; kind < BN_ASK_COUNT; kind++)
        if (self->asks[kind].request && too_late_ms (self, &self->asks[kind]) < due)
            due = too_late_ms (self, &self->asks[kind]);
    uint64_t own = UINT64_MAX;
    if (self->link == BN_LINK_IDLE && !self->expired && !self->stopping)
        own = self->hello_at_ms;
    else if (self->link == BN_LINK_STARTING && !bn_mailbox_asking (self, BN_ASK_START))
        own = self->join_at_ms;
    else if (self->link == BN_LINK_JOINING && !bn_mailbox_asking (self, BN_ASK_JOIN))
        own = self->join_at_ms;
    else if (self->link == BN_LINK_JOINED && !bn_mailbox_asking (self, BN_ASK_HEARTBEAT))
        own = self->beat_at_ms;
    else if (self->link == BN_LINK_LEAVING)
        own = self->asks[BN_ASK_LEAVE].sent_ms + BN_LEAVE_MS;
    if (own < due)
        due = own;
    if (self->stopping && self->stop_at_ms && self->stop_at_ms > self->now.mono_ms &&
        self->stop_at_ms < due)
        due = self->stop_at_ms;
    if (self->stopping && self->handover_until_ms > self->now.mono_ms &&
        self->handover_until_ms < due && !bn_mailbox_halts (self))
        due = self->handover_until_ms;
    return due;
}
