/* SPDX-License-Identifier: MPL-2.0 */

/*  bench.h - what the process that was asked for a benchmark and its children share.
 *
 *  The children are this program again, with a hidden --role. They say on standard output:
 *
 *    orchestrator   "ready ENDPOINT", and on SIGTERM "result JSON"
 *    actor          "handled N" now and then, and on SIGTERM, drained, "result JSON"
 *    producer       "result JSON" when everything has its receipt
 *
 *  JSON: {"events":N,"first_ns":T,"last_ns":T,"user_us":T,"system_us":T,"memory_kib":N,
 *  "latency":HISTOGRAM}, of a producer also "late":HISTOGRAM, how late it woke; user_us and
 *  system_us are processor time of the whole life of the process, memory_kib is the most that it
 *  had resident; times are CLOCK_MONOTONIC, which is the same in all processes of a machine.  */
#ifndef BN_BENCH_H
#define BN_BENCH_H

#include "cli/histogram.h"
#include "cli/options.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct {
    bn_connect_options_t connect;
    bool connect_set; /* an orchestrator of one's own choosing */
    uint64_t events;  /* in all */
    uint64_t size;    /* bytes of data of an event */
    uint64_t keys;
    uint64_t topics;     /* that events take turns on */
    uint64_t partitions; /* of an orchestrator of ours; 0: its default */
    uint64_t actors;
    uint64_t instances; /* of each actor */
    uint64_t stages;    /* actors in a row; each but the last emits an event for each */
    uint64_t producers;
    uint64_t rate; /* events per second, all producers together; 0: no limit */
    const char *sync;
    uint64_t keep_awake_ms; /* of an orchestrator of ours */
    const char *data_dir;   /* orchestrator: where; else: the folder in which to make one */
    bool as_json;
    /*  of a child  */
    const char *role;
    const char *name; /* of the actor */
    const char *topic;
    const char *emit_to; /* topic of what an actor emits; NULL: it emits nothing */
    uint64_t index;      /* of a producer; start offset of an actor */
} bn_bench_t;

typedef enum { BN_BENCH_ORCHESTRATOR, BN_BENCH_ACTOR, BN_BENCH_PRODUCER } bn_bench_role_t;

typedef struct {
    uint64_t user_us, system_us; /* of all processes of the role */
    uint64_t memory_kib;         /* of the one that had most */
} bn_bench_usage_t;

typedef struct {
    bn_histogram_t receipt, delivery;
    bn_histogram_t late; /* how late the producers' timers were; not counted in the two */
    uint64_t receipts, handled;
    uint64_t first_ns, receipt_last_ns, handled_last_ns;
    bn_bench_usage_t usage[3]; /* by role; zeros for an orchestrator that is not ours */
} bn_bench_totals_t;

typedef struct {
    const char *endpoint;
    const char *filesystem; /* of the journal */
} bn_bench_place_t;

/*  bench_report.c  */
void bn_bench_print (const bn_bench_t *bench, const bn_bench_place_t *place,
                     const bn_bench_totals_t *totals);
void bn_bench_print_json (const bn_bench_t *bench, const bn_bench_place_t *place,
                          const bn_bench_totals_t *totals);

#define BN_BENCH_SIZE_MIN 32 /* room for the time in the data */

int bn_bench_orchestrator (const bn_bench_t *bench);
int bn_bench_actor (const bn_bench_t *bench);
int bn_bench_producer (const bn_bench_t *bench);
baton_err_t bn_bench_sync (const char *text, int *sync); /* ARGUMENT: none of the three */

#endif
