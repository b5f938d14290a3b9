/* SPDX-License-Identifier: MPL-2.0 */

#include "lab/observer.h"
#include "client/admin.h"
#include "shell/clock.h"
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SAMPLE_MS  50
#define ANSWER_MS  250
#define PATIENT_MS 5000
#define BYTES_MAX  (4u << 20) /* of one answer */
#define TEXT_BYTES (BATON_ATTRIBUTE_BYTES_MAX + 32)

typedef struct {
    char name[BATON_NAME_BYTES_MAX + 1]; /* of the actor; "": free */
    bool counts;                         /* it has been seen once since the beginning */
    uint64_t done;                       /* settled and died, at the last progress */
    uint64_t progress_ms; /* when it was last seen to make progress, or to have nothing to do */
} s_watch_t;

struct bn_lab_observer {
    pthread_mutex_t lock; /* over picture, stopping, begun */
    pthread_t thread;
    bool running;
    bool stopping;
    bool begun;
    bn_lab_picture_t picture;
    bn_admin_t *admin;        /* owned; the thread's from here on */
    bn_lab_history_t history; /* its thread's while it runs */
    uint64_t from;            /* offset up to which the journal was seen */
    s_watch_t watches[BN_LAB_ACTORS_MAX];
};

static uint64_t s_now_ms (void)
{
    return bn_clock_now ().mono_ms;
}

/*  ---- the journal ---- */

static const char *s_copy_text (char text[TEXT_BYTES], bn_text_t from)
{
    size_t size = from.size < TEXT_BYTES - 1 ? from.size : TEXT_BYTES - 1;
    if (size)
        memcpy (text, from.text, size);
    text[size] = 0;
    return text;
}

static const char *s_copy_ext (char text[TEXT_BYTES], const bn_event_fields_t *fields,
                               const char *name)
{
    bn_text_t value = {.size = 0};
    if (fields->ext)
        bn_ext_get (fields->ext, fields->ext_size, name, &value);
    return s_copy_text (text, value);
}

static baton_err_t s_note (bn_lab_history_t *history, bn_text_t topic, uint64_t offset,
                           const bn_event_fields_t *fields, uint64_t seen_us)
{
    char id[TEXT_BYTES], source[TEXT_BYTES], name[TEXT_BYTES], key[TEXT_BYTES];
    char cause[TEXT_BYTES], correlation[TEXT_BYTES], dead[TEXT_BYTES];
    if (fields->id_number_set)
        snprintf (id, sizeof id, "%.*s-%" PRIu64, (int)fields->id_prefix.size,
                  fields->id_prefix.size ? fields->id_prefix.text : "", fields->id_number);
    else
        s_copy_text (id, fields->id);
    bn_lab_event_t event = {.offset = offset,
                            .seen_us = seen_us,
                            .dead_offset = BN_LAB_NO_OFFSET,
                            .id = id,
                            .source = s_copy_text (source, fields->source),
                            .topic = s_copy_text (name, topic),
                            .key = s_copy_text (key, fields->key),
                            .cause = s_copy_ext (cause, fields, "causationid"),
                            .correlation = s_copy_ext (correlation, fields, "correlationid")};
    if (*s_copy_ext (dead, fields, "deadoffset"))
        event.dead_offset = strtoull (dead, NULL, 10);
    return bn_lab_history_add (history, &event);
}

/*  One READ from *from on; *more: there was something.  */
static baton_err_t s_read_on (bn_admin_t *admin, bn_lab_history_t *history, uint64_t *from,
                              uint32_t wait_ms, uint64_t seen_us, bool *more)
{
    const bn_message_t *reply;
    bn_message_t request = {.type = BN_READ,
                            .read = {.wait_ms = wait_ms,
                                     .bytes_max = BYTES_MAX,
                                     .from_kind = BN_FROM_OFFSET,
                                     .from = *from}};
    *more = false;
    baton_err_t err = bn_admin_request (admin, &request, BN_EVENTS, wait_ms, &reply);
    if (!err && !seen_us)
        seen_us = bn_clock_mono_ns () / 1000;
    for (uint32_t i = 0; !err && i < reply->events.section_count; i++) {
        const bn_section_t *section = &reply->events.sections[i];
        bn_batch_reader_t reader;
        bn_event_fields_t fields;
        err = bn_batch_reader_init (&reader, section->payload.data, section->payload.size,
                                    section->count);
        for (uint64_t offset = section->base; !err && bn_batch_next (&reader, &fields); offset++)
            if (offset >= *from)
                err = s_note (history, section->topic, offset, &fields, seen_us);
        if (!err)
            err = reader.mp.err;
    }
    if (err)
        return err;
    *more = reply->events.scanned_to > *from;
    if (*more)
        *from = reply->events.scanned_to;
    return BATON_OK;
}

baton_err_t bn_lab_read_journal (bn_lab_history_t *history, const char *endpoint)
{
    bn_admin_t *admin;
    bn_admin_options_t options = {.endpoint = endpoint, .name = "lab", .timeout_ms = PATIENT_MS};
    baton_err_t err = bn_admin_new (&admin, &options);
    if (err)
        return err;
    const bn_welcome_t *welcome = bn_admin_welcome (admin);
    err = bn_admin_error (admin);
    uint64_t from = 0, upto = welcome ? welcome->tail : 0;
    bool more = true;
    while (welcome && !err && more && from < upto)
        err = s_read_on (admin, history, &from, 0, 0, &more);
    bn_admin_destroy (&admin);
    return err;
}

/*  ---- the status ---- */

static uint64_t s_number_of (baton_value_t map, const char *name)
{
    baton_value_t value;
    uint64_t number = 0;
    if (baton_value_get (map, name, &value))
        baton_value_uint (value, &number);
    return number;
}

static uint32_t s_connected_of (baton_value_t actor)
{
    baton_value_t list, instance, value;
    uint32_t connected = 0;
    if (!baton_value_get (actor, "instances", &list))
        return 0;
    for (size_t i = 0; baton_value_at (list, i, &instance); i++) {
        bool is_connected = false;
        if (baton_value_get (instance, "connected", &value))
            baton_value_bool (value, &is_connected);
        connected += is_connected;
    }
    return connected;
}

/*  How long it has been out, now that a picture of it was taken.  */
static void s_watch (s_watch_t *self, bn_lab_actor_t *actor, uint64_t taken_ms)
{
    uint64_t done = actor->settled + actor->died;
    uint64_t out_ms = self->counts ? taken_ms - self->progress_ms : 0;
    bool progress = !self->counts || done != self->done || actor->lag == 0;
    if (out_ms > SAMPLE_MS * 2 && out_ms > actor->outage_ms)
        actor->outage_ms = out_ms;
    if (!progress)
        return;
    self->counts = true;
    self->done = done;
    self->progress_ms = taken_ms;
}

/*  There is one for each actor of a picture: as many as a picture has room for, and none that was
 *  there is forgotten.  */
static s_watch_t *s_watch_of (bn_lab_observer_t *self, const char *name)
{
    size_t place = 0;
    while (place < BN_LAB_ACTORS_MAX - 1 && *self->watches[place].name &&
           strcmp (self->watches[place].name, name))
        place++;
    snprintf (self->watches[place].name, sizeof self->watches[place].name, "%s", name);
    return &self->watches[place];
}

static void s_take_actor (bn_lab_observer_t *self, bn_lab_picture_t *picture, baton_value_t it,
                          uint64_t taken_ms)
{
    baton_value_t value;
    const char *text;
    size_t size;
    if (picture->actor_count == BN_LAB_ACTORS_MAX || !baton_value_get (it, "name", &value) ||
        !baton_value_str (value, &text, &size) || size > BATON_NAME_BYTES_MAX)
        return;
    bn_lab_actor_t *actor = &picture->actors[picture->actor_count];
    *actor = (bn_lab_actor_t){.instances = s_connected_of (it),
                              .lag = s_number_of (it, "lag"),
                              .parked = s_number_of (it, "parked"),
                              .dead = s_number_of (it, "dead"),
                              .settled = s_number_of (it, "settled"),
                              .died = s_number_of (it, "died"),
                              .retried = s_number_of (it, "retried")};
    memcpy (actor->name, text, size);
    for (size_t i = 0; i < self->picture.actor_count; i++)
        if (!strcmp (self->picture.actors[i].name, actor->name))
            actor->outage_ms = self->picture.actors[i].outage_ms;
    if (self->begun)
        s_watch (s_watch_of (self, actor->name), actor, taken_ms);
    picture->actor_count++;
}

static baton_err_t s_sample (bn_lab_observer_t *self)
{
    const bn_message_t *reply;
    bn_message_t request = {.type = BN_STATUS};
    baton_err_t err = bn_admin_request (self->admin, &request, BN_STATUS_REPLY, 0, &reply);
    if (err)
        return err;
    baton_value_t status = baton_value_wrap (reply->status.data, reply->status.size);
    baton_value_t list, it, value;
    bn_lab_picture_t picture = {.taken_ms = s_now_ms ()};
    if (baton_value_get (status, "orchestrator", &it)) {
        picture.tail = s_number_of (it, "tail");
        if (baton_value_get (it, "disk_full", &value))
            baton_value_bool (value, &picture.disk_full);
    }
    pthread_mutex_lock (&self->lock);
    if (baton_value_get (status, "actors", &list))
        for (size_t i = 0; baton_value_at (list, i, &it); i++)
            s_take_actor (self, &picture, it, picture.taken_ms);
    self->picture = picture;
    pthread_mutex_unlock (&self->lock);
    return BATON_OK;
}

/*  ---- the thread ---- */

static void *s_run (void *arg)
{
    bn_lab_observer_t *self = arg;
    uint64_t sample_ms = 0;
    bool over = false;
    while (!over) {
        bool more = false;
        baton_err_t err =
            s_read_on (self->admin, &self->history, &self->from, SAMPLE_MS / 2, 0, &more);
        if (!err && s_now_ms () >= sample_ms) {
            sample_ms = s_now_ms () + SAMPLE_MS;
            err = s_sample (self);
        }
        pthread_mutex_lock (&self->lock);
        over = self->stopping;
        if (err && err != BATON_ERR_UNREACHABLE && !baton_err_retriable (err)) {
            snprintf (self->picture.error, sizeof self->picture.error, "%s",
                      bn_admin_error (self->admin) == err ? bn_admin_error_text (self->admin)
                                                          : baton_err_text (err));
            over = true;
        }
        pthread_mutex_unlock (&self->lock);
        if (err && !over) {
            struct timespec pause = {.tv_nsec = 5000000};
            nanosleep (&pause, NULL);
        }
    }
    return NULL;
}

baton_err_t bn_lab_observer_new (bn_lab_observer_t **observer, const char *endpoint)
{
    bn_lab_observer_t *self = calloc (1, sizeof *self);
    *observer = NULL;
    if (!self)
        return BATON_ERR_MEMORY;
    pthread_mutex_init (&self->lock, NULL);
    bn_lab_history_init (&self->history);
    bn_admin_options_t options = {
        .endpoint = endpoint, .name = "lab-observer", .timeout_ms = ANSWER_MS};
    baton_err_t err = bn_admin_new (&self->admin, &options);
    if (!err && pthread_create (&self->thread, NULL, s_run, self))
        err = BATON_ERR_SYSTEM;
    self->running = !err;
    if (err)
        bn_lab_observer_destroy (&self);
    *observer = self;
    return err;
}

void bn_lab_observer_stop (bn_lab_observer_t *self)
{
    if (!self->running)
        return;
    pthread_mutex_lock (&self->lock);
    self->stopping = true;
    pthread_mutex_unlock (&self->lock);
    pthread_join (self->thread, NULL);
    self->running = false;
}

void bn_lab_observer_destroy (bn_lab_observer_t **self_p)
{
    bn_lab_observer_t *self = *self_p;
    if (!self)
        return;
    *self_p = NULL;
    bn_lab_observer_stop (self);
    bn_admin_destroy (&self->admin);
    bn_lab_history_fini (&self->history);
    pthread_mutex_destroy (&self->lock);
    free (self);
}

void bn_lab_observer_look (bn_lab_observer_t *self, bn_lab_picture_t *picture)
{
    pthread_mutex_lock (&self->lock);
    *picture = self->picture;
    pthread_mutex_unlock (&self->lock);
}

void bn_lab_observer_begin (bn_lab_observer_t *self)
{
    pthread_mutex_lock (&self->lock);
    self->begun = true;
    pthread_mutex_unlock (&self->lock);
}

const bn_lab_history_t *bn_lab_observer_seen (const bn_lab_observer_t *self)
{
    return &self->history;
}
