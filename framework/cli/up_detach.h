/* SPDX-License-Identifier: MPL-2.0 */

/*  up_detach.h - `baton up --detach`: the same in the background, once it is known that it works.
 *
 *      parent                                    child
 *        | fork ------------------------------->  | setsid, own output, runs everything
 *        | waits                                  |
 *        | <------ a byte: everything is ready    |
 *        exit 0                                   goes on
 *
 *  If the child ends without that byte, what it and its instances have said is repeated on standard
 *  error and its exit code is ours. If it is not ready in time, or Ctrl-C comes, it is stopped.
 *
 *  The fork comes before there is any thread, socket or lock, and the child is the process that
 *  stays: no second fork, because a session leader without a terminal gets none here.  */
#ifndef BN_UP_DETACH_H
#define BN_UP_DETACH_H

#include <stdint.h>

#define BN_UP_DETACH_OWN_OUTPUT "o" /* from now on the child's output goes to its log */
#define BN_UP_DETACH_READY      "r" /* everything is ready */

typedef struct {
    const char *data_dir; /* is there; its folder logs is made if need be */
    uint32_t ready_s;     /* how long to wait for everything to be ready */
} bn_up_detach_options_t;

/*  -1: this is the child; it writes the bytes above to *ready_fd, and closes it. Else, in the
 *  parent, the exit code.  */
int bn_up_detach (const bn_up_detach_options_t *options, int *ready_fd);

#endif
