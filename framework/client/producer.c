/* SPDX-License-Identifier: MPL-2.0 */

/*  producer.c - the shell of the outbox: publishers on one side, a courier thread on the other
 *  (producer_courier.c).
 *
 *  DESIGN. publish checks in its caller's thread, then copies the group and appends it to a list
 *  under the lock. Small groups are copied one behind the other into a chunk that all of them
 *  share: a hundred events then cost one allocation, and it is the courier that frees it. A large
 *  group has memory of its own and is copied before the lock. The courier takes the whole list at
 *  once, when no request is in flight or when there is enough in it for a second one, and is woken
 *  only when it waits for that: a busy producer makes one system call for thousands of events.
 *  Receipts come back in publishing order, so "everything up to ticket T is done" is one number;
 *  flush and the in-flight limit wait on it.
 *
 *  When the courier sleeps and nothing is in flight, waking it would take longer than its work: a
 *  publisher with a small group steps the outbox and sends in its place. So there is a second lock,
 *  on the machine (outbox, link and what goes with them): the courier has it but while it sleeps, a
 *  publisher only tries to take it. Whatever else than a request to send comes of the step (a
 *  refusal, a failure) is left to the courier, which alone calls back, logs, and closes sockets. A
 *  publisher that loses the processor meanwhile delays receipts, and no other publisher.
 *
 *        publishers                          courier thread
 *     publish -> [ list, lock ] -- eventfd --> outbox.step --> link
 *        +------ machine, nothing in flight ------^
 *     flush   <- done_ticket, inflight <------ receipts
 *
 *  INVARIANT P1: tickets are 1, 2, 3, ... in the order of the list, and every ticket is reported to
 *  the callback exactly once, in that order.
 *  INVARIANT P2: a flush that returns has seen the callbacks of everything it waited for return.
 *  INVARIANT P3: inflight_bytes is the sum over the groups from done_ticket + 1 to last_ticket.
 *  INVARIANT P4: with wanted_bytes = 0 the list is empty, and what publishers left to the courier
 *  is done. A publisher gets the machine only while nothing has failed and nobody closes, so before
 *  the courier ends; and the courier cannot end, nor destroy return, before it has the machine
 *  back.  */

#include "base/assert.h"
#include "client/producer_internal.h"
#include "client/publication.h"
#include "shell/clock.h"
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define DEFAULT_ENDPOINT   "tcp://127.0.0.1:7711"
#define INFLIGHT_BYTES     (32u * 1024 * 1024)
#define INFLIGHT_BYTES_MIN (64u * 1024)
#define REQUEST_BYTES_MAX  (4u * 1024 * 1024) /* of one PUBLISH; a larger group is refused */
#define ALIGNMENT          _Alignof(max_align_t)
#define CHUNK_BYTES        (64u * 1024) /* memory that small groups share */

_Static_assert(offsetof (bn_blob_t, data) % ALIGNMENT == 0, "groups in a blob are aligned");

/*  ---- from start to end ---------------------------------------------------------------------- */

/*  Everything that a failed start may have left is released; also called half-way.  */
static void release (baton_producer_t *self)
{
    bn_outbox_effects_fini (&self->effects);
    bn_inbound_fini (&self->inbound);
    bn_outbox_destroy (&self->outbox);
    bn_blob_unref (&self->chunk);
    bn_link_destroy (&self->link);
    if (self->context)
        zmq_ctx_term (self->context);
    if (self->wake_fd >= 0)
        close (self->wake_fd);
    pthread_cond_destroy (&self->changed);
    pthread_mutex_destroy (&self->machine);
    pthread_mutex_destroy (&self->lock);
    free (self);
}

static bool start_thread (baton_producer_t *self)
{
    sigset_t all, before;
    sigfillset (&all);
    pthread_sigmask (SIG_SETMASK, &all, &before);
    int rc = pthread_create (&self->thread, NULL, bn_producer_courier, self);
    pthread_sigmask (SIG_SETMASK, &before, NULL);
    return rc == 0;
}

static struct timespec deadline_after (int timeout_ms)
{
    struct timespec deadline;
    clock_gettime (CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += timeout_ms / 1000;
    deadline.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (deadline.tv_nsec >= 1000000000) {
        deadline.tv_sec++;
        deadline.tv_nsec -= 1000000000;
    }
    return deadline;
}

/*  One wait for `changed`, under the lock. deadline NULL: for ever. False: the time has passed.  */
static bool wait_change (baton_producer_t *self, const struct timespec *deadline)
{
    self->waiters++;
    int rc = deadline ? pthread_cond_timedwait (&self->changed, &self->lock, deadline)
                      : pthread_cond_wait (&self->changed, &self->lock);
    self->waiters--;
    if (self->closing && self->waiters == 0)
        pthread_cond_broadcast (&self->changed);
    return rc != ETIMEDOUT;
}

static baton_err_t await_welcome (baton_producer_t *self, uint32_t timeout_ms)
{
    struct timespec deadline =
        deadline_after (timeout_ms < INT32_MAX ? (int)timeout_ms : INT32_MAX);
    pthread_mutex_lock (&self->lock);
    bool in_time = true;
    while (!self->welcomed && !self->failed && in_time)
        in_time = wait_change (self, &deadline);
    baton_err_t err =
        self->failed ? self->failed : (self->welcomed ? BATON_OK : BATON_ERR_UNREACHABLE);
    pthread_mutex_unlock (&self->lock);
    return err;
}

static void default_source (char *text, size_t size)
{
    char host[256];
    if (gethostname (host, sizeof host) != 0)
        snprintf (host, sizeof host, "host");
    host[sizeof host - 1] = 0;
    snprintf (text, size, "/producers/%s/%d", host, (int)getpid ());
}

/*  False: no memory or descriptors.  */
static bool initialise (baton_producer_t *self, const baton_producer_options_t *options)
{
    snprintf (self->endpoint, sizeof self->endpoint, "%s", options->endpoint);
    self->outbox_options.producer_id = bn_random_u64 () | 1;
    self->outbox_options.request_bytes_max = REQUEST_BYTES_MAX;
    self->outbox_options.answer_timeout_ms = BN_ANSWER_TIMEOUT_MS;
    if (options->source)
        snprintf (self->outbox_options.source, sizeof self->outbox_options.source, "%s",
                  options->source);
    else
        default_source (self->outbox_options.source, sizeof self->outbox_options.source);
    snprintf (self->id_prefix, sizeof self->id_prefix, "%016" PRIx64,
              self->outbox_options.producer_id);
    self->inflight_bytes_max = options->inflight_bytes_max;
    self->on_receipt = options->on_receipt;
    self->on_receipt_arg = options->on_receipt_arg;
    self->pid = getpid ();

    pthread_condattr_t attributes;
    pthread_condattr_init (&attributes);
    pthread_condattr_setclock (&attributes, CLOCK_MONOTONIC);
    pthread_cond_init (&self->changed, &attributes);
    pthread_condattr_destroy (&attributes);
    pthread_mutex_init (&self->lock, NULL);
    pthread_mutex_init (&self->machine, NULL);
    bn_outbox_effects_init (&self->effects);
    bn_inbound_init (&self->inbound);
    bn_prng_init (&self->prng, bn_random_u64 ());
    self->wake_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
    self->context = zmq_ctx_new ();
    self->outbox = bn_outbox_new (&self->outbox_options);
    if (self->context)
        self->link = bn_link_new (self->context, self->endpoint);
    return self->wake_fd >= 0 && self->outbox && self->link;
}

baton_err_t baton_producer_new (baton_producer_t **producer,
                                const baton_producer_options_t *options)
{
    *producer = NULL;
    baton_producer_options_t filled = {.endpoint = NULL};
    if (options)
        filled = *options;
    if (!filled.endpoint)
        filled.endpoint = DEFAULT_ENDPOINT;
    if (!filled.inflight_bytes_max)
        filled.inflight_bytes_max = INFLIGHT_BYTES;
    size_t source_size = filled.source ? strlen (filled.source) : 1;
    if (!bn_link_endpoint_valid (filled.endpoint) || source_size < 1 ||
        source_size > BATON_ATTRIBUTE_BYTES_MAX ||
        (filled.source && !bn_utf8_valid (filled.source, source_size)) ||
        filled.inflight_bytes_max < INFLIGHT_BYTES_MIN)
        return BATON_ERR_ARGUMENT;
    baton_producer_t *self = calloc (1, sizeof *self);
    if (!self)
        return BATON_ERR_MEMORY;
    if (!initialise (self, &filled)) {
        release (self);
        return BATON_ERR_MEMORY;
    }
    if (!start_thread (self)) {
        release (self);
        return BATON_ERR_SYSTEM;
    }
    baton_err_t err =
        filled.connect_timeout_ms ? await_welcome (self, filled.connect_timeout_ms) : BATON_OK;
    if (err)
        baton_producer_destroy (&self);
    *producer = self;
    return err;
}

void baton_producer_destroy (baton_producer_t **producer_p)
{
    baton_producer_t *self = *producer_p;
    if (!self)
        return;
    pthread_mutex_lock (&self->lock);
    self->closing = true;
    pthread_cond_broadcast (&self->changed);
    pthread_mutex_unlock (&self->lock);
    bn_producer_wake (self);
    pthread_join (self->thread, NULL);
    pthread_mutex_lock (&self->lock);
    while (self->waiters > 0)
        pthread_cond_wait (&self->changed, &self->lock);
    pthread_mutex_unlock (&self->lock);
    release (self);
    *producer_p = NULL;
}

/*  ---- publishers ------------------------------------------------------------------------------
 */

static bn_publication_defaults_t defaults_of (const baton_producer_t *self, uint64_t wall_us)
{
    return (bn_publication_defaults_t){
        .source = {self->outbox_options.source, strlen (self->outbox_options.source)},
        .id_prefix = {self->id_prefix, BN_ID_PREFIX_BYTES - 1},
        .time_us = (int64_t)wall_us};
}

static baton_err_t check_group (const baton_publication_t *events, size_t count)
{
    if (!events || count == 0)
        return BATON_ERR_ARGUMENT;
    if (count > BN_SECTIONS_MAX)
        return BATON_ERR_TOO_LARGE;
    for (size_t i = 0; i < count; i++) {
        char what[BN_WHAT_BYTES];
        baton_err_t err = bn_publication_check (&events[i], BATON_DATA_BYTES_MAX, what);
        if (err)
            return err;
    }
    return BATON_OK;
}

/*  What a group takes in a blob: itself, its items, their texts and data.  */
static size_t group_size (const baton_publication_t *events, size_t count,
                          const bn_publication_defaults_t *defaults)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count && bytes <= REQUEST_BYTES_MAX; i++)
        bytes += bn_publication_bytes (&events[i], defaults);
    if (bytes > REQUEST_BYTES_MAX)
        return SIZE_MAX;
    bytes += sizeof (bn_outbox_group_t) + count * sizeof (bn_outbox_item_t);
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/*  Copies the events to `at` in the blob. The numbers of their ids are given later, by append.  */
static bn_outbox_group_t *copy_group (bn_blob_t *blob, size_t at, size_t size,
                                      const baton_publication_t *events, size_t count,
                                      const bn_publication_defaults_t *defaults)
{
    bn_outbox_group_t *group = (void *)(blob->data + at);
    bn_outbox_item_t *items = (void *)(group + 1);
    uint8_t *texts = (uint8_t *)(items + count);
    *group = (bn_outbox_group_t){.items = items,
                                 .count = (uint32_t)count,
                                 .in_blob = true,
                                 .blob = bn_blob_ref (blob),
                                 .bytes = size};
    for (size_t i = 0; i < count; i++) {
        bool packed =
            bn_publication_pack (&events[i], defaults, &texts, &items[i].topic, &items[i].fields);
        bn_assert (packed); /* there are no default extensions */
    }
    bn_assert (texts <= blob->data + at + size);
    return group;
}

/*  Room for a small group in the chunk, under the lock; where it begins. SIZE_MAX: no memory.  */
static size_t take_room (baton_producer_t *self, size_t size)
{
    if (!self->chunk || CHUNK_BYTES - self->chunk_used < size) {
        bn_blob_t *chunk = bn_blob_new (CHUNK_BYTES);
        if (!chunk)
            return SIZE_MAX;
        bn_blob_unref (&self->chunk);
        self->chunk = chunk;
        self->chunk_used = 0;
    }
    size_t at = self->chunk_used;
    self->chunk_used += size;
    return at;
}

/*  Waits for room under the lock. A group larger than the limit goes when nothing is in flight.  */
static baton_err_t await_room (baton_producer_t *self, size_t bytes, int timeout_ms)
{
    struct timespec deadline = {.tv_sec = 0};
    bool in_time = timeout_ms != 0, timed = false;
    for (;;) {
        if (self->failed)
            return self->failed;
        if (self->closing)
            return BATON_ERR_CLOSED;
        if (self->inflight_bytes == 0 || (bytes <= self->inflight_bytes_max &&
                                          self->inflight_bytes <= self->inflight_bytes_max - bytes))
            return BATON_OK;
        if (!in_time)
            return BATON_ERR_AGAIN;
        if (timeout_ms > 0 && !timed)
            deadline = deadline_after (timeout_ms);
        timed = true;
        in_time = wait_change (self, timeout_ms < 0 ? NULL : &deadline);
    }
}

/*  Appends under the lock; true: the courier waits for it, and nothing else is in the list.  */
static bool append (baton_producer_t *self, bn_outbox_group_t *group)
{
    group->ticket = ++self->last_ticket;
    for (uint32_t i = 0; i < group->count; i++) {
        bn_outbox_item_t *item = &group->items[i];
        item->spread = (uint32_t)self->next_id;
        item->fields.id_number = self->next_id++;
    }
    bn_outbox_groups_add (&self->list, group);
    bool to_wake = self->list.bytes >= self->wanted_bytes;
    if (to_wake)
        self->wanted_bytes = SIZE_MAX;
    self->inflight_bytes += group->bytes;
    self->stats.published += group->count;
    return to_wake;
}

baton_err_t baton_producer_publish_group (baton_producer_t *self, const baton_publication_t *events,
                                          size_t count, int timeout_ms, uint64_t *ticket)
{
    baton_err_t err = check_group (events, count);
    if (err)
        return err;
    bn_publication_defaults_t defaults = defaults_of (self, bn_clock_wall_us ());
    size_t size = group_size (events, count, &defaults);
    if (size == SIZE_MAX)
        return BATON_ERR_TOO_LARGE;
    bn_outbox_group_t *group = NULL;
    if (size > BN_SMALL_BYTES) {
        bn_blob_t *blob = bn_blob_new (size);
        if (!blob)
            return BATON_ERR_MEMORY;
        group = copy_group (blob, 0, size, events, count, &defaults);
        bn_blob_unref (&blob);
    }
    pthread_mutex_lock (&self->lock);
    err = await_room (self, size, timeout_ms);
    if (!err && !group) {
        size_t at = take_room (self, size);
        if (at == SIZE_MAX)
            err = BATON_ERR_MEMORY;
        else
            group = copy_group (self->chunk, at, size, events, count, &defaults);
    }
    bool to_wake = !err && append (self, group);
    if (ticket && !err)
        *ticket = self->last_ticket;
    bool to_send = to_wake && bn_producer_may_send (self, group);
    if (to_wake && !to_send)
        bn_producer_wake (self);
    pthread_mutex_unlock (&self->lock);
    if (to_send)
        bn_producer_send (self, group);
    if (err)
        bn_outbox_group_destroy (&group);
    return err;
}

baton_err_t baton_publish (baton_producer_t *self, const char *topic, const char *key,
                           const void *data, size_t data_size)
{
    baton_publication_t event = {.topic = topic, .key = key, .data = data, .data_size = data_size};
    return baton_producer_publish_group (self, &event, 1, -1, NULL);
}

baton_err_t baton_publish_data (baton_producer_t *self, const char *topic, const char *key,
                                baton_data_t *data)
{
    size_t size;
    const void *bytes = baton_data_bytes (data, &size);
    return bytes ? baton_publish (self, topic, key, bytes, size) : baton_data_error (data);
}

baton_err_t baton_producer_flush (baton_producer_t *self, int timeout_ms)
{
    struct timespec deadline = deadline_after (timeout_ms > 0 ? timeout_ms : 0);
    bool in_time = timeout_ms != 0;
    pthread_mutex_lock (&self->lock);
    uint64_t wanted = self->last_ticket;
    while (self->done_ticket < wanted && in_time)
        in_time = wait_change (self, timeout_ms < 0 ? NULL : &deadline);
    baton_err_t err;
    if (self->done_ticket < wanted)
        err = BATON_ERR_TIMEOUT;
    else {
        err = self->failed ? self->failed : self->refusal;
        self->refusal = BATON_OK;
    }
    pthread_mutex_unlock (&self->lock);
    return err;
}

void baton_producer_stats (baton_producer_t *self, baton_producer_stats_t *stats)
{
    pthread_mutex_lock (&self->lock);
    *stats = self->stats;
    stats->inflight_bytes = self->inflight_bytes;
    pthread_mutex_unlock (&self->lock);
}
