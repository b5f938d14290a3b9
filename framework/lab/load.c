/* SPDX-License-Identifier: MPL-2.0 */

#include "lab/load.h"
#include "base/map.h"
#include "base/prng.h"
#include "lab/template.h"
#include "shell/clock.h"
#include <baton/producer.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define IDLE_US   2000 /* between two looks at streams that are not due */
#define BLOCK_MS  100  /* the producer is full: look again whether to stop */
#define BATCH     256  /* events of one stream before the others are looked at */
#define ID_BYTES  96
#define BYTES_MAX 65536 /* of padding */

typedef struct {
    bn_lab_stream_t it;
    void *data;        /* owned copy */
    bool varies;       /* data is to be filled in */
    uint64_t start_us; /* monotonic */
    double due_us;     /* of the next event */
    uint64_t sent;
    bool over;
} s_stream_t;

struct bn_lab_load {
    pthread_mutex_t lock; /* over everything below */
    pthread_t thread;
    bool running; /* the thread is there */
    bool stopping;
    baton_producer_t *producer; /* owned */
    char name[64];
    bn_prng_t prng;
    s_stream_t streams[BN_LAB_STREAMS_MAX];
    size_t stream_count;
    double factor;
    bn_map_t *numbers; /* key -> number of the last event, as a pointer */
    bn_lab_log_t log;
    size_t receipts; /* so many of the log have an answer */
    uint64_t refused;
    char error[256];
    baton_data_t *data;
    bn_buffer_t filled; /* scratch */
    char *padding;
};

static uint64_t s_now_us (void)
{
    return bn_clock_mono_ns () / 1000;
}

/*  On the producer's thread: receipts come in the order of publishing.  */
static void s_on_receipt (uint64_t ticket, baton_err_t err, uint64_t offset, void *arg)
{
    bn_lab_load_t *self = arg;
    (void)ticket;
    pthread_mutex_lock (&self->lock);
    if (self->receipts < self->log.count) {
        bn_lab_sent_t *sent = &self->log.events[self->receipts++];
        if (!err) {
            sent->receipt_us = s_now_us ();
            sent->offset = offset;
        } else if (err != BATON_ERR_CLOSED) {
            self->refused++;
            snprintf (self->error, sizeof self->error, "%s was refused: %s", sent->topic,
                      baton_err_text (err));
        }
    }
    pthread_mutex_unlock (&self->lock);
}

static void s_next_id (const bn_lab_load_t *self, char id[ID_BYTES])
{
    snprintf (id, ID_BYTES, "%s-%zu", self->name, self->log.count);
}

/*  Publishes one event, with the lock held. It is in the log before the producer can answer.  */
static baton_err_t s_publish (bn_lab_load_t *self, const char *topic, const char *key,
                              const void *data, size_t size, uint64_t due_us)
{
    char id[ID_BYTES];
    s_next_id (self, id);
    baton_attributes_t attributes = {.id = id};
    baton_publication_t event = {
        .topic = topic, .key = key, .data = data, .data_size = size, .attributes = &attributes};
    bn_lab_sent_t sent = {.id = id, .topic = topic, .key = key, .due_us = due_us};
    baton_err_t err = bn_lab_log_add (&self->log, &sent);
    if (err)
        return err;
    err = baton_producer_publish_group (self->producer, &event, 1, 0, NULL);
    if (err) {
        bn_lab_sent_t *last = &self->log.events[--self->log.count];
        free ((void *)(uintptr_t)last->id);
    }
    return err;
}

static void s_key_of (bn_lab_load_t *self, const s_stream_t *stream, char key[64])
{
    key[0] = 0;
    if (!stream->it.keys)
        return;
    uint64_t number = bn_prng_below (&self->prng, stream->it.keys);
    if (stream->it.hot > 0 && (double)bn_prng_below (&self->prng, 1000000) < stream->it.hot * 1e6)
        number = 0;
    snprintf (key, 64, "%s%" PRIu64, stream->it.prefix, number);
}

/*  The next event of a stream, with the lock held.  */
static baton_err_t s_next (bn_lab_load_t *self, s_stream_t *stream)
{
    char key[64];
    bn_prng_t before = self->prng;
    size_t size = stream->it.data_size;
    const void *data = stream->data;
    s_key_of (self, stream, key);
    uintptr_t number = (uintptr_t)bn_map_get_str (self->numbers, key) + 1;
    if (!data) {
        baton_data_clear (self->data);
        baton_data_put_uint (self->data, "n", number);
        if (stream->it.bytes)
            baton_data_put_strn (self->data, "padding", self->padding, stream->it.bytes);
        data = baton_data_bytes (self->data, &size);
    } else if (stream->varies) {
        char id[ID_BYTES];
        s_next_id (self, id);
        bn_lab_names_t names = {.key = key, .id = id, .n = number};
        bn_buffer_clear (&self->filled);
        baton_err_t err = bn_lab_template_fill (data, size, &names, &self->filled);
        if (err)
            return err;
        data = bn_buffer_data (&self->filled);
        size = self->filled.size;
    }
    baton_err_t err =
        data ? s_publish (self, stream->it.topic, key, data, size, (uint64_t)stream->due_us)
             : BATON_ERR_MEMORY;
    if (err) {
        self->prng = before; /* the same one again */
        return err;
    }
    bn_map_put_str (self->numbers, key, (void *)number, NULL);
    stream->sent++;
    stream->due_us += 1e6 / (stream->it.rate * self->factor);
    return BATON_OK;
}

/*  Sends what is due of a stream. AGAIN: the producer is full.  */
static baton_err_t s_serve (bn_lab_load_t *self, s_stream_t *stream, uint64_t now)
{
    for (int i = 0; i < BATCH && !stream->over; i++) {
        uint64_t end_us =
            stream->it.for_ms ? stream->start_us + stream->it.for_ms * 1000 : UINT64_MAX;
        if ((stream->it.count && stream->sent >= stream->it.count) ||
            stream->due_us >= (double)end_us)
            stream->over = true;
        else if (stream->due_us > (double)now)
            return BATON_OK;
        else {
            baton_err_t err = s_next (self, stream);
            if (err)
                return err;
        }
    }
    return BATON_OK;
}

static void *s_run (void *arg)
{
    bn_lab_load_t *self = arg;
    pthread_mutex_lock (&self->lock);
    while (!self->stopping) {
        uint64_t now = s_now_us (), pause_us = IDLE_US;
        for (size_t i = 0; i < self->stream_count && !self->stopping; i++) {
            baton_err_t err = s_serve (self, &self->streams[i], now);
            if (err == BATON_ERR_AGAIN)
                pause_us = BLOCK_MS * 100;
            else if (err) {
                self->streams[i].over = true;
                snprintf (self->error, sizeof self->error, "the load of %s ended: %s",
                          self->streams[i].it.topic, baton_err_text (err));
            }
        }
        pthread_mutex_unlock (&self->lock);
        struct timespec pause = {.tv_nsec = (long)pause_us * 1000};
        nanosleep (&pause, NULL);
        pthread_mutex_lock (&self->lock);
    }
    pthread_mutex_unlock (&self->lock);
    return NULL;
}

baton_err_t bn_lab_load_new (bn_lab_load_t **load, const bn_lab_load_options_t *options)
{
    bn_lab_load_t *self = calloc (1, sizeof *self);
    *load = NULL;
    if (!self)
        return BATON_ERR_MEMORY;
    pthread_mutex_init (&self->lock, NULL);
    bn_lab_log_init (&self->log);
    bn_buffer_init (&self->filled, BATON_DATA_BYTES_MAX);
    bn_prng_init (&self->prng, options->seed);
    snprintf (self->name, sizeof self->name, "%s", options->name);
    self->factor = 1;
    self->numbers = bn_map_new ();
    self->data = baton_data_new ();
    self->padding = malloc (BYTES_MAX);
    baton_err_t err = self->numbers && self->data && self->padding ? BATON_OK : BATON_ERR_MEMORY;
    if (!err) {
        memset (self->padding, 'x', BYTES_MAX);
        baton_producer_options_t producer = {.endpoint = options->endpoint,
                                             .source = "/baton/lab",
                                             .on_receipt = s_on_receipt,
                                             .on_receipt_arg = self};
        err = baton_producer_new (&self->producer, &producer);
    }
    if (!err && pthread_create (&self->thread, NULL, s_run, self))
        err = BATON_ERR_SYSTEM;
    self->running = !err;
    if (err)
        bn_lab_load_destroy (&self);
    *load = self;
    return err;
}

void bn_lab_load_stop (bn_lab_load_t *self, uint32_t flush_ms)
{
    if (self->running) {
        pthread_mutex_lock (&self->lock);
        self->stopping = true;
        pthread_mutex_unlock (&self->lock);
        pthread_join (self->thread, NULL);
        self->running = false;
    }
    if (self->producer) {
        baton_producer_flush (self->producer, (int)flush_ms);
        baton_producer_destroy (&self->producer);
    }
}

void bn_lab_load_destroy (bn_lab_load_t **self_p)
{
    bn_lab_load_t *self = *self_p;
    if (!self)
        return;
    *self_p = NULL;
    bn_lab_load_stop (self, 0);
    for (size_t i = 0; i < self->stream_count; i++)
        free (self->streams[i].data);
    if (self->numbers)
        bn_map_destroy (&self->numbers);
    baton_data_destroy (&self->data);
    bn_buffer_fini (&self->filled);
    bn_lab_log_fini (&self->log);
    free (self->padding);
    pthread_mutex_destroy (&self->lock);
    free (self);
}

baton_err_t bn_lab_load_add (bn_lab_load_t *self, const bn_lab_stream_t *stream)
{
    if (!(stream->rate > 0) || stream->bytes > BYTES_MAX || (!stream->count && !stream->for_ms))
        return BATON_ERR_ARGUMENT;
    void *data = stream->data ? malloc (stream->data_size + 1) : NULL;
    if (stream->data && !data)
        return BATON_ERR_MEMORY;
    if (data)
        memcpy (data, stream->data, stream->data_size);
    uint64_t start_us = s_now_us () + stream->start_ms * 1000;
    baton_err_t err = BATON_ERR_LIMIT;
    pthread_mutex_lock (&self->lock);
    size_t place = 0; /* of a stream that is over, if need be */
    while (place < self->stream_count && !self->streams[place].over)
        place++;
    if (place < BN_LAB_STREAMS_MAX) {
        if (place == self->stream_count)
            self->stream_count++;
        else
            free (self->streams[place].data);
        self->streams[place] =
            (s_stream_t){.it = *stream,
                         .data = data,
                         .varies = data && bn_lab_template_varies (data, stream->data_size),
                         .start_us = start_us,
                         .due_us = (double)start_us};
        data = NULL;
        err = BATON_OK;
    }
    pthread_mutex_unlock (&self->lock);
    free (data);
    return err;
}

baton_err_t bn_lab_load_single (bn_lab_load_t *self, const char *topic, const char *key,
                                const void *data, size_t data_size)
{
    pthread_mutex_lock (&self->lock);
    baton_err_t err = s_publish (self, topic, key, data, data_size, s_now_us ());
    pthread_mutex_unlock (&self->lock);
    return err;
}

void bn_lab_load_factor (bn_lab_load_t *self, double factor)
{
    pthread_mutex_lock (&self->lock);
    self->factor = factor;
    pthread_mutex_unlock (&self->lock);
}

void bn_lab_load_stats (bn_lab_load_t *self, bn_lab_load_stats_t *stats)
{
    *stats = (bn_lab_load_stats_t){.over = true};
    pthread_mutex_lock (&self->lock);
    for (size_t i = 0; i < self->stream_count; i++)
        stats->over = stats->over && self->streams[i].over;
    stats->sent = self->log.count;
    stats->refused = self->refused;
    stats->receipted = self->receipts - self->refused;
    stats->over = stats->over && self->receipts == self->log.count;
    snprintf (stats->error, sizeof stats->error, "%s", self->error);
    pthread_mutex_unlock (&self->lock);
}

const bn_lab_log_t *bn_lab_load_log (const bn_lab_load_t *self)
{
    return &self->log;
}
