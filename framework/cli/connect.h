/* SPDX-License-Identifier: MPL-2.0 */

/*  connect.h - how a subcommand gets to the orchestrator that --connect names.  */
#ifndef BN_CONNECT_H
#define BN_CONNECT_H

#include "cli/options.h"
#include "client/admin.h"

/*  -1: what --connect (or BATON_CONNECT) says can be an endpoint; else the exit code, after a
 *  message. bn_connect looks by itself.  */
int bn_connect_check (const char *command, const bn_connect_options_t *options);

/*  Nothing is sent before the first request. -1: *admin is the caller's to destroy; else the exit
 *  code to end with, after a message.  */
int bn_connect (bn_admin_t **admin, const char *command, const bn_connect_options_t *options);

#endif
