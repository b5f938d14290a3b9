/* SPDX-License-Identifier: MPL-2.0 */

/*  process.c - a process of an actor: the production mailbox, and a handler that does whatever the
 *  seed says: acknowledges, retries, rejects, emits, hangs, kills its process.  */
#include "simulation/sim.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NEXT_US    20 /* between two handler calls */
#define DEPTH_MAX  2  /* of emissions that cause emissions */
#define RESTART_US 150000

uint32_t sim_process_peer (uint32_t slot)
{
    return slot;
}

static void publish_nothing_more (sim_t *sim, uint32_t slot)
{
    sim_process_t *process = &sim->processes[slot];
    sim_message_fini (&process->said);
    bn_run_destroy (&process->run);
    bn_mailbox_destroy (&process->mailbox);
    free (process->instance);
    uint64_t life = process->sub_life;
    *process = (sim_process_t){.sub_life = life + 1};
}

void sim_process_end (sim_t *sim, uint32_t slot)
{
    sim_process_t *process = &sim->processes[slot];
    if (!process->used)
        return;
    if (process->current)
        sim_push (sim, sim->now_us + sim_about (sim, RESTART_US), EVENT_PROCESS, process->actor,
                  process->name, 0);
    sim_hang_up (sim, sim_process_peer (slot));
    sim->peers[sim_process_peer (slot)].used = false;
    publish_nothing_more (sim, slot);
}

void sim_processes_fini (sim_t *sim)
{
    for (uint32_t slot = 0; slot < SIM_PROCESSES_MAX; slot++)
        publish_nothing_more (sim, slot);
}

void sim_process_start (sim_t *sim, uint32_t actor, uint32_t name)
{
    uint32_t slot = SIM_PROCESSES_MAX;
    for (uint32_t i = SIM_PROCESSES_MAX; i-- > 0;) {
        const sim_process_t *other = &sim->processes[i];
        if (!other->used)
            slot = i;
        else if (other->current && other->actor == actor && other->name == name)
            return;
    }
    if (slot == SIM_PROCESSES_MAX || sim->forget_us[actor] > sim->now_us) {
        sim_push (sim, sim->now_us + 500000, EVENT_PROCESS, actor, name, 0);
        return;
    }
    const sim_actor_config_t *config = &sim->config.actors[actor];
    sim_process_t *process = &sim->processes[slot];
    uint64_t life = process->sub_life;
    *process = (sim_process_t){.used = true,
                               .actor = actor,
                               .name = name,
                               .revision = sim->revisions[actor],
                               .started_us = sim->now_us,
                               .incarnation = 1000 + ++sim->incarnation_last,
                               .current = true,
                               .sub_life = life};
    bn_mailbox_options_t options = {.incarnation = process->incarnation,
                                    .patterns = config->patterns[process->revision],
                                    .start_kind = config->start_kind,
                                    .start_value = config->start_value,
                                    .policy = config->policy,
                                    .backoff_jitter_pct = sim->config.jitter_pct,
                                    .prefetch_bytes = sim->config.prefetch_bytes,
                                    .settle_bytes_max = sim->config.settle_bytes,
                                    .run_events_max = sim->config.run_events};
    while (options.pattern_count < SIM_PATTERNS && options.patterns[options.pattern_count])
        options.pattern_count++;
    snprintf (options.actor, sizeof options.actor, "%s", config->name);
    snprintf (options.instance, sizeof options.instance, "%s-%u", config->name, name);
    process->instance = sim_must (strdup (options.instance));
    process->mailbox = sim_must (bn_mailbox_new (&options));
    sim_peer_init (sim, sim_process_peer (slot), PEER_PROCESS, slot);
    sim_connect_later (sim, sim_process_peer (slot), 20000);
    sim_say (sim, "%s starts as process %" PRIu64, process->instance, process->incarnation);
}

/*  ---- the mailbox ---- */

static void give_run (sim_t *sim, uint32_t slot, bn_mailbox_effect_t *effect)
{
    sim_process_t *process = &sim->processes[slot];
    if (process->run) {
        sim_fail (sim, "G7: a mailbox has two runs out");
        return;
    }
    process->run = effect->run;
    process->run_epoch = process->epoch;
    process->run_after_stop = process->stopping;
    effect->run = NULL;
    process->at = 0;
    process->call = 0;
    process->expired = false;
    sim_push (sim, sim->now_us + NEXT_US, EVENT_HANDLER, slot, process->incarnation, 0);
}

/*  What one effect does; false: the process is over.  */
static bool perform (sim_t *sim, uint32_t slot, bn_mailbox_effect_t *effect, bool *reset)
{
    sim_process_t *process = &sim->processes[slot];
    switch (effect->kind) {
    case BN_MAILBOX_SEND:
        if (effect->head->size > 3 && effect->head->data[3] == BN_SETTLE) {
            sim_message_fini (&process->said);
            process->said = sim_message (effect->head, effect->payloads, effect->payload_count);
            process->said_connection = sim->peers[sim_process_peer (slot)].connection;
        }
        sim_to_server (sim, sim_process_peer (slot), effect->head, effect->payloads,
                       effect->payload_count);
        break;
    case BN_MAILBOX_CONNECT_SUB:
        if (!process->sub_wanted)
            sim_push (sim, sim->now_us + sim_about (sim, sim->config.delay_us * 2), EVENT_SUB_UP,
                      slot, process->incarnation, 0);
        process->sub_wanted = true;
        break;
    case BN_MAILBOX_SUBSCRIBE:
    case BN_MAILBOX_UNSUBSCRIBE:
        sim_subscribe (sim, slot, effect->head, effect->kind == BN_MAILBOX_SUBSCRIBE);
        break;
    case BN_MAILBOX_RUN:
        give_run (sim, slot, effect);
        break;
    case BN_MAILBOX_RESET_LINK:
        *reset = true;
        break;
    case BN_MAILBOX_LOG:
        sim_say (sim, "%s: %.150s", process->instance, effect->text);
        break;
    case BN_MAILBOX_FATAL:
        sim_say (sim, "%s: fatal: %.150s", process->instance, effect->text);
        if (effect->err != BATON_ERR_FENCED &&
            (effect->err != BATON_ERR_MEMORY || !sim->config.faults[FAULT_MEMORY]) &&
            (effect->err != BATON_ERR_CONFLICT || !sim->config.faults[FAULT_DEPLOY]))
            sim_fail (sim, "%s cannot go on: %s", process->instance, effect->text);
        return false;
    case BN_MAILBOX_DRAINED:
        sim_say (sim, "%s has stopped", process->instance);
        return false;
    }
    return true;
}

void sim_process_step (sim_t *sim, uint32_t slot, bn_mailbox_event_t event)
{
    sim_process_t *process = &sim->processes[slot];
    if (!process->used) {
        bn_run_destroy (&event.run);
        return;
    }
    bn_mailbox_effects_t effects;
    bn_mailbox_effects_init (&effects);
    event.now = sim_time (sim);
    event.random = sim_random (sim);
    if (process->starved)
        sim_memory_short (process->starved, sim_below (sim, 2));
    bn_mailbox_step (process->mailbox, &event, &effects);
    if (!sim_memory_enough ()) {
        sim->stats.starved++;
        process->starved = 0;
        sim_say (sim, "%s: no memory%s", process->instance, effects.failed ? ", and it ends" : "");
    }
    bool goes_on = !effects.failed;
    bool reset = false;
    for (size_t i = 0; goes_on && i < effects.count; i++)
        goes_on = perform (sim, slot, &effects.items[i], &reset);
    bn_mailbox_effects_fini (&effects);
    if (goes_on)
        sim_oracle_bounds (sim, slot);
    if (!goes_on) {
        sim_process_end (sim, slot);
        return;
    }
    if (reset) {
        sim_say (sim, "%s resets its link", process->instance);
        sim_hang_up (sim, sim_process_peer (slot));
        sim_connect_later (sim, sim_process_peer (slot), 50000);
        sim_process_step (sim, slot, (bn_mailbox_event_t){.kind = BN_MAILBOX_LINK_DOWN});
        return;
    }
    sim_peer_due (sim, sim_process_peer (slot), bn_mailbox_due_ms (process->mailbox));
}

/*  ---- the handler ---- */

/*  As the runner of the library: an item waits behind one of its key that was not finished.  */
static bool waits (const bn_run_t *run, uint32_t index)
{
    const bn_run_item_t *item = &run->items[index];
    for (uint32_t i = 0; item->key_hash && i < index; i++)
        if (run->items[i].key_hash == item->key_hash &&
            (run->items[i].result == BN_RESULT_RETRY || run->items[i].result == BN_RESULT_NONE))
            return true;
    return false;
}

static void run_done (sim_t *sim, uint32_t slot)
{
    sim_process_t *process = &sim->processes[slot];
    bn_run_t *run = process->run;
    process->run = NULL;
    process->call = 0;
    process->expired = false;
    sim_process_step (sim, slot, (bn_mailbox_event_t){.kind = BN_MAILBOX_RUN_DONE, .run = run});
}

static void begin_next (sim_t *sim, uint32_t slot)
{
    sim_process_t *process = &sim->processes[slot];
    bn_run_t *run = process->run;
    while (process->at < run->count && waits (run, process->at))
        process->at++;
    bool early = process->at > 0 && sim_below (sim, 20) == 0;
    bool ends = process->stopping && !process->run_after_stop;
    if (process->at == run->count || ends || early) {
        run_done (sim, slot);
        return;
    }
    const bn_run_item_t *item = &run->items[process->at];
    process->call = sim_oracle_call (sim, slot, item) + 1;
    uint64_t time_us = sim_about (sim, sim->config.handle_us);
    uint64_t deadline_us =
        (uint64_t)sim->config.actors[process->actor].policy.handler_deadline_ms * 1000;
    if (!sim->liveness && sim->config.faults[FAULT_HANG] && sim_below (sim, 60) == 0) {
        sim->stats.faults[FAULT_HANG]++;
        time_us = deadline_us + sim_below (sim, deadline_us * 2);
        sim_say (sim, "%s: the handler of %" PRIu64 " hangs", process->instance, item->offset);
    }
    if (time_us > deadline_us) {
        sim_push (sim, sim->now_us + deadline_us, EVENT_DEADLINE, slot, process->incarnation,
                  process->call);
        sim_push (sim, sim->now_us + 2 * deadline_us, EVENT_DEADLINE, slot, process->incarnation,
                  process->call);
    }
    sim_push (sim, sim->now_us + time_us, EVENT_HANDLER, slot, process->incarnation, 1);
}

static void emit (sim_t *sim, const sim_process_t *process, bn_run_item_t *item, uint32_t count,
                  uint32_t depth)
{
    const sim_actor_config_t *config = &sim->config.actors[process->actor];
    item->emissions = sim_must (calloc (count, sizeof *item->emissions));
    item->emission_count = count;
    for (uint32_t i = 0; i < count; i++) {
        struct {
            sim_identity_t identity;
            char id[40];
            char key[12];
        } bytes = {.identity = {.call = process->call,
                                .source = item->offset,
                                .actor = process->actor,
                                .index = i,
                                .depth = depth + 1}};
        snprintf (bytes.id, sizeof bytes.id, "e-%" PRIu64 "-%u", process->call, i);
        if (sim_chance (sim, 70))
            snprintf (bytes.key, sizeof bytes.key, "%.*s", (int)item->fields.key.size,
                      item->fields.key.text);
        else
            snprintf (bytes.key, sizeof bytes.key, "k%" PRIu64, sim_below (sim, sim->config.keys));
        bn_emission_t *emission = &item->emissions[i];
        emission->blob = sim_must (bn_blob_new_copy (&bytes, sizeof bytes));
        const char *id = (const char *)emission->blob->data + offsetof (__typeof__ (bytes), id);
        const char *key = (const char *)emission->blob->data + offsetof (__typeof__ (bytes), key);
        emission->topic = (bn_text_t){config->emit_topic, strlen (config->emit_topic)};
        emission->fields = (bn_event_fields_t){.id = {id, strlen (id)},
                                               .key = {key, strlen (key)},
                                               .source = {"/actors/sim", 11},
                                               .time_us = (int64_t)sim_time (sim).wall_us,
                                               .datacontenttype = {"application/octet-stream", 24},
                                               .data = emission->blob->data,
                                               .data_size = sizeof (sim_identity_t)};
        emission->spread = (uint32_t)sim_below (sim, 1000);
    }
}

static bn_result_t verdict (sim_t *sim)
{
    uint64_t dice = sim_below (sim, 100);
    if (sim->liveness)
        return BN_RESULT_ACK;
    if (dice < sim->config.retry_pct)
        return BN_RESULT_RETRY;
    return dice < sim->config.retry_pct + sim->config.reject_pct ? BN_RESULT_REJECT : BN_RESULT_ACK;
}

static void end_this (sim_t *sim, uint32_t slot)
{
    sim_process_t *process = &sim->processes[slot];
    bn_run_item_t *item = &process->run->items[process->at];
    sim_identity_t identity = {.serial = 0};
    if (item->fields.data_size >= sizeof identity)
        memcpy (&identity, item->fields.data, sizeof identity);
    if (identity.poison == 1 || (identity.poison == 2 && sim_chance (sim, 50))) {
        sim_say (sim, "%s: the handler of %" PRIu64 " kills its process", process->instance,
                 item->offset);
        sim->stats.faults[FAULT_POISON]++;
        sim_process_end (sim, slot);
        return;
    }
    item->result = verdict (sim);
    if (item->result != BN_RESULT_ACK) {
        char reason[SIM_REASON];
        sim_reason (process->call, reason);
        item->reason = sim_must (strdup (reason));
    }
    if (item->result == BN_RESULT_ACK && identity.depth < DEPTH_MAX &&
        sim_chance (sim, sim->config.actors[process->actor].emit_pct))
        emit (sim, process, item, 1 + (uint32_t)sim_below (sim, 2), identity.depth);
    sim_oracle_verdict (sim, process->call - 1, item->result, item->emission_count);
    sim_say (sim, "%s: handled %" PRIu64 ": %s, %u emissions", process->instance, item->offset,
             item->result == BN_RESULT_ACK     ? "ack"
             : item->result == BN_RESULT_RETRY ? "retry"
                                               : "reject",
             item->emission_count);
    process->call = 0;
    process->at++;
    process->expired = false;
    sim_push (sim, sim->now_us + NEXT_US, EVENT_HANDLER, slot, process->incarnation, 0);
}

static void deadline (sim_t *sim, uint32_t slot)
{
    sim_process_t *process = &sim->processes[slot];
    const bn_run_item_t *item = &process->run->items[process->at];
    if (process->expired) {
        sim_say (sim, "%s hangs and ends itself", process->instance);
        sim_process_end (sim, slot);
        return;
    }
    process->expired = true;
    process->expired_offset = item->offset;
    sim_oracle_expired (sim, process->actor, item->offset);
    sim_say (sim, "%s: the handler of %" PRIu64 " is past its deadline", process->instance,
             item->offset);
    sim_process_step (sim, slot,
                      (bn_mailbox_event_t){.kind = BN_MAILBOX_EXPIRED,
                                           .partition = item->partition,
                                           .offset = item->offset});
}

void sim_process_event (sim_t *sim, sim_event_t *event)
{
    if (event->kind == EVENT_PROCESS) {
        sim_process_start (sim, (uint32_t)event->a, (uint32_t)event->b);
        return;
    }
    uint32_t slot = (uint32_t)event->a;
    sim_process_t *process = &sim->processes[slot];
    if (!process->used || process->incarnation != event->b || !process->run)
        return;
    if (process->paused_us > sim->now_us) {
        sim_push (sim, process->paused_us, event->kind, event->a, event->b, event->c);
        return;
    }
    if (event->kind == EVENT_DEADLINE) {
        if (process->call == event->c)
            deadline (sim, slot);
    } else if (event->c == 0)
        begin_next (sim, slot);
    else
        end_this (sim, slot);
}
