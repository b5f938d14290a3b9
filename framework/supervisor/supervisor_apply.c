/* SPDX-License-Identifier: MPL-2.0 */

/*  supervisor_apply.c - the difference between what runs and another list of services.
 *
 *  DESIGN. Two passes: the first one checks, and makes everything that needs memory; the second one
 *  changes, and has nothing left to refuse. Services that are in no list any more stay behind the
 *  others, as `removed`, until their last process has ended: their processes count against the
 *  limits, and one that is wanted again meanwhile is taken back.  */

#include "shell/clock.h"
#include "shell/log.h"
#include "supervisor/supervisor_internal.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/*  What the list makes of one service: of `known` or, where that is NULL, of a new one.  */
typedef struct {
    bn_supervised_t *known;
    bn_supervised_t *fresh;      /* owned until it is taken */
    bn_definition_t *definition; /* owned until it is taken; NULL: the same as before */
    uint32_t wanted;
} s_plan_t;

static void s_plans_free (s_plan_t *plans, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bn_supervised_destroy (&plans[i].fresh);
        bn_definition_destroy (&plans[i].definition);
    }
    free (plans);
}

static baton_err_t s_check (const bn_supervisor_t *self, const bn_service_options_t *services,
                            size_t count)
{
    if (self->stops_asked)
        return BATON_ERR_CLOSED;
    if (count > BN_SUPERVISOR_SERVICES_MAX)
        return BATON_ERR_LIMIT;
    for (size_t i = 0; i < count; i++) {
        baton_err_t err = bn_supervised_check (&services[i]);
        if (err)
            return err;
        if (services[i].instances > BN_SUPERVISOR_INSTANCES_MAX)
            return BATON_ERR_LIMIT;
        for (size_t k = 0; k < i; k++)
            if (!strcmp (services[i].name, services[k].name))
                return BATON_ERR_CONFLICT;
    }
    return BATON_OK;
}

/*  What is declared decides where it says something new; else what bn_supervisor_scale said.  */
static uint32_t s_wanted (const bn_supervised_t *known, const bn_service_options_t *options)
{
    bool same = known && !known->removed && known->declared == options->instances;
    return same ? known->wanted : options->instances;
}

static baton_err_t s_plan (bn_supervisor_t *self, const bn_service_options_t *services,
                           size_t count, s_plan_t *plans)
{
    size_t slots = 0, others = 0;
    for (size_t i = 0; i < self->service_count; i++) {
        slots += self->services[i]->slot_count; /* of those that are in the list, corrected below */
        others++;
    }
    for (size_t i = 0; i < count; i++) {
        s_plan_t *plan = &plans[i];
        plan->known = bn_supervisor_find (self, services[i].name);
        plan->wanted = s_wanted (plan->known, &services[i]);
        if (!plan->known) {
            slots += plan->wanted;
            continue;
        }
        slots -= plan->known->slot_count;
        slots += bn_supervised_slots_at (plan->known, plan->wanted);
        others--;
    }
    if (slots > BN_SUPERVISOR_INSTANCES_MAX || count + others > BN_SUPERVISOR_SERVICES_MAX)
        return BATON_ERR_LIMIT;
    for (size_t i = 0; i < count; i++) {
        s_plan_t *plan = &plans[i];
        if (!plan->known) {
            baton_err_t err = bn_supervised_new (&plan->fresh, self, &services[i]);
            if (err)
                return err;
        } else if (!bn_definition_same (plan->known->definition, &services[i])) {
            plan->definition = bn_definition_new (&services[i]);
            if (!plan->definition)
                return BATON_ERR_MEMORY;
        }
    }
    return BATON_OK;
}

/*  A service that was there before; also one that had been removed and has not ended yet.  */
static baton_err_t s_change (bn_supervised_t *known, s_plan_t *plan,
                             const bn_service_options_t *options, uint64_t now_ms,
                             bn_supervisor_changes_t *changes)
{
    uint32_t before = known->wanted;
    bool scaled = before != plan->wanted, returns = known->removed, replaced = plan->definition;
    bn_supervised_set (known, options);
    known->declared = options->instances;
    known->removed = false;
    baton_err_t err = bn_supervised_scale (known, plan->wanted, now_ms);
    if (plan->definition) {
        bn_definition_destroy (&known->definition);
        known->definition = plan->definition;
        plan->definition = NULL;
        bn_supervised_restart (known, now_ms);
        bn_log (BN_LOG_INFO, "%s has changed: its instances are replaced", known->name);
        changes->replaced++;
    }
    if (returns) {
        bn_log (BN_LOG_INFO, "%s is back, with %" PRIu32 " instances", known->name, known->wanted);
        changes->added++;
    } else if (scaled) {
        bn_log (BN_LOG_INFO, "%s scaled from %" PRIu32 " to %" PRIu32, known->name, before,
                known->wanted);
        changes->scaled++;
    }
    changes->unchanged += !returns && !scaled && !replaced;
    return err;
}

static void s_remove (bn_supervised_t *self, uint64_t now_ms, bn_supervisor_changes_t *changes)
{
    if (self->removed)
        return;
    self->removed = true;
    self->rolling = false;
    bn_supervised_scale (self, 0, now_ms); /* makes nothing, so it cannot fail */
    bn_log (BN_LOG_INFO, "%s is removed", self->name);
    changes->removed++;
}

baton_err_t bn_supervisor_apply (bn_supervisor_t *self, const bn_service_options_t *services,
                                 size_t count, bn_supervisor_changes_t *changes)
{
    bn_supervised_t *others[BN_SUPERVISOR_SERVICES_MAX];
    bn_supervisor_changes_t unused;
    size_t other_count = 0;
    uint64_t now_ms = bn_clock_now ().mono_ms;

    changes = changes ? changes : &unused;
    memset (changes, 0, sizeof (*changes));
    baton_err_t err = s_check (self, services, count);
    if (err)
        return err;
    s_plan_t *plans = calloc (count + 1, sizeof (*plans));
    if (!plans)
        return BATON_ERR_MEMORY;
    err = s_plan (self, services, count, plans);
    if (err) {
        s_plans_free (plans, count);
        return err;
    }

    for (size_t i = 0; i < self->service_count; i++) {
        bool stays = false;
        for (size_t k = 0; k < count && !stays; k++)
            stays = plans[k].known == self->services[i];
        if (stays)
            continue;
        s_remove (self->services[i], now_ms, changes);
        others[other_count++] = self->services[i];
    }
    for (size_t i = 0; i < count; i++) {
        bn_supervised_t *service = plans[i].known ? plans[i].known : plans[i].fresh;
        if (plans[i].known) {
            baton_err_t failed = s_change (service, &plans[i], &services[i], now_ms, changes);
            err = err ? err : failed;
        } else {
            plans[i].fresh = NULL;
            changes->added++;
            bn_log (BN_LOG_INFO, "%s is new, with %" PRIu32 " instances", service->name,
                    service->wanted);
        }
        self->services[i] = service;
    }
    memcpy (self->services + count, others, other_count * sizeof (*others));
    self->service_count = count + other_count;
    s_plans_free (plans, count);
    return err;
}
