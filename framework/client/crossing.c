/* SPDX-License-Identifier: MPL-2.0 */

#include "client/crossing.h"
#include "base/assert.h"
#include "shell/clock.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define NOTHING_IN_HAND 0
#define IDLE_LOOKS      3 /* without a run: the stand-in sleeps until it is woken */

/*  Where the handler thread is, and with it the courier.  */
enum {
    HERE,  /* at the courier, or without it in take */
    AWAY,  /* in handlers, and the courier is there for the taking */
    TAKEN, /* the courier is the stand-in's */
};

struct bn_crossing {
    pthread_mutex_t lock;
    pthread_cond_t given;      /* handlers' side waits for `waiting` or `closed` */
    bn_run_t *waiting;         /* given and not yet taken */
    bn_run_t *returned;        /* given back and not yet collected */
    bn_crossing_facts_t facts; /* of `waiting` */
    bool handed_back;          /* the courier is the handler thread's again */
    bool closed;
    pthread_cond_t watch; /* clock monotonic; the stand-in waits: `watched` or `closed` */
    uint32_t watch_ms;
    uint32_t watch_ms_max;
    atomic_uint away;
    atomic_uint leaves;           /* how often the handler thread has left */
    atomic_bool watched;          /* the stand-in looks now and then; else it sleeps */
    int fd;                       /* eventfd that wakes the courier */
    bn_run_t *out;                /* courier's own: given or left with, not yet collected or back */
    atomic_uint index;            /* of the item in hand; written before deadline_ms */
    _Atomic uint64_t deadline_ms; /* NOTHING_IN_HAND, or of the item in hand */
    atomic_bool stopping;
};

bn_crossing_t *bn_crossing_new (uint32_t watch_ms, uint32_t watch_ms_max)
{
    bn_assert (watch_ms > 0 && watch_ms <= watch_ms_max);
    bn_crossing_t *self = calloc (1, sizeof *self);
    if (!self)
        return NULL;
    self->fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (self->fd < 0) {
        free (self);
        return NULL;
    }
    pthread_mutex_init (&self->lock, NULL);
    pthread_cond_init (&self->given, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init (&monotonic);
    pthread_condattr_setclock (&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init (&self->watch, &monotonic);
    pthread_condattr_destroy (&monotonic);
    self->watch_ms = watch_ms;
    self->watch_ms_max = watch_ms_max;
    return self;
}

void bn_crossing_destroy (bn_crossing_t **self_p)
{
    bn_crossing_t *self = *self_p;
    if (!self)
        return;
    bn_run_destroy (&self->waiting);
    bn_run_destroy (&self->returned);
    pthread_cond_destroy (&self->given);
    pthread_cond_destroy (&self->watch);
    pthread_mutex_destroy (&self->lock);
    close (self->fd);
    free (self);
    *self_p = NULL;
}

int bn_crossing_fd (const bn_crossing_t *self)
{
    return self->fd;
}

void bn_crossing_acknowledge (bn_crossing_t *self)
{
    uint64_t count;
    ssize_t rc = read (self->fd, &count, sizeof count);
    bn_assert (rc == sizeof count || errno == EAGAIN || errno == EINTR);
}

/*  Async-signal-safe. The counter of an eventfd cannot overflow here: EAGAIN would mean that it is
 *  readable anyway.  */
static void wake (bn_crossing_t *self)
{
    int saved = errno;
    uint64_t one = 1;
    ssize_t rc = write (self->fd, &one, sizeof one);
    (void)rc;
    errno = saved;
}

void bn_crossing_give (bn_crossing_t *self, bn_run_t *run, const bn_crossing_facts_t *facts)
{
    bn_assert (!self->out);
    self->out = run;
    pthread_mutex_lock (&self->lock);
    self->waiting = run;
    self->facts = *facts;
    pthread_cond_signal (&self->given);
    pthread_mutex_unlock (&self->lock);
}

bn_run_t *bn_crossing_collect (bn_crossing_t *self)
{
    pthread_mutex_lock (&self->lock);
    bn_run_t *run = self->returned;
    self->returned = NULL;
    pthread_mutex_unlock (&self->lock);
    if (run)
        self->out = NULL;
    return run;
}

bool bn_crossing_is_out (const bn_crossing_t *self)
{
    return self->out != NULL;
}

void bn_crossing_close (bn_crossing_t *self)
{
    atomic_store (&self->stopping, true);
    pthread_mutex_lock (&self->lock);
    self->closed = true;
    pthread_cond_signal (&self->given);
    pthread_cond_signal (&self->watch);
    pthread_mutex_unlock (&self->lock);
}

/*  The index is written while nothing is in hand, so that a deadline between two equal reads of the
 *  index belongs to it.  */
bool bn_crossing_in_hand (const bn_crossing_t *self, bn_in_hand_t *in_hand)
{
    if (!self->out)
        return false;
    uint32_t index = atomic_load (&self->index);
    uint64_t deadline_ms = atomic_load (&self->deadline_ms);
    if (deadline_ms == NOTHING_IN_HAND || index != atomic_load (&self->index))
        return false;
    bn_assert (index < self->out->count);
    *in_hand = (bn_in_hand_t){.offset = self->out->items[index].offset,
                              .partition = self->out->items[index].partition,
                              .index = index,
                              .deadline_ms = deadline_ms};
    return true;
}

/*  What the stand-in knows from one look to the next.  */
typedef struct {
    unsigned leaves;  /* at the last look */
    unsigned idle;    /* looks in a row without a run */
    uint32_t next_ms; /* until the next look */
} watch_t;

/*  One look, under the lock, next_ms after the last one. True: the courier is taken over.  */
static bool look (bn_crossing_t *self, watch_t *watch)
{
    unsigned leaves = atomic_load (&self->leaves);
    if (leaves != watch->leaves) {
        watch->leaves = leaves;
        watch->idle = 0;
        watch->next_ms =
            watch->next_ms < self->watch_ms_max / 2 ? watch->next_ms * 2 : self->watch_ms_max;
        return false;
    }
    unsigned expected = AWAY;
    if (atomic_compare_exchange_strong (&self->away, &expected, TAKEN))
        return true;
    if (++watch->idle < IDLE_LOOKS)
        return false;
    watch->idle = 0;
    watch->next_ms = self->watch_ms;
    /*  In this order: bn_crossing_leave counts first and asks then. So either it sees that nobody
     *  looks, or this sees that it has left.  */
    atomic_store (&self->watched, false);
    if (atomic_load (&self->leaves) != watch->leaves)
        atomic_store (&self->watched, true);
    return false;
}

bool bn_crossing_stand_in (bn_crossing_t *self)
{
    bool taken = false;
    pthread_mutex_lock (&self->lock);
    watch_t watch = {.leaves = atomic_load (&self->leaves) - 1, /* no run is known yet */
                     .next_ms = self->watch_ms};
    while (!self->closed && !taken) {
        if (!atomic_load (&self->watched)) {
            pthread_cond_wait (&self->watch, &self->lock);
            continue;
        }
        uint64_t until_ns = bn_clock_mono_ns () + (uint64_t)watch.next_ms * 1000000;
        struct timespec until = {.tv_sec = (time_t)(until_ns / 1000000000),
                                 .tv_nsec = (long)(until_ns % 1000000000)};
        if (pthread_cond_timedwait (&self->watch, &self->lock, &until) == ETIMEDOUT)
            taken = look (self, &watch);
    }
    pthread_mutex_unlock (&self->lock);
    return taken;
}

void bn_crossing_hand_back (bn_crossing_t *self)
{
    bn_assert (!self->out);
    pthread_mutex_lock (&self->lock);
    self->handed_back = true;
    atomic_store (&self->away, HERE);
    pthread_cond_signal (&self->given);
    pthread_mutex_unlock (&self->lock);
}

void bn_crossing_leave (bn_crossing_t *self, bn_run_t *run)
{
    bn_assert (!self->out);
    self->out = run;
    atomic_fetch_add (&self->leaves, 1);
    atomic_store (&self->away, AWAY);
    if (atomic_load (&self->watched))
        return;
    pthread_mutex_lock (&self->lock);
    atomic_store (&self->watched, true);
    pthread_cond_signal (&self->watch);
    pthread_mutex_unlock (&self->lock);
}

bool bn_crossing_back (bn_crossing_t *self)
{
    unsigned expected = AWAY;
    if (!atomic_compare_exchange_strong (&self->away, &expected, HERE))
        return false;
    self->out = NULL;
    return true;
}

bn_crossing_taken_t bn_crossing_take (bn_crossing_t *self, bn_run_t **run,
                                      bn_crossing_facts_t *facts)
{
    bn_crossing_taken_t taken = BN_CROSSING_CLOSED;
    pthread_mutex_lock (&self->lock);
    while (!self->waiting && !self->handed_back && !self->closed)
        pthread_cond_wait (&self->given, &self->lock);
    if (!self->closed && self->waiting) {
        taken = BN_CROSSING_RUN;
        *run = self->waiting;
        *facts = self->facts;
        self->waiting = NULL;
    } else if (!self->closed) {
        taken = BN_CROSSING_COURIER;
        self->handed_back = false;
    }
    pthread_mutex_unlock (&self->lock);
    return taken;
}

void bn_crossing_begin (bn_crossing_t *self, uint32_t index, uint64_t deadline_ms)
{
    atomic_store_explicit (&self->index, index, memory_order_release);
    atomic_store_explicit (&self->deadline_ms, deadline_ms, memory_order_release);
}

void bn_crossing_extend (bn_crossing_t *self, uint64_t deadline_ms)
{
    uint64_t now = atomic_load (&self->deadline_ms);
    if (now != NOTHING_IN_HAND && deadline_ms > now)
        atomic_store (&self->deadline_ms, deadline_ms);
}

void bn_crossing_end (bn_crossing_t *self)
{
    atomic_store_explicit (&self->deadline_ms, NOTHING_IN_HAND, memory_order_release);
}

void bn_crossing_give_back (bn_crossing_t *self, bn_run_t *run)
{
    bn_assert (atomic_load (&self->deadline_ms) == NOTHING_IN_HAND);
    pthread_mutex_lock (&self->lock);
    self->returned = run;
    pthread_mutex_unlock (&self->lock);
    wake (self);
}

void bn_crossing_stop (bn_crossing_t *self)
{
    atomic_store (&self->stopping, true);
    wake (self);
}

bool bn_crossing_stopping (const bn_crossing_t *self)
{
    return atomic_load (&self->stopping);
}
