/* SPDX-License-Identifier: MPL-2.0 */

/*  producer.h - publishing events, with receipts that mean "on disk".
 *
 *  A producer owns one background thread. Publishing copies the event into a bounded buffer and
 *  returns; the thread sends what has gathered, resends after a reconnect, and hands out receipts.
 *  A small group that finds nothing under way is handed to the socket by its publisher, which waits
 *  for nobody with that. In a child of fork a producer must not be used.
 *  The orchestrator recognises what it has already seen, so an event is neither lost nor doubled
 *  while this process lives, whatever restarts on the other side (G1).
 *
 *  Thread rule: baton_producer_publish, _flush and _stats from any thread; new and destroy from
 *  one.  */
#ifndef BATON_PRODUCER_H
#define BATON_PRODUCER_H

#include <baton/event.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct baton_producer baton_producer_t;

/*  Called on the producer's own thread, in publishing order, once for each published group.
 *  `ticket` is what publish returned; `offset` the journal offset of the group's first event when
 *  err is BATON_OK. Must not block and must not call into this producer.  */
typedef void (baton_receipt_fn) (uint64_t ticket, baton_err_t err, uint64_t offset, void *arg);

/*  Zero means default. The strings are copied.  */
typedef struct {
    const char *endpoint;         /* default "tcp://127.0.0.1:7711" */
    const char *source;           /* CloudEvents source, 1..BATON_ATTRIBUTE_BYTES_MAX of UTF-8;
                                     default "/producers/HOST/PID" */
    size_t inflight_bytes_max;    /* unreceipted bytes in memory; default 32 MiB, at least 64 KiB */
    uint32_t connect_timeout_ms;  /* for baton_producer_new: default 0 = do not wait; else wait that
                                     long for the orchestrator and fail with UNREACHABLE */
    baton_receipt_fn *on_receipt; /* may be NULL */
    void *on_receipt_arg;
} baton_producer_options_t;

/*  One event of a group.  */
typedef struct {
    const char *topic;                    /* "orders.placed": 1..BATON_TOPIC_BYTES_MAX */
    const char *key;                      /* NULL or "": no key, no order */
    const void *data;                     /* copied */
    size_t data_size;                     /* 0..BATON_DATA_BYTES_MAX */
    const baton_attributes_t *attributes; /* NULL: defaults; copied */
} baton_publication_t;

/*  options may be NULL. *producer is NULL on error. Errors: ARGUMENT, MEMORY, SYSTEM, UNREACHABLE
 *  (only with connect_timeout_ms).  */
BATON_API baton_err_t baton_producer_new (baton_producer_t **producer,
                                          const baton_producer_options_t *options);

/*  Stops the thread. What has no receipt yet is abandoned and reported to the callback as CLOSED:
 *  call baton_producer_flush first. Nulls the pointer; NULL is fine.  */
BATON_API void baton_producer_destroy (baton_producer_t **producer_p);

/*  Publishes `count` events as one atomic group: all become durable and visible together, or none.
 *  At the in-flight limit: blocks up to timeout_ms (-1: for ever, 0: not at all) and then returns
 *  AGAIN. ticket may be NULL. A group has at most 4 MiB with its attributes, and 16,384 events; one
 *  that is larger than inflight_bytes_max goes when nothing else is in flight. Errors: TOPIC, KEY,
 *  TOO_LARGE, TOO_DEEP, MALFORMED (data that says it is MessagePack and is not), ARGUMENT, AGAIN,
 *  CLOSED, MEMORY, or what the orchestrator refused this producer with for good (VERSION); on any
 *  of them nothing was accepted.  */
BATON_API baton_err_t baton_producer_publish_group (baton_producer_t *self,
                                                    const baton_publication_t *events, size_t count,
                                                    int timeout_ms, uint64_t *ticket);

/*  The common case: one event, blocking at the limit.  */
BATON_API baton_err_t baton_publish (baton_producer_t *self, const char *topic, const char *key,
                                     const void *data, size_t data_size);

/*  The common case with a builder.  */
BATON_API baton_err_t baton_publish_data (baton_producer_t *self, const char *topic,
                                          const char *key, baton_data_t *data);

/*  Waits until everything published before the call has its receipt, up to timeout_ms (-1: for
 *  ever). TIMEOUT if not; the first refusal since the last flush (with its code) if there was
 *  one.  */
BATON_API baton_err_t baton_producer_flush (baton_producer_t *self, int timeout_ms);

typedef struct {
    uint64_t published;      /* events accepted by publish */
    uint64_t receipted;      /* events with a receipt */
    uint64_t refused;        /* events that the orchestrator refused */
    uint64_t inflight_bytes; /* bytes without a receipt */
    uint64_t reconnects;
    bool connected;
    char last_error[256]; /* of the last refusal, for a person; "" if none */
} baton_producer_stats_t;

BATON_API void baton_producer_stats (baton_producer_t *self, baton_producer_stats_t *stats);

#ifdef __cplusplus
}
#endif
#endif
