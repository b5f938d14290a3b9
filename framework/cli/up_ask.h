/* SPDX-License-Identifier: MPL-2.0 */

/*  up_ask.h - a request to a running `baton up`, for the subcommands that have one.  */
#ifndef BN_UP_ASK_H
#define BN_UP_ASK_H

#include <jansson.h>

/*  Asks the supervisor of a data directory (supervisor.h has the requests). -1: *answer is its
 *  answer, "ok", the caller's; else the exit code, and standard error has said why.  */
int bn_up_ask (const char *command, const char *data_dir, const char *request, json_t **answer);

#endif
