/* SPDX-License-Identifier: MPL-2.0 */

/*  up_system.h - what `baton up` runs: a supervisor, what it takes from the file, and the thread
 *  that talks to the orchestrator.  */
#ifndef BN_UP_SYSTEM_H
#define BN_UP_SYSTEM_H

#include "cli/up_config.h"

typedef struct {
    const char *path;       /* of FILE; it is read anew at SIGHUP */
    bn_up_config_t *config; /* what was read from it; consumed */
    const char *log;        /* for BATON_LOG, or NULL */
    bool detach;            /* see up_detach.h */
    uint32_t ready_s;       /* detach: how long to wait for everything to be ready */
} bn_up_options_t;

/*  Runs what FILE says until it is stopped, or, detached, until it is ready; the exit code.  */
int bn_up_run (const bn_up_options_t *options);

#endif
