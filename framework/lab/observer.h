/* SPDX-License-Identifier: MPL-2.0 */

/*  observer.h - follows a system from outside: the journal as it grows, and how its actors do.
 *
 *  A thread with a connection of its own. Each event is noted with the time at which it could be
 *  seen; each SAMPLE_MS the status is asked for. An actor is out while it has events and settles
 *  none, or while nobody answers: the longest such time is its outage, to within a sample (50 ms),
 *  or the time that an unanswered question takes (250 ms).  */
#ifndef BN_LAB_OBSERVER_H
#define BN_LAB_OBSERVER_H

#include "lab/history.h"
#include <baton/event.h>

#define BN_LAB_ACTORS_MAX 64

typedef struct {
    char name[BATON_NAME_BYTES_MAX + 1];
    uint32_t instances; /* that are connected */
    uint64_t lag;
    uint64_t parked;
    uint64_t dead;
    uint64_t settled;
    uint64_t died;
    uint64_t retried;
    uint64_t outage_ms; /* the longest so far */
} bn_lab_actor_t;

typedef struct {
    uint64_t taken_ms; /* monotonic; 0: there was no answer yet */
    uint64_t tail;
    bn_lab_actor_t actors[BN_LAB_ACTORS_MAX];
    size_t actor_count;
    bool disk_full;
    char error[256]; /* why the observer gave up; "" */
} bn_lab_picture_t;

typedef struct bn_lab_observer bn_lab_observer_t;

baton_err_t bn_lab_observer_new (bn_lab_observer_t **observer, const char *endpoint);
/*  Stops the thread.  */
void bn_lab_observer_stop (bn_lab_observer_t *self);
void bn_lab_observer_destroy (bn_lab_observer_t **self_p);
/*  The last picture; from any thread.  */
void bn_lab_observer_look (bn_lab_observer_t *self, bn_lab_picture_t *picture);
/*  From here on outages count (what comes before is starting up).  */
void bn_lab_observer_begin (bn_lab_observer_t *self);

/*  After stop: all that was seen. Borrowed.  */
const bn_lab_history_t *bn_lab_observer_seen (const bn_lab_observer_t *self);

/*  Reads the whole journal, up to what is its end when it begins. Blocks. Errors: UNREACHABLE,
 *  MALFORMED, MEMORY, LIMIT.  */
baton_err_t bn_lab_read_journal (bn_lab_history_t *history, const char *endpoint);

#endif
