/* SPDX-License-Identifier: MPL-2.0 */

/*  Producers and actors of libbaton against an embedded orchestrator, through the public headers
 *  only. Every wait is for something that has to happen, with a limit that only a bug reaches.  */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <baton/baton.h>
#include <ftw.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_S 60
#define SEEN_MAX   20000
#define TEXT_BYTES 160
#define PARTITIONS 4
#define ACTORS_MAX 4

/*  What a handler saw of one call.  */
typedef struct {
    char topic[TEXT_BYTES];
    char key[TEXT_BYTES];
    char id[TEXT_BYTES];
    char correlation[TEXT_BYTES];
    char reason[TEXT_BYTES]; /* of a dead letter */
    int64_t n;               /* field of the data */
    uint64_t offset;
    uint32_t attempt;
    int actor; /* which one called */
} seen_t;

typedef struct bench bench_t;

typedef struct {
    bench_t *bench;
    baton_actor_t *actor;
    pthread_t thread;
    int index;
    baton_handler_fn *handler;
    baton_err_t err; /* of baton_actor_run */
    bool running;    /* started and not joined */
} runner_t;

struct bench {
    char dir[64];
    char data[96];
    char endpoint[128];
    baton_orchestrator_t *orchestrator;
    baton_producer_t *producer;
    runner_t runners[ACTORS_MAX];
    pthread_mutex_t lock;
    pthread_cond_t changed;
    seen_t *seen;
    size_t seen_count;
    int gate; /* handlers that wait do so while it is 0 */
};

/*  ---- the bench ---------------------------------------------------------------------------- */

static void start_orchestrator (bench_t *bench)
{
    char detail[512] = "";
    baton_orchestrator_options_t options = {.data_dir = bench->data,
                                            .endpoint = bench->endpoint[0] ? bench->endpoint
                                                                           : "tcp://127.0.0.1:*",
                                            .partitions = PARTITIONS,
                                            .segment_bytes = 4 * 1024 * 1024,
                                            .heartbeat_ms = 100};
    if (baton_orchestrator_new (&bench->orchestrator, &options, detail, sizeof detail))
        fail_msg ("%s", detail);
    snprintf (bench->endpoint, sizeof bench->endpoint, "%s",
              baton_orchestrator_endpoint (bench->orchestrator));
}

static int start_bench (void **state, bool over_ipc)
{
    bench_t *bench = calloc (1, sizeof *bench);
    bench->seen = calloc (SEEN_MAX, sizeof *bench->seen);
    strcpy (bench->dir, "/tmp/baton-pipeline-XXXXXX");
    if (!mkdtemp (bench->dir))
        return -1;
    pthread_mutex_init (&bench->lock, NULL);
    pthread_cond_init (&bench->changed, NULL);
    snprintf (bench->data, sizeof bench->data, "%s/data", bench->dir);
    if (over_ipc)
        snprintf (bench->endpoint, sizeof bench->endpoint, "ipc://%s/socket", bench->dir);
    start_orchestrator (bench);
    *state = bench;
    return 0;
}

static int set_up (void **state)
{
    return start_bench (state, false);
}

/*  For restarts: a free port that was given back may be taken before it is wanted again.  */
static int set_up_ipc (void **state)
{
    return start_bench (state, true);
}

static int remove_entry (const char *path, const struct stat *info, int flag, struct FTW *ftw)
{
    (void)info;
    (void)flag;
    (void)ftw;
    return remove (path);
}

static void open_gate (bench_t *bench)
{
    pthread_mutex_lock (&bench->lock);
    bench->gate = 1;
    pthread_cond_broadcast (&bench->changed);
    pthread_mutex_unlock (&bench->lock);
}

static baton_err_t stop_actor (bench_t *bench, int index)
{
    runner_t *runner = &bench->runners[index];
    if (runner->running) {
        baton_actor_stop (runner->actor);
        pthread_join (runner->thread, NULL);
        runner->running = false;
    }
    baton_actor_destroy (&runner->actor);
    return runner->err;
}

static int tear_down (void **state)
{
    bench_t *bench = *state;
    open_gate (bench);
    for (int i = 0; i < ACTORS_MAX; i++)
        stop_actor (bench, i);
    baton_producer_destroy (&bench->producer);
    baton_orchestrator_destroy (&bench->orchestrator);
    nftw (bench->dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    pthread_cond_destroy (&bench->changed);
    pthread_mutex_destroy (&bench->lock);
    free (bench->seen);
    free (bench);
    return 0;
}

static void *run_actor (void *arg)
{
    runner_t *runner = arg;
    runner->err = baton_actor_run (runner->actor);
    pthread_mutex_lock (&runner->bench->lock);
    pthread_cond_broadcast (&runner->bench->changed);
    pthread_mutex_unlock (&runner->bench->lock);
    return NULL;
}

static void start_actor (bench_t *bench, int index, baton_actor_options_t options,
                         const char *pattern, baton_handler_fn *handler)
{
    runner_t *runner = &bench->runners[index];
    char instance[32];
    snprintf (instance, sizeof instance, "%s-%d", options.name, index);
    *runner = (runner_t){.bench = bench, .index = index, .handler = handler};
    options.endpoint = bench->endpoint;
    options.instance = instance;
    if (!options.start)
        options.start = BATON_START_BEGINNING;
    assert_int_equal (baton_actor_new (&runner->actor, &options), BATON_OK);
    assert_int_equal (baton_actor_on (runner->actor, pattern, handler, runner), BATON_OK);
    assert_int_equal (pthread_create (&runner->thread, NULL, run_actor, runner), 0);
    runner->running = true;
}

static baton_producer_t *producer (bench_t *bench)
{
    baton_producer_options_t options = {.endpoint = bench->endpoint};
    if (!bench->producer)
        assert_int_equal (baton_producer_new (&bench->producer, &options), BATON_OK);
    return bench->producer;
}

static void publish (bench_t *bench, const char *topic, const char *key, int64_t n)
{
    baton_data_t *data = baton_data_new ();
    baton_data_put_int (data, "n", n);
    assert_int_equal (baton_publish_data (producer (bench), topic, key, data), BATON_OK);
    baton_data_destroy (&data);
}

static void flush (bench_t *bench)
{
    assert_int_equal (baton_producer_flush (producer (bench), PATIENCE_S * 1000), BATON_OK);
}

/*  Remembers the call; returns how many there were before of the same event.  */
static int note (runner_t *runner, const baton_event_t *event)
{
    bench_t *bench = runner->bench;
    const char *correlation = baton_event_extension (event, "correlationid");
    const char *reason = baton_event_extension (event, "deadreason");
    pthread_mutex_lock (&bench->lock);
    seen_t *seen = &bench->seen[bench->seen_count];
    int before = 0;
    for (size_t i = 0; i < bench->seen_count && bench->seen_count < 200; i++)
        before += bench->seen[i].offset == baton_event_offset (event);
    if (bench->seen_count < SEEN_MAX - 1)
        bench->seen_count++;
    snprintf (seen->topic, TEXT_BYTES, "%s", baton_event_topic (event));
    snprintf (seen->key, TEXT_BYTES, "%s", baton_event_key (event));
    snprintf (seen->id, TEXT_BYTES, "%s", baton_event_id (event));
    snprintf (seen->correlation, TEXT_BYTES, "%s", correlation ? correlation : "");
    snprintf (seen->reason, TEXT_BYTES, "%s", reason ? reason : "");
    seen->n = -1;
    baton_event_int (event, "n", &seen->n);
    seen->offset = baton_event_offset (event);
    seen->attempt = baton_event_attempt (event);
    seen->actor = runner->index;
    pthread_cond_broadcast (&bench->changed);
    pthread_mutex_unlock (&bench->lock);
    return before;
}

static void await_seen (bench_t *bench, size_t count)
{
    struct timespec until;
    clock_gettime (CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    pthread_mutex_lock (&bench->lock);
    int rc = 0;
    while (bench->seen_count < count && rc == 0)
        rc = pthread_cond_timedwait (&bench->changed, &bench->lock, &until);
    size_t seen = bench->seen_count;
    pthread_mutex_unlock (&bench->lock);
    if (seen < count)
        fail_msg ("%zu of %zu calls after %d s", seen, count, PATIENCE_S);
}

/*  ---- handlers ----------------------------------------------------------------------------- */

static baton_verdict_t take (baton_context_t *context, const baton_event_t *event, void *arg)
{
    (void)context;
    note (arg, event);
    return BATON_ACK;
}

static baton_verdict_t check (baton_context_t *context, const baton_event_t *event, void *arg)
{
    (void)arg;
    size_t size;
    const void *data = baton_event_data (event, &size);
    baton_emit (context, "orders.checked", NULL, data, size, NULL);
    return BATON_ACK;
}

static baton_verdict_t fail_first_twice (baton_context_t *context, const baton_event_t *event,
                                         void *arg)
{
    note (arg, event);
    int64_t n = 0;
    baton_event_int (event, "n", &n);
    if (n != 1 || baton_event_attempt (event) > 2)
        return BATON_ACK;
    size_t size;
    const void *data = baton_event_data (event, &size);
    baton_emit (context, "never.emitted", NULL, data, size, NULL);
    baton_reason (context, "not yet");
    return BATON_RETRY;
}

static baton_verdict_t reject_odd (baton_context_t *context, const baton_event_t *event, void *arg)
{
    (void)arg;
    int64_t n = 0;
    baton_event_int (event, "n", &n);
    baton_reason (context, "%s is odd", baton_event_key (event));
    return n % 2 ? BATON_REJECT : BATON_ACK;
}

static baton_verdict_t always_retry (baton_context_t *context, const baton_event_t *event,
                                     void *arg)
{
    note (arg, event);
    baton_reason (context, "never works");
    return BATON_RETRY;
}

static baton_verdict_t wait_for_gate (baton_context_t *context, const baton_event_t *event,
                                      void *arg)
{
    runner_t *runner = arg;
    bench_t *bench = runner->bench;
    note (runner, event);
    if (runner->index != 0)
        return BATON_ACK;
    size_t size;
    const void *data = baton_event_data (event, &size);
    baton_emit (context, "late", NULL, data, size, NULL);
    pthread_mutex_lock (&bench->lock);
    while (!bench->gate)
        pthread_cond_wait (&bench->changed, &bench->lock);
    pthread_mutex_unlock (&bench->lock);
    return BATON_ACK;
}

/*  ---- tests -------------------------------------------------------------------------------- */

static void what_is_published_is_handled (void **state)
{
    bench_t *bench = *state;
    start_actor (bench, 0, (baton_actor_options_t){.name = "all"}, "orders.*", take);
    publish (bench, "orders.placed", "anna", 1);
    publish (bench, "elsewhere", "anna", 2);
    publish (bench, "orders.paid", "anna", 3);
    flush (bench);
    await_seen (bench, 2);
    assert_string_equal (bench->seen[0].topic, "orders.placed");
    assert_string_equal (bench->seen[0].key, "anna");
    assert_int_equal (bench->seen[0].n, 1);
    assert_int_equal (bench->seen[0].attempt, 1);
    assert_string_equal (bench->seen[1].topic, "orders.paid");
    assert_int_equal (bench->seen[1].n, 3);
    assert_true (bench->seen[1].offset > bench->seen[0].offset);
    assert_int_equal (stop_actor (bench, 0), BATON_OK);

    baton_producer_stats_t stats;
    baton_producer_stats (bench->producer, &stats);
    assert_int_equal (stats.published, 3);
    assert_int_equal (stats.receipted, 3);
    assert_int_equal (stats.refused, 0);
    assert_int_equal (stats.inflight_bytes, 0);
    assert_true (stats.connected);
}

static void emitted_events_go_on_down_the_line (void **state)
{
    bench_t *bench = *state;
    start_actor (bench, 0, (baton_actor_options_t){.name = "check"}, "orders.placed", check);
    start_actor (bench, 1, (baton_actor_options_t){.name = "last"}, "orders.checked", take);
    for (int i = 0; i < 500; i++) {
        char key[16];
        snprintf (key, sizeof key, "k%d", i % 7);
        publish (bench, "orders.placed", key, i);
    }
    await_seen (bench, 500);
    int64_t last[7] = {-1, -1, -1, -1, -1, -1, -1};
    bool ids[500] = {false};
    for (int i = 0; i < 500; i++) {
        const seen_t *seen = &bench->seen[i];
        assert_string_equal (seen->topic, "orders.checked");
        assert_true (strncmp (seen->id, "check-", 6) == 0);
        assert_true (seen->correlation[0]);
        assert_int_equal (seen->key[1] - '0', seen->n % 7);
        assert_true (seen->n > last[seen->n % 7]); /* G3 */
        last[seen->n % 7] = seen->n;
        assert_false (ids[seen->n]);
        ids[seen->n] = true;
    }
    assert_int_equal (stop_actor (bench, 0), BATON_OK);
    assert_int_equal (stop_actor (bench, 1), BATON_OK);
    assert_int_equal (bench->seen_count, 500);
}

static void later_events_of_a_key_wait_behind_a_retry (void **state)
{
    bench_t *bench = *state;
    for (int i = 1; i <= 5; i++) {
        publish (bench, "in", "slow", i);
        publish (bench, "in", "fast", 100 + i);
    }
    flush (bench);
    start_actor (bench, 0,
                 (baton_actor_options_t){.name = "r", .backoff_min_ms = 20, .backoff_max_ms = 40},
                 "in", fail_first_twice);
    await_seen (bench, 12);
    int64_t slow[7], fast = 100;
    uint32_t attempts[7];
    int count = 0;
    for (size_t i = 0; i < 12; i++)
        if (bench->seen[i].n > 100)
            assert_int_equal (bench->seen[i].n, ++fast);
        else {
            assert_true (count < 7);
            attempts[count] = bench->seen[i].attempt;
            slow[count++] = bench->seen[i].n;
        }
    assert_memory_equal (slow, ((int64_t[]){1, 1, 1, 2, 3, 4, 5}), sizeof slow);
    assert_memory_equal (attempts, ((uint32_t[]){1, 2, 3, 1, 1, 1, 1}), sizeof attempts);

    /*  What the failed calls emitted is nowhere.  */
    start_actor (bench, 1, (baton_actor_options_t){.name = "e"}, ">", take);
    await_seen (bench, 12 + 10);
    assert_int_equal (stop_actor (bench, 1), BATON_OK);
    for (size_t i = 12; i < bench->seen_count; i++)
        assert_string_equal (bench->seen[i].topic, "in");
}

static void rejected_events_become_dead_letters (void **state)
{
    bench_t *bench = *state;
    start_actor (bench, 0, (baton_actor_options_t){.name = "even"}, "in", reject_odd);
    start_actor (bench, 1, (baton_actor_options_t){.name = "watch"}, "$dead.even", take);
    for (int i = 0; i < 4; i++)
        publish (bench, "in", i % 2 ? "one" : "two", i);
    await_seen (bench, 2);
    for (int i = 0; i < 2; i++) {
        assert_string_equal (bench->seen[i].topic, "$dead.even");
        assert_string_equal (bench->seen[i].key, "one");
        assert_string_equal (bench->seen[i].reason, "one is odd");
        assert_int_equal (bench->seen[i].n, 2 * i + 1);
    }
}

static void attempts_end_in_a_dead_letter (void **state)
{
    bench_t *bench = *state;
    start_actor (bench, 0,
                 (baton_actor_options_t){.name = "tries", .max_attempts = 3, .backoff_min_ms = 5},
                 "in", always_retry);
    publish (bench, "in", "k", 1);
    await_seen (bench, 3);
    start_actor (bench, 1, (baton_actor_options_t){.name = "watch"}, "$dead.*", take);
    await_seen (bench, 4);
    assert_non_null (strstr (bench->seen[3].reason, "3 attempts"));
    assert_non_null (strstr (bench->seen[3].reason, "never works"));
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal (bench->seen[i].attempt, i + 1);
}

typedef struct {
    pthread_mutex_t lock;
    uint64_t tickets[8];
    uint64_t offsets[8];
    baton_err_t errs[8];
    int count;
} receipts_t;

static void on_receipt (uint64_t ticket, baton_err_t err, uint64_t offset, void *arg)
{
    receipts_t *receipts = arg;
    pthread_mutex_lock (&receipts->lock);
    int i = receipts->count++ % 8;
    receipts->tickets[i] = ticket;
    receipts->errs[i] = err;
    receipts->offsets[i] = offset;
    pthread_mutex_unlock (&receipts->lock);
}

static void a_group_is_all_or_nothing (void **state)
{
    bench_t *bench = *state;
    receipts_t receipts = {.lock = PTHREAD_MUTEX_INITIALIZER};
    baton_producer_options_t options = {
        .endpoint = bench->endpoint, .on_receipt = on_receipt, .on_receipt_arg = &receipts};
    assert_int_equal (baton_producer_new (&bench->producer, &options), BATON_OK);
    baton_publication_t group[] = {
        {.topic = "a", .key = "x", .data = "\x81\xa1n\x01", .data_size = 4},
        {.topic = "b", .key = "y", .data = "\x81\xa1n\x02", .data_size = 4},
        {.topic = "$c", .key = "x", .data = "\x81\xa1n\x03", .data_size = 4}};
    uint64_t ticket = 0;
    assert_int_equal (baton_producer_publish_group (bench->producer, group, 3, -1, &ticket),
                      BATON_ERR_TOPIC);
    group[2].topic = "c";
    assert_int_equal (baton_producer_publish_group (bench->producer, group, 0, -1, &ticket),
                      BATON_ERR_ARGUMENT);
    assert_int_equal (baton_producer_publish_group (bench->producer, group, 3, -1, &ticket),
                      BATON_OK);
    assert_int_equal (ticket, 1);
    flush (bench);
    assert_int_equal (receipts.count, 1);
    assert_int_equal (receipts.tickets[0], 1);
    assert_int_equal (receipts.errs[0], BATON_OK);
    assert_int_equal (receipts.offsets[0], 0);
    start_actor (bench, 0, (baton_actor_options_t){.name = "all"}, ">", take);
    await_seen (bench, 3);
    assert_int_equal (stop_actor (bench, 0), BATON_OK);
    assert_int_equal (bench->seen_count, 3);
    uint64_t sum = 0;
    for (int i = 0; i < 3; i++)
        sum += bench->seen[i].offset;
    assert_int_equal (sum, 0 + 1 + 2);
}

static void at_the_limit_it_says_again (void **state)
{
    bench_t *bench = *state;
    baton_orchestrator_destroy (&bench->orchestrator);
    receipts_t receipts = {.lock = PTHREAD_MUTEX_INITIALIZER};
    baton_producer_options_t options = {.endpoint = bench->endpoint,
                                        .inflight_bytes_max = 64 * 1024,
                                        .on_receipt = on_receipt,
                                        .on_receipt_arg = &receipts};
    assert_int_equal (baton_producer_new (&bench->producer, &options), BATON_OK);
    baton_publication_t event = {
        .topic = "in", .key = "k", .data = "\x81\xa1n\x01", .data_size = 4};
    baton_err_t err;
    size_t accepted = 0;
    while ((err = baton_producer_publish_group (bench->producer, &event, 1, 0, NULL)) == BATON_OK)
        accepted++;
    assert_int_equal (err, BATON_ERR_AGAIN);
    assert_true (accepted > 50);
    assert_int_equal (baton_producer_publish_group (bench->producer, &event, 1, 20, NULL),
                      BATON_ERR_AGAIN);
    assert_int_equal (baton_producer_flush (bench->producer, 20), BATON_ERR_TIMEOUT);
    baton_producer_stats_t stats;
    baton_producer_stats (bench->producer, &stats);
    assert_int_equal (stats.published, accepted);
    assert_int_equal (stats.receipted, 0);
    assert_true (stats.inflight_bytes <= 64 * 1024);
    assert_false (stats.connected);

    start_orchestrator (bench);
    /*  There is room again, and it is found without asking twice.  */
    assert_int_equal (baton_producer_publish_group (bench->producer, &event, 1, -1, NULL),
                      BATON_OK);
    flush (bench);
    baton_producer_stats (bench->producer, &stats);
    assert_int_equal (stats.receipted, accepted + 1);
    assert_int_equal (receipts.count, accepted + 1);
}

static baton_verdict_t emit_with_attributes (baton_context_t *context, const baton_event_t *event,
                                             void *arg)
{
    (void)event;
    (void)arg;
    baton_extension_t own = {"traceparent", "00-own-span-01"};
    baton_attributes_t attributes = {.extensions = &own, .extension_count = 1};
    baton_emit (context, "out.filled", NULL, "\xc0", 1, NULL);
    baton_emit (context, "out.given", NULL, "\xc0", 1, &attributes);
    return BATON_ACK;
}

static baton_verdict_t check_trace (baton_context_t *context, const baton_event_t *event, void *arg)
{
    (void)context;
    bool given = strcmp (baton_event_topic (event), "out.given") == 0;
    assert_string_equal (baton_event_extension (event, "traceparent"),
                         given ? "00-own-span-01" : "00-trace-span-01");
    assert_string_equal (baton_event_extension (event, "correlationid"), "case-7");
    assert_string_equal (baton_event_extension (event, "causationid"), "the-order");
    note (arg, event);
    return BATON_ACK;
}

/*  What a handler emits carries on the trace and the correlation of what it got.  */
static void traces_go_on_down_the_line (void **state)
{
    bench_t *bench = *state;
    start_actor (bench, 0, (baton_actor_options_t){.name = "first"}, "in", emit_with_attributes);
    start_actor (bench, 1, (baton_actor_options_t){.name = "second"}, "out.*", check_trace);
    baton_extension_t extensions[] = {{"traceparent", "00-trace-span-01"},
                                      {"correlationid", "case-7"}};
    baton_attributes_t attributes = {
        .id = "the-order", .extensions = extensions, .extension_count = 2};
    baton_publication_t event = {
        .topic = "in", .key = "k", .data = "\xc0", .data_size = 1, .attributes = &attributes};
    assert_int_equal (baton_producer_publish_group (producer (bench), &event, 1, -1, NULL),
                      BATON_OK);
    await_seen (bench, 2);
}

static void what_has_no_receipt_is_reported_at_the_end (void **state)
{
    bench_t *bench = *state;
    baton_orchestrator_destroy (&bench->orchestrator);
    receipts_t receipts = {.lock = PTHREAD_MUTEX_INITIALIZER};
    baton_producer_options_t options = {
        .endpoint = bench->endpoint, .on_receipt = on_receipt, .on_receipt_arg = &receipts};
    assert_int_equal (baton_producer_new (&bench->producer, &options), BATON_OK);
    for (int i = 0; i < 3; i++)
        publish (bench, "in", "k", i);
    baton_producer_destroy (&bench->producer);
    assert_int_equal (receipts.count, 3);
    for (uint64_t i = 0; i < 3; i++) {
        assert_int_equal (receipts.tickets[i], i + 1);
        assert_int_equal (receipts.errs[i], BATON_ERR_CLOSED);
    }
}

static void a_producer_survives_restarts (void **state)
{
    bench_t *bench = *state;
    enum { ROUNDS = 4, EVENTS = 500 };
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < EVENTS; i++) {
            publish (bench, "in", i % 2 ? "odd" : "even", round * EVENTS + i);
            if (i == EVENTS / 2)
                flush (bench); /* so that it is connected, and the rest is under way */
        }
        baton_orchestrator_destroy (&bench->orchestrator);
        for (int i = 0; i < 10; i++)
            publish (bench, "meanwhile", "k", i);
        start_orchestrator (bench);
    }
    flush (bench);
    start_actor (bench, 0, (baton_actor_options_t){.name = "all"}, "in", take);
    await_seen (bench, ROUNDS * EVENTS);
    assert_int_equal (stop_actor (bench, 0), BATON_OK);
    assert_int_equal (bench->seen_count, ROUNDS * EVENTS);
    int64_t next[2] = {0, 1};
    for (size_t i = 0; i < bench->seen_count; i++) {
        int64_t n = bench->seen[i].n;
        assert_int_equal (n, next[n % 2]);
        next[n % 2] += 2;
    }
    baton_producer_stats_t stats;
    baton_producer_stats (bench->producer, &stats);
    assert_int_equal (stats.reconnects, ROUNDS);
}

static void an_actor_survives_restarts (void **state)
{
    bench_t *bench = *state;
    enum { ROUNDS = 3, EVENTS = 300 };
    start_actor (bench, 0, (baton_actor_options_t){.name = "check"}, "orders.placed", check);
    start_actor (bench, 1, (baton_actor_options_t){.name = "last"}, "orders.checked", take);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < EVENTS; i++)
            publish (bench, "orders.placed", i % 2 ? "odd" : "even", round * EVENTS + i);
        flush (bench);
        await_seen (bench, (size_t)round * EVENTS + 1);
        baton_orchestrator_destroy (&bench->orchestrator);
        start_orchestrator (bench);
    }
    /*  At least once: each comes, in order the first time, and what comes again is no news.  */
    int64_t next[2] = {0, 1};
    for (size_t i = 0, found = 0; found < ROUNDS * EVENTS; i++) {
        await_seen (bench, i + 1);
        int64_t n = bench->seen[i].n;
        assert_true (n <= next[n % 2]);
        if (n == next[n % 2]) {
            next[n % 2] += 2;
            found++;
        }
    }
    assert_int_equal (stop_actor (bench, 0), BATON_OK);
    assert_int_equal (stop_actor (bench, 1), BATON_OK);
}

static void a_stopped_actor_finishes_what_is_in_hand (void **state)
{
    bench_t *bench = *state;
    start_actor (bench, 0, (baton_actor_options_t){.name = "two"}, "in", wait_for_gate);
    publish (bench, "in", "k", 1);
    publish (bench, "in", "k", 2);
    flush (bench);
    await_seen (bench, 1);
    baton_actor_stop (bench->runners[0].actor);
    open_gate (bench);
    assert_int_equal (stop_actor (bench, 0), BATON_OK);
    assert_int_equal (bench->seen_count, 1);
    start_actor (bench, 1, (baton_actor_options_t){.name = "two"}, "in", wait_for_gate);
    await_seen (bench, 2);
    assert_int_equal (stop_actor (bench, 1), BATON_OK);
    assert_int_equal (bench->seen_count, 2);
    assert_int_equal (bench->seen[1].n, 2);
    assert_int_equal (bench->seen[1].attempt, 1); /* a stop charges nobody (G6) */
}

/*  A handler past its deadline loses the partition; what it says then does not count (G4).  */
static void a_late_handler_is_refused (void **state)
{
    bench_t *bench = *state;
    start_actor (bench, 0, (baton_actor_options_t){.name = "late", .handler_deadline_ms = 200},
                 "in", wait_for_gate);
    publish (bench, "in", "k", 1);
    flush (bench);
    await_seen (bench, 1);
    start_actor (bench, 1, (baton_actor_options_t){.name = "late", .handler_deadline_ms = 200},
                 "in", wait_for_gate);
    await_seen (bench, 2);
    assert_int_equal (bench->seen[1].actor, 1);
    assert_int_equal (bench->seen[1].attempt, 2);
    open_gate (bench);
    assert_int_equal (stop_actor (bench, 0), BATON_OK);
    assert_int_equal (stop_actor (bench, 1), BATON_OK);
    start_actor (bench, 2, (baton_actor_options_t){.name = "e"}, ">", take);
    publish (bench, "end", "k", 9);
    await_seen (bench, 4);
    for (size_t i = 2; i < bench->seen_count; i++)
        assert_string_not_equal (bench->seen[i].topic, "late");
}

/*  A receive mark of one message makes libzmq drop most of the fan-out.  */
static void gaps_in_the_fanout_are_repaired (void **state)
{
    bench_t *bench = *state;
    enum { EVENTS = 3000 };
    setenv ("BATON_TEST_SUB_RCVHWM", "1", 1);
    publish (bench, "in", "even", 0);
    flush (bench);
    start_actor (bench, 0, (baton_actor_options_t){.name = "gaps"}, "in", take);
    await_seen (bench, 1);
    for (int i = 1; i < EVENTS; i++) {
        publish (bench, "in", i % 2 ? "odd" : "even", i);
        if (i % 3 == 0)
            flush (bench); /* small sections, many of them */
    }
    await_seen (bench, EVENTS);
    assert_int_equal (stop_actor (bench, 0), BATON_OK);
    unsetenv ("BATON_TEST_SUB_RCVHWM");
    assert_int_equal (bench->seen_count, EVENTS);
    int64_t next[2] = {0, 1};
    for (size_t i = 0; i < bench->seen_count; i++) {
        int64_t n = bench->seen[i].n;
        assert_int_equal (n, next[n % 2]);
        next[n % 2] += 2;
    }
}

static void instances_share_the_partitions (void **state)
{
    bench_t *bench = *state;
    enum { EVENTS = 2000 };
    for (int i = 0; i < 3; i++)
        start_actor (bench, i, (baton_actor_options_t){.name = "share"}, "in", take);
    for (int i = 0; i < EVENTS; i++) {
        char key[16];
        snprintf (key, sizeof key, "k%d", i % 50);
        publish (bench, "in", key, i);
    }
    await_seen (bench, EVENTS);
    for (int i = 0; i < 3; i++)
        assert_int_equal (stop_actor (bench, i), BATON_OK);
    int64_t last[50];
    memset (last, -1, sizeof last);
    static bool handled[EVENTS];
    for (size_t i = 0; i < bench->seen_count; i++) {
        int64_t n = bench->seen[i].n;
        assert_true (n > last[n % 50] || handled[n]);
        last[n % 50] = n;
        handled[n] = true;
    }
    for (int i = 0; i < EVENTS; i++)
        assert_true (handled[i]);
}

static void nobody_there_is_told_in_time (void **state)
{
    bench_t *bench = *state;
    baton_orchestrator_destroy (&bench->orchestrator);
    baton_producer_options_t options = {.endpoint = bench->endpoint, .connect_timeout_ms = 150};
    assert_int_equal (baton_producer_new (&bench->producer, &options), BATON_ERR_UNREACHABLE);
    assert_null (bench->producer);
    start_actor (bench, 0, (baton_actor_options_t){.name = "alone", .connect_timeout_ms = 150},
                 "in", take);
    runner_t *runner = &bench->runners[0];
    pthread_join (runner->thread, NULL);
    runner->running = false;
    assert_int_equal (runner->err, BATON_ERR_UNREACHABLE);
    assert_non_null (strstr (baton_actor_error_text (runner->actor), bench->endpoint));
    assert_int_equal (baton_actor_run (runner->actor), BATON_ERR_ARGUMENT);
}

/*  Also while nobody answers, a stop is a stop.  */
static void an_actor_that_waits_can_be_stopped (void **state)
{
    bench_t *bench = *state;
    baton_orchestrator_destroy (&bench->orchestrator);
    start_actor (bench, 0, (baton_actor_options_t){.name = "alone"}, "in", take);
    assert_int_equal (stop_actor (bench, 0), BATON_OK);
}

#define TEST(name)     cmocka_unit_test_setup_teardown (name, set_up, tear_down)
#define TEST_IPC(name) cmocka_unit_test_setup_teardown (name, set_up_ipc, tear_down)

int main (void)
{
    const struct CMUnitTest tests[] = {
        TEST (what_is_published_is_handled),
        TEST (emitted_events_go_on_down_the_line),
        TEST (later_events_of_a_key_wait_behind_a_retry),
        TEST (rejected_events_become_dead_letters),
        TEST (attempts_end_in_a_dead_letter),
        TEST (a_group_is_all_or_nothing),
        TEST_IPC (at_the_limit_it_says_again),
        TEST (traces_go_on_down_the_line),
        TEST (what_has_no_receipt_is_reported_at_the_end),
        TEST_IPC (a_producer_survives_restarts),
        TEST_IPC (an_actor_survives_restarts),
        TEST (a_stopped_actor_finishes_what_is_in_hand),
        TEST (a_late_handler_is_refused),
        TEST (gaps_in_the_fanout_are_repaired),
        TEST (instances_share_the_partitions),
        TEST (nobody_there_is_told_in_time),
        TEST (an_actor_that_waits_can_be_stopped),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
