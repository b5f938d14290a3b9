/* SPDX-License-Identifier: MPL-2.0 */

/*  core_world.h - a conductor, mailboxes and a handler in one thread, with random faults between
 *  them.
 *
 *  Time, network, crashes and verdicts come from one seed. The journal is a list in memory; what is
 *  persisted is durable at once. Faults: connections break (what is under way on them is lost),
 *  fan-outs are dropped, instances are killed in the middle of a handler or stopped, handlers run
 *  past their deadline, the orchestrator restarts from its records, the disk is full for a while.
 *
 *  Checked all the time, with the offset and the key in the message:
 *    G3  no event is handled while an earlier one of its key is still to be done, none is done
 *    before it
 *    G4  a settle that is accepted is of the owner (the conductor's check, which must not be needed
 *    twice)
 *    G5  what a handler emitted is in the journal exactly once for each event that was acknowledged
 *    G6  nothing is charged more crashes than happened while it was in a handler
 *  And at the end, without faults: everything is done, nothing is parked.  */
#ifndef CORE_WORLD_H
#define CORE_WORLD_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    uint64_t seed;
    uint32_t instances;
    uint32_t events;
    bool faults;
    bool loud; /* prints what happens */
} world_options_t;

/*  Runs it; fails the cmocka test where something does not hold.  */
void world_run (const world_options_t *options);

#endif
