/* SPDX-License-Identifier: MPL-2.0 */

/*  admin.h - one request, one reply: how tools talk to an orchestrator.
 *
 *  Synchronous and small. When no answer comes in time the connection is made anew before the next
 *  request, so that a late reply can never be taken for the answer to another question. One thread
 *  at a time.  */
#ifndef BN_ADMIN_H
#define BN_ADMIN_H

#include "wire/message.h"

typedef struct bn_admin bn_admin_t;

typedef struct {
    const char *endpoint; /* default tcp://127.0.0.1:7711 */
    const char *name;     /* in HELLO, for the orchestrator's log; default "admin" */
    uint32_t timeout_ms;  /* for an answer; default 5,000 */
} bn_admin_options_t;

/*  options may be NULL. Connects in the background; nothing is sent yet. Errors: ARGUMENT (the
 *  endpoint), MEMORY, SYSTEM.  */
baton_err_t bn_admin_new (bn_admin_t **admin, const bn_admin_options_t *options);
void bn_admin_destroy (bn_admin_t **self_p);

/*  Says HELLO if that was not done yet; the answer (without its fanout_endpoint) is borrowed
 *  until the next call. NULL: bn_admin_error. Blocks up to the timeout.  */
const bn_welcome_t *bn_admin_welcome (bn_admin_t *self);

/*  Sends `request` (its number is filled in; sections are not sent) and waits for the answer, which
 *  must be of type `wanted`. *reply is borrowed until the next call. A session that the
 *  orchestrator has forgotten is opened again without a word. `wait_ms` is added to the timeout
 *  (long polls). Errors: UNREACHABLE, what the orchestrator refused (its code), MALFORMED (a bad
 *  answer), MEMORY. Blocks.  */
baton_err_t bn_admin_request (bn_admin_t *self, bn_message_t *request, bn_message_type_t wanted,
                              uint32_t wait_ms, const bn_message_t **reply);

/*  The last error, and one line about it for a person. Borrowed.  */
baton_err_t bn_admin_error (const bn_admin_t *self);
const char *bn_admin_error_text (const bn_admin_t *self);

#endif
