/* SPDX-License-Identifier: MPL-2.0 */

/*  journal_salvage.h - the two halves of `baton journal salvage`: copying what can be read, and
 *  making the state that it adds up to one that an orchestrator can serve.  */
#ifndef BN_JOURNAL_SALVAGE_H
#define BN_JOURNAL_SALVAGE_H

#include <baton/error.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct {
    const char *directory; /* the damaged one; only read */
    const char *target;    /* made */
    bool as_json;
    uint64_t partitions; /* if nothing else tells; 0: not given */
} bn_salvage_options_t;

/*  Exit code: 0 nothing was lost, 1 something was, 3 it could not be done.  */
int bn_salvage_run (const bn_salvage_options_t *options);

/*  Offsets [from, to) that were lost.  */
typedef struct {
    uint64_t from;
    uint64_t to;
} bn_salvage_hole_t;

typedef void (bn_salvage_remark_fn) (const char *text, void *arg);

/*  Opens the new data directory as an orchestrator does. If records were lost, appends to it: what
 *  waits for a lost event waits no longer, actors without registration are forgotten, and every
 *  owner of a partition is fenced. `remark` hears of each.  */
baton_err_t bn_salvage_tidy (const char *directory, const bn_salvage_hole_t *holes,
                             uint64_t hole_count, bool lost, bn_salvage_remark_fn *remark,
                             void *arg, char detail[512]);

#endif
