/* SPDX-License-Identifier: MPL-2.0 */

/*  producer_courier.c - the courier half of a producer: see producer.c.  */

#include "base/assert.h"
#include "client/producer_internal.h"
#include "shell/clock.h"
#include "shell/log.h"
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define LINK_MESSAGES_MAX 64
#define POLL_MS_MAX       1000

/*  A publisher that sends for the courier does not wake it: the request's deadline is seen when the
 *  sleep that it lies behind is over.  */
_Static_assert(POLL_MS_MAX <= BN_ANSWER_TIMEOUT_MS, "no sleep passes over a deadline");

/*  What a batch of receipts changes, gathered so that the lock is taken once for all of them.  */
typedef struct {
    size_t bytes;
    uint64_t receipted;
    uint64_t refused;
    baton_err_t refusal;
    const char *text; /* of the last refusal; borrowed */
} receipts_t;

static void report (baton_producer_t *self, uint64_t ticket, baton_err_t err, uint64_t offset)
{
    bn_assert (ticket == self->reported_ticket + 1); /* P1 */
    self->reported_ticket = ticket;
    if (self->on_receipt)
        self->on_receipt (ticket, err, offset, self->on_receipt_arg);
}

static void take_receipt (baton_producer_t *self, receipts_t *receipts,
                          const bn_outbox_effect_t *effect)
{
    report (self, effect->ticket, effect->err, effect->offset);
    receipts->bytes += effect->bytes;
    if (!effect->err) {
        receipts->receipted += effect->events;
        return;
    }
    receipts->refused += effect->events;
    receipts->text = effect->text ? effect->text : baton_err_text (effect->err);
    if (!receipts->refusal)
        receipts->refusal = effect->err;
}

static void note_receipts (baton_producer_t *self, const receipts_t *receipts)
{
    if (self->reported_ticket == self->done_ticket) /* only this thread changes either */
        return;
    pthread_mutex_lock (&self->lock);
    self->done_ticket = self->reported_ticket;
    bn_assert (receipts->bytes <= self->inflight_bytes); /* P3 */
    self->inflight_bytes -= receipts->bytes;
    self->stats.receipted += receipts->receipted;
    self->stats.refused += receipts->refused;
    if (!self->refusal)
        self->refusal = receipts->refusal;
    if (receipts->text)
        snprintf (self->stats.last_error, sizeof self->stats.last_error, "%s", receipts->text);
    pthread_cond_broadcast (&self->changed);
    pthread_mutex_unlock (&self->lock);
}

static void fail (baton_producer_t *self, baton_err_t err, const char *text)
{
    bn_log (BN_LOG_ERROR, "the producer stops: %s", text ? text : baton_err_text (err));
    self->ended = true;
    pthread_mutex_lock (&self->lock);
    self->failed = err;
    snprintf (self->stats.last_error, sizeof self->stats.last_error, "%s",
              text ? text : baton_err_text (err));
    pthread_cond_broadcast (&self->changed);
    pthread_mutex_unlock (&self->lock);
}

static void step_outbox (baton_producer_t *self, bn_outbox_event_t event)
{
    event.now = bn_clock_now ();
    event.random = bn_prng_next (&self->prng);
    self->now_ms = event.now.mono_ms;
    bn_outbox_step (self->outbox, &event, &self->effects);
}

static void do_effects (baton_producer_t *self)
{
    /*  An effect was lost: there is no telling which.  */
    if (self->effects.failed)
        fail (self, BATON_ERR_MEMORY, NULL);
    receipts_t receipts = {.bytes = 0};
    for (size_t i = 0; i < self->effects.count && !self->ended; i++) {
        bn_outbox_effect_t *effect = &self->effects.items[i];
        switch (effect->kind) {
        case BN_OUTBOX_SEND:
            bn_link_send (self->link, effect->head, effect->payloads, effect->payload_count,
                          self->now_ms);
            break;
        case BN_OUTBOX_RECEIPT:
            take_receipt (self, &receipts, effect);
            break;
        case BN_OUTBOX_RESET_LINK:
            bn_link_reset (self->link, self->now_ms);
            break;
        case BN_OUTBOX_LOG:
            bn_log (effect->level, "%s", effect->text);
            break;
        case BN_OUTBOX_FATAL:
            fail (self, effect->err, effect->text);
            break;
        }
    }
    note_receipts (self, &receipts);
    bn_outbox_effects_clear (&self->effects);
}

static void step (baton_producer_t *self, bn_outbox_event_t event)
{
    step_outbox (self, event);
    do_effects (self);
}

/*  Takes the whole list and gives it to the outbox, if it has so many bytes, and any at all. False:
 *  it has not, and who makes it so wakes this thread.  */
static bool take_groups (baton_producer_t *self, size_t bytes)
{
    pthread_mutex_lock (&self->lock);
    bn_outbox_groups_t groups = {.bytes = 0};
    bool taken = self->list.first && self->list.bytes >= bytes;
    if (taken)
        bn_outbox_groups_join (&groups, &self->list);
    self->wanted_bytes = taken ? SIZE_MAX : bytes;
    self->ended |= self->closing;
    pthread_mutex_unlock (&self->lock);
    if (taken && !self->ended)
        step (self, (bn_outbox_event_t){.kind = BN_OUTBOX_GROUPS, .groups = &groups});
    bn_outbox_groups_destroy (&groups);
    return taken;
}

void bn_producer_wake (baton_producer_t *self)
{
    uint64_t one = 1;
    ssize_t rc = write (self->wake_fd, &one, sizeof one);
    bn_assert (rc == sizeof one);
}

static void note_wake (baton_producer_t *self)
{
    uint64_t count;
    ssize_t rc = read (self->wake_fd, &count, sizeof count);
    bn_assert (rc == sizeof count || errno == EAGAIN || errno == EINTR);
    pthread_mutex_lock (&self->lock);
    self->ended |= self->closing;
    pthread_mutex_unlock (&self->lock);
}

static void note_connection (baton_producer_t *self, bool up)
{
    bool welcomed = up && bn_outbox_partitions (self->outbox) > 0;
    if (welcomed == self->stats.connected) /* only this thread changes it */
        return;
    pthread_mutex_lock (&self->lock);
    self->stats.reconnects += welcomed && self->welcomed;
    self->welcomed |= welcomed;
    self->stats.connected = welcomed;
    pthread_cond_broadcast (&self->changed);
    pthread_mutex_unlock (&self->lock);
}

static void read_link (baton_producer_t *self)
{
    for (int i = 0; i < LINK_MESSAGES_MAX && !self->ended; i++) {
        if (!bn_link_receive (self->link, &self->inbound, SIZE_MAX, self->now_ms))
            break;
        step (self, (bn_outbox_event_t){.kind = BN_OUTBOX_MESSAGE,
                                        .frames = self->inbound.frames,
                                        .frame_count = self->inbound.count});
        note_connection (self, true);
    }
}

static void follow_link (baton_producer_t *self)
{
    bn_link_change_t change;
    while (!self->ended && (change = bn_link_advance (self->link, self->now_ms)) != BN_LINK_SAME) {
        bool up = change == BN_LINK_CAME_UP;
        if (!up)
            note_connection (self, false);
        step (self, (bn_outbox_event_t){.kind = up ? BN_OUTBOX_LINK_UP : BN_OUTBOX_LINK_DOWN});
    }
}

/*  What a publisher found to do, and left.  */
static void do_left (baton_producer_t *self)
{
    if (self->unsent)
        bn_link_reset (self->link, self->now_ms);
    self->unsent = false;
    do_effects (self);
}

static void turn (baton_producer_t *self)
{
    bn_wait_item_t items[1 + BN_LINK_WAIT_ITEMS] = {{.fd = self->wake_fd}};
    bn_link_wait_items (self->link, &items[1]);
    bn_wait_ask (items, 1 + BN_LINK_WAIT_ITEMS);
    uint64_t due_ms = bn_outbox_due_ms (self->outbox);
    if (bn_link_due_ms (self->link) < due_ms)
        due_ms = bn_link_due_ms (self->link);
    uint64_t now_ms = bn_clock_now ().mono_ms;
    uint64_t wait_ms = due_ms <= now_ms ? 0 : due_ms - now_ms;
    pthread_mutex_unlock (&self->machine);
    bn_wait_sleep (items, 1 + BN_LINK_WAIT_ITEMS,
                   (long)(wait_ms < POLL_MS_MAX ? wait_ms : POLL_MS_MAX));
    pthread_mutex_lock (&self->machine);
    bn_link_waited (self->link, &items[1]);
    self->now_ms = bn_clock_now ().mono_ms;
    do_left (self);
    if (items[0].ready)
        note_wake (self);
    read_link (self);
    follow_link (self);
    if (!self->ended && bn_clock_now ().mono_ms >= bn_outbox_due_ms (self->outbox))
        step (self, (bn_outbox_event_t){.kind = BN_OUTBOX_TICK});
    size_t wanted;
    do
        wanted = bn_outbox_wants (self->outbox);
    while (!self->ended && wanted != SIZE_MAX && take_groups (self, wanted));
}

/*  Everything without a receipt is given up, also what is published until `failed` is seen.  */
static void abandon (baton_producer_t *self)
{
    take_groups (self, 0);
    pthread_mutex_lock (&self->lock);
    baton_err_t err = self->failed ? self->failed : BATON_ERR_CLOSED;
    uint64_t last_ticket = self->last_ticket;
    pthread_mutex_unlock (&self->lock);
    while (self->reported_ticket < last_ticket)
        report (self, self->reported_ticket + 1, err, BN_NO_OFFSET);
    pthread_mutex_lock (&self->lock);
    self->done_ticket = last_ticket;
    self->inflight_bytes = 0;
    self->stats.connected = false;
    pthread_cond_broadcast (&self->changed);
    pthread_mutex_unlock (&self->lock);
}

void *bn_producer_courier (void *producer)
{
    baton_producer_t *self = producer;
    pthread_mutex_lock (&self->machine);
    while (!self->ended)
        turn (self);
    abandon (self);
    pthread_mutex_unlock (&self->machine);
    return NULL;
}

/*  ---- a publisher in the courier's place --------------------------------------------------- */

bool bn_producer_may_send (baton_producer_t *self, const bn_outbox_group_t *group)
{
    /*  libzmq does not work in a child of fork, and would not say so.  */
    if (group->bytes > BN_SMALL_BYTES || getpid () != self->pid ||
        pthread_mutex_trylock (&self->machine) != 0)
        return false;
    /*  An outbox that waits for nothing on a link that is up has nothing else to send.  */
    bool idle = bn_link_is_up (self->link) && bn_outbox_due_ms (self->outbox) == UINT64_MAX;
    if (!idle) {
        pthread_mutex_unlock (&self->machine);
        return false;
    }
    bn_assert (self->list.first == group && !group->next);
    bn_outbox_groups_shift (&self->list);
    self->wanted_bytes = bn_outbox_pipeline_bytes (self->outbox);
    return true;
}

void bn_producer_send (baton_producer_t *self, bn_outbox_group_t *group)
{
    bn_assert (self->effects.count == 0 && !self->unsent && !self->ended); /* P4 */
    bn_outbox_groups_t groups = {.bytes = 0};
    bn_outbox_groups_add (&groups, group);
    step_outbox (self, (bn_outbox_event_t){.kind = BN_OUTBOX_GROUPS, .groups = &groups});
    const bn_outbox_effect_t *effect = self->effects.items;
    bool sends =
        !self->effects.failed && self->effects.count == 1 && effect->kind == BN_OUTBOX_SEND;
    if (sends) {
        self->unsent =
            !bn_link_try_send (self->link, effect->head, effect->payloads, effect->payload_count);
        bn_outbox_effects_clear (&self->effects);
    }
    /*  The send may have taken the signal of something that came in.  */
    bn_wait_item_t items[BN_LINK_WAIT_ITEMS];
    bn_link_wait_items (self->link, items);
    bn_wait_ask (items, BN_LINK_WAIT_ITEMS);
    if (!sends || self->unsent || items[0].ready || items[1].ready)
        bn_producer_wake (self);
    pthread_mutex_unlock (&self->machine);
}
