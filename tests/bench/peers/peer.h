/* SPDX-License-Identifier: MPL-2.0 */

/*  peer.h - the same load for other systems as `baton bench` has for baton.
 *
 *  One process is one producer or one consumer of one system. Each system's client uses what its
 *  documentation recommends for throughput: requests in flight, batches on the reading side,
 *  acknowledgements that are sent together. A receipt is what the system calls an acknowledged
 *  publish; a system without one (the bare proxy) has none.
 *
 *  An event is `size` bytes: the time from which its latency counts, in nanoseconds of
 *  CLOCK_MONOTONIC, or 0 if it is not timed, and padding.  */
#ifndef PEER_H
#define PEER_H

#include "cli/histogram.h"
#include <stdbool.h>
#include <stdint.h>

#define PEER_NAME     "bench"      /* of the stream, the subject, the topic */
#define PEER_SIZE_MAX (64u * 1024) /* bytes of an event, and of a batch */
#define PEER_IDLE_MS  30000        /* a consumer that hears nothing for so long gives up */

typedef struct {
    const char *endpoint; /* HOST:PORT; proxy: the two ports of one host, HOST:IN:OUT */
    const char *group;    /* of the consumer: each group gets every event */
    uint64_t events;
    uint64_t size;   /* bytes of an event */
    uint64_t rate;   /* events a second; 0: as fast as it goes */
    uint64_t window; /* events without a receipt at most; proxy: bytes of a message, 0: one event */
    uint64_t done;   /* receipts, or events that were handled */
    uint64_t first_ns, last_ns;
    bn_histogram_t latency; /* of delivery */
} peer_load_t;

/*  What each returns: true, or false after a line on standard error.  */
typedef bool (peer_role_fn) (peer_load_t *load);

bool peer_redis_producer (peer_load_t *load);
bool peer_redis_consumer (peer_load_t *load);
bool peer_nats_producer (peer_load_t *load);
bool peer_nats_consumer (peer_load_t *load);
bool peer_disk_producer (peer_load_t *load);
bool peer_proxy_server (peer_load_t *load);
bool peer_proxy_producer (peer_load_t *load);
bool peer_proxy_consumer (peer_load_t *load);

/*  ---- for the clients ---- */

uint64_t peer_now_ns (void);
/*  When the k-th event of a producer that started at start_ns is due; without a rate: now for each
 *  sixteenth event, else 0.  */
uint64_t peer_due_ns (const peer_load_t *load, uint64_t start_ns, uint64_t k);
/*  Sleeps until then, if that is not past, and returns from when the event's latency counts: when
 *  this process woke; without a sleep, when the event was due (as in baton bench).  */
uint64_t peer_await_turn (const peer_load_t *load, uint64_t due_ns);
/*  from_ns: from when its latency counts; 0: it is not timed.  */
void peer_fill (const peer_load_t *load, char *event, uint64_t from_ns);
/*  A consumer has an event in hand; false: it is not one of ours.  */
bool peer_handle (peer_load_t *load, const void *event, uint64_t size);
/*  Tells whoever started the process that the consumer waits for events.  */
void peer_ready (void);
bool peer_failed (const char *format, ...) __attribute__ ((format (printf, 1, 2)));

#endif
