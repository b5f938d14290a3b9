/* SPDX-License-Identifier: MPL-2.0 */

/*  gateway.h - the simulated outside world: a card company that keeps a book of its own.
 *
 *  It can be told to fail at times, and to decline. Half of its failures happen before the charge
 * is booked, half after: the answer is lost, and only the idempotency key keeps the customer from
 *  being charged twice when payment asks again. What it does depends on the seed, the order and the
 *  attempt alone, so a run can be repeated.
 *
 *  The book is an SQLite file that all payment processes share. It is not synced to the disk: it
 *  stands for another company's machine, which does not lose power when ours does; what is written
 *  survives the SIGKILL of any process.  */
#ifndef SHOP_GATEWAY_H
#define SHOP_GATEWAY_H

#include "money.h"

#include <stddef.h>

typedef struct gateway gateway_t;

typedef struct {
    const char *path;    /* the book; made if it does not exist */
    double fail_rate;    /* 0..1: share of requests that fail for the moment */
    double decline_rate; /* 0..1: share of orders that are declined for good */
    uint64_t seed;
} gateway_options_t;

typedef enum { GATEWAY_CHARGED, GATEWAY_DECLINED, GATEWAY_UNAVAILABLE } gateway_answer_t;

typedef struct {
    const char *id;    /* idempotency key: asked twice, it answers as the first time, and counts */
    const char *order; /* what the charge is for */
    money_t amount;
    uint32_t attempt; /* 1, 2 ...; an attempt that failed may succeed as the next one */
} gateway_request_t;

/*  NULL on error; `error` then says why in one line.  */
gateway_t *gateway_open (const gateway_options_t *options, char *error, size_t error_size);
void gateway_close (gateway_t **self_p);

gateway_answer_t gateway_charge (gateway_t *self, const gateway_request_t *request);
/*  Why the last answer was not CHARGED.  */
const char *gateway_reason (const gateway_t *self);

#endif
