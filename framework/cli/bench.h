/* SPDX-License-Identifier: MPL-2.0 */

/*  bench.h - what the process that was asked for a benchmark and its children share.
 *
 *  The children are this program again, with a hidden --role. They say on standard output:
 *
 *    orchestrator   "ready ENDPOINT"
 *    actor          "handled N" now and then, and on SIGTERM, drained, "result JSON"
 *    producer       "result JSON" when everything has its receipt
 *
 *  JSON: {"events":N,"first_ns":T,"last_ns":T,"latency":HISTOGRAM}; times are CLOCK_MONOTONIC,
 *  which is the same in all processes of a machine.  */
#ifndef BN_BENCH_H
#define BN_BENCH_H

#include "cli/options.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct {
    bn_connect_options_t connect;
    bool connect_set; /* an orchestrator of one's own choosing */
    uint64_t events;  /* in all */
    uint64_t size;    /* bytes of data of an event */
    uint64_t keys;
    uint64_t actors;
    uint64_t instances; /* of each actor */
    uint64_t producers;
    uint64_t rate; /* events per second, all producers together; 0: no limit */
    const char *sync;
    const char *data_dir; /* orchestrator: where; else: the folder in which to make one */
    bool as_json;
    /*  of a child  */
    const char *role;
    const char *name; /* of the actor */
    const char *topic;
    uint64_t index; /* of a producer; start offset of an actor */
} bn_bench_t;

#define BN_BENCH_SIZE_MIN 32 /* room for the time in the data */

int bn_bench_orchestrator (const bn_bench_t *bench);
int bn_bench_actor (const bn_bench_t *bench);
int bn_bench_producer (const bn_bench_t *bench);
baton_err_t bn_bench_sync (const char *text, int *sync); /* ARGUMENT: none of the three */

#endif
