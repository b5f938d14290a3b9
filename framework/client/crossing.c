/* SPDX-License-Identifier: MPL-2.0 */

#include "client/crossing.h"
#include "base/assert.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define NOTHING_IN_HAND 0

struct bn_crossing {
    pthread_mutex_t lock;
    pthread_cond_t given;      /* handlers' side waits for `waiting` or `closed` */
    bn_run_t *waiting;         /* given and not yet taken */
    bn_run_t *returned;        /* given back and not yet collected */
    bn_crossing_facts_t facts; /* of `waiting` */
    bool closed;
    int fd;                       /* eventfd that wakes the courier */
    bn_run_t *out;                /* courier's own: given and not yet collected, or NULL */
    atomic_uint index;            /* of the item in hand; written before deadline_ms */
    _Atomic uint64_t deadline_ms; /* NOTHING_IN_HAND, or of the item in hand */
    atomic_bool stopping;
};

bn_crossing_t *bn_crossing_new (void)
{
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

bn_run_t *bn_crossing_take (bn_crossing_t *self, bn_crossing_facts_t *facts)
{
    pthread_mutex_lock (&self->lock);
    while (!self->waiting && !self->closed)
        pthread_cond_wait (&self->given, &self->lock);
    bn_run_t *run = self->closed ? NULL : self->waiting;
    if (run) {
        self->waiting = NULL;
        *facts = self->facts;
    }
    pthread_mutex_unlock (&self->lock);
    return run;
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
