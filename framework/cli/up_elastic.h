/* SPDX-License-Identifier: MPL-2.0 */

/*  up_elastic.h - actors with `instances = 1..8`: from samples of the orchestrator's truth to the
 *  number of instances that the supervisor runs.
 *
 *  The decision is the scaler's (supervisor/scaler.h). This file feeds it, does what it says, and
 *  logs it, each change of mind once. A service with an instance that is parked is left alone: its
 *  lag comes from there, and another number would start again what ended too often.
 *
 *  One thread: the supervisor's.  */
#ifndef BN_UP_ELASTIC_H
#define BN_UP_ELASTIC_H

#include "cli/up_config.h"
#include "cli/up_hosts.h"
#include "cli/up_watch.h"
#include "supervisor/scaler.h"

typedef struct {
    char name[BATON_NAME_BYTES_MAX + 1];
    bn_scaler_options_t options;
    bn_scaler_t scaler;
    bool parked_told;
} bn_up_elastic_actor_t;

typedef struct {
    bn_up_elastic_actor_t actors[BN_SUPERVISOR_SERVICES_MAX];
    size_t count;
} bn_up_elastic_t;

/*  Takes over what the file says; what is known of an actor whose numbers are the same stays. Tells
 *  the watch which ones to sample.  */
void bn_up_elastic_follow (bn_up_elastic_t *self, const bn_up_config_t *config,
                           bn_up_watch_t *watch);
/*  Takes the samples that have come and scales. True if a number has changed.  */
bool bn_up_elastic_turn (bn_up_elastic_t *self, bn_up_hosts_t *hosts, bn_up_watch_t *watch);

#endif
