/* SPDX-License-Identifier: MPL-2.0 */

#include "support/core_world_internal.h"
#include "wire/record.h"

uint64_t world_below (world_t *self, uint64_t bound)
{
    return bn_prng_below (&self->prng, bound);
}

bool world_chance (world_t *self, uint64_t in_thousand)
{
    return self->faults && world_below (self, 1000) < in_thousand;
}

/*  ---- connections -------------------------------------------------------------------------- */

static void line_clear (line_t *line)
{
    for (parcel_t *parcel = line->first, *next; parcel; parcel = next) {
        next = parcel->next;
        for (size_t i = 0; i < parcel->count; i++)
            bn_blob_unref (&parcel->blobs[i]);
        free (parcel);
    }
    *line = (line_t){0};
}

/*  Takes over the blobs.  */
static void line_put (world_t *self, line_t *line, bn_blob_t **blobs, size_t count)
{
    assert_in_range (count, 1, FRAMES_MAX);
    parcel_t *parcel = calloc (1, sizeof *parcel);
    parcel->due_ms = self->now.mono_ms + world_below (self, 8);
    if (world_chance (self, 20))
        parcel->due_ms += world_below (self, 300);
    if (line->last && line->last->due_ms > parcel->due_ms)
        parcel->due_ms = line->last->due_ms;
    parcel->count = count;
    memcpy (parcel->blobs, blobs, count * sizeof *blobs);
    if (line->last)
        line->last->next = parcel;
    else
        line->first = parcel;
    line->last = parcel;
}

static parcel_t *line_take (world_t *self, line_t *line)
{
    parcel_t *parcel = line->first;
    if (!parcel || parcel->due_ms > self->now.mono_ms)
        return NULL;
    line->first = parcel->next;
    if (!line->first)
        line->last = NULL;
    parcel->next = NULL;
    return parcel;
}

static size_t frames_of (const parcel_t *parcel, bn_frame_t *frames)
{
    for (size_t i = 0; i < parcel->count; i++)
        frames[i] = (bn_frame_t){parcel->blobs[i]->data, parcel->blobs[i]->size};
    return parcel->count;
}

static void parcel_free (parcel_t *parcel)
{
    line_t line = {parcel, parcel};
    line_clear (&line);
}

/*  ---- the orchestrator ------------------------------------------------------------------------
 *  */

static instance_t *instance_of (world_t *self, uint64_t route)
{
    for (uint32_t i = 0; i < self->options.instances; i++)
        if (self->instances[i].route == route)
            return &self->instances[i];
    return NULL;
}

static void producer_heard (world_t *self, const bn_blob_t *head);

static void deliver (world_t *self, uint64_t route, bn_blob_t **blobs, size_t count)
{
    instance_t *instance = instance_of (self, route);
    if (instance) {
        line_put (self, &instance->down, blobs, count);
        return;
    }
    if (route == self->producer_route)
        producer_heard (self, blobs[0]);
    for (size_t i = 0; i < count; i++)
        bn_blob_unref (&blobs[i]);
}

static void fan_out (world_t *self, bn_effect_t *effect)
{
    uint32_t partition = effect->head->data[0];
    if (effect->head->size < 8 || memcmp (effect->head->data + 1, "orders.", 7) != 0)
        return;
    for (uint32_t i = 0; i < self->options.instances; i++) {
        instance_t *instance = &self->instances[i];
        if (!instance->mailbox || !instance->subscribed[partition])
            continue;
        if (world_chance (self, 150)) {
            self->drops++;
            continue;
        }
        bn_blob_t *blobs[3] = {bn_blob_ref (effect->head), bn_blob_ref (effect->header),
                               bn_blob_new_copy (effect->payload.data, effect->payload.size)};
        line_put (self, &instance->fan, blobs, 3);
    }
}

static void conductor_step (world_t *self, bn_conductor_event_t event)
{
    event.now = self->now;
    event.random = bn_prng_next (&self->prng);
    event.disk_full = self->now.mono_ms < self->disk_full_until_ms;
    bn_conductor_step (self->conductor, &event, &self->effects);
    assert_false (self->effects.failed);
    /*  Handed on below may call for another step (GONE): not while the list is walked.  */
    bn_effects_t effects = self->effects;
    bn_effects_init (&self->effects);
    bool persisted = false;
    for (size_t i = 0; i < effects.count; i++) {
        bn_effect_t *effect = &effects.items[i];
        bn_blob_t *blobs[FRAMES_MAX];
        switch (effect->kind) {
        case BN_EFFECT_PERSIST:
            world_store (self, effect);
            persisted = true;
            break;
        case BN_EFFECT_SEND:
            blobs[0] = bn_blob_ref (effect->head);
            deliver (self, effect->route, blobs, 1);
            break;
        case BN_EFFECT_READ: {
            size_t count = world_read (self, effect->read, blobs);
            deliver (self, effect->route, blobs, count);
            break;
        }
        case BN_EFFECT_FANOUT:
            fan_out (self, effect);
            break;
        case BN_EFFECT_LOG:
            say (self, "conductor: %s", effect->text);
            break;
        }
    }
    bn_effects_fini (&effects);
    if (persisted) {
        world_check_records (self);
    }
}

static void start_conductor (world_t *self)
{
    bn_conductor_options_t options = {.message_bytes_max = 64 * 1024,
                                      .data_bytes_max = 4096,
                                      .topics_max = 100,
                                      .actors_max = 10,
                                      .sessions_max = 100,
                                      .parked_max = self->options.seed % 2 ? 1000 : 8,
                                      .dead_max = 10000,
                                      .heartbeat_ms = 500,
                                      .session_timeout_ms = 3000,
                                      .reconnect_grace_ms = 800,
                                      .fanout_endpoint = "tcp://127.0.0.1:7712"};
    bn_state_t *state = bn_state_new (16);
    for (size_t i = 0; i < self->record_count; i++) {
        const stored_t *stored = &self->records[i];
        bn_record_t record;
        char what[256] = "";
        baton_err_t err = bn_record_decode (&record, stored->type, stored->base, stored->body->data,
                                            stored->body->size, what);
        if (!err)
            err = bn_state_apply (state, &record, state->sequence + 1, stored->base, stored->count,
                                  stored->time_us, what);
        if (err)
            broken (self, "record %zu cannot be applied: %s", i, what);
        bn_record_fini (&record);
    }
    self->conductor = bn_conductor_new (&options, &state);
    assert_non_null (self->conductor);
    conductor_step (self,
                    (bn_conductor_event_t){.kind = BN_CONDUCTOR_START, .partitions = PARTITIONS});
}

/*  ---- instances -------------------------------------------------------------------------------
 *  */

static void instance_step (world_t *self, instance_t *instance, bn_mailbox_event_t event);

static void disconnect (world_t *self, instance_t *instance, bool tell)
{
    uint64_t route = instance->route;
    instance->route = 0;
    instance->next_ms = self->now.mono_ms + 20 + world_below (self, 400);
    line_clear (&instance->up);
    line_clear (&instance->down);
    instance->life = ++self->life_last;
    if (tell && instance->mailbox)
        instance_step (self, instance, (bn_mailbox_event_t){.kind = BN_MAILBOX_LINK_DOWN});
    if (route)
        conductor_step (self, (bn_conductor_event_t){.kind = BN_CONDUCTOR_GONE, .route = route});
}

static void end_process (world_t *self, instance_t *instance)
{
    disconnect (self, instance, false);
    line_clear (&instance->fan);
    memset (instance->subscribed, 0, sizeof instance->subscribed);
    bn_run_destroy (&instance->run);
    bn_mailbox_effects_fini (&instance->effects);
    bn_mailbox_destroy (&instance->mailbox);
    instance->next_ms = self->now.mono_ms + 50 + world_below (self, 2000);
    instance->expire_ms = 0;
    instance->begun = instance->stopping = false;
}

static void start_process (world_t *self, instance_t *instance)
{
    static const char *const patterns[] = {"orders.*"};
    bn_mailbox_options_t options = {.actor = ACTOR,
                                    .incarnation = ++self->incarnation_last,
                                    .patterns = patterns,
                                    .pattern_count = 1,
                                    .start_kind = BN_START_BEGINNING,
                                    .policy = {.max_attempts = 4,
                                               .backoff_min_ms = 20,
                                               .backoff_max_ms = 500,
                                               .handler_deadline_ms = DEADLINE_MS},
                                    .backoff_jitter_pct = 50,
                                    .prefetch_bytes = 3000,
                                    .settle_bytes_max = 4000,
                                    .run_events_max = 1 + (uint32_t)world_below (self, 12)};
    snprintf (options.instance, sizeof options.instance, "%s", instance->name);
    instance->incarnation = options.incarnation;
    instance->mailbox = bn_mailbox_new (&options);
    assert_non_null (instance->mailbox);
    bn_mailbox_effects_init (&instance->effects);
    instance->next_ms = self->now.mono_ms + world_below (self, 50);
}

static void instance_effect (world_t *self, instance_t *instance, bn_mailbox_effect_t *effect,
                             bool *reset, bool *over)
{
    bn_blob_t *blobs[FRAMES_MAX];
    switch (effect->kind) {
    case BN_MAILBOX_SEND:
        assert_true (effect->payload_count < FRAMES_MAX);
        if (!instance->route)
            break;
        blobs[0] = bn_blob_ref (effect->head);
        for (uint32_t i = 0; i < effect->payload_count; i++)
            blobs[i + 1] = bn_blob_ref (effect->payloads[i].blob);
        line_put (self, &instance->up, blobs, effect->payload_count + 1);
        break;
    case BN_MAILBOX_SUBSCRIBE:
    case BN_MAILBOX_UNSUBSCRIBE:
        if (bn_is_channel (effect->head->data, effect->head->size))
            break;
        assert_in_range (effect->head->data[0], 0, PARTITIONS - 1);
        instance->subscribed[effect->head->data[0]] = effect->kind == BN_MAILBOX_SUBSCRIBE;
        break;
    case BN_MAILBOX_RUN:
        assert_null (instance->run);
        instance->run = effect->run;
        effect->run = NULL;
        instance->run_life = instance->life;
        instance->at = 0;
        instance->begun = false;
        break;
    case BN_MAILBOX_RESET_LINK:
        *reset = true;
        break;
    case BN_MAILBOX_FATAL:
        if (effect->err != BATON_ERR_FENCED)
            broken (self, "%s: %s: %s", instance->name, baton_err_name (effect->err), effect->text);
        *over = true;
        break;
    case BN_MAILBOX_DRAINED:
        *over = true;
        break;
    case BN_MAILBOX_LOG:
        say (self, "%s: %s", instance->name, effect->text);
        break;
    case BN_MAILBOX_CONNECT_SUB:
        break;
    }
}

static void instance_step (world_t *self, instance_t *instance, bn_mailbox_event_t event)
{
    event.now = self->now;
    event.random = bn_prng_next (&self->prng);
    bn_mailbox_step (instance->mailbox, &event, &instance->effects);
    assert_false (instance->effects.failed);
    bool reset = false, over = false;
    for (size_t i = 0; i < instance->effects.count; i++)
        instance_effect (self, instance, &instance->effects.items[i], &reset, &over);
    bn_mailbox_effects_clear (&instance->effects);
    if (reset)
        disconnect (self, instance, false);
    if (over && !instance->run)
        end_process (self, instance);
    else if (over)
        instance->stopping = true;
}

/*  ---- the handler ------------------------------------------------------------------------------
 *  */

static void emit (bn_run_item_t *item)
{
    char id[24];
    int size = snprintf (id, sizeof id, "%" PRIu64, item->offset);
    size_t key = item->fields.key.size;
    bn_blob_t *blob = bn_blob_new ((size_t)size + key + 1);
    memcpy (blob->data, id, (size_t)size);
    memcpy (blob->data + size, item->fields.key.text, key);
    blob->data[(size_t)size + key] = 0xc0;
    item->emissions = calloc (1, sizeof *item->emissions);
    item->emission_count = 1;
    item->emissions[0] = (bn_emission_t){.topic = {"out.done", 8},
                                         .fields = {.id = {(const char *)blob->data, (size_t)size},
                                                    .key = {(const char *)blob->data + size, key},
                                                    .source = {"/actors/payment", 15},
                                                    .time_us = 1,
                                                    .data = blob->data + size + key,
                                                    .data_size = 1},
                                         .spread = item->partition,
                                         .blob = blob};
}

/*  The runner's side of the contract: a key stops at its first event that is not settled.  */
static bool key_stopped (const bn_run_t *run, uint32_t at)
{
    for (uint32_t i = 0; i < at; i++)
        if (run->items[i].key_hash && run->items[i].key_hash == run->items[at].key_hash &&
            (run->items[i].result == BN_RESULT_RETRY || run->items[i].result == BN_RESULT_NONE))
            return true;
    return false;
}

static void kill_instance (world_t *self, instance_t *instance)
{
    say (self, "%s is killed", instance->name);
    self->kills++;
    end_process (self, instance);
}

static void finish_item (world_t *self, instance_t *instance, bn_run_item_t *item)
{
    fact_t *fact = world_fact (self, item->offset);
    uint64_t *given = &fact->given[instance - self->instances];
    uint64_t dice = world_below (self, 100);
    if (dice < 85 || !self->faults) {
        item->result = BN_RESULT_ACK;
        emit (item);
        *given = instance->run_life;
    } else if (dice < 97) {
        item->result = BN_RESULT_RETRY;
        item->reason = strdup ("try again");
        fact->retries++;
        *given = 0;
    } else {
        item->result = BN_RESULT_REJECT;
        item->reason = strdup ("never");
        *given = instance->run_life;
    }
    /*  Out of attempts: given up by the mailbox, which is a way of being done.  */
    if (item->result == BN_RESULT_RETRY && item->attempt >= 4) {
        *given = instance->run_life;
    }
}

static void give_run_back (world_t *self, instance_t *instance)
{
    bn_run_t *run = instance->run;
    instance->run = NULL;
    if (instance->stopping) { /* the mailbox has said its last word */
        bn_run_destroy (&run);
        end_process (self, instance);
        return;
    }
    instance_step (self, instance, (bn_mailbox_event_t){.kind = BN_MAILBOX_RUN_DONE, .run = run});
}

static void handle (world_t *self, instance_t *instance)
{
    while (instance->run && instance->at < instance->run->count) {
        bn_run_item_t *item = &instance->run->items[instance->at];
        if (!instance->begun) {
            if (key_stopped (instance->run, instance->at)) {
                instance->at++;
                continue;
            }
            if (world_chance (self, 30)) { /* stops early */
                instance->at = instance->run->count;
                break;
            }
            instance->begun = true;
            instance->item_done_ms =
                self->now.mono_ms + world_below (self, world_chance (self, 50) ? 600 : 10);
            instance->expire_ms = 0;
            if (world_chance (self, 3)) {
                instance->expire_ms = self->now.mono_ms + DEADLINE_MS;
                instance->item_done_ms += DEADLINE_MS + world_below (self, 3000);
            }
            /*  A stale run may hold what is done or owned elsewhere by now.  */
            const bn_actor_state_t *actor = world_actor (self);
            const bn_actor_partition_t *partition = &actor->partitions[item->partition];
            if (partition->generation == item->generation)
                world_check_handled (self, instance, item);
            fact_t *fact = world_fact (self, item->offset);
            if (fact->poison > 0 && self->faults) {
                fact->poison--;
                kill_instance (self, instance);
                return;
            }
            fact->poison = 0;
        }
        if (instance->expire_ms && self->now.mono_ms >= instance->expire_ms) {
            instance->expire_ms = 0;
            self->expiries++;
            world_fact (self, item->offset)->charges_max++;
            instance->life = ++self->life_last;
            instance_step (self, instance,
                           (bn_mailbox_event_t){.kind = BN_MAILBOX_EXPIRED,
                                                .partition = item->partition,
                                                .offset = item->offset});
            return;
        }
        if (self->now.mono_ms < instance->item_done_ms)
            return;
        finish_item (self, instance, item);
        instance->begun = false;
        instance->at++;
    }
    if (instance->run)
        give_run_back (self, instance);
}

/*  ---- the producer ------------------------------------------------------------------------------
 *  */

static void ask_conductor (world_t *self, uint64_t route, bn_message_t *message,
                           const bn_section_t *sections, uint32_t count)
{
    message->request = ++self->producer_request;
    bn_blob_t *head = bn_message_encode (message);
    bn_frame_t frames[FRAMES_MAX] = {{head->data, head->size}};
    for (uint32_t i = 0; i < count; i++)
        frames[i + 1] = (bn_frame_t){sections[i].payload.data, sections[i].payload.size};
    conductor_step (self, (bn_conductor_event_t){.kind = BN_CONDUCTOR_MESSAGE,
                                                 .route = route,
                                                 .frames = frames,
                                                 .frame_count = count + 1});
    bn_blob_unref (&head);
}

static void producer_heard (world_t *self, const bn_blob_t *head)
{
    bn_message_t message;
    bn_frame_t frame = {head->data, head->size};
    assert_int_equal (bn_message_decode (&message, &frame, 1, NULL), BATON_OK);
    if (message.type == BN_RECEIPT)
        self->producer_waits = false;
    else if (message.type == BN_ERROR && message.error.code != BATON_ERR_DISK_FULL)
        broken (self, "the producer is refused: %.*s", (int)message.error.text.size,
                message.error.text.text);
    bn_message_fini (&message);
}

static void publish (world_t *self)
{
    if (!self->producer_route) {
        self->producer_route = ++self->route_last;
        bn_message_t hello = {
            .type = BN_HELLO,
            .hello = {.role = BN_ROLE_PRODUCER, .name = {"/shop", 5}, .incarnation = 9}};
        ask_conductor (self, self->producer_route, &hello, NULL, 0);
    }
    bn_sections_t *batch = bn_sections_new (PARTITIONS, 1 << 20);
    uint32_t count = 1 + (uint32_t)world_below (self, 6);
    for (uint32_t i = 0; i < count; i++) {
        char key[16] = "";
        if (world_below (self, 10) > 0)
            snprintf (key, sizeof key, "key-%u", (unsigned)world_below (self, KEYS));
        uint8_t data[64] = {0xc4, 62};
        bn_event_fields_t event = {.id_prefix = {"p", 1},
                                   .id_number_set = true,
                                   .id_number = self->published + i,
                                   .key = {key, strlen (key)},
                                   .source = {"/shop", 5},
                                   .time_us = 1,
                                   .data = data,
                                   .data_size = sizeof data};
        const char *topic = world_below (self, 2) ? "orders.placed" : "orders.paid";
        assert_int_equal (bn_sections_add (batch, topic, strlen (topic), &event,
                                           (uint32_t)world_below (self, PARTITIONS)),
                          BATON_OK);
    }
    uint32_t section_count;
    bn_section_t *sections = bn_sections_take (batch, &section_count);
    bn_message_t message = {.type = BN_PUBLISH,
                            .publish = {.producer_id = 9,
                                        .sequence = self->producer_sequence + 1,
                                        .sections = sections,
                                        .section_count = section_count}};
    self->producer_waits = true;
    ask_conductor (self, self->producer_route, &message, sections, section_count);
    if (!self->producer_waits) {
        self->producer_sequence++;
        self->published += count;
    }
    bn_section_array_free (sections, section_count);
    bn_sections_destroy (&batch);
}

/*  ---- the world turns
 *  ---------------------------------------------------------------------------- */

static void restart_conductor (world_t *self)
{
    say (self, "the orchestrator restarts");
    self->restarts++;
    bn_conductor_destroy (&self->conductor);
    self->producer_route = 0;
    for (uint32_t i = 0; i < self->options.instances; i++) {
        self->instances[i].route = 0; /* its route died with the conductor */
        line_clear (&self->instances[i].fan);
    }
    start_conductor (self);
    for (uint32_t i = 0; i < self->options.instances; i++)
        if (self->instances[i].mailbox)
            disconnect (self, &self->instances[i], true);
}

static void faults (world_t *self)
{
    if (world_chance (self, 1))
        restart_conductor (self);
    if (world_chance (self, 1))
        self->disk_full_until_ms = self->now.mono_ms + world_below (self, 1500);
    for (uint32_t i = 0; i < self->options.instances; i++) {
        instance_t *instance = &self->instances[i];
        if (!instance->mailbox)
            continue;
        if (world_chance (self, 1)) {
            kill_instance (self, instance);
        } else if (instance->route && world_chance (self, 3)) {
            say (self, "%s: the connection breaks", instance->name);
            self->breaks++;
            disconnect (self, instance, true);
        } else if (!instance->stopping && world_chance (self, 1)) {
            say (self, "%s is asked to stop", instance->name);
            self->stops++;
            instance_step (self, instance, (bn_mailbox_event_t){.kind = BN_MAILBOX_STOP});
        }
    }
}

static void turn_instance (world_t *self, instance_t *instance)
{
    uint64_t now_ms = self->now.mono_ms;
    parcel_t *parcel;
    bn_frame_t frames[FRAMES_MAX];
    if (!instance->mailbox) {
        if (now_ms >= instance->next_ms)
            start_process (self, instance);
        return;
    }
    if (!instance->route && now_ms >= instance->next_ms) {
        instance->route = ++self->route_last;
        instance->life = ++self->life_last;
        instance_step (self, instance, (bn_mailbox_event_t){.kind = BN_MAILBOX_LINK_UP});
    }
    while (instance->mailbox && instance->route && (parcel = line_take (self, &instance->up))) {
        size_t count = frames_of (parcel, frames);
        conductor_step (self, (bn_conductor_event_t){.kind = BN_CONDUCTOR_MESSAGE,
                                                     .route = instance->route,
                                                     .frames = frames,
                                                     .frame_count = count});
        parcel_free (parcel);
    }
    while (instance->mailbox && (parcel = line_take (self, &instance->down))) {
        size_t count = frames_of (parcel, frames);
        instance_step (self, instance,
                       (bn_mailbox_event_t){.kind = BN_MAILBOX_MESSAGE,
                                            .frames = frames,
                                            .blobs = parcel->blobs,
                                            .frame_count = count});
        parcel_free (parcel);
    }
    while (instance->mailbox && (parcel = line_take (self, &instance->fan))) {
        size_t count = frames_of (parcel, frames);
        instance_step (self, instance,
                       (bn_mailbox_event_t){.kind = BN_MAILBOX_FANOUT,
                                            .frames = frames,
                                            .blobs = parcel->blobs,
                                            .frame_count = count});
        parcel_free (parcel);
    }
    if (instance->mailbox)
        handle (self, instance);
    int spins = 0;
    while (instance->mailbox && bn_mailbox_due_ms (instance->mailbox) <= now_ms) {
        if (++spins > 20)
            broken (self, "%s is due again and again", instance->name);
        instance_step (self, instance, (bn_mailbox_event_t){.kind = BN_MAILBOX_TICK});
    }
}

static bool all_done (world_t *self)
{
    const bn_actor_state_t *actor = world_actor (self);
    if (!actor)
        return false;
    for (uint32_t i = 0; i < self->fact_count; i++)
        if (!world_done (actor, &self->facts[i]))
            return false;
    return true;
}

static void turn (world_t *self)
{
    uint64_t step_ms = 1 + world_below (self, 5);
    self->now.mono_ms += step_ms;
    self->now.wall_us += step_ms * 1000;
    if (self->published < self->options.events && world_below (self, 40) == 0)
        publish (self);
    faults (self);
    for (uint32_t i = 0; i < self->options.instances; i++)
        turn_instance (self, &self->instances[i]);
    if (bn_conductor_due_ms (self->conductor) <= self->now.mono_ms)
        conductor_step (self, (bn_conductor_event_t){.kind = BN_CONDUCTOR_TICK});
}

static void tell_what_is_left (world_t *self)
{
    const bn_actor_state_t *actor = world_actor (self);
    for (uint32_t p = 0; actor && p < PARTITIONS; p++) {
        const bn_actor_partition_t *partition = &actor->partitions[p];
        fprintf (stderr,
                 "partition %u: floor %" PRIu64 " head %" PRIu64 " generation %" PRIu64
                 " owner %s parked %zu careful %" PRIu64 "\n",
                 p, partition->floor, partition->head, partition->generation, partition->instance,
                 bn_map_count (partition->parked), partition->careful_until);
    }
}

static void world_fini (world_t *self)
{
    for (uint32_t i = 0; i < self->options.instances; i++) {
        instance_t *instance = &self->instances[i];
        line_clear (&instance->up);
        line_clear (&instance->down);
        line_clear (&instance->fan);
        bn_run_destroy (&instance->run);
        bn_mailbox_effects_fini (&instance->effects);
        bn_mailbox_destroy (&instance->mailbox);
    }
    bn_conductor_destroy (&self->conductor);
    bn_effects_fini (&self->effects);
    for (size_t i = 0; i < self->record_count; i++)
        bn_blob_unref (&self->records[i].body);
    free (self->records);
    free (self->sections);
    free (self);
}

void world_run (const world_options_t *options)
{
    world_t *self = calloc (1, sizeof *self);
    assert_in_range (options->instances, 1, INSTANCES_MAX);
    self->options = *options;
    self->faults = options->faults;
    bn_prng_init (&self->prng, options->seed);
    self->now = (bn_time_t){.mono_ms = 10000, .wall_us = 1700000000000000};
    bn_effects_init (&self->effects);
    start_conductor (self);
    for (uint32_t i = 0; i < options->instances; i++) {
        snprintf (self->instances[i].name, sizeof self->instances[i].name, "payment-%u", i);
        start_process (self, &self->instances[i]);
    }
    uint64_t faults_end_ms = self->now.mono_ms + FAULTY_MS;
    while (self->now.mono_ms < faults_end_ms && self->published < options->events)
        turn (self);
    self->faults = false;
    self->disk_full_until_ms = 0;
    uint64_t end_ms = self->now.mono_ms + DRAIN_MS;
    while (self->published < options->events || !all_done (self)) {
        if (self->now.mono_ms >= end_ms) {
            tell_what_is_left (self);
            broken (self, "it does not drain");
        }
        turn (self);
    }
    for (uint32_t i = 0; i < self->fact_count; i++)
        if (self->facts[i].emitted + self->facts[i].dead != 1)
            broken (self, "G5: offset %" PRIu64 " was emitted %u times and died %u times",
                    self->facts[i].offset, self->facts[i].emitted, self->facts[i].dead);
    say (self,
         "%u events, %" PRIu64 " kills, %" PRIu64 " breaks, %" PRIu64 " restarts, %" PRIu64
         " drops, %" PRIu64 " expiries, %" PRIu64 " stops",
         self->fact_count, self->kills, self->breaks, self->restarts, self->drops, self->expiries,
         self->stops);
    world_fini (self);
}
