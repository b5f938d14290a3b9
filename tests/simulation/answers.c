/* SPDX-License-Identifier: MPL-2.0 */

/*  answers.c - what the administrator is told, held against the model in the moment in which the
 *  conductor says it: STATUS, and lists of dead letters.  */
#include "simulation/sim.h"
#include <inttypes.h>
#include <msgpack.h>
#include <stdio.h>
#include <string.h>

/*  ---- STATUS ---- */

static const msgpack_object *field (const msgpack_object *map, const char *name)
{
    if (map->type != MSGPACK_OBJECT_MAP)
        return NULL;
    for (uint32_t i = 0; i < map->via.map.size; i++) {
        const msgpack_object *key = &map->via.map.ptr[i].key;
        if (key->type == MSGPACK_OBJECT_STR && key->via.str.size == strlen (name) &&
            memcmp (key->via.str.ptr, name, key->via.str.size) == 0)
            return &map->via.map.ptr[i].val;
    }
    return NULL;
}

static uint64_t number (const msgpack_object *map, const char *name)
{
    const msgpack_object *value = field (map, name);
    return value && value->type == MSGPACK_OBJECT_POSITIVE_INTEGER ? value->via.u64 : UINT64_MAX;
}

static bool is_name (const msgpack_object *map, const char *name)
{
    const msgpack_object *value = field (map, "name");
    return value && value->type == MSGPACK_OBJECT_STR && value->via.str.size == strlen (name) &&
           memcmp (value->via.str.ptr, name, strlen (name)) == 0;
}

static const msgpack_object *item (const msgpack_object *list, const char *name)
{
    for (uint32_t i = 0; list && list->type == MSGPACK_OBJECT_ARRAY && i < list->via.array.size;
         i++)
        if (is_name (&list->via.array.ptr[i], name))
            return &list->via.array.ptr[i];
    return NULL;
}

static void expect (sim_t *sim, const char *who, const char *what, const msgpack_object *map,
                    uint64_t truth)
{
    uint64_t told = number (map, what);
    if (told != truth)
        sim_fail (sim, "STATUS: %s of %s is %" PRIu64 ", and it says %" PRIu64, what, who, truth,
                  told);
}

static void check_actor (sim_t *sim, uint32_t a, const msgpack_object *told, bool cut)
{
    const sim_model_t *model = sim->model;
    const sim_actor_t *actor = &model->actors[a];
    const char *name = sim->config.actors[a].name;
    if (!actor->id || !told) {
        if (told || (actor->id && !cut))
            sim_fail (sim, "STATUS: %s is %s", name, told ? "gone, and listed" : "left out");
        return;
    }
    uint64_t parked = 0, open = 0, to_drain = 0;
    for (uint32_t p = 0; p < sim->config.partitions; p++)
        parked += actor->shares[p].parked;
    for (uint64_t o = 0; o < model->tail; o++) {
        bool is_open =
            (model->log[o].wanted >> a & 1) && o >= actor->shares[model->log[o].partition].floor;
        open += is_open;
        to_drain += is_open && o < actor->cut;
    }
    expect (sim, name, "id", told, actor->id);
    expect (sim, name, "parked", told, parked);
    expect (sim, name, "dead", told, actor->dead);
    const msgpack_object *exact = field (told, "lag_exact");
    bool is_exact = exact && exact->type == MSGPACK_OBJECT_BOOLEAN && exact->via.boolean;
    if (is_exact)
        expect (sim, name, "ready", told, open);
    else if (number (told, "ready") < open)
        sim_fail (sim, "STATUS: %" PRIu64 " events wait for %s, and it says at most %" PRIu64, open,
                  name, number (told, "ready"));
    uint64_t most = number (told, "to_drain");
    if (most < to_drain || (most > 0 && to_drain == 0))
        sim_fail (sim,
                  "STATUS: %" PRIu64 " events wait for older builds of %s, and it says at most "
                  "%" PRIu64,
                  to_drain, name, most);
}

static void check_status (sim_t *sim, const bn_slice_t *status)
{
    static const char *const topics[] = {"shop.a",     "shop.b",      "shop.c",    "other.x",
                                         "made.audit", "made.bill.x", "made.count"};
    const sim_model_t *model = sim->model;
    msgpack_unpacked unpacked;
    msgpack_unpacked_init (&unpacked);
    size_t at = 0;
    if (msgpack_unpack_next (&unpacked, (const char *)status->data, status->size, &at) !=
        MSGPACK_UNPACK_SUCCESS)
        sim_fail (sim, "STATUS cannot be read");
    const msgpack_object *all = &unpacked.data;
    const msgpack_object *orchestrator = sim->failed ? NULL : field (all, "orchestrator");
    if (orchestrator) {
        /*  For want of memory, which it may say.  */
        const msgpack_object *truncated = field (all, "truncated");
        bool cut = sim->config.faults[FAULT_MEMORY] && truncated && truncated->via.boolean;
        expect (sim, "the orchestrator", "tail", orchestrator, model->tail);
        expect (sim, "the orchestrator", "sequence", orchestrator, model->record_count);
        for (uint32_t a = 0; a < sim->config.actor_count; a++)
            check_actor (sim, a, item (field (all, "actors"), sim->config.actors[a].name), cut);
        for (size_t t = 0; t < sizeof topics / sizeof *topics; t++) {
            const msgpack_object *told = item (field (all, "topics"), topics[t]);
            uint64_t events = 0;
            for (uint64_t o = 0; o < model->tail; o++)
                events += strcmp (model->log[o].topic, topics[t]) == 0;
            if (told || (events && !cut))
                expect (sim, topics[t], "events", told ? told : all, events);
        }
        sim->stats.answers++;
    } else
        sim_fail (sim, "STATUS has no orchestrator");
    msgpack_unpacked_destroy (&unpacked);
}

/*  ---- DEAD ---- */

/*  The next open grave of the actor at or after the offset, or NULL.  */
static const sim_grave_t *next_grave (const sim_model_t *model, uint32_t a, uint64_t from)
{
    const sim_grave_t *next = NULL;
    for (size_t g = 0; g < model->grave_count; g++) {
        const sim_grave_t *grave = &model->graves[g];
        if (grave->actor == a && grave->open && grave->dead_offset >= from &&
            (!next || grave->dead_offset < next->dead_offset))
            next = grave;
    }
    return next;
}

static void check_list (sim_t *sim, const sim_asked_t *asked, const bn_dead_reply_t *reply)
{
    const sim_model_t *model = sim->model;
    const char *name = sim->config.actors[asked->actor].name;
    uint64_t from = asked->from;
    for (uint32_t i = 0; i < reply->letter_count && !sim->failed; i++) {
        const bn_dead_letter_t *letter = &reply->letters[i];
        const sim_grave_t *grave = next_grave (model, asked->actor, from);
        if (!grave || grave->dead_offset != letter->dead_offset ||
            grave->offset != letter->offset ||
            model->log[grave->offset].partition != letter->partition)
            sim_fail (sim, "DEAD: %s is listed to have %" PRIu64 " at %" PRIu64, name,
                      letter->offset, letter->dead_offset);
        from = letter->dead_offset + 1;
    }
    bool more = next_grave (model, asked->actor, from) != NULL;
    if (!sim->failed && (more != reply->more || (more && reply->letter_count < asked->count)))
        sim_fail (sim, "DEAD: the list of %s ends after %u letters, and there are %s", name,
                  reply->letter_count, more ? "more" : "no more");
    sim->stats.answers++;
}

void sim_oracle_answer (sim_t *sim, const bn_blob_t *head)
{
    bn_frame_t frame = {head->data, head->size};
    bn_message_t message;
    if (head->size < 4 || (head->data[3] != BN_STATUS_REPLY && head->data[3] != BN_DEAD_REPLY) ||
        sim->failed || bn_message_decode (&message, &frame, 1, NULL))
        return;
    const sim_asked_t *asked = &sim->asked[message.request % SIM_ASKED];
    if (message.type == BN_STATUS_REPLY)
        check_status (sim, &message.status);
    else if (asked->request == message.request)
        check_list (sim, asked, &message.dead_reply);
    bn_message_fini (&message);
}
