/* SPDX-License-Identifier: MPL-2.0 */

#include "lab/judge.h"
#include "base/map.h"
#include "wire/topic.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ACTORS    "/actors/" /* in front of an actor's name: its source */
#define KEY_BYTES (3 * BATON_ATTRIBUTE_BYTES_MAX)

typedef struct {
    const bn_lab_case_t *it;
    bn_lab_verdict_t *verdict;
    bn_map_t *by_id;  /* id -> event of the journal (borrowed); the first one */
    bn_map_t *counts; /* composed keys -> how often, as a pointer */
    bn_map_t *last;   /* composed keys -> offset + 1, as a pointer */
    bool no_memory;
} s_court_t;

void bn_lab_verdict_broken (bn_lab_verdict_t *self, uint64_t *count, const char *format, ...)
{
    ++*count;
    if (self->example_count == BN_LAB_EXAMPLES_MAX)
        return;
    va_list args;
    va_start (args, format);
    vsnprintf (self->examples[self->example_count++], BN_LAB_EXAMPLE_BYTES_MAX, format, args);
    va_end (args);
}

bool bn_lab_verdict_ok (const bn_lab_verdict_t *self)
{
    return !self->lost && !self->duplicated && !self->out_of_order && !self->double_effects;
}

/*  A key of several parts for the maps: a letter for what it is, then the parts, NUL between.  */
static size_t s_compose (char key[KEY_BYTES], char what, const char *a, const char *b)
{
    int size = snprintf (key, KEY_BYTES, "%c%s%c%s", what, a, 0, b);
    return size < KEY_BYTES ? (size_t)size : KEY_BYTES - 1;
}

/*  Counts one more under a key; how many there are now.  */
static size_t s_count_up (s_court_t *self, char what, const char *a, const char *b)
{
    char key[KEY_BYTES];
    size_t size = s_compose (key, what, a, b);
    size_t count = (size_t)(uintptr_t)bn_map_get (self->counts, key, size) + 1;
    if (!bn_map_put (self->counts, key, size, (void *)(uintptr_t)count, NULL))
        self->no_memory = true;
    return count;
}

static size_t s_counted (const s_court_t *self, char what, const char *a, const char *b)
{
    char key[KEY_BYTES];
    size_t size = s_compose (key, what, a, b);
    return (size_t)(uintptr_t)bn_map_get (self->counts, key, size);
}

/*  Notes the offset under a key; false if a higher one was there.  */
static bool s_ascends (s_court_t *self, char what, const char *a, const char *b, uint64_t offset,
                       uint64_t *before)
{
    char key[KEY_BYTES];
    size_t size = s_compose (key, what, a, b);
    uintptr_t last = (uintptr_t)bn_map_get (self->last, key, size);
    *before = last - 1;
    if (last && offset < last - 1)
        return false;
    if (!bn_map_put (self->last, key, size, (void *)(uintptr_t)(offset + 1), NULL))
        self->no_memory = true;
    return true;
}

static bool s_is_dead_letter (const bn_lab_event_t *event)
{
    return event->dead_offset != BN_LAB_NO_OFFSET;
}

/*  The actor that an event comes from; NULL: none.  */
static const char *s_actor_of (const bn_lab_event_t *event)
{
    return strncmp (event->source, ACTORS, strlen (ACTORS)) ? NULL
                                                            : event->source + strlen (ACTORS);
}

/*  ---- what must be there ---- */

static void s_check_receipts (s_court_t *self)
{
    bn_lab_verdict_t *verdict = self->verdict;
    for (size_t i = 0; i < self->it->sent->count; i++) {
        const bn_lab_sent_t *sent = &self->it->sent->events[i];
        uint64_t before;
        if (!sent->receipt_us) {
            verdict->unreceipted++;
            continue;
        }
        verdict->events++;
        const bn_lab_event_t *event = bn_lab_history_at (self->it->journal, sent->offset);
        if (!event || strcmp (event->id, sent->id))
            bn_lab_verdict_broken (
                verdict, &verdict->lost,
                "lost: %s (topic %s, key %s) has a receipt for offset %" PRIu64 "; there is %s",
                sent->id, sent->topic, sent->key, sent->offset, event ? event->id : "nothing");
        else if (*sent->key && !s_ascends (self, 's', sent->key, "", sent->offset, &before))
            bn_lab_verdict_broken (verdict, &verdict->out_of_order,
                                   "out of order: %s (key %s) was sent after what is at offset "
                                   "%" PRIu64 ", and is at offset %" PRIu64,
                                   sent->id, sent->key, before, sent->offset);
    }
}

static void s_check_seen (s_court_t *self)
{
    for (size_t i = 0; self->it->seen && i < self->it->seen->count; i++) {
        const bn_lab_event_t *seen = &self->it->seen->events[i];
        const bn_lab_event_t *event = bn_lab_history_at (self->it->journal, seen->offset);
        if (!event || strcmp (event->id, seen->id))
            bn_lab_verdict_broken (
                self->verdict, &self->verdict->lost,
                "lost: %s (topic %s) could be seen at offset %" PRIu64 "; now there is %s",
                seen->id, seen->topic, seen->offset, event ? event->id : "nothing");
    }
}

/*  ---- what must be there once ---- */

static void s_check_twice (s_court_t *self, const bn_lab_event_t *event)
{
    bn_lab_verdict_t *verdict = self->verdict;
    if (s_count_up (self, 'i', event->source, event->id) > 1) {
        bool is_effect = s_is_dead_letter (event) || *event->cause;
        bn_lab_verdict_broken (verdict, is_effect ? &verdict->double_effects : &verdict->duplicated,
                               "%s: %s of %s is again at offset %" PRIu64,
                               is_effect ? "double effect" : "duplicated", event->id, event->source,
                               event->offset);
    } else if (!bn_map_get_str (self->by_id, event->id) &&
               !bn_map_put_str (self->by_id, event->id, (void *)(uintptr_t)event, NULL))
        self->no_memory = true;
}

/*  An effect or a dead letter, and the event that it comes from.  */
static void s_check_effect (s_court_t *self, const bn_lab_event_t *event,
                            const bn_lab_event_t *cause)
{
    bn_lab_verdict_t *verdict = self->verdict;
    const char *actor = s_actor_of (event);
    uint64_t before;
    if (*cause->key && !s_ascends (self, 'o', actor, cause->key, cause->offset, &before))
        bn_lab_verdict_broken (verdict, &verdict->out_of_order,
                               "out of order: %s had done with offset %" PRIu64
                               " of key %s, and then with offset %" PRIu64 " (at offset %" PRIu64
                               ")",
                               actor, before, cause->key, cause->offset, event->offset);
    if (s_is_dead_letter (event)) {
        if (s_count_up (self, 'd', actor, cause->id) > 1)
            bn_lab_verdict_broken (verdict, &verdict->double_effects,
                                   "double effect: a second dead letter of %s for %s at offset "
                                   "%" PRIu64,
                                   actor, cause->id, event->offset);
    } else
        s_count_up (self, 'e', actor, cause->id);
    if (s_counted (self, 'd', actor, cause->id) && s_counted (self, 'e', actor, cause->id))
        bn_lab_verdict_broken (verdict, &verdict->double_effects,
                               "double effect: %s has given %s up and has effects of it (offset "
                               "%" PRIu64 ")",
                               actor, cause->id, event->offset);
    for (size_t i = 0; i < self->it->effect_count && !s_is_dead_letter (event); i++) {
        const bn_lab_effect_t *effect = &self->it->effects[i];
        char number[32];
        if (strcmp (effect->actor, actor) || strcmp (effect->to, event->topic))
            continue;
        snprintf (number, sizeof number, "%zu", i);
        if (s_count_up (self, 'n', number, cause->id) > 1)
            bn_lab_verdict_broken (verdict, &verdict->double_effects,
                                   "double effect: %s has emitted one more %s for %s at offset "
                                   "%" PRIu64,
                                   actor, event->topic, cause->id, event->offset);
    }
}

static void s_check_journal (s_court_t *self)
{
    const bn_lab_history_t *journal = self->it->journal;
    for (size_t i = 0; i < journal->count; i++)
        s_check_twice (self, &journal->events[i]);
    for (size_t i = 0; i < journal->count; i++) {
        const bn_lab_event_t *event = &journal->events[i];
        const bn_lab_event_t *cause = NULL;
        if (s_is_dead_letter (event)) {
            self->verdict->dead_letters++;
            cause = bn_lab_history_at (journal, event->dead_offset);
        } else if (*event->cause)
            cause = bn_map_get_str (self->by_id, event->cause);
        if (cause && s_actor_of (event))
            s_check_effect (self, event, cause);
    }
    self->verdict->journal = journal->count;
}

/*  Declared effects that are missing.  */
static void s_check_missing (s_court_t *self)
{
    for (size_t i = 0; i < self->it->effect_count; i++) {
        const bn_lab_effect_t *effect = &self->it->effects[i];
        char number[32];
        snprintf (number, sizeof number, "%zu", i);
        for (size_t k = 0; k < self->it->journal->count; k++) {
            const bn_lab_event_t *event = &self->it->journal->events[k];
            if (s_is_dead_letter (event) ||
                !bn_pattern_matches (effect->from, strlen (effect->from), event->topic,
                                     strlen (event->topic)) ||
                s_counted (self, 'n', number, event->id) ||
                s_counted (self, 'd', effect->actor, event->id))
                continue;
            bn_lab_verdict_broken (self->verdict, &self->verdict->lost,
                                   "lost: %s has neither emitted %s for %s (offset %" PRIu64
                                   ") nor given it up",
                                   effect->actor, effect->to, event->id, event->offset);
        }
    }
}

/*  ---- how long it took ---- */

static bn_lab_phase_t s_phase_of (const bn_lab_case_t *it, uint64_t due_us)
{
    if (!it->trouble_from_us || due_us < it->trouble_from_us)
        return BN_LAB_BEFORE;
    return due_us <= it->trouble_to_us ? BN_LAB_DURING : BN_LAB_AFTER;
}

static int s_ascending (const void *left_p, const void *right_p)
{
    uint64_t left = *(const uint64_t *)left_p, right = *(const uint64_t *)right_p;
    return left < right ? -1 : left > right;
}

static bn_lab_latency_t s_summary (uint64_t *values, size_t count)
{
    if (!count)
        return (bn_lab_latency_t){0};
    qsort (values, count, sizeof *values, s_ascending);
    return (bn_lab_latency_t){.count = count,
                              .p50_us = values[(count - 1) / 2],
                              .p99_us = values[(count - 1) * 99 / 100],
                              .max_us = values[count - 1]};
}

/*  When the last effect of each event of the load was seen: by the event's place + 1, in the order
 *  of `sent`; 0: it has none. Owned by the caller; NULL: no memory.  */
static uint64_t *s_last_effects (s_court_t *self)
{
    const bn_lab_log_t *sent = self->it->sent;
    uint64_t *done_us = calloc (sent->count + 1, sizeof *done_us);
    bn_map_t *places = bn_map_new ();
    bool fine = done_us && places;
    for (size_t i = 0; i < sent->count && fine; i++)
        fine = bn_map_put_str (places, sent->events[i].id, (void *)(uintptr_t)(i + 1), NULL);
    for (size_t i = 0; fine && self->it->seen && i < self->it->seen->count; i++) {
        const bn_lab_event_t *event = &self->it->seen->events[i];
        uintptr_t place = *event->correlation && !s_is_dead_letter (event)
                              ? (uintptr_t)bn_map_get_str (places, event->correlation)
                              : 0;
        if (place && event->seen_us > done_us[place])
            done_us[place] = event->seen_us;
    }
    if (places)
        bn_map_destroy (&places);
    if (fine)
        return done_us;
    free (done_us);
    return NULL;
}

static bool s_measure (s_court_t *self)
{
    const bn_lab_log_t *sent = self->it->sent;
    uint64_t *done_us = s_last_effects (self);
    uint64_t *receipts = calloc (sent->count + 1, sizeof *receipts);
    uint64_t *dones = calloc (sent->count + 1, sizeof *dones);
    bool fine = done_us && receipts && dones;
    for (bn_lab_phase_t phase = BN_LAB_BEFORE; fine && phase < BN_LAB_PHASES; phase++) {
        size_t receipt_count = 0, done_count = 0;
        for (size_t i = 0; i < sent->count; i++) {
            const bn_lab_sent_t *event = &sent->events[i];
            if (!event->receipt_us || s_phase_of (self->it, event->due_us) != phase)
                continue;
            if (event->receipt_us >= event->due_us)
                receipts[receipt_count++] = event->receipt_us - event->due_us;
            if (done_us[i + 1] >= event->due_us)
                dones[done_count++] = done_us[i + 1] - event->due_us;
        }
        self->verdict->receipt[phase] = s_summary (receipts, receipt_count);
        self->verdict->done[phase] = s_summary (dones, done_count);
    }
    free (done_us);
    free (receipts);
    free (dones);
    return fine;
}

baton_err_t bn_lab_judge (bn_lab_verdict_t *verdict, const bn_lab_case_t *it)
{
    s_court_t self = {.it = it,
                      .verdict = verdict,
                      .by_id = bn_map_new (),
                      .counts = bn_map_new (),
                      .last = bn_map_new ()};
    *verdict = (bn_lab_verdict_t){0};
    bool fine = self.by_id && self.counts && self.last;
    if (fine) {
        s_check_receipts (&self);
        s_check_seen (&self);
        s_check_journal (&self);
        s_check_missing (&self);
        fine = s_measure (&self) && !self.no_memory;
    }
    bn_map_t **maps[] = {&self.by_id, &self.counts, &self.last};
    for (size_t i = 0; i < 3; i++)
        if (*maps[i])
            bn_map_destroy (maps[i]);
    return fine ? BATON_OK : BATON_ERR_MEMORY;
}
