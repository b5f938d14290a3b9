/* SPDX-License-Identifier: MPL-2.0 */

/*  load.h - what a lab publishes: streams of events at a rate, and a record of every receipt.
 *
 *  A stream is a schedule, kept whatever the system does: an event that is published late, because
 *  nothing was accepted for a while, counts from when it was due (no coordinated omission). The
 *  bounded buffer of the producer is the only back-pressure.
 *
 *  Thread rule: new and destroy from one thread; add, single, factor and stats from any.  */
#ifndef BN_LAB_LOAD_H
#define BN_LAB_LOAD_H

#include "lab/history.h"
#include <baton/event.h>

#define BN_LAB_STREAMS_MAX 32
#define BN_LAB_KEYS_MAX    1000000
#define BN_LAB_RATE_MAX    100000 /* events a second of a stream */
#define BN_LAB_DATA_BYTES  65536

typedef struct {
    char topic[BATON_TOPIC_BYTES_MAX + 1];
    char prefix[32];   /* of the keys: "k" -> k0, k1, ... */
    uint32_t keys;     /* so many different ones; 0: no key */
    double hot;        /* share of the events that have the first key; 0: all alike */
    double rate;       /* a second */
    uint64_t start_ms; /* after the load's beginning */
    uint64_t for_ms;   /* 0: until count */
    uint64_t count;    /* 0: until for_ms */
    void *data;        /* template.h, borrowed; NULL: {"n": number in its key} */
    size_t data_size;
    uint32_t bytes; /* of padding in the data; only without `data` */
} bn_lab_stream_t;

typedef struct bn_lab_load bn_lab_load_t;

typedef struct {
    const char *endpoint;
    const char *name; /* of the lab: events' ids begin with it */
    uint64_t seed;
} bn_lab_load_options_t;

/*  Makes the producer and the thread; streams added later begin when they are added.  */
baton_err_t bn_lab_load_new (bn_lab_load_t **load, const bn_lab_load_options_t *options);
/*  Stops the streams where they are and waits up to flush_ms for receipts.  */
void bn_lab_load_stop (bn_lab_load_t *self, uint32_t flush_ms);
void bn_lab_load_destroy (bn_lab_load_t **self_p);

/*  start_ms counts from now. Errors: LIMIT, ARGUMENT.  */
baton_err_t bn_lab_load_add (bn_lab_load_t *self, const bn_lab_stream_t *stream);
/*  Publishes one event at once; data as above. Errors: as baton_producer_publish_group, AGAIN
 *  where the producer takes nothing.  */
baton_err_t bn_lab_load_single (bn_lab_load_t *self, const char *topic, const char *key,
                                const void *data, size_t data_size);
/*  So many times the rates of all streams, until the next call.  */
void bn_lab_load_factor (bn_lab_load_t *self, double factor);

typedef struct {
    uint64_t sent;
    uint64_t receipted;
    uint64_t refused;
    bool over;       /* all streams are, and everything has a receipt */
    char error[256]; /* of the last refusal, or why the load ended; "" */
} bn_lab_load_stats_t;

void bn_lab_load_stats (bn_lab_load_t *self, bn_lab_load_stats_t *stats);

/*  After bn_lab_load_stop: what was sent. Borrowed.  */
const bn_lab_log_t *bn_lab_load_log (const bn_lab_load_t *self);

#endif
