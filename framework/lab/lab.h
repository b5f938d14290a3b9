/* SPDX-License-Identifier: MPL-2.0 */

/*  lab.h - a system on several hosts of one machine, trouble for it, and a verdict.
 *
 *  A lab is a folder, FOLDER/baton-lab-UID-XXXXXX, with a control socket in it (supervisor/
 *  control.h). Each request is an order (order.h), "status" or "stop"; the answer is JSON:
 *  {"ok":true,"did":"..."} or {"ok":false,"error":"NOT_FOUND","text":"..."}. The lock beside the
 *  socket tells whether the lab lives: what a dead one has left is removed by the next one.
 *
 *  A run has four parts:
 *
 *      START --all actors registered--> RUN --load over, nothing to undo--> DRAIN --lag 0--> STOP
 *
 *  The journal is read before STOP, verified after it, and judged.
 *
 *  One thread: processes, control socket, signals and the time table. The load and the observer
 *  have a thread each.  */
#ifndef BN_LAB_H
#define BN_LAB_H

#include "lab/judge.h"
#include "lab/load.h"
#include "lab/observer.h"
#include "lab/trouble.h"

#define BN_LAB_STEPS_MAX 256
#define BN_LAB_NAMES_MAX 64
#define BN_LAB_PREFIX    "baton-lab-"
#define BN_LAB_NO_LIMIT  UINT64_MAX
#define BN_LAB_FOUND_MAX 32

typedef struct {
    uint64_t at_ms; /* after the load's beginning */
    bn_lab_order_t order;
    char text[BN_LAB_ORDER_BYTES_MAX + 1];
} bn_lab_step_t;

/*  What must hold at the end, beside the guarantees; BN_LAB_NO_LIMIT: anything.  */
typedef struct {
    uint64_t outage_ms;             /* the longest of any actor */
    uint64_t p99_ms[BN_LAB_PHASES]; /* of done; of receipts if nothing is emitted */
    uint64_t dead_min;
    uint64_t dead_max;
    uint64_t events_min;
} bn_lab_expect_t;

typedef struct {
    char ready[BN_LAB_NAMES_MAX][BATON_NAME_BYTES_MAX + 1]; /* actors that must register */
    size_t ready_count;
    bool ready_all; /* and every instance of the plan */
    bn_lab_stream_t streams[BN_LAB_STREAMS_MAX];
    size_t stream_count;
    bn_lab_step_t steps[BN_LAB_STEPS_MAX]; /* ascending */
    size_t step_count;
    bn_lab_effect_t effects[BN_LAB_EFFECTS_MAX];
    size_t effect_count;
    uint64_t start_ms; /* until every actor has registered; default 60 s */
    uint64_t drain_ms; /* until everything is settled; default 60 s */
    bn_lab_expect_t expect;
} bn_lab_drill_t;

void bn_lab_drill_init (bn_lab_drill_t *self);
/*  Forgets the limits of times that it expects.  */
void bn_lab_drill_lenient (bn_lab_drill_t *self);

typedef struct {
    bn_lab_verdict_t verdict;
    uint64_t seed;
    uint64_t troubles[BN_LAB_KIND_COUNT];
    bn_lab_actor_t actors[BN_LAB_ACTORS_MAX];
    size_t actor_count;
    uint64_t outage_ms; /* the longest */
    double seconds;     /* of RUN and DRAIN */
    bool judged;        /* the run came to its end; else `failure` says why not */
    bool interrupted;
    char failure[512];
    char unexpected[512]; /* a process that ended as no order explains; "" */
    uint32_t unexpected_count;
    char missed[8][160]; /* expectations that failed, and orders that could not be carried out */
    size_t missed_count;
    char folder[PATH_MAX]; /* that was kept; "" */
} bn_lab_result_t;

/*  True if guarantees and expectations hold.  */
bool bn_lab_result_ok (const bn_lab_result_t *self);

typedef struct {
    const bn_lab_plan_t *plan;
    const bn_lab_drill_t *drill; /* NULL: `lab up`: runs until it is stopped */
    const char *program;         /* the baton that runs */
    uint32_t hosts;
    bool loopback;
    uint64_t disk_bytes; /* 0: the orchestrator's data is on the machine's disk */
    uint64_t seed;
    bool keep;            /* the folder stays */
    bool loud;            /* the processes' output, too */
    bn_lab_tell_fn *tell; /* each trouble, as it happens; and what the lab is */
    void *tell_arg;
} bn_lab_options_t;

/*  Runs it to its end, or until SIGINT, SIGTERM or SIGHUP (a second one kills). Must be called
 *  before any other thread is made. Errors: SYSTEM, MEMORY and the like, with result->failure.  */
baton_err_t bn_lab_run (const bn_lab_options_t *options, bn_lab_result_t *result);

/*  ---- labs that are there ---- */
typedef struct {
    char folder[PATH_MAX];
    bool alive;
    bool kept; /* dead, and meant to be looked at */
} bn_lab_found_t;

/*  Labs of this user; returns how many, at most BN_LAB_FOUND_MAX.  */
size_t bn_lab_find (bn_lab_found_t found[BN_LAB_FOUND_MAX]);
/*  Removes what dead labs have left, those that were kept as well if `all`. Returns how many.  */
size_t bn_lab_clean (bool all);

#endif
