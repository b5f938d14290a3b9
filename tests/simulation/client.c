/* SPDX-License-Identifier: MPL-2.0 */

/*  client.c - producers (the production outbox) and an administrator who redrives and discards dead
 *  letters.  */
#include "simulation/sim.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ADMIN_US 700000

static uint32_t producer_peer (uint32_t index)
{
    return SIM_PROCESSES_MAX + index;
}

static uint32_t admin_peer (void)
{
    return SIM_PROCESSES_MAX + SIM_PRODUCERS_MAX;
}

/*  ---- producers ---- */

void sim_producer_step (sim_t *sim, uint32_t index, bn_outbox_event_t event)
{
    sim_producer_t *producer = &sim->producers[index];
    bn_outbox_effects_t effects;
    bn_outbox_effects_init (&effects);
    event.now = sim_time (sim);
    event.random = sim_random (sim);
    bn_outbox_step (producer->outbox, &event, &effects);
    bool reset = false;
    for (size_t i = 0; i < effects.count; i++) {
        const bn_outbox_effect_t *effect = &effects.items[i];
        if (effect->kind == BN_OUTBOX_SEND)
            sim_to_server (sim, producer_peer (index), effect->head, effect->payloads,
                           effect->payload_count);
        else if (effect->kind == BN_OUTBOX_RECEIPT)
            sim_oracle_receipt (sim, index, effect);
        else if (effect->kind == BN_OUTBOX_RESET_LINK)
            reset = true;
        else if (effect->kind == BN_OUTBOX_FATAL)
            sim_fail (sim, "producer %u cannot go on: %s", index, effect->text);
        else
            sim_say (sim, "producer %u: %.150s", index, effect->text);
    }
    bn_outbox_effects_fini (&effects);
    if (reset) {
        sim_hang_up (sim, producer_peer (index));
        sim_connect_later (sim, producer_peer (index), 50000);
        sim_producer_step (sim, index, (bn_outbox_event_t){.kind = BN_OUTBOX_LINK_DOWN});
        return;
    }
    sim_peer_due (sim, producer_peer (index), bn_outbox_due_ms (producer->outbox));
}

static const char *const s_topics[] = {"shop.a", "shop.b", "shop.c", "other.x"};

static void make_event (sim_t *sim, bn_outbox_item_t *item, uint8_t *bytes, size_t padding)
{
    struct {
        sim_identity_t identity;
        char id[24];
        char key[12];
    } head = {.identity = {.serial = sim_model_serial (sim->model)}};
    if (sim_chance (sim, sim->config.poison_pct))
        head.identity.poison = 1 + (uint32_t)sim_below (sim, 2);
    if (!sim_chance (sim, sim->config.keyless_pct))
        snprintf (head.key, sizeof head.key, "k%" PRIu64, sim_below (sim, sim->config.keys));
    snprintf (head.id, sizeof head.id, "p-%" PRIu64, head.identity.serial);
    memcpy (bytes, &head.id, sizeof head.id);
    memcpy (bytes + sizeof head.id, &head.key, sizeof head.key);
    uint8_t *data = bytes + sizeof head.id + sizeof head.key;
    memcpy (data, &head.identity, sizeof head.identity);
    memset (data + sizeof head.identity, (int)head.identity.serial, padding);
    const char *topic = s_topics[sim_below (sim, sim->config.topics)];
    *item = (bn_outbox_item_t){
        .topic = {topic, strlen (topic)},
        .fields = {.id = {(const char *)bytes, strlen (head.id)},
                   .key = {(const char *)bytes + sizeof head.id, strlen (head.key)},
                   .source = {"/sim", 4},
                   .time_us = (int64_t)sim_time (sim).wall_us,
                   .datacontenttype = {"application/octet-stream", 24},
                   .data = data,
                   .data_size = sizeof head.identity + padding},
        .spread = (uint32_t)sim_below (sim, 1000)};
}

static void produce (sim_t *sim, uint32_t index)
{
    enum { FIXED = sizeof (sim_identity_t) + 24 + 12 };
    sim_producer_t *producer = &sim->producers[index];
    uint32_t count = 1 + (uint32_t)sim_below (sim, sim->config.group_events_max);
    size_t padding = sim_below (sim, sim->config.padding_max + 1);
    bn_outbox_group_t *group = sim_must (calloc (1, sizeof *group));
    group->ticket = producer->groups_made;
    group->count = count;
    group->items = sim_must (calloc (count, sizeof *group->items));
    group->blob = sim_must (bn_blob_new (count * (FIXED + padding)));
    group->bytes = group->blob->size;
    producer->group_first[producer->groups_made++] = sim->model->serials;
    for (uint32_t i = 0; i < count; i++)
        make_event (sim, &group->items[i], group->blob->data + i * (FIXED + padding), padding);
    sim->stats.events += count;
    bn_outbox_groups_t groups = {.bytes = 0};
    bn_outbox_groups_add (&groups, group);
    sim_producer_step (sim, index,
                       (bn_outbox_event_t){.kind = BN_OUTBOX_GROUPS, .groups = &groups});
    if (producer->groups_made < sim->config.groups)
        sim_push (sim, sim->now_us + sim_below (sim, sim->config.produce_gap_us * 2), EVENT_PRODUCE,
                  index, 0, 0);
}

/*  ---- the administrator ---- */

static void admin_send (sim_t *sim, bn_message_t *message)
{
    message->request = ++sim->admin_request;
    bn_blob_t *head = sim_must (bn_message_encode (message));
    sim_to_server (sim, admin_peer (), head, NULL, 0);
    bn_blob_unref (&head);
}

void sim_admin_link (sim_t *sim, bool up)
{
    sim->admin_ready = false;
    if (!up)
        return;
    bn_message_t hello = {.type = BN_HELLO,
                          .hello = {.role = BN_ROLE_ADMIN, .name = {"admin", 5}, .incarnation = 1}};
    admin_send (sim, &hello);
}

static void forgotten (sim_t *sim, uint64_t request)
{
    for (uint32_t a = 0; a < sim->config.actor_count; a++)
        if (sim->forget_asked[a] == request)
            sim_forgotten (sim, a);
}

void sim_admin_message (sim_t *sim, const sim_message_t *raw)
{
    bn_frame_t frame = {raw->blobs[0]->data, raw->blobs[0]->size};
    bn_message_t message;
    char what[256];
    if (bn_message_decode (&message, &frame, 1, what)) {
        sim_fail (sim, "the administrator is sent what cannot be read: %s", what);
        return;
    }
    if (message.type == BN_WELCOME)
        sim->admin_ready = true;
    else if (message.type == BN_FORGOTTEN)
        forgotten (sim, message.request);
    else if (message.type == BN_ERROR)
        sim_say (sim, "administrator: refused: %.*s", (int)message.error.text.size,
                 message.error.text.text);
    bn_message_fini (&message);
}

/*  While an actor is to be forgotten, that is tried; it is refused until its instances are gone. */
static bool forget (sim_t *sim)
{
    for (uint32_t a = 0; a < sim->config.actor_count; a++) {
        const char *actor = sim->config.actors[a].name;
        if (sim->forget_us[a] <= sim->now_us)
            continue;
        admin_send (sim, &(bn_message_t){.type = BN_FORGET, .forget = {actor, strlen (actor)}});
        sim->forget_asked[a] = sim->admin_request;
        return true;
    }
    return false;
}

/*  Looks at the status or at dead letters.  */
static void ask (sim_t *sim)
{
    uint32_t a = (uint32_t)sim_below (sim, sim->config.actor_count);
    const char *actor = sim->config.actors[a].name;
    uint64_t dice = sim_below (sim, 4);
    if (dice == 0)
        admin_send (sim, &(bn_message_t){.type = BN_STATUS});
    if (dice != 1)
        return;
    sim_asked_t asked = {.request = sim->admin_request + 1,
                         .actor = a,
                         .from = sim_below (sim, 2) ? sim_below (sim, sim->model->tail + 1) : 0,
                         .count = 1 + (uint32_t)sim_below (sim, 5)};
    sim->asked[asked.request % SIM_ASKED] = asked;
    admin_send (sim, &(bn_message_t){.type = BN_DEAD,
                                     .dead = {.op = BN_DEAD_LIST,
                                              .actor = {actor, strlen (actor)},
                                              .from = asked.from,
                                              .count_max = asked.count}});
}

/*  During the faults letters are redriven, one, some or all; afterwards they are let go, so that
 *  their bound holds nobody up.  */
static void administrate (sim_t *sim)
{
    sim_push (sim, sim->now_us + sim_about (sim, ADMIN_US), EVENT_ADMIN, 0, 0, 0);
    if (!sim->admin_ready || forget (sim))
        return;
    ask (sim);
    const char *actor = sim->config.actors[sim_below (sim, sim->config.actor_count)].name;
    uint64_t offsets[4];
    bn_message_t message = {.type = BN_DEAD,
                            .dead = {.op = sim->liveness ? BN_DEAD_DISCARD : BN_DEAD_REDRIVE,
                                     .actor = {actor, strlen (actor)},
                                     .offsets = offsets}};
    uint64_t dice = sim_below (sim, 4);
    if (dice == 0 && !sim->liveness)
        message.dead.op = BN_DEAD_DISCARD;
    for (size_t i = 0;
         dice > 1 && !sim->liveness && i < sim->model->grave_count && message.dead.offset_count < 4;
         i++) {
        const sim_grave_t *grave = &sim->model->graves[i];
        if (grave->open && strcmp (sim->config.actors[grave->actor].name, actor) == 0 &&
            sim_below (sim, 2) == 0)
            offsets[message.dead.offset_count++] = grave->dead_offset;
    }
    if (dice <= 1 || sim->liveness || message.dead.offset_count > 0)
        admin_send (sim, &message);
}

/*  ---- life ---- */

void sim_clients_init (sim_t *sim)
{
    for (uint32_t i = 0; i < sim->config.producer_count; i++) {
        sim_producer_t *producer = &sim->producers[i];
        bn_outbox_options_t options = {.source = "/sim",
                                       .producer_id = 7000 + i,
                                       .request_bytes_max = sim->config.request_bytes,
                                       .pipeline_bytes = i % 2 ? SIZE_MAX : 1, /* never, always */
                                       .mixes = i / 2 % 2 == 0,
                                       .answer_timeout_ms = 700};
        producer->id = options.producer_id;
        producer->outbox = sim_must (bn_outbox_new (&options));
        producer->group_first =
            sim_must (calloc (sim->config.groups + 1, sizeof *producer->group_first));
        sim_peer_init (sim, producer_peer (i), PEER_PRODUCER, i);
        sim_connect_later (sim, producer_peer (i), 30000);
        sim_push (sim, sim_below (sim, sim->config.produce_gap_us + 1), EVENT_PRODUCE, i, 0, 0);
    }
    sim_peer_init (sim, admin_peer (), PEER_ADMIN, 0);
    sim_connect_later (sim, admin_peer (), 100000);
    sim_push (sim, ADMIN_US, EVENT_ADMIN, 0, 0, 0);
}

void sim_clients_fini (sim_t *sim)
{
    for (uint32_t i = 0; i < SIM_PRODUCERS_MAX; i++) {
        bn_outbox_destroy (&sim->producers[i].outbox);
        free (sim->producers[i].group_first);
    }
}

void sim_client_event (sim_t *sim, sim_event_t *event)
{
    if (event->kind == EVENT_PRODUCE)
        produce (sim, (uint32_t)event->a);
    else
        administrate (sim);
}
