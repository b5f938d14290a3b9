/* SPDX-License-Identifier: MPL-2.0 */

/*  trouble.h - carries orders out, and undoes each when its time is over.
 *
 *  INVARIANT T1: whatever an order breaks has an entry in the list of what is to be undone, made
 *  before it is broken; bn_lab_trouble_heal undoes all of them.
 *
 *  From the lab's one thread.  */
#ifndef BN_LAB_TROUBLE_H
#define BN_LAB_TROUBLE_H

#include "lab/load.h"
#include "lab/processes.h"

typedef struct bn_lab_trouble bn_lab_trouble_t;

typedef struct {
    bn_lab_processes_t *processes; /* all borrowed */
    bn_lab_hosts_t *hosts;
    const bn_lab_plan_t *plan;
    const char *directory; /* of the lab */
    const char *disk;      /* folder of the small disk; NULL: none */
    uint64_t seed;         /* of what is random */
} bn_lab_trouble_options_t;

baton_err_t bn_lab_trouble_new (bn_lab_trouble_t **trouble,
                                const bn_lab_trouble_options_t *options);
void bn_lab_trouble_destroy (bn_lab_trouble_t **self_p);
/*  What poison and burst go through; borrowed.  */
void bn_lab_trouble_load (bn_lab_trouble_t *self, bn_lab_load_t *load);

/*  `says` (256 bytes) gets what was done, or why it was not. Errors: NOT_FOUND (nobody of that name
 *  runs), ARGUMENT (not possible here), LIMIT, and what the system said.  */
baton_err_t bn_lab_trouble_do (bn_lab_trouble_t *self, const bn_lab_order_t *order, char says[256]);

/*  Undoes what is due, makes random trouble that is due. Calls `tell` with a line for each.  */
typedef void (bn_lab_tell_fn) (const char *line, void *arg);
void bn_lab_trouble_poll (bn_lab_trouble_t *self, bn_lab_tell_fn *tell, void *arg);
/*  Undoes everything now, and ends random trouble.  */
void bn_lab_trouble_heal (bn_lab_trouble_t *self, bn_lab_tell_fn *tell, void *arg);
/*  Nothing is left to be undone or to come.  */
bool bn_lab_trouble_quiet (const bn_lab_trouble_t *self);

/*  How often so far, and when the first began and the last was undone (monotonic µs; 0: none). */
uint64_t bn_lab_trouble_count (const bn_lab_trouble_t *self, bn_lab_kind_t kind);
void bn_lab_trouble_span (const bn_lab_trouble_t *self, uint64_t *from_us, uint64_t *to_us);

#endif
