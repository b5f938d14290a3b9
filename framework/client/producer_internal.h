/* SPDX-License-Identifier: MPL-2.0 */

/*  producer_internal.h - a producer as its halves see it: producer.c, run by its callers' threads,
 *  and producer_courier.c. What they do together is at the head of producer.c.  */
#ifndef BN_PRODUCER_INTERNAL_H
#define BN_PRODUCER_INTERNAL_H

#include "base/prng.h"
#include "client/link.h"
#include "core/outbox.h"
#include <baton/producer.h>
#include <pthread.h>

#define BN_ID_PREFIX_BYTES   (16 + 1)
#define BN_ANSWER_TIMEOUT_MS 5000
#define BN_SMALL_BYTES       (4u * 1024) /* a larger group has memory of its own */

struct baton_producer {
    /*  Fixed by baton_producer_new.  */
    char endpoint[BN_ENDPOINT_BYTES_MAX + 1];
    bn_outbox_options_t outbox_options; /* its source is what events borrow */
    char id_prefix[BN_ID_PREFIX_BYTES]; /* of the ids of this producer's events */
    size_t inflight_bytes_max;
    baton_receipt_fn *on_receipt;
    void *on_receipt_arg;
    int wake_fd; /* eventfd: there is what the courier waits for, or the end */
    pid_t pid;   /* of the process that has the courier: a child of fork has none */
    pthread_t thread;

    pthread_mutex_t lock;
    pthread_cond_t changed; /* clock monotonic; done_ticket, inflight, welcomed, err or closing */
    /*  Under the lock.  */
    bn_outbox_groups_t list; /* published and not yet taken for the outbox */
    bn_blob_t *chunk;        /* counted; that small groups are copied into; NULL: none yet */
    size_t chunk_used;
    size_t wanted_bytes; /* with so many in the list the courier wants to be woken; SIZE_MAX: not */
    uint64_t last_ticket;
    uint64_t done_ticket;
    uint64_t next_id;
    size_t inflight_bytes;
    unsigned waiters; /* threads inside a wait: destroy lets them out first */
    bool closing;
    bool welcomed;                /* the orchestrator has answered at least once */
    baton_err_t failed;           /* refused for good: nothing is accepted any more */
    baton_err_t refusal;          /* first one since the last flush */
    baton_producer_stats_t stats; /* but inflight_bytes */

    /*  The machine: of the courier, and of a publisher that sends for it. The courier has it but
     *  while it sleeps; nobody else waits for it, and it comes before `lock`.  */
    pthread_mutex_t machine;
    void *context;
    bn_link_t *link;
    bn_outbox_t *outbox;
    bn_outbox_effects_t effects; /* not done yet: what a publisher leaves to the courier */
    bool unsent;                 /* a publisher's send failed: the courier resets the link */
    bn_inbound_t inbound;
    uint64_t reported_ticket; /* callback made up to here */
    bn_prng_t prng;
    uint64_t now_ms;
    bool ended; /* closing, or refused for good */
};

/*  Body of the courier thread: until `closing`, or until the orchestrator refuses for good.  */
void *bn_producer_courier (void *producer);

/*  In a publisher's thread, under the lock and in the place of waking the courier. True: it has the
 *  machine now, and `group`, the only one in the list, goes out at once: it is taken from the list,
 *  and bn_producer_send is called without the lock.  */
bool bn_producer_may_send (baton_producer_t *self, const bn_outbox_group_t *group);
void bn_producer_send (baton_producer_t *self, bn_outbox_group_t *group);

/*  Wakes the courier. Under the lock or with the machine: afterwards destroy may close the
 *  descriptor.  */
void bn_producer_wake (baton_producer_t *self);

#endif
