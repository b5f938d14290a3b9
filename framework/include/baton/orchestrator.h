/* SPDX-License-Identifier: MPL-2.0 */

/*  orchestrator.h - an orchestrator inside this process: for tests, and for programs that want no
 *  second binary. `baton orchestrator` is this with a configuration file.
 *
 *  Thread rule: one thread at a time; it runs threads of its own.
 */
#ifndef BATON_ORCHESTRATOR_H
#define BATON_ORCHESTRATOR_H

#include <baton/error.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct baton_orchestrator baton_orchestrator_t;

typedef enum {
    BATON_SYNC_ALWAYS,   /* default: fdatasync before every receipt */
    BATON_SYNC_INTERVAL, /* fdatasync every sync_interval_ms; a receipt means "written" */
    BATON_SYNC_NEVER     /* tests only */
} baton_sync_t;

/*  Zero means default. Every field has a property of the same name in the configuration file
 *  (baton orchestrator --help lists them).  */
typedef struct {
    const char *data_dir;        /* default "./.baton" */
    const char *endpoint;        /* requests; default "tcp://127.0.0.1:7711"; port * = any free */
    const char *fanout_endpoint; /* default: same host, next port (any free one if the
                                    request port is *) */
    uint32_t partitions;         /* 1..256, default 32; fixed when the journal is created */
    baton_sync_t sync;           /* default always */
    uint32_t sync_interval_ms;   /* default 50 */
    uint64_t segment_bytes;      /* default 64 MiB, at least 1 MiB */
    uint64_t disk_reserve_bytes; /* refuse publishing below this much free space; default 128 MiB */
    uint64_t retention_bytes;    /* default 0 = keep everything */
    uint64_t retention_ms;       /* default 0 = keep everything */
    uint32_t message_bytes_max;  /* one request; default 8 MiB */
    uint32_t data_bytes_max;     /* one event's data; default BATON_DATA_BYTES_MAX */
    uint32_t topics_max;         /* default 10,000 */
    uint32_t actors_max;         /* default 1,000 */
    uint32_t sessions_max;       /* default 4,000 */
    uint32_t producers_max;      /* remembered sequences; default 100,000 */
    uint32_t parked_max;         /* per actor and partition; default 1,000 */
    uint32_t dead_max;           /* per actor; default 100,000 */
    uint32_t heartbeat_ms;       /* default 500 */
    uint32_t session_timeout_ms; /* default 6,000 */
    uint32_t reconnect_grace_ms; /* a lost connection may come back; default 1,000 */
    uint32_t fanout_hwm;         /* messages per subscriber, then it drops; default 1,000 */
    uint64_t checkpoint_bytes; /* journal bytes between checkpoints of the views; default 64 MiB */
    uint32_t keep_awake_ms;    /* processors of this machine spin instead of sleeping while events
                                  come and so long after: less latency at low rates, more power;
                                  needs /dev/cpu_dma_latency; default 0 = they may sleep */
} baton_orchestrator_options_t;

/*  Opens the data directory (creating it), recovers, binds, and returns when it serves. options may
 *  be NULL. On error *orchestrator is NULL and detail (if not NULL) has one line for a person.
 *  Errors: LOCKED, PERMISSION, DISK_FULL, IO, ROT, FORMAT, ADDRESS, CONFIG, MEMORY.  */
BATON_API baton_err_t baton_orchestrator_new (baton_orchestrator_t **orchestrator,
                                              const baton_orchestrator_options_t *options,
                                              char *detail, size_t detail_size);

/*  Where it listens, with the real port. Borrowed.  */
BATON_API const char *baton_orchestrator_endpoint (const baton_orchestrator_t *self);

/*  A descriptor that becomes readable when the orchestrator has stopped by itself (a disk that
 *  failed); baton_orchestrator_failure then says why (BATON_OK while it runs).  */
BATON_API int baton_orchestrator_fd (const baton_orchestrator_t *self);
BATON_API baton_err_t baton_orchestrator_failure (baton_orchestrator_t *self, char *detail,
                                                  size_t detail_size);

/*  Milliseconds since its serving thread last came round: under 1,000 while all is well, however
 *  little there is to do. For a watchdog. Any thread.  */
BATON_API uint64_t baton_orchestrator_silent_ms (const baton_orchestrator_t *self);

/*  Stops serving, writes what was accepted, checkpoints, closes; blocks until then. Tells whether
 *  all of that went well; detail (if not NULL) has one line for a person. Where only the checkpoint
 *  failed it says so: nothing is lost, the next start takes longer. After it only
 *  baton_orchestrator_failure and _destroy may be called. Errors: IO, DISK_FULL, MEMORY, and those
 *  of baton_orchestrator_failure.  */
BATON_API baton_err_t baton_orchestrator_stop (baton_orchestrator_t *self, char *detail,
                                               size_t detail_size);

/*  Stops it if it was not, and nulls the pointer.  */
BATON_API void baton_orchestrator_destroy (baton_orchestrator_t **orchestrator_p);

#ifdef __cplusplus
}
#endif
#endif
