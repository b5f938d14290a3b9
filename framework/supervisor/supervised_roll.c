/* SPDX-License-Identifier: MPL-2.0 */

/*  supervised_roll.c - the instances of a service are replaced, one by one.
 *
 *  DESIGN. What is to be done next is found anew each time, from the slots as they are: which of
 *  them run an earlier revision, which ones are not ready. So whatever comes in between (a crash,
 *  another restart, a scale, another order) needs nothing undone. The only thing that is remembered
 *  is `surge`, the number of the successor that was started first:
 *
 *      stop-first    1 old, 2 old --> 1 stops --> 1 new is ready --> 2 stops --> 2 new
 *      start-first   1 old, 2 old --> 3 new is ready --> 1 stops --> 1 new is ready --> 2 stops
 *                    surge:           3                  -           1                  -
 *
 *  With start-first the numbers in use move: the next instance gets the lowest number that nobody
 *  has. Rejected: an extra instance for the whole roll, behind which all numbers are replaced in
 *  place. It keeps the numbers, but of one instance it makes two hand-overs, and the second one is
 *  for nothing but a name.
 *
 *  An old instance that ends by itself while its successor starts comes back as a new one, under
 *  its own number; if no old one is left then, it is the successor that is not needed any more.  */

#include "shell/log.h"
#include "supervisor/supervisor_internal.h"
#include <inttypes.h>

#define PATIENCE_MS 30000 /* for a successor, before it is said that it is waited for */
#define RETRY_MS    1000  /* between two looks whether there is room for one more */

void bn_supervised_revive (bn_supervised_t *self, uint64_t now_ms)
{
    for (size_t i = 0; i < self->slot_count; i++) {
        const bn_child_t *slot = self->slots[i];
        if (slot->state == BN_CHILD_PARKED || slot->state == BN_CHILD_DONE)
            bn_child_revive (self->slots[i], now_ms);
    }
}

void bn_supervised_restart (bn_supervised_t *self, uint64_t now_ms)
{
    self->revision++;
    self->rolling = true;
    self->awaited_ms = 0;
    for (size_t i = 0; i < self->slot_count; i++)
        bn_child_revive (self->slots[i], now_ms);
}

/*  How far it is: what a look at all slots finds.  */
typedef struct {
    bn_child_t *next;          /* runs an earlier revision, and goes next: the first one that is
                                  not ready, else the first one; NULL: none */
    bn_child_t *surge;         /* the successor that was started first; NULL: none */
    const bn_child_t *awaited; /* the first one that is not ready; NULL: all are */
    uint64_t look_ms;          /* when that may have changed by itself */
    bool draining;             /* one that leaves has not ended */
} s_look_t;

static s_look_t s_look (const bn_supervised_t *self, uint64_t now_ms)
{
    s_look_t look = {.look_ms = UINT64_MAX};
    bool next_ready = true;
    for (size_t i = 0; i < self->slot_count; i++) {
        bn_child_t *slot = self->slots[i];
        bool surge = slot->number == self->surge;
        uint64_t when_ms;
        look.draining = look.draining || (slot->leaving && slot->process);
        look.surge = surge ? slot : look.surge;
        if (slot->leaving || slot->state == BN_CHILD_DONE)
            continue;
        bool ready = bn_child_ready (slot, now_ms, &when_ms);
        if (slot->state == BN_CHILD_RUNNING && slot->revision != self->revision) {
            if (!surge && (!look.next || (next_ready && !ready))) {
                look.next = slot;
                next_ready = ready;
            }
        } else if (!ready) {
            look.awaited = look.awaited ? look.awaited : slot;
            look.look_ms = when_ms < look.look_ms ? when_ms : look.look_ms;
        }
    }
    return look;
}

/*  What keeps the others from being replaced is said once: a successor that is not ready, or, NULL,
 *  that there is no room for one. Returns when to look again.  */
static uint64_t s_await (bn_supervised_t *self, const bn_child_t *slot, uint64_t now_ms)
{
    if (!self->awaited_ms) {
        self->awaited_ms = now_ms;
        self->awaited_told = false;
    }
    if (self->awaited_told)
        return UINT64_MAX;
    if (now_ms - self->awaited_ms < PATIENCE_MS)
        return self->awaited_ms + PATIENCE_MS;
    self->awaited_told = true;
    if (slot)
        bn_log (BN_LOG_WARNING, "%s-%" PRIu32 " is not ready yet; the other instances wait for it",
                self->name, slot->number);
    else
        bn_log (BN_LOG_WARNING,
                "%s: there is no room for one more instance (%d of all services), so none is "
                "replaced",
                self->name, BN_SUPERVISOR_INSTANCES_MAX);
    return UINT64_MAX;
}

/*  Starts the successor of one that goes on meanwhile (V4).  */
static uint64_t s_start_first (bn_supervised_t *self, const bn_child_t *next, uint64_t now_ms)
{
    bool room = bn_supervisor_slots (self->supervisor) < BN_SUPERVISOR_INSTANCES_MAX;
    const bn_child_t *slot = room ? bn_supervised_spare (self) : NULL;
    if (!slot) {
        uint64_t told_ms = s_await (self, NULL, now_ms), look_ms = now_ms + RETRY_MS;
        return told_ms < look_ms ? told_ms : look_ms;
    }
    self->awaited_ms = 0;
    self->surge = slot->number;
    bn_log (BN_LOG_INFO, "%s-%" PRIu32 " is being replaced: %s-%" PRIu32 " starts first",
            self->name, next->number, self->name, slot->number);
    return UINT64_MAX; /* what is due is started behind this */
}

/*  The successor is ready, and somebody goes.  */
static void s_hand_over (bn_supervised_t *self, const s_look_t *look, uint64_t now_ms)
{
    bn_child_t *leaving = look->next ? look->next : look->surge;
    if (leaving != look->surge)
        bn_log (BN_LOG_INFO, "%s-%" PRIu32 " is stopped: %s-%" PRIu32 " is ready", self->name,
                leaving->number, self->name, self->surge);
    else
        bn_log (BN_LOG_INFO, "%s-%" PRIu32 " is stopped: enough others are ready", self->name,
                leaving->number);
    self->surge = 0;
    bn_child_stop (leaving, now_ms);
}

uint64_t bn_supervised_roll (bn_supervised_t *self, uint64_t now_ms)
{
    if (!self->rolling)
        return UINT64_MAX;
    bn_supervised_sweep (self); /* so that numbers are free again */
    s_look_t look = s_look (self, now_ms);
    if (look.surge && !look.draining && look.surge->revision != self->revision &&
        look.surge->state == BN_CHILD_RUNNING) {
        /*  Restarted once more before it was of any use: it is none to wait for.  */
        bn_log (BN_LOG_INFO, "%s-%" PRIu32 " is being replaced", self->name, look.surge->number);
        bn_child_replace (look.surge, now_ms);
        return UINT64_MAX;
    }
    if (look.awaited) {
        uint64_t told_ms = s_await (self, look.awaited, now_ms);
        return told_ms < look.look_ms ? told_ms : look.look_ms;
    }
    if (look.draining) /* V3, V4 */
        return UINT64_MAX;
    if (!look.surge && look.next && self->order == BN_RESTART_START_FIRST)
        return s_start_first (self, look.next, now_ms);
    self->awaited_ms = 0;
    if (look.surge)
        s_hand_over (self, &look, now_ms);
    else if (look.next) {
        bn_log (BN_LOG_INFO, "%s-%" PRIu32 " is being replaced", self->name, look.next->number);
        bn_child_replace (look.next, now_ms); /* V3 */
    } else {
        self->rolling = false;
        bn_log (BN_LOG_INFO, "%s: every instance is replaced", self->name);
    }
    return UINT64_MAX;
}
