/* SPDX-License-Identifier: MPL-2.0 */

/*  bench_roles.c - the processes of a benchmark. See bench.h for what they say.  */

#include "cli/bench.h"
#include "cli/histogram.h"
#include "shell/clock.h"
#include "shell/log.h"
#include <baton/baton.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#define REPORT_MS        100
#define RESULT_BYTES_MAX (256 * 1024)

/*  Without a rate, of so many events one is timed, so that the clock is not what is measured. The
 *  lowest bit of the time in an event says that it is.  */
#define SAMPLE_EVENTS 16
#define SAMPLE_BIT    1

baton_err_t bn_bench_sync (const char *text, int *sync)
{
    static const char *const names[] = {"always", "interval", "never"};
    for (int i = 0; i < 3; i++)
        if (!strcmp (text, names[i])) {
            *sync = i;
            return BATON_OK;
        }
    return BATON_ERR_ARGUMENT;
}

/*  SIGTERM and SIGINT from a descriptor; before other threads are made.  */
static int s_signals (void)
{
    sigset_t set;
    sigemptyset (&set);
    sigaddset (&set, SIGINT);
    sigaddset (&set, SIGTERM);
    pthread_sigmask (SIG_BLOCK, &set, NULL);
    return signalfd (-1, &set, SFD_CLOEXEC);
}

static void s_say (const char *format, ...) __attribute__ ((format (printf, 1, 2)));

static void s_say (const char *format, ...)
{
    va_list args;
    va_start (args, format);
    vprintf (format, args);
    va_end (args);
    fflush (stdout);
}

static uint64_t s_us (struct timeval time)
{
    return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_usec;
}

/*  What this process has used so far, its start included. late: of a producer; or NULL.  */
static void s_say_result (uint64_t events, uint64_t first_ns, uint64_t last_ns,
                          const bn_histogram_t *latency, const bn_histogram_t *late)
{
    static const char s_late[] = ",\"late\":";
    bn_buffer_t text;
    struct rusage usage;
    getrusage (RUSAGE_SELF, &usage);
    bn_buffer_init (&text, RESULT_BYTES_MAX);
    bn_histogram_put (latency, &text);
    if (late) {
        bn_buffer_append (&text, s_late, sizeof (s_late) - 1);
        bn_histogram_put (late, &text);
    }
    if (!text.failed)
        s_say ("result {\"events\":%" PRIu64 ",\"first_ns\":%" PRIu64 ",\"last_ns\":%" PRIu64
               ",\"user_us\":%" PRIu64 ",\"system_us\":%" PRIu64
               ",\"memory_kib\":%ld,\"latency\":%.*s}\n",
               events, first_ns, last_ns, s_us (usage.ru_utime), s_us (usage.ru_stime),
               usage.ru_maxrss, (int)text.size, (char *)bn_buffer_data (&text));
    bn_buffer_fini (&text);
}

/*  ---- orchestrator ---- */

int bn_bench_orchestrator (const bn_bench_t *bench)
{
    baton_orchestrator_t *orchestrator;
    char detail[512] = "";
    int sync = BATON_SYNC_ALWAYS;
    int signals = s_signals ();
    bn_bench_sync (bench->sync, &sync);
    bn_log_setup ("orchestrator", BN_LOG_TEXT, BN_LOG_WARNING);
    baton_orchestrator_options_t options = {.data_dir = bench->data_dir,
                                            .endpoint = "tcp://127.0.0.1:*",
                                            .partitions = (uint32_t)bench->partitions,
                                            .sync = (baton_sync_t)sync,
                                            .keep_awake_ms = (uint32_t)bench->keep_awake_ms};
    baton_err_t err = baton_orchestrator_new (&orchestrator, &options, detail, sizeof (detail));
    if (err)
        return bn_failure ("bench", err, "orchestrator: %s", detail);
    s_say ("ready %s\n", baton_orchestrator_endpoint (orchestrator));
    struct pollfd fds[2] = {{.fd = signals, .events = POLLIN},
                            {.fd = baton_orchestrator_fd (orchestrator), .events = POLLIN}};
    while (poll (fds, 2, -1) < 0 && errno == EINTR)
        ;
    int code = BN_EXIT_OK;
    if (fds[1].revents) {
        err = baton_orchestrator_failure (orchestrator, detail, sizeof (detail));
        code = bn_failure ("bench", err, "orchestrator: %s", detail);
    }
    baton_orchestrator_destroy (&orchestrator);
    bn_histogram_t none;
    bn_histogram_init (&none);
    if (!code)
        s_say_result (0, 0, 0, &none, NULL);
    close (signals);
    return code;
}

/*  ---- actor ---- */

typedef struct {
    baton_actor_t *actor;
    int signals;
    atomic_uint_fast64_t handled;
    atomic_bool ended;
    const char *emit_to; /* topic of what each event is answered with; NULL: nothing */
    uint64_t first_ns, last_ns;
    bn_histogram_t latency;
} s_actor_t;

static baton_verdict_t s_handle (baton_context_t *context, const baton_event_t *event, void *arg)
{
    s_actor_t *self = arg;
    int64_t sent_ns = 0;
    if (!baton_event_int (event, "t", &sent_ns))
        return BATON_REJECT;
    if (sent_ns & SAMPLE_BIT) {
        self->last_ns = bn_clock_mono_ns ();
        if (!self->first_ns)
            self->first_ns = self->last_ns;
        bn_histogram_add (&self->latency, self->last_ns > (uint64_t)sent_ns
                                              ? self->last_ns - (uint64_t)sent_ns
                                              : 0);
    }
    atomic_fetch_add_explicit (&self->handled, 1, memory_order_relaxed);
    if (self->emit_to) {
        size_t size;
        const void *data = baton_event_data (event, &size);
        if (baton_emit (context, self->emit_to, NULL, data, size, NULL))
            return BATON_REJECT;
    }
    return BATON_ACK;
}

/*  Says how far it is and waits for the signal, beside the handlers.  */
static void *s_actor_reporter (void *arg)
{
    s_actor_t *self = arg;
    uint64_t told = 0;
    while (!atomic_load (&self->ended)) {
        struct pollfd fd = {.fd = self->signals, .events = POLLIN};
        if (poll (&fd, 1, REPORT_MS) > 0) {
            struct signalfd_siginfo info;
            if (read (self->signals, &info, sizeof (info)) == sizeof (info))
                baton_actor_stop (self->actor);
        }
        uint64_t handled = atomic_load (&self->handled);
        if (handled != told)
            s_say ("handled %" PRIu64 "\n", handled);
        told = handled;
    }
    return NULL;
}

int bn_bench_actor (const bn_bench_t *bench)
{
    s_actor_t self = {.signals = s_signals (), .emit_to = bench->emit_to};
    pthread_t reporter;
    bn_histogram_init (&self.latency);
    bn_log_setup (bench->name, BN_LOG_TEXT, BN_LOG_WARNING);
    baton_actor_options_t options = {.name = bench->name,
                                     .endpoint = bench->connect.endpoint,
                                     .start = BATON_START_OFFSET,
                                     .start_value = bench->index};
    baton_err_t err = baton_actor_new (&self.actor, &options);
    if (!err)
        err = baton_actor_on (self.actor, bench->topic, s_handle, &self);
    if (!err && pthread_create (&reporter, NULL, s_actor_reporter, &self))
        err = BATON_ERR_SYSTEM;
    if (err) {
        baton_actor_destroy (&self.actor);
        return bn_failure ("bench", err, "actor: %s", baton_err_text (err));
    }
    err = baton_actor_run (self.actor);
    atomic_store (&self.ended, true);
    pthread_join (reporter, NULL);
    if (err)
        bn_failure ("bench", err, "actor: %s", baton_actor_error_text (self.actor));
    s_say_result (atomic_load (&self.handled), self.first_ns, self.last_ns, &self.latency, NULL);
    baton_actor_destroy (&self.actor);
    close (self.signals);
    return err ? BN_EXIT_FAILED : BN_EXIT_OK;
}

/*  ---- producer ---- */

#define SENT_MAX (1u << 20) /* events without a receipt whose time is remembered */

typedef struct {
    _Atomic uint64_t *sent_ns; /* owned ring, by the number of the event */
    uint64_t receipts;         /* on the producer's thread, until the flush */
    uint64_t refused;
    uint64_t last_ns;
    bn_histogram_t latency;
    bn_histogram_t late; /* how late this process woke for an event */
} s_producer_t;

static void s_receipt (uint64_t ticket, baton_err_t err, uint64_t offset, void *arg)
{
    s_producer_t *self = arg;
    (void)ticket;
    (void)offset;
    uint64_t sent_ns =
        atomic_load_explicit (&self->sent_ns[self->receipts % SENT_MAX], memory_order_relaxed);
    self->receipts++;
    self->refused += err != BATON_OK;
    if (!(sent_ns & SAMPLE_BIT))
        return;
    self->last_ns = bn_clock_mono_ns ();
    bn_histogram_add (&self->latency, self->last_ns > sent_ns ? self->last_ns - sent_ns : 0);
}

/*  Sleeps until the k-th event is due, and returns from when its latency counts: from when it was
 *  due, if publishing those before it took that long, so that a stall is charged to all that it
 *  delayed. But if this process slept, from when it woke: that the machine's timer was late says
 *  nothing about what is measured, and is told beside it.  */
static uint64_t s_await_turn (s_producer_t *self, uint64_t start_ns, uint64_t k, double interval_ns)
{
    uint64_t due_ns = start_ns + (uint64_t)((double)k * interval_ns), now_ns;
    if (!bn_clock_sleep_until (due_ns, &now_ns))
        return due_ns;
    bn_histogram_add (&self->late, now_ns - due_ns);
    return now_ns;
}

/*  The number in digits, without the detour over printf; returns its end.  */
static char *s_put_number (char *at, uint64_t number)
{
    char digits[20];
    size_t count = 0;
    do
        digits[count++] = (char)('0' + number % 10);
    while (number /= 10);
    while (count)
        *at++ = digits[--count];
    *at = 0;
    return at;
}

/*  What the events of a producer are called.  */
typedef struct {
    char key[32];
    char topic[128];
    size_t prefix; /* of the topic, before its number */
} s_names_t;

static void s_names_init (s_names_t *self, const bn_bench_t *bench)
{
    self->key[0] = 'k';
    snprintf (self->topic, sizeof (self->topic), bench->topics > 1 ? "%s.in." : "%s", bench->topic);
    self->prefix = strlen (self->topic);
}

/*  Of the number-th event: with each turn of the keys, a key meets the next topic.  */
static void s_names_set (s_names_t *self, const bn_bench_t *bench, uint64_t number)
{
    s_put_number (self->key + 1, number % bench->keys);
    if (bench->topics > 1)
        s_put_number (self->topic + self->prefix, (number + number / bench->keys) % bench->topics);
}

static baton_err_t s_produce (const bn_bench_t *bench, s_producer_t *self, uint64_t start_ns,
                              uint64_t events, baton_producer_t *producer, baton_data_t *data)
{
    double interval_ns = bench->rate ? 1e9 * (double)bench->producers / (double)bench->rate : 0;
    uint64_t sent_ns = 0;
    prctl (PR_SET_TIMERSLACK, 1); /* else a sleep ends up to 50 us after its time */
    s_names_t names;
    s_names_init (&names, bench);
    char *padding = calloc (1, bench->size);
    baton_err_t err = padding ? BATON_OK : BATON_ERR_MEMORY;
    if (padding)
        memset (padding, 'x', bench->size);
    for (uint64_t k = 0; k < events && !err; k++) {
        if (interval_ns > 0)
            sent_ns = s_await_turn (self, start_ns, k, interval_ns) | SAMPLE_BIT;
        else if (k % SAMPLE_EVENTS == 0 || k + 1 == events)
            sent_ns = bn_clock_mono_ns () | SAMPLE_BIT;
        else
            sent_ns &= ~(uint64_t)SAMPLE_BIT;
        s_names_set (&names, bench, k * bench->producers + bench->index);
        atomic_store_explicit (&self->sent_ns[k % SENT_MAX], sent_ns, memory_order_relaxed);
        baton_data_clear (data);
        baton_data_put_uint (data, "t", sent_ns);
        /*  The head of the map, "t", the number, "p" and the length of the text: 17 bytes.  */
        baton_data_put_strn (data, "p", padding, bench->size - 17);
        err = baton_publish_data (producer, names.topic, names.key, data);
    }
    free (padding);
    return err ? err : baton_producer_flush (producer, -1);
}

int bn_bench_producer (const bn_bench_t *bench)
{
    s_producer_t self = {.sent_ns = calloc (SENT_MAX, sizeof (*self.sent_ns))};
    baton_producer_t *producer = NULL;
    baton_data_t *data = baton_data_new ();
    bn_histogram_init (&self.latency);
    bn_histogram_init (&self.late);
    bn_log_setup ("producer", BN_LOG_TEXT, BN_LOG_WARNING);
    baton_producer_options_t options = {.endpoint = bench->connect.endpoint,
                                        .source = "/baton/bench",
                                        .connect_timeout_ms = 5000,
                                        .on_receipt = s_receipt,
                                        .on_receipt_arg = &self};
    uint64_t events =
        bench->events / bench->producers + (bench->index < bench->events % bench->producers);
    uint64_t start_ns = 0;
    baton_err_t err =
        self.sent_ns && data ? baton_producer_new (&producer, &options) : BATON_ERR_MEMORY;
    if (!err) {
        start_ns = bn_clock_mono_ns ();
        err = s_produce (bench, &self, start_ns, events, producer, data);
    }
    if (err)
        bn_failure ("bench", err, "producer: %s", baton_err_text (err));
    else
        s_say_result (self.receipts - self.refused, start_ns, self.last_ns, &self.latency,
                      &self.late);
    baton_producer_destroy (&producer);
    baton_data_destroy (&data);
    free (self.sent_ns);
    return err ? BN_EXIT_FAILED : BN_EXIT_OK;
}
