/* SPDX-License-Identifier: MPL-2.0 */

#include "cli/up_elastic.h"
#include "shell/log.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static bn_up_elastic_actor_t *s_find (bn_up_elastic_t *self, const char *name)
{
    for (size_t i = 0; i < self->count; i++)
        if (!strcmp (self->actors[i].name, name))
            return &self->actors[i];
    return NULL;
}

static bool s_same (const bn_scaler_options_t *a, const bn_scaler_options_t *b)
{
    return a->min == b->min && a->max == b->max && a->target_lag == b->target_lag &&
           a->cooldown_ms == b->cooldown_ms;
}

void bn_up_elastic_follow (bn_up_elastic_t *self, const bn_up_config_t *config,
                           bn_up_watch_t *watch)
{
    bn_up_elastic_t before = *self;
    const char *names[BN_SUPERVISOR_SERVICES_MAX];
    self->count = 0;
    for (size_t i = 0; i < config->actor_count; i++) {
        const bn_up_actor_t *actor = &config->actors[i];
        if (actor->instances_max <= actor->instances)
            continue;
        bn_up_elastic_actor_t *elastic = &self->actors[self->count];
        bn_scaler_options_t options = {.min = actor->instances,
                                       .max = actor->instances_max,
                                       .target_lag = actor->target_lag,
                                       .cooldown_ms = actor->cooldown_ms};
        const bn_up_elastic_actor_t *known = s_find (&before, actor->name);
        if (known && s_same (&known->options, &options))
            *elastic = *known;
        else {
            *elastic = (bn_up_elastic_actor_t){.options = options};
            snprintf (elastic->name, sizeof (elastic->name), "%s", actor->name);
            bn_scaler_init (&elastic->scaler, &options);
        }
        names[self->count++] = elastic->name;
    }
    bn_up_watch_names (watch, names, self->count);
}

/*  Does what was decided; true if the number has changed.  */
static bool s_scale (const bn_up_elastic_actor_t *self, bn_up_hosts_t *hosts, uint32_t now,
                     const bn_scaler_decision_t *decision)
{
    uint32_t reached;
    if (decision->wanted == now) {
        if (decision->changed)
            bn_log (BN_LOG_INFO, "%s stays at %" PRIu32 ": %s", self->name, now, decision->reason);
        return false;
    }
    baton_err_t err = bn_up_hosts_scale (hosts, self->name, decision->wanted, &reached);
    if (err && decision->changed)
        bn_log (BN_LOG_WARNING, "%s stays at %" PRIu32 " and not %" PRIu32 " (%s): %s", self->name,
                now, decision->wanted, decision->reason,
                err == BATON_ERR_LIMIT ? "at most 256 instances of all actors"
                                       : baton_err_text (err));
    else if (!err && reached == now) {
        if (decision->changed)
            bn_log (BN_LOG_WARNING,
                    "%s stays at %" PRIu32 " and not %" PRIu32 " (%s): the hosts that have joined "
                    "may run no more of it",
                    self->name, now, decision->wanted, decision->reason);
        return false;
    } else if (!err)
        bn_log (BN_LOG_INFO, "%s scaled from %" PRIu32 " to %" PRIu32 ": %s", self->name, now,
                reached, decision->reason);
    return !err;
}

bool bn_up_elastic_turn (bn_up_elastic_t *self, bn_up_hosts_t *hosts, bn_up_watch_t *watch)
{
    bn_up_sample_t samples[BN_SUPERVISOR_SERVICES_MAX];
    bool changed = false;
    size_t count = bn_up_watch_take (watch, samples);
    for (size_t i = 0; i < count; i++) {
        bn_up_elastic_actor_t *actor = s_find (self, samples[i].name);
        bn_scaler_decision_t decision;
        uint32_t parked;
        if (!actor || !bn_up_hosts_look (hosts, actor->name, &samples[i].sample.instances, &parked))
            continue;
        if (parked > 0) {
            if (!actor->parked_told)
                bn_log (BN_LOG_WARNING,
                        "%s is not scaled while it has parked instances (%" PRIu32 ")", actor->name,
                        parked);
            actor->parked_told = true;
            continue;
        }
        actor->parked_told = false;
        bn_scaler_step (&actor->scaler, &samples[i].sample, &decision);
        if (s_scale (actor, hosts, samples[i].sample.instances, &decision))
            changed = true;
    }
    return changed;
}
