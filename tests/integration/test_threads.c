/* SPDX-License-Identifier: MPL-2.0 */

/*  Threads that share a producer. Each has a key of its own: in the journal each key has the order
 *  of its thread's calls (G3), and every event is there once.  */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <baton/baton.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 4, EVENTS = 2000, PATIENCE_MS = 60000 };

typedef struct {
    baton_producer_t *producer;
    int number;
    baton_err_t err;
} publisher_t;

static void *publish_many (void *arg)
{
    publisher_t *self = arg;
    char key[16];
    snprintf (key, sizeof key, "t%d", self->number);
    for (int i = 0; i < EVENTS && !self->err; i++) {
        baton_data_t *data = baton_data_new ();
        baton_data_put_int (data, "n", i * THREADS + self->number);
        self->err = baton_publish_data (self->producer, "in", key, data);
        baton_data_destroy (&data);
        baton_producer_stats_t stats;
        if (i % 100 == 0)
            baton_producer_stats (self->producer, &stats);
        if (i % 500 == 0 && !self->err)
            self->err = baton_producer_flush (self->producer, PATIENCE_MS);
    }
    return NULL;
}

typedef struct {
    baton_actor_t *actor;
    int64_t next[THREADS];
    int seen;
} reader_t;

static baton_verdict_t take (baton_context_t *context, const baton_event_t *event, void *arg)
{
    (void)context;
    reader_t *self = arg;
    int64_t n = -1;
    assert_true (baton_event_int (event, "n", &n));
    assert_int_equal (n, self->next[n % THREADS]);
    self->next[n % THREADS] += THREADS;
    if (++self->seen == THREADS * EVENTS)
        baton_actor_stop (self->actor);
    return BATON_ACK;
}

static int remove_entry (const char *path, const struct stat *info, int flag, struct FTW *ftw)
{
    (void)info;
    (void)flag;
    (void)ftw;
    return remove (path);
}

static void threads_share_a_producer (void **state)
{
    (void)state;
    char directory[] = "/tmp/baton-threads-XXXXXX";
    assert_non_null (mkdtemp (directory));
    baton_orchestrator_t *orchestrator;
    baton_orchestrator_options_t options = {
        .data_dir = directory, .endpoint = "tcp://127.0.0.1:*", .disk_reserve_bytes = 1};
    assert_int_equal (baton_orchestrator_new (&orchestrator, &options, NULL, 0), BATON_OK);
    const char *endpoint = baton_orchestrator_endpoint (orchestrator);
    baton_producer_t *producer;
    assert_int_equal (
        baton_producer_new (&producer, &(baton_producer_options_t){.endpoint = endpoint}),
        BATON_OK);
    pthread_t threads[THREADS];
    publisher_t publishers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        publishers[i] = (publisher_t){.producer = producer, .number = i};
        assert_int_equal (pthread_create (&threads[i], NULL, publish_many, &publishers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join (threads[i], NULL);
        assert_int_equal (publishers[i].err, BATON_OK);
    }
    assert_int_equal (baton_producer_flush (producer, PATIENCE_MS), BATON_OK);
    baton_producer_stats_t stats;
    baton_producer_stats (producer, &stats);
    assert_int_equal (stats.receipted, THREADS * EVENTS);
    baton_producer_destroy (&producer);

    reader_t reader = {.next = {0, 1, 2, 3}};
    baton_actor_options_t wanted = {
        .name = "all", .endpoint = endpoint, .start = BATON_START_BEGINNING};
    assert_int_equal (baton_actor_new (&reader.actor, &wanted), BATON_OK);
    assert_int_equal (baton_actor_on (reader.actor, "in", take, &reader), BATON_OK);
    assert_int_equal (baton_actor_run (reader.actor), BATON_OK);
    assert_int_equal (reader.seen, THREADS * EVENTS);
    baton_actor_destroy (&reader.actor);
    baton_orchestrator_destroy (&orchestrator);
    assert_int_equal (nftw (directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
}

int main (void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test (threads_share_a_producer)};
    return cmocka_run_group_tests_name ("threads", tests, NULL, NULL);
}
