/* SPDX-License-Identifier: MPL-2.0 */

/*  conductor_publish.c - PUBLISH: checks of sections, record, receipt.  */
#include "base/plant.h"
#include "core/conductor_internal.h"
#include <stdio.h>

#define MIXED_KEPT 65536 /* events that there is room for between two requests */

/*  ---- checks ---- */

bool bn_conductor_is_dead_topic (const bn_text_t *topic, const bn_actor_state_t *actor)
{
    const size_t prefix = sizeof "$dead." - 1;
    size_t size = strlen (actor->name);
    return topic->size == prefix + size && memcmp (topic->text, "$dead.", prefix) == 0 &&
           memcmp (topic->text + prefix, actor->name, size) == 0;
}

/*  The topic's state, if there are events of it already, into *state.  */
static bool check_topic (bn_conductor_t *self, bn_text_t topic, uint32_t index,
                         const bn_actor_state_t *dead_of, void **state)
{
    *state = bn_map_get (self->state->topics, topic.text, topic.size);
    if (!*state && !bn_topic_valid (topic.text, topic.size))
        return bn_conductor_refuse (self, BATON_ERR_TOPIC, 0,
                                    "section %" PRIu32 ": the topic is not valid", index);
    if (bn_topic_reserved (topic.text, topic.size) &&
        !(dead_of && bn_conductor_is_dead_topic (&topic, dead_of)))
        return bn_conductor_refuse (self, BATON_ERR_TOPIC, 0,
                                    "section %" PRIu32 ": topics that start with '$' are reserved",
                                    index);
    return true;
}

/*  All but the topics.  */
static bool check_events (bn_conductor_t *self, const bn_section_t *section, uint32_t index)
{
    if (section->partition >= self->state->partitions)
        return bn_conductor_refuse (self, BATON_ERR_PARTITION, section->partition,
                                    "section %" PRIu32 ": partition %" PRIu32
                                    " does not exist; there are %" PRIu32,
                                    index, section->partition, self->state->partitions);
    bn_batch_limits_t limits = {.partition = section->partition,
                                .partitions = self->state->partitions,
                                .data_bytes_max = self->options.data_bytes_max};
    bool mixed = bn_is_mixed (section);
    const bn_slice_t *payload = &section->payload;
    uint32_t event = 0;
    const char *what = NULL;
    baton_err_t err = mixed ? bn_mixed_check (payload->data, payload->size, section->count, &limits,
                                              section->mixed, &event, &what)
                            : bn_batch_check (payload->data, payload->size, section->count, &limits,
                                              &event, &what);
    if (err)
        return bn_conductor_refuse (
            self, err, 0,
            "section %" PRIu32 " (%s%.*s, partition %" PRIu32 "), event %" PRIu32 ": %s", index,
            mixed ? "no topic" : "topic ", (int)section->topic.size, section->topic.text,
            section->partition, event, what ? what : baton_err_text (err));
    return true;
}

/*  The topics of a mixed section, whose events were checked, and that its parts are not too much;
 *  the topics of dead letters have sections of their own.  */
static bool check_mixed_topics (bn_conductor_t *self, const bn_section_t *section, uint32_t index,
                                bool *all_known)
{
    const uint8_t *payload = section->payload.data;
    for (uint32_t i = 0; i < section->count; i++) {
        bn_mixed_event_t *event = &section->mixed[i];
        if (i > 0 && event[-1].topic_at == event->topic_at)
            event->topic_state = event[-1].topic_state;
        else if (!check_topic (self, bn_mixed_topic (payload, event), index, NULL,
                               &event->topic_state))
            return false;
        *all_known &= event->topic_state != NULL;
    }
    size_t parts = bn_mixed_parts_bytes (payload, section->mixed, section->count);
    return parts <= BN_MIXED_PARTS_MAX * section->payload.size ||
           bn_conductor_refuse (self, BATON_ERR_TOO_LARGE, 0,
                                "section %" PRIu32 ": its topics apart it is %zu bytes, more than "
                                "%d times what it is mixed",
                                index, parts, BN_MIXED_PARTS_MAX);
}

/*  Room to say of each event of a mixed section where it is. It is as much as the events can be
 *  from their bytes, whatever their number is said to be (G7).  */
static bool room_for_mixed (bn_conductor_t *self, bn_section_t *sections, uint32_t count)
{
    size_t sum = 0;
    for (uint32_t index = 0; index < count; index++) {
        const bn_section_t *section = &sections[index];
        if (!bn_is_mixed (section))
            continue;
        if (section->count > section->payload.size / BN_MIXED_EVENT_BYTES_MIN)
            return bn_conductor_refuse (self, BATON_ERR_MALFORMED, 0,
                                        "section %" PRIu32 ": %zu bytes cannot be %" PRIu32
                                        " events",
                                        index, section->payload.size, section->count);
        sum += section->count;
    }
    if (sum > self->mixed_capacity || self->mixed_capacity > MIXED_KEPT) {
        free (self->mixed);
        self->mixed = malloc (sum * sizeof *self->mixed);
        self->mixed_capacity = self->mixed ? sum : 0;
        if (!self->mixed && sum > 0) {
            self->effects->failed = true;
            return false;
        }
    }
    bn_mixed_event_t *next = self->mixed;
    for (uint32_t index = 0; index < count; index++)
        if (bn_is_mixed (&sections[index])) {
            sections[index].mixed = next;
            next += sections[index].count;
        }
    return true;
}

/*  $dead topics are as many as actors and do not count here: giving an event up must never fail for
 *  the number of topics.  */
static bool add_fresh (bn_conductor_t *self, bn_map_t *fresh, bn_text_t topic, uint32_t index)
{
    if (bn_topic_reserved (topic.text, topic.size) ||
        bn_map_get (self->state->topics, topic.text, topic.size))
        return true;
    if (!bn_map_put (fresh, topic.text, topic.size, self, NULL)) {
        self->effects->failed = true;
        return false;
    }
    /*  Not LIMIT: topics do not drain, and a producer that waited for it would wait with all that
     *  is behind it.  */
    return bn_map_count (self->state->topics) + bn_map_count (fresh) <= self->options.topics_max ||
           bn_conductor_refuse (self, BATON_ERR_TOPIC, 0,
                                "section %" PRIu32 ": there are %" PRIu32
                                " topics already (topics_max); %.*s would be a new one",
                                index, self->options.topics_max, (int)topic.size, topic.text);
}

/*  New topics must fit under topics_max.  */
static bool check_topics (bn_conductor_t *self, const bn_section_t *sections, uint32_t count)
{
    bn_map_t *fresh = bn_map_new ();
    bool ok = fresh != NULL;
    if (!ok)
        self->effects->failed = true;
    for (uint32_t index = 0; ok && index < count; index++) {
        const bn_section_t *section = &sections[index];
        if (!bn_is_mixed (section))
            ok = section->topic_state || add_fresh (self, fresh, section->topic, index);
        for (uint32_t i = 0; bn_is_mixed (section) && ok && i < section->count; i++)
            ok = section->mixed[i].topic_state ||
                 add_fresh (self, fresh, bn_mixed_topic (section->payload.data, &section->mixed[i]),
                            index);
    }
    bn_map_destroy (&fresh);
    return ok;
}

bool bn_conductor_check_sections (bn_conductor_t *self, bn_section_t *sections, uint32_t count,
                                  const bn_actor_state_t *dead_of, uint32_t *events)
{
    uint64_t sum = 0;
    bool all_known = true;
    if (!room_for_mixed (self, sections, count))
        return false;
    for (uint32_t index = 0; index < count; index++) {
        /*  What is found is applied in this step, before any topic could go.  */
        bn_section_t *section = &sections[index];
        bool mixed = bn_is_mixed (section);
        if (!mixed && !check_topic (self, section->topic, index, dead_of, &section->topic_state))
            return false;
        all_known &= mixed || section->topic_state;
        if (!check_events (self, section, index) ||
            (mixed && !check_mixed_topics (self, section, index, &all_known)))
            return false;
        section->base = self->state->tail + sum;
        sum += section->count;
    }
    bn_assert (sum <= UINT32_MAX); /* each event has bytes in the message, which are checked */
    *events = (uint32_t)sum;
    return all_known || check_topics (self, sections, count);
}

/*  ---- PUBLISH ---- */

static void send_receipt (bn_conductor_t *self, const bn_receipt_t *receipt)
{
    bn_message_t reply = {.type = BN_RECEIPT, .receipt = *receipt};
    bn_conductor_reply (self, &reply);
}

/*  A sequence that is not the next one: a repeat gets its receipt again, a skip is refused.  */
static void not_next (bn_conductor_t *self, const bn_producer_state_t *producer,
                      const bn_publish_t *publish)
{
    uint64_t last = producer ? producer->sequence : 0;
    if (publish->sequence > last) {
        bn_conductor_refuse (self, BATON_ERR_SEQUENCE, last + 1,
                             "sequence %" PRIu64 " from producer %016" PRIx64 ": expected %" PRIu64,
                             publish->sequence, publish->producer_id, last + 1);
        return;
    }
    bn_receipt_t receipt = producer->receipts[publish->sequence % BN_PRODUCER_RECEIPTS];
    if (receipt.sequence != publish->sequence)
        receipt = (bn_receipt_t){.sequence = publish->sequence, .base = BN_NO_OFFSET};
    receipt.duplicate = true;
    send_receipt (self, &receipt);
}

void bn_conductor_publish (bn_conductor_t *self, bn_session_t *session, bn_publish_t *publish)
{
    if (publish->producer_id == 0 || publish->producer_id != session->incarnation) {
        bn_conductor_refuse (self, BATON_ERR_ARGUMENT, 0,
                             "producer id %016" PRIx64 " is not the one that HELLO named",
                             publish->producer_id);
        return;
    }
    const bn_producer_state_t *producer =
        bn_map_get_u64 (self->state->producers, publish->producer_id);
    if (publish->sequence != (producer ? producer->sequence : 0) + 1 &&
        !(BN_PLANT (duplicate_appended) && producer)) {
        not_next (self, producer, publish);
        return;
    }
    if (self->disk_full) {
        bn_conductor_refuse (self, BATON_ERR_DISK_FULL, 0,
                             "free space is below the reserve; nothing was accepted");
        return;
    }
    uint32_t events = 0;
    if (!bn_conductor_check_sections (self, publish->sections, publish->section_count, NULL,
                                      &events))
        return;
    bn_record_t record = {.type = BN_RECORD_PUBLISH, .publish = *publish};
    bn_receipt_t receipt = {
        .sequence = publish->sequence, .base = self->state->tail, .count = events};
    bn_blob_t *body = bn_conductor_persist (self, &record, events);
    if (!body)
        return;
    /*  The events first: somebody waits for them, while the producer may publish more anyway.  */
    bn_conductor_apply_events (self, &record, events, body, publish->sections,
                               publish->section_count);
    send_receipt (self, &receipt);
}
