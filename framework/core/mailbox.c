/* SPDX-License-Identifier: MPL-2.0 */

/*  mailbox.c - one instance of an actor, as a state machine: what happens in which order.
 *
 *  DESIGN. Sections come in by fan-out and FETCH, wait in a queue per partition as they came, and
 *  are decoded event by event when a run is made of them. A run goes to the handler thread and
 *  comes back with its results. Results become outcomes, outcomes go out with SETTLE. Everything
 *  that a partition has (queue, parked events, outcomes) hangs on one bn_slot_t, so that losing it
 *  is one call.
 *
 *        FANOUT ─┐                   ┌─ RUN ──► handler ─┐
 *                ├─► queue ─► take ──┤                   ├─► outcomes ─► SETTLE ─► SETTLED: floor
 *        EVENTS ─┘     ▲             └─ BEGIN (careful) ─┘       │
 *                      └──── parked, due: FETCH by offset ◄──────┘
 *
 *  Smart batching: the next run is made as soon as the last one is back, without waiting for its
 *  SETTLE; while a SETTLE is in flight outcomes gather. With one event at a time each step is
 *  immediate; under load runs and settles grow by themselves. Rejected: acknowledging event by
 *  event (a sync each), and a linger timer (latency for nothing when there is no load).
 *
 *  INVARIANTS
 *    M1  A floor that is settled is never above an event whose outcome is not in the same or an
 *        earlier SETTLE (G2, G5).
 *    M2  Of two events of a key, the later one reaches the handler only when the outcome of the
 *        earlier one is known and is not "again" (G3): it may follow in the same run, where the
 *        runner sees to it; otherwise it is parked behind the earlier one.
 *    M3  A parked event is handed out only when its parking is settled as it is: so no SETTLE names
 *        a parked event that the orchestrator does not know.
 *    M4  Results of a run count only for partitions that were never lost since it was handed out;
 *        an epoch, own and never repeated, tells (G4).
 *    M5  From BEGIN to the SETTLED of a careful event nothing else is in a handler (G6).
 *    M6  At most one request of each kind and one run are out; the queue is bounded by
 *        prefetch_bytes, outcomes by settle_bytes_max plus one run (once for events from the main
 *        line and once for parked ones), parked events by parked_max per partition (G7).
 *
 *  Owned by, and runs in, the actor's courier thread. A FATAL or DRAINED is the last it says.  */

#include "core/mailbox_internal.h"
#include "wire/topic.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*  ---- life --------------------------------------------------------------------------------- */

static bool covered (const bn_mailbox_t *self, const char *prefix, size_t size)
{
    for (uint32_t i = 0; i < self->prefix_count; i++) {
        size_t own = strlen (self->prefixes[i]);
        if (own <= size && memcmp (self->prefixes[i], prefix, own) == 0)
            return true;
    }
    return false;
}

/*  The shortest prefixes that let everything through that the patterns ask for.  */
static bool make_prefixes (bn_mailbox_t *self)
{
    self->prefixes = calloc (self->options.pattern_count, sizeof *self->prefixes);
    if (!self->prefixes)
        return false;
    for (size_t size = 0; size <= BATON_TOPIC_BYTES_MAX; size++)
        for (uint32_t i = 0; i < self->options.pattern_count; i++) {
            const char *pattern = self->options.patterns[i];
            if (bn_pattern_prefix (pattern, strlen (pattern)) != size ||
                covered (self, pattern, size))
                continue;
            self->prefixes[self->prefix_count] = strndup (pattern, size);
            if (!self->prefixes[self->prefix_count])
                return false;
            self->prefix_count++;
        }
    return true;
}

bn_mailbox_t *bn_mailbox_new (const bn_mailbox_options_t *options)
{
    bn_assert (options->pattern_count >= 1 && options->pattern_count <= BN_PATTERNS_MAX);
    bn_assert (options->run_events_max >= 1 && options->policy.max_attempts >= 1);
    bn_mailbox_t *self = calloc (1, sizeof *self);
    if (!self)
        return NULL;
    self->options = *options;
    self->run_most =
        options->run_events_max < BN_RUN_FIRST ? options->run_events_max : BN_RUN_FIRST;
    self->settle_partitions_max = self->settle_emitting_max = UINT32_MAX;
    for (uint32_t i = 0; i < BN_PARTITIONS_MAX; i++)
        self->slots[i].index = i;
    self->due = bn_map_new ();
    self->wanted = bn_map_new ();
    if (!self->due || !self->wanted || !make_prefixes (self))
        bn_mailbox_destroy (&self);
    return self;
}

void bn_mailbox_destroy (bn_mailbox_t **self_p)
{
    bn_mailbox_t *self = *self_p;
    if (!self)
        return;
    *self_p = NULL;
    for (uint32_t i = 0; i < BN_PARTITIONS_MAX; i++)
        bn_slot_forget (self, &self->slots[i]);
    bn_outcomes_fini (self);
    bn_run_destroy (&self->begin_run);
    bn_map_destroy (&self->due);
    bn_map_destroy (&self->wanted);
    for (uint32_t i = 0; i < self->prefix_count; i++)
        free (self->prefixes[i]);
    free (self->prefixes);
    bn_blob_unref (&self->channel);
    free (self);
}

/*  ---- a step ------------------------------------------------------------------------------- */

void bn_mailbox_fatal (bn_mailbox_t *self, baton_err_t err, const char *format, ...)
{
    if (self->link == BN_LINK_OVER)
        return;
    self->link = BN_LINK_OVER;
    char text[512];
    va_list args;
    va_start (args, format);
    vsnprintf (text, sizeof text, format, args);
    va_end (args);
    bn_mailbox_effect_t *effect = bn_mailbox_effect (self, BN_MAILBOX_FATAL);
    if (!effect)
        return;
    effect->err = err;
    effect->text = strdup (text);
    if (!effect->text)
        bn_mailbox_no_memory (self);
}

static void take_event (bn_mailbox_t *self, const bn_mailbox_event_t *event)
{
    switch (event->kind) {
    case BN_MAILBOX_LINK_UP:
        bn_mailbox_link_up (self);
        break;
    case BN_MAILBOX_LINK_DOWN:
        bn_mailbox_link_down (self);
        break;
    case BN_MAILBOX_MESSAGE:
        bn_mailbox_message (self, event);
        break;
    case BN_MAILBOX_FANOUT:
        bn_mailbox_fanout (self, event);
        break;
    case BN_MAILBOX_RUN_DONE:
        bn_mailbox_run_done (self, event->run);
        if (self->expired)
            self->hello_at_ms = self->now.mono_ms;
        self->expired = false;
        break;
    case BN_MAILBOX_EXPIRED:
        bn_mailbox_expired (self, event->partition, event->offset);
        break;
    case BN_MAILBOX_STOP:
        if (!self->stopping)
            self->handover_until_ms = self->now.mono_ms + BN_HANDOVER_MS;
        self->stopping = true;
        if (self->begin_run && !bn_slot_works (self, &self->slots[self->careful_partition]))
            bn_mailbox_begin_cancel (self);
        break;
    case BN_MAILBOX_TICK:
        break;
    }
}

void bn_mailbox_step (bn_mailbox_t *self, const bn_mailbox_event_t *event,
                      bn_mailbox_effects_t *effects)
{
    self->fx = effects;
    self->now = event->now;
    if (!self->seeded) {
        bn_prng_init (&self->prng, event->random);
        self->seeded = true;
    }
    if (self->link == BN_LINK_OVER) {
        bn_run_t *run = event->run;
        bn_run_destroy (&run);
        return;
    }
    take_event (self, event);
    /*  A run goes out before a request is encoded: the handler need not wait for that.  */
    bn_mailbox_link_pump (self);
    bn_mailbox_subscribe_pump (self);
    bn_mailbox_run_pump (self);
    /*  Where memory ran out something may be missing from the outcomes: nothing more is said.  */
    if (!effects->failed)
        bn_mailbox_settle_pump (self);
    if (effects->failed) {
        self->link = BN_LINK_OVER;
        return;
    }
    bn_mailbox_fetch_pump (self);
    bn_mailbox_leave_pump (self);
    self->fx = NULL;
}

uint64_t bn_mailbox_due_ms (const bn_mailbox_t *self)
{
    if (self->link == BN_LINK_OVER)
        return UINT64_MAX;
    uint64_t dues[] = {bn_mailbox_link_due (self), bn_mailbox_fetch_due (self),
                       bn_mailbox_run_due (self), bn_mailbox_settle_due (self)};
    uint64_t due = UINT64_MAX;
    for (size_t i = 0; i < sizeof dues / sizeof *dues; i++)
        if (dues[i] < due)
            due = dues[i];
    return due;
}

/*  ---- what others ask ---------------------------------------------------------------------- */

uint64_t bn_mailbox_journal_id (const bn_mailbox_t *self)
{
    return self->journal_id;
}

uint32_t bn_mailbox_partitions (const bn_mailbox_t *self)
{
    return self->partitions;
}

uint32_t bn_mailbox_data_bytes_max (const bn_mailbox_t *self)
{
    return self->data_bytes_max;
}

void bn_mailbox_stats (const bn_mailbox_t *self, bn_mailbox_stats_t *stats)
{
    *stats = self->stats;
    stats->partitions = self->owned_count;
    stats->joined = self->link == BN_LINK_JOINED;
}
