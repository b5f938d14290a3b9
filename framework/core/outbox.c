/* SPDX-License-Identifier: MPL-2.0 */

/*  outbox.c - a producer's groups to PUBLISH requests, and the answers to receipts.
 *
 *  DESIGN. While a request is in flight groups gather, and go out together as the next one: latency
 *  at low load, throughput at high load, no timer to tune. When so much has gathered that the disk
 *  and the processors would wait for each other (pipeline_bytes), a second request follows at once;
 *  smaller ones do not, because each is a record and a message of its own. What is in flight keeps
 *  its bytes and its sequence until it is answered; after a reconnect it is sent again as it was,
 *  and the conductor answers a repeat with the first receipt. A refused request does not use up its
 *  sequence, so the one that followed it is refused as well.
 *
 *  That is why a refusal is decided only when nothing else is on its way: the oldest request is
 *  sent again by itself, after the answer to the other one. Should the connection end before that
 *  answer, the other one might arrive late and fit behind what is sent instead; the producer goes
 *  on under another id.
 *
 *  One bad group must not fail its neighbours: a refusal for good of several groups is answered by
 *  sending fewer of them at a time, until the guilty one is alone.
 *
 *  A receipt's offset is exactly that of the group's first event: the receipt has the request's
 *  base, and where the event stands in the request is known here. It is BN_NO_OFFSET in one case: a
 *  repeat so late that the orchestrator no longer remembers where the first went.
 *
 *    DOWN --up--> GREETING --WELCOME--> READY --FATAL--> OVER
 *      ^------------------down / no answer------'
 *
 *  INVARIANTS
 *  O1  receipts are given in the order in which groups came in, one for each.
 *  O2  at most FLIGHTS_MAX requests are in flight, with the sequences behind `sequence`, in order.
 *  O3  the bytes of a request in flight do not change.
 *  O4  what a refusal changes has nothing behind it that could still be accepted.
 *
 *  Owned by the producer, stepped by whichever thread has its machine.  */

#include "core/outbox.h"
#include "base/assert.h"
#include "base/plant.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REQUEST_BYTES_MAX  (4 * 1024 * 1024)
#define ANSWER_TIMEOUT_MS  5000
#define FLIGHTS_MAX        2
#define PIPELINE_BYTES     (256 * 1024)
#define MIXED_REQUESTS     15   /* in a row, before one is made without, to see how that is */
#define RETRY_MIN_MS       200
#define RETRY_MAX_MS       2000
#define EVENT_BYTES        128  /* more than what an event adds to its texts, in its encoding */
#define SECTION_BYTES      (BATON_TOPIC_BYTES_MAX + 32) /* more than one takes in the header */
#define MESSAGE_BYTES_LEFT 1024 /* of a message, for its header */
#define NEVER_MS           UINT64_MAX

typedef enum { LINK_DOWN, LINK_GREETING, LINK_READY, LINK_OVER } link_state_t;

/*  A request that waits for its receipt.  */
typedef struct {
    bn_outbox_groups_t groups;
    uint32_t group_count;
    bn_section_t *sections;    /* owned */
    uint32_t section_count;
    uint64_t asked;            /* the number under which it was sent; 0: to be sent (again) */
    uint64_t asked_ms;
} flight_t;

struct bn_outbox {
    bn_outbox_options_t options;
    uint64_t producer_id;       /* option's, or a fresh one after the orchestrator forgot us */
    link_state_t link;
    uint64_t journal_id;        /* WELCOME; 0: none yet */
    uint32_t partitions;
    uint32_t message_bytes_max;
    uint64_t request_last;      /* number of the last request of any kind */
    uint64_t asked;             /* number of the HELLO that is to be answered; 0: none */
    uint64_t asked_ms;
    uint64_t hold_ms;           /* nothing is sent before; retriable refusals */
    uint64_t retry_ms;          /* the next delay */
    bn_outbox_groups_t queue;              /* waiting */
    flight_t flights[FLIGHTS_MAX];         /* oldest first */
    uint32_t flight_count;
    bool alone;                 /* the oldest was refused: it is tried again by itself */
    uint32_t groups_max;        /* in the next request; 0: as many as fit */
    uint32_t mixed_left;        /* so many more requests with mixed sections */
    uint64_t sequence;          /* last one receipted */

    /*  during a step */
    bn_outbox_effects_t *fx;
    bn_time_t now;
    uint64_t random;
};

/*  ---- groups and effects ---- */

void bn_outbox_group_destroy (bn_outbox_group_t **self_p)
{
    bn_outbox_group_t *self = *self_p;
    if (!self)
        return;
    *self_p = NULL;
    bn_blob_t *blob = self->blob;
    if (!self->in_blob) {
        free (self->items);
        free (self);
    }
    bn_blob_unref (&blob);
}

static void effect_fini (bn_outbox_effect_t *effect)
{
    bn_blob_unref (&effect->head);
    for (uint32_t i = 0; i < effect->payload_count; i++)
        bn_blob_unref (&effect->payloads[i].blob);
    free (effect->payloads);
    free (effect->text);
}

void bn_outbox_effects_init (bn_outbox_effects_t *self)
{
    *self = (bn_outbox_effects_t){.items = NULL};
}

void bn_outbox_effects_clear (bn_outbox_effects_t *self)
{
    for (size_t i = 0; i < self->count; i++)
        effect_fini (&self->items[i]);
    self->count = 0;
    self->failed = false;
}

void bn_outbox_effects_fini (bn_outbox_effects_t *self)
{
    bn_outbox_effects_clear (self);
    free (self->items);
    bn_outbox_effects_init (self);
}

/*  NULL: no memory, and the shell is told.  */
static bn_outbox_effect_t *add_effect (bn_outbox_t *self, bn_outbox_effect_kind_t kind)
{
    bn_outbox_effects_t *fx = self->fx;
    if (fx->count == fx->capacity) {
        size_t capacity = fx->capacity ? fx->capacity * 2 : 16;
        bn_outbox_effect_t *items = realloc (fx->items, capacity * sizeof *items);
        if (!items) {
            fx->failed = true;
            return NULL;
        }
        fx->items = items;
        fx->capacity = capacity;
    }
    bn_outbox_effect_t *effect = &fx->items[fx->count++];
    *effect = (bn_outbox_effect_t){.kind = kind};
    return effect;
}

__attribute__ ((format (printf, 4, 5))) static void
say (bn_outbox_t *self, bn_outbox_effect_kind_t kind, baton_err_t err, const char *format, ...)
{
    bn_outbox_effect_t *effect = add_effect (self, kind);
    if (!effect)
        return;
    char text[512];
    va_list arguments;
    va_start (arguments, format);
    vsnprintf (text, sizeof text, format, arguments);
    va_end (arguments);
    effect->err = err;
    effect->level = BN_LOG_WARNING;
    effect->text = strdup (text);
    if (!effect->text)
        self->fx->failed = true;
}

/*  Returns the number of the request.  */
static uint64_t send_message (bn_outbox_t *self, bn_message_t *message,
                              const bn_section_t *sections, uint32_t count)
{
    message->request = ++self->request_last;
    bn_outbox_effect_t *effect = add_effect (self, BN_OUTBOX_SEND);
    if (!effect)
        return message->request;
    effect->head = bn_message_encode (message);
    effect->payloads = count > 0 ? calloc (count, sizeof *effect->payloads) : NULL;
    if (!effect->head || (count > 0 && !effect->payloads)) {
        self->fx->failed = true;
        return message->request;
    }
    effect->payload_count = count;
    for (uint32_t i = 0; i < count; i++) {
        effect->payloads[i] = sections[i].payload;
        bn_blob_ref (effect->payloads[i].blob);
    }
    return message->request;
}

/*  Receipts a group, or refuses it. Consumes it.  */
static void finish_group (bn_outbox_t *self, bn_outbox_group_t *group, baton_err_t err,
                          uint64_t offset, const char *text)
{
    bn_outbox_effect_t *effect = add_effect (self, BN_OUTBOX_RECEIPT);
    if (effect) {
        effect->ticket = group->ticket;
        effect->err = err;
        effect->offset = offset;
        effect->events = group->count;
        effect->bytes = group->bytes;
        effect->text = text ? strdup (text) : NULL;
    }
    bn_outbox_group_destroy (&group);
}

/*  ---- the queue and the request in flight ---- */

static void flight_fini (flight_t *self)
{
    bn_outbox_groups_destroy (&self->groups);
    bn_section_array_free (self->sections, self->section_count);
    *self = (flight_t){.group_count = 0};
}

/*  Takes the oldest one out; its contents are the caller's.  */
static flight_t take_oldest (bn_outbox_t *self)
{
    flight_t oldest = self->flights[0];
    self->flight_count--;
    memmove (self->flights, self->flights + 1, self->flight_count * sizeof *self->flights);
    self->flights[self->flight_count] = (flight_t){.group_count = 0};
    return oldest;
}

/*  No request in flight will be repeated as it is: their groups go first in the next ones.  */
static void requeue_flights (bn_outbox_t *self)
{
    while (self->flight_count > 0) {
        flight_t *flight = &self->flights[--self->flight_count];
        bn_outbox_groups_join (&flight->groups, &self->queue);
        bn_outbox_groups_join (&self->queue, &flight->groups);
        flight_fini (flight);
    }
    self->alone = false;
}

/*  The connection is gone, or the session: what was asked is asked again.  */
static void forget_asked (bn_outbox_t *self)
{
    self->asked = 0;
    for (uint32_t i = 0; i < self->flight_count; i++)
        self->flights[i].asked = 0;
}

/*  More than what the event takes in a message, whatever section it comes to.  */
static size_t event_bytes (const bn_outbox_item_t *item)
{
    const bn_event_fields_t *fields = &item->fields;
    return item->topic.size + fields->id_prefix.size + fields->id.size + fields->key.size
           + 2 * (fields->source.size + fields->datacontenttype.size + fields->dataschema.size)
           + fields->data_size + fields->ext_size + EVENT_BYTES;
}

static size_t group_bytes (const bn_outbox_group_t *group)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < group->count; i++)
        bytes += event_bytes (&group->items[i]);
    return bytes;
}

/*  Can it never be sent, because it is more than a message holds, or more sections than it may?  */
static bool never_fits (const bn_outbox_t *self, const bn_outbox_group_t *group, size_t bytes,
                        char text[160])
{
    if (bytes > self->message_bytes_max - MESSAGE_BYTES_LEFT)
        snprintf (text, 160, "a group of %zu bytes is more than a message may have (%u)", bytes,
                  (unsigned) self->message_bytes_max);
    else if (group->count > BN_SECTIONS_MAX)
        snprintf (text, 160, "a group of %u events; at most %d are atomic",
                  (unsigned) group->count, BN_SECTIONS_MAX);
    else
        return false;
    return true;
}

static bool add_group (bn_outbox_t *self, bn_sections_t *sections, bn_outbox_group_t *group)
{
    for (uint32_t i = 0; i < group->count; i++) {
        const bn_outbox_item_t *item = &group->items[i];
        baton_err_t err = bn_sections_add (sections, item->topic.text, item->topic.size,
                                           &item->fields, item->spread);
        if (err) {
            bn_assert (err == BATON_ERR_MEMORY); /* the size was checked */
            self->fx->failed = true;
            return false;
        }
        if (i == 0)
            bn_sections_last (sections, &group->section, &group->place);
    }
    return true;
}

/*  Moves groups from the queue into `sections` and into flight, as many as may go together.  */
static bool fill (bn_outbox_t *self, flight_t *flight, bn_sections_t *sections)
{
    while (self->queue.first && (self->groups_max == 0 || flight->group_count < self->groups_max)) {
        bn_outbox_group_t *group = self->queue.first;
        size_t more = group_bytes (group);
        char text[160];
        if (!flight->groups.first && never_fits (self, group, more, text)) {
            if (self->flight_count > 0)
                break; /* O1 */
            bn_outbox_groups_shift (&self->queue);
            finish_group (self, group, BATON_ERR_TOO_LARGE, BN_NO_OFFSET, text);
            continue;
        }
        /*  Each event may open a section of its own: `more` counts it.  */
        uint32_t count = bn_sections_count (sections);
        size_t bytes = bn_sections_bytes (sections) + count * (size_t) SECTION_BYTES;
        if (flight->groups.first && (bytes + more > self->options.request_bytes_max ||
                               count + group->count > BN_SECTIONS_MAX))
            break;
        if (!add_group (self, sections, group))
            return false;
        bn_outbox_groups_add (&flight->groups, bn_outbox_groups_shift (&self->queue));
        flight->group_count++;
    }
    return flight->groups.first != NULL;
}

/*  Makes the next request of what waits; behind another one only if it is worth it.  */
static void begin_flight (bn_outbox_t *self)
{
    bool behind = self->flight_count > 0;
    if (!self->queue.first || self->flight_count == FLIGHTS_MAX)
        return;
    if (behind && (self->alone || self->groups_max > 0 ||
                   self->queue.bytes < self->options.pipeline_bytes))
        return;
    flight_t *flight = &self->flights[self->flight_count];
    bn_sections_t *sections = bn_sections_new (self->partitions, self->message_bytes_max);
    bool mixes = self->options.mixes || self->mixed_left > 0;
    if (sections && mixes)
        bn_sections_mix (sections);
    if (!sections)
        self->fx->failed = true;
    else if (fill (self, flight, sections)) {
        if (bn_sections_scattered (sections))
            self->mixed_left = MIXED_REQUESTS;
        else if (self->mixed_left > 0)
            self->mixed_left--;
        flight->sections = bn_sections_take (sections, &flight->section_count);
        self->fx->failed |= !flight->sections;
        self->flight_count++;
    }
    bn_sections_destroy (&sections);
}

static void send_flight (bn_outbox_t *self, uint32_t index)
{
    flight_t *flight = &self->flights[index];
    bn_message_t message = {.type = BN_PUBLISH,
                            .publish = {.producer_id = self->producer_id,
                                        .sequence = self->sequence + 1 + index, /* O2 */
                                        .sections = flight->sections,
                                        .section_count = flight->section_count}};
    flight->asked = send_message (self, &message, flight->sections, flight->section_count);
    flight->asked_ms = self->now.mono_ms;
}

/*  Sends what may go out.  */
static void pump (bn_outbox_t *self)
{
    if (self->link != LINK_READY || self->now.mono_ms < self->hold_ms)
        return;
    begin_flight (self);
    for (uint32_t i = 0; i < self->flight_count && !self->fx->failed; i++) {
        if (self->alone && (i > 0 || (self->flight_count > 1 && self->flights[1].asked)))
            break; /* O4 */
        if (!self->flights[i].asked)
            send_flight (self, i);
    }
}

/*  ---- answers ---- */

static void greet (bn_outbox_t *self)
{
    bn_message_t message = {
        .type = BN_HELLO,
        .hello = {.role = BN_ROLE_PRODUCER,
                  .name = {self->options.source, strlen (self->options.source)},
                  .incarnation = self->producer_id}};
    self->link = LINK_GREETING;
    self->asked = send_message (self, &message, NULL, 0);
    self->asked_ms = self->now.mono_ms;
}

static void rename_producer (bn_outbox_t *self)
{
    self->producer_id = self->random ? self->random : 1;
    self->sequence = 0;
    requeue_flights (self);
}

/*  Goes on under a new id, because the orchestrator does not know the old one any more.  */
static void start_anew (bn_outbox_t *self, const char *why)
{
    say (self, BN_OUTBOX_LOG, BATON_OK,
         "%s: publishing goes on under a new producer id%s", why,
         self->flight_count > 0 ? "; what was under way may be in the journal twice" : "");
    rename_producer (self);
    greet (self);
}

static void take_welcome (bn_outbox_t *self, const bn_welcome_t *welcome)
{
    bool other = self->journal_id != 0 && self->journal_id != welcome->journal_id;
    self->journal_id = welcome->journal_id;
    self->partitions = welcome->partitions;
    /*  Whatever a peer announces, the differences below do not wrap around.  */
    self->message_bytes_max = welcome->message_bytes_max > 2 * MESSAGE_BYTES_LEFT
                                  ? welcome->message_bytes_max
                                  : 2 * MESSAGE_BYTES_LEFT;
    if (self->options.request_bytes_max > self->message_bytes_max - MESSAGE_BYTES_LEFT)
        self->options.request_bytes_max = self->message_bytes_max - MESSAGE_BYTES_LEFT;
    if (other && self->sequence + self->flight_count > 0) {
        start_anew (self, "the orchestrator has another journal than before");
        return;
    }
    self->link = LINK_READY;
}

/*  Gives each section of the request its offset.  */
static void place_sections (flight_t *self, uint64_t base)
{
    for (uint32_t i = 0; i < self->section_count; i++) {
        self->sections[i].base = base;
        if (base != BN_NO_OFFSET)
            base += self->sections[i].count;
    }
}

static uint64_t offset_of (const flight_t *self, const bn_outbox_group_t *group)
{
    uint64_t base = self->sections[group->section].base;
    return base == BN_NO_OFFSET ? base : base + group->place;
}

/*  For the oldest request in flight.  */
static void take_receipt (bn_outbox_t *self, const bn_receipt_t *receipt)
{
    if (receipt->sequence != self->sequence + 1)
        return;
    self->sequence++;
    self->alone = false;
    self->retry_ms = RETRY_MIN_MS;
    if (self->groups_max > 0)
        self->groups_max = self->groups_max > UINT32_MAX / 2 ? 0 : self->groups_max * 2;
    flight_t flight = take_oldest (self);
    place_sections (&flight, receipt->base);
    for (bn_outbox_group_t *group; (group = bn_outbox_groups_shift (&flight.groups));) { /* O1 */
        finish_group (self, group, BATON_OK, offset_of (&flight, group), NULL);
    }
    flight_fini (&flight);
}

/*  A refusal for good of the oldest request in flight, which is the only one that was sent.  */
static void refuse_oldest (bn_outbox_t *self, const bn_error_t *error)
{
    bn_assert (self->flight_count < 2 || !self->flights[1].asked); /* O4 */
    if (self->flights[0].group_count > 1) {
        self->groups_max = self->flights[0].group_count / 2;
        requeue_flights (self);
        return;
    }
    char text[512];
    snprintf (text, sizeof text, "%.*s", (int) error->text.size, error->text.text);
    flight_t flight = take_oldest (self);
    requeue_flights (self); /* what was to follow gets this sequence */
    finish_group (self, bn_outbox_groups_shift (&flight.groups), (baton_err_t) error->code,
                  BN_NO_OFFSET, text);
    flight_fini (&flight);
}

static void take_error (bn_outbox_t *self, const bn_error_t *error)
{
    if (error->code == BATON_ERR_NO_SESSION) {
        forget_asked (self);
        greet (self);
        return;
    }
    if (self->link == LINK_READY && self->flight_count > 1 && !self->alone) {
        self->alone = true; /* O4 */
        return;
    }
    if (error->retriable) {
        if (self->retry_ms == RETRY_MIN_MS)
            say (self, BN_OUTBOX_LOG, BATON_OK, "%.*s (%.*s): trying again until it goes",
                 (int) error->text.size, error->text.text, (int) error->name.size,
                 error->name.text);
        self->hold_ms = self->now.mono_ms + self->retry_ms;
        self->retry_ms = self->retry_ms * 2 > RETRY_MAX_MS ? RETRY_MAX_MS : self->retry_ms * 2;
        return;
    }
    if (self->link == LINK_GREETING || error->code == BATON_ERR_VERSION) {
        self->link = LINK_OVER;
        say (self, BN_OUTBOX_FATAL, (baton_err_t) error->code, "the orchestrator refuses: %.*s",
             (int) error->text.size, error->text.text);
        return;
    }
    if (error->code == BATON_ERR_SEQUENCE)
        start_anew (self, "the orchestrator does not remember this producer");
    else if (self->flight_count > 0)
        refuse_oldest (self, error);
}

static void take_message (bn_outbox_t *self, const bn_outbox_event_t *event)
{
    bn_message_t message;
    char what[256];
    baton_err_t err = bn_message_decode (&message, event->frames, event->frame_count, what);
    if (err) {
        say (self, BN_OUTBOX_LOG, BATON_OK, "an answer that cannot be read: %s", what);
        return;
    }
    uint32_t index = 0;
    while (index < self->flight_count && self->flights[index].asked != message.request)
        index++;
    if (self->asked && message.request == self->asked) {
        self->asked = 0;
        if (message.type == BN_WELCOME && self->link == LINK_GREETING)
            take_welcome (self, &message.welcome);
        else if (message.type == BN_ERROR)
            take_error (self, &message.error);
    } else if (message.request != 0 && index < self->flight_count) {
        self->flights[index].asked = 0;
        /*  The one behind has its answer after the oldest: here it followed one that was refused,
         *  and was refused for that.  */
        if (index == 0 && message.type == BN_RECEIPT)
            take_receipt (self, &message.receipt);
        else if (index == 0 && message.type == BN_ERROR)
            take_error (self, &message.error);
    }
    bn_message_fini (&message);
}

/*  ---- steps ---- */

/*  When the oldest question was asked; NEVER_MS: none is open.  */
static uint64_t asked_since_ms (const bn_outbox_t *self)
{
    uint64_t since_ms = self->asked ? self->asked_ms : NEVER_MS;
    for (uint32_t i = 0; i < self->flight_count; i++)
        if (self->flights[i].asked && self->flights[i].asked_ms < since_ms)
            since_ms = self->flights[i].asked_ms;
    return since_ms;
}

/*  What was on its way may still arrive, late. It does no harm if the same is said again under its
 *  sequence. Where that is not sure, because the one before it was refused, the producer gets
 *  another id, and nobody will ever accept it.  */
static void lose_link (bn_outbox_t *self)
{
    self->link = LINK_DOWN;
    if (self->alone && self->flight_count > 1 && self->flights[1].asked)
        rename_producer (self);
    forget_asked (self);
}

static void tick (bn_outbox_t *self)
{
    if (self->link == LINK_GREETING && !self->asked && self->now.mono_ms >= self->hold_ms)
        greet (self);
    uint64_t since_ms = asked_since_ms (self);
    if (since_ms != NEVER_MS && self->now.mono_ms - since_ms >= self->options.answer_timeout_ms) {
        lose_link (self);
        add_effect (self, BN_OUTBOX_RESET_LINK);
    }
}

void bn_outbox_step (bn_outbox_t *self, const bn_outbox_event_t *event,
                     bn_outbox_effects_t *effects)
{
    self->fx = effects;
    self->now = event->now;
    self->random = event->random;
    if (self->link == LINK_OVER) {
        if (event->kind == BN_OUTBOX_GROUPS)
            bn_outbox_groups_destroy (event->groups);
        return;
    }
    switch (event->kind) {
    case BN_OUTBOX_LINK_UP:
        greet (self);
        break;
    case BN_OUTBOX_LINK_DOWN:
        self->sequence += BN_PLANT (outbox_renumbers) && self->flight_count > 0;
        lose_link (self);
        break;
    case BN_OUTBOX_MESSAGE:
        take_message (self, event);
        break;
    case BN_OUTBOX_GROUPS:
        bn_outbox_groups_join (&self->queue, event->groups);
        break;
    case BN_OUTBOX_TICK:
        tick (self);
        break;
    }
    pump (self);
    self->fx = NULL;
}

uint64_t bn_outbox_due_ms (const bn_outbox_t *self)
{
    if (self->link == LINK_DOWN || self->link == LINK_OVER)
        return NEVER_MS;
    uint64_t since_ms = asked_since_ms (self);
    if (since_ms != NEVER_MS)
        return since_ms + self->options.answer_timeout_ms;
    bool wants = self->link == LINK_GREETING || self->flight_count > 0 || self->queue.first;
    return wants ? self->hold_ms : NEVER_MS;
}

size_t bn_outbox_wants (const bn_outbox_t *self)
{
    if (asked_since_ms (self) == NEVER_MS)
        return 0;
    bool behind = self->flight_count == 1 && !self->asked && !self->alone && self->groups_max == 0;
    return behind ? self->options.pipeline_bytes : SIZE_MAX;
}

size_t bn_outbox_pipeline_bytes (const bn_outbox_t *self)
{
    return self->options.pipeline_bytes;
}

uint32_t bn_outbox_partitions (const bn_outbox_t *self)
{
    return self->partitions;
}

/*  ---- life ---- */

bn_outbox_t *bn_outbox_new (const bn_outbox_options_t *options)
{
    bn_outbox_t *self = calloc (1, sizeof *self);
    if (!self)
        return NULL;
    self->options = *options;
    if (self->options.request_bytes_max == 0)
        self->options.request_bytes_max = REQUEST_BYTES_MAX;
    if (self->options.answer_timeout_ms == 0)
        self->options.answer_timeout_ms = ANSWER_TIMEOUT_MS;
    if (self->options.pipeline_bytes == 0)
        self->options.pipeline_bytes = PIPELINE_BYTES;
    self->producer_id = options->producer_id;
    self->retry_ms = RETRY_MIN_MS;
    return self;
}

void bn_outbox_destroy (bn_outbox_t **self_p)
{
    bn_outbox_t *self = *self_p;
    if (!self)
        return;
    bn_outbox_groups_destroy (&self->queue);
    for (uint32_t i = 0; i < FLIGHTS_MAX; i++)
        flight_fini (&self->flights[i]);
    free (self);
    *self_p = NULL;
}
