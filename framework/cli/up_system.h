/* SPDX-License-Identifier: MPL-2.0 */

/*  up_system.h - what `baton up` runs: a supervisor, what it takes from the file, and the thread
 *  that talks to the orchestrator.  */
#ifndef BN_UP_SYSTEM_H
#define BN_UP_SYSTEM_H

#include "cli/up_config.h"

/*  Runs what FILE says until it is stopped; the exit code. `config` is what was read from it
 *  (consumed); it is read anew at SIGHUP. `log` is for BATON_LOG, or NULL.  */
int bn_up_run (const char *path, bn_up_config_t *config, const char *log);

#endif
