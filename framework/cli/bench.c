/* SPDX-License-Identifier: MPL-2.0 */

/*  bench.c - `baton bench`: a load of one's own choosing.
 *
 *  The process that was asked starts an orchestrator (unless told where one is), actors and
 *  producers as processes of their own, waits until every actor has handled every event, asks the
 *  actors to drain, and adds up what all of them have measured.  */

#include "cli/bench.h"
#include "cli/cli.h"
#include "cli/connect.h"
#include "cli/histogram.h"
#include "cli/json.h"
#include "client/admin.h"
#include "shell/clock.h"
#include "supervisor/process.h"
#include <baton/orchestrator.h>
#include <baton/version.h>
#include <errno.h>
#include <ftw.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define CHILDREN_MAX  64
#define STALLED_MS    30000 /* without an event handled: give up */
#define START_MS      60000 /* for the orchestrator and the actors to come up */
#define STOP_MS       10000
#define POLL_MS       100
#define RESULT_PREFIX "result "

static const char s_about[] =
    "Measures throughput and latency under a load of one's own choosing, with an orchestrator,\n"
    "actors and producers in processes of their own on this machine. Events are small maps, their\n"
    "keys take turns; every actor gets every event. receipt is the time from publishing to\n"
    "the receipt, delivery from publishing to the handler. Without --rate the producers publish "
    "as\n"
    "fast as they are let, and latencies are then those of a full queue; with --rate an event\n"
    "that could not be published in time, because those before it took long, counts from when\n"
    "it was due, and timer is how late the producers woke, which is not counted in. With\n"
    "--stages, handled and delivery are those of the last stage.";

static const char s_details[] =
    "Exit codes: 0 ok, 1 something failed or stalled, 2 wrong usage, 69 no answer from the\n"
    "orchestrator.";

typedef bn_bench_role_t s_kind_t;

typedef struct s_run s_run_t;

typedef struct {
    s_run_t *run;
    s_kind_t kind;
    uint64_t actor;        /* index, of an actor's instance */
    bn_process_t *process; /* owned; NULL once it has ended */
    bool failed;
    uint64_t handled;
    json_t *result; /* owned */
} s_child_t;

struct s_run {
    bn_bench_t *bench;
    s_child_t children[CHILDREN_MAX];
    size_t count;
    int signals; /* owned signalfd */
    bool interrupted;
    char endpoint[256];
    char folder[PATH_MAX]; /* of the orchestrator; "" if it is not ours */
    char topic[64];
    char filesystem[32]; /* that the journal is on */
    bn_admin_t *admin;   /* owned */
};

/*  ---- children ---- */

static void s_on_line (const char *line, size_t size, void *arg)
{
    s_child_t *self = arg;
    char what[256];
    (void)size;
    if (!strncmp (line, "ready ", 6))
        snprintf (self->run->endpoint, sizeof (self->run->endpoint), "%s", line + 6);
    else if (!strncmp (line, "handled ", 8))
        bn_parse_uint (line + 8, &self->handled);
    else if (!strncmp (line, RESULT_PREFIX, strlen (RESULT_PREFIX)) && !self->result) {
        line += strlen (RESULT_PREFIX);
        self->result = bn_json_parse (line, strlen (line), what);
    }
}

/*  Waits for output and ends of children, for at most POLL_MS. false: interrupted.  */
static bool s_poll (s_run_t *self)
{
    struct pollfd fds[1 + CHILDREN_MAX * BN_PROCESS_POLL_FDS];
    fds[0] = (struct pollfd){.fd = self->signals, .events = POLLIN};
    for (size_t i = 0; i < self->count; i++) {
        struct pollfd *own = fds + 1 + i * BN_PROCESS_POLL_FDS;
        own[0] = own[1] = (struct pollfd){.fd = -1};
        if (self->children[i].process)
            bn_process_poll_prepare (self->children[i].process, own);
    }
    poll (fds, 1 + self->count * BN_PROCESS_POLL_FDS, POLL_MS);
    self->interrupted = self->interrupted || fds[0].revents;
    for (size_t i = 0; i < self->count; i++) {
        s_child_t *child = &self->children[i];
        int status;
        if (!child->process)
            continue;
        bn_process_poll (child->process, fds + 1 + i * BN_PROCESS_POLL_FDS, s_on_line, child);
        if (!bn_process_ended (child->process, &status))
            continue;
        child->failed = status != 0;
        bn_process_destroy (&child->process);
    }
    return !self->interrupted;
}

/*  Starts this program again in a role. Arguments are name, value, ..., NULL.  */
static bool s_spawn (s_run_t *self, s_kind_t kind, const char *const *arguments)
{
    static const char *const roles[] = {"orchestrator", "actor", "producer"};
    const char *argv[32] = {"/proc/self/exe", "bench", "--role", roles[kind]};
    char program[PATH_MAX], detail[256];
    size_t count = 4;
    s_child_t *child = &self->children[self->count];

    ssize_t size = readlink (argv[0], program, sizeof (program) - 1);
    if (size > 0) {
        program[size] = 0;
        argv[0] = program;
    }
    for (; *arguments && count < 31; arguments++)
        argv[count++] = *arguments;
    bn_process_options_t options = {.argv = argv, .capture = BN_CAPTURE_OUTPUT};
    *child = (s_child_t){.run = self, .kind = kind};
    if (bn_process_start (&child->process, &options, detail, sizeof (detail))) {
        bn_failure ("bench", BATON_OK, "%s", detail);
        return false;
    }
    self->count++;
    return true;
}

/*  A child of that kind has failed, or all have ended.  */
static bool s_any_failed (const s_run_t *self)
{
    for (size_t i = 0; i < self->count; i++)
        if (self->children[i].failed ||
            (!self->children[i].process && self->children[i].kind != BN_BENCH_PRODUCER))
            return true;
    return false;
}

static void s_stop (s_run_t *self, s_kind_t kind)
{
    uint64_t deadline_ms = bn_clock_now ().mono_ms + STOP_MS;
    bool busy = true;
    for (size_t i = 0; i < self->count; i++)
        if (self->children[i].process && self->children[i].kind == kind)
            bn_process_signal (self->children[i].process, SIGTERM);
    while (busy && bn_clock_now ().mono_ms < deadline_ms) {
        busy = false;
        for (size_t i = 0; i < self->count; i++)
            busy = busy || (self->children[i].process && self->children[i].kind == kind);
        if (busy)
            s_poll (self);
    }
}

/*  ---- coming up ---- */

static const char *s_filesystem (const char *path, char *name, size_t size)
{
    static const struct {
        unsigned long magic;
        const char *name;
    } known[] = {{0xef53, "ext4"},      {0x58465342, "xfs"},     {0x9123683e, "btrfs"},
                 {0x01021994, "tmpfs"}, {0x794c7630, "overlay"}, {0x2fc12fc1, "zfs"},
                 {0x6969, "nfs"},       {0xf2f52010, "f2fs"}};
    struct statfs info;
    snprintf (name, size, "unknown");
    if (statfs (path, &info) == 0) {
        snprintf (name, size, "0x%lx", (unsigned long)info.f_type);
        for (size_t i = 0; i < sizeof (known) / sizeof (known[0]); i++)
            if ((unsigned long)info.f_type == known[i].magic)
                snprintf (name, size, "%s", known[i].name);
    }
    return name;
}

static bool s_start_orchestrator (s_run_t *self)
{
    const bn_bench_t *bench = self->bench;
    const char *parent = bench->data_dir ? bench->data_dir : getenv ("TMPDIR");
    uint64_t deadline_ms = bn_clock_now ().mono_ms + START_MS;
    if (snprintf (self->folder, sizeof (self->folder), "%s/baton-bench.XXXXXX",
                  parent && *parent ? parent : "/var/tmp") >= (int)sizeof (self->folder) ||
        !mkdtemp (self->folder)) {
        bn_failure ("bench", BATON_OK, "%s: %s", self->folder, strerror (errno));
        self->folder[0] = 0;
        return false;
    }
    s_filesystem (self->folder, self->filesystem, sizeof (self->filesystem));
    char partitions[32], keep_awake[32];
    snprintf (partitions, sizeof (partitions), "%" PRIu64, bench->partitions);
    snprintf (keep_awake, sizeof (keep_awake), "%" PRIu64, bench->keep_awake_ms);
    const char *arguments[] = {"--data-dir",
                               self->folder,
                               "--sync",
                               bench->sync,
                               "--keep-awake",
                               keep_awake,
                               bench->partitions ? "--partitions" : NULL,
                               partitions,
                               NULL};
    if (!s_spawn (self, BN_BENCH_ORCHESTRATOR, arguments))
        return false;
    while (!*self->endpoint && !s_any_failed (self) && bn_clock_now ().mono_ms < deadline_ms)
        if (!s_poll (self))
            return false;
    if (!*self->endpoint)
        bn_failure ("bench", BATON_OK, "the orchestrator did not come up");
    return *self->endpoint;
}

/*  Instances that have joined, of the actors of this run.  */
static uint64_t s_joined (s_run_t *self)
{
    const bn_message_t *reply;
    bn_message_t request = {.type = BN_STATUS};
    uint64_t joined = 0;
    size_t i, k;
    json_t *actor, *instance;
    if (bn_admin_request (self->admin, &request, BN_STATUS_REPLY, 0, &reply))
        return 0;
    json_t *status = bn_json_from_value (reply->status.data, reply->status.size);
    json_array_foreach (json_object_get (status, "actors"), i, actor)
    {
        const char *name = json_string_value (json_object_get (actor, "name"));
        if (!name || strncmp (name, self->topic + strlen ("bench."), 16))
            continue;
        json_array_foreach (json_object_get (actor, "instances"), k, instance)
        {
            joined += json_is_true (json_object_get (instance, "connected"));
        }
    }
    json_decref (status);
    return joined;
}

static void s_actor_name (const s_run_t *self, uint64_t actor, char *name, size_t size)
{
    snprintf (name, size, "%s-%" PRIu64, self->topic + strlen ("bench."), actor + 1);
}

/*  What stage k of a pipeline is subscribed to; without one, every actor is a first stage.  */
static void s_stage_topic (const s_run_t *self, uint64_t stage, char *topic, size_t size)
{
    if (stage == 0 && self->bench->topics > 1)
        snprintf (topic, size, "%s.in.*", self->topic);
    else if (stage == 0)
        snprintf (topic, size, "%s", self->topic);
    else
        snprintf (topic, size, "%s.%" PRIu64, self->topic, stage + 1);
}

static uint64_t s_actor_count (const bn_bench_t *bench)
{
    return bench->stages > 1 ? bench->stages : bench->actors;
}

static bool s_start_actors (s_run_t *self)
{
    const bn_bench_t *bench = self->bench;
    const bn_welcome_t *welcome = bn_admin_welcome (self->admin);
    uint64_t deadline_ms = bn_clock_now ().mono_ms + START_MS;
    uint64_t actors = s_actor_count (bench);
    char offset[32], name[64], topic[96], emit_to[96];
    if (!welcome) {
        bn_failure ("bench", bn_admin_error (self->admin), "%s", bn_admin_error_text (self->admin));
        return false;
    }
    snprintf (offset, sizeof (offset), "%" PRIu64, welcome->tail);
    for (uint64_t i = 0; i < actors * bench->instances; i++) {
        uint64_t actor = i / bench->instances;
        s_actor_name (self, actor, name, sizeof (name));
        s_stage_topic (self, bench->stages > 1 ? actor : 0, topic, sizeof (topic));
        s_stage_topic (self, actor + 1, emit_to, sizeof (emit_to));
        const char *arguments[] = {"--connect",
                                   self->endpoint,
                                   "--name",
                                   name,
                                   "--topic",
                                   topic,
                                   "--index",
                                   offset,
                                   actor + 1 < bench->stages ? "--emit-to" : NULL,
                                   emit_to,
                                   NULL};
        if (!s_spawn (self, BN_BENCH_ACTOR, arguments))
            return false;
        self->children[self->count - 1].actor = actor;
    }
    while (s_joined (self) < actors * bench->instances) {
        if (!s_poll (self))
            return false;
        if (s_any_failed (self) || bn_clock_now ().mono_ms >= deadline_ms) {
            bn_failure ("bench", BATON_OK, "the actors did not come up");
            return false;
        }
    }
    return true;
}

static bool s_start_producers (s_run_t *self)
{
    const bn_bench_t *bench = self->bench;
    char events[32], size[32], keys[32], topics[32], producers[32], rate[32], index[32];
    snprintf (events, sizeof (events), "%" PRIu64, bench->events);
    snprintf (size, sizeof (size), "%" PRIu64, bench->size);
    snprintf (keys, sizeof (keys), "%" PRIu64, bench->keys);
    snprintf (topics, sizeof (topics), "%" PRIu64, bench->topics);
    snprintf (producers, sizeof (producers), "%" PRIu64, bench->producers);
    snprintf (rate, sizeof (rate), "%" PRIu64, bench->rate);
    for (uint64_t i = 0; i < bench->producers; i++) {
        snprintf (index, sizeof (index), "%" PRIu64, i);
        const char *arguments[] = {"--connect",
                                   self->endpoint,
                                   "--topic",
                                   self->topic,
                                   "--events",
                                   events,
                                   "--size",
                                   size,
                                   "--keys",
                                   keys,
                                   "--topics",
                                   topics,
                                   "--producers",
                                   producers,
                                   "--index",
                                   index,
                                   bench->rate ? "--rate" : NULL,
                                   rate,
                                   NULL};
        if (!s_spawn (self, BN_BENCH_PRODUCER, arguments))
            return false;
    }
    return true;
}

/*  ---- measuring ---- */

/*  The least that any actor has handled, and the sum in *total.  */
static uint64_t s_progress (const s_run_t *self, uint64_t *total)
{
    uint64_t handled[CHILDREN_MAX] = {0}, least = UINT64_MAX;
    *total = 0;
    for (size_t i = 0; i < self->count; i++)
        if (self->children[i].kind == BN_BENCH_ACTOR) {
            handled[self->children[i].actor] += self->children[i].handled;
            *total += self->children[i].handled;
        }
    for (uint64_t k = 0; k < s_actor_count (self->bench); k++)
        least = handled[k] < least ? handled[k] : least;
    return least;
}

static bool s_producing (const s_run_t *self)
{
    for (size_t i = 0; i < self->count; i++)
        if (self->children[i].kind == BN_BENCH_PRODUCER && self->children[i].process)
            return true;
    return false;
}

static bool s_wait (s_run_t *self)
{
    bool terminal = isatty (STDERR_FILENO);
    uint64_t total = 0, before = 0, shown_ms = 0;
    uint64_t deadline_ms = bn_clock_now ().mono_ms + STALLED_MS;
    while (s_progress (self, &total) < self->bench->events || s_producing (self)) {
        if (!s_poll (self))
            return false;
        uint64_t now_ms = bn_clock_now ().mono_ms;
        if (total != before)
            deadline_ms = now_ms + STALLED_MS;
        before = total;
        if (terminal && now_ms > shown_ms + 200) {
            shown_ms = now_ms;
            fprintf (stderr, "\r\033[K%" PRIu64 " of %" PRIu64 " handled", total,
                     self->bench->events * s_actor_count (self->bench));
        }
        if (s_any_failed (self) || now_ms >= deadline_ms) {
            fprintf (stderr, terminal ? "\r\033[K" : "");
            bn_failure ("bench", BATON_OK, "%s after %" PRIu64 " events",
                        now_ms >= deadline_ms ? "nothing was handled for 30 s" : "a process ended",
                        total);
            return false;
        }
    }
    fprintf (stderr, terminal ? "\r\033[K" : "");
    return true;
}

static uint64_t s_number (const json_t *result, const char *name)
{
    return (uint64_t)json_integer_value (json_object_get (result, name));
}

static bool s_add_up (const s_run_t *self, bn_bench_totals_t *totals)
{
    bn_histogram_init (&totals->receipt);
    bn_histogram_init (&totals->delivery);
    bn_histogram_init (&totals->late);
    totals->first_ns = UINT64_MAX;
    for (size_t i = 0; i < self->count; i++) {
        const s_child_t *child = &self->children[i];
        bool is_actor = child->kind == BN_BENCH_ACTOR;
        bn_bench_usage_t *usage = &totals->usage[child->kind];
        usage->user_us += s_number (child->result, "user_us");
        usage->system_us += s_number (child->result, "system_us");
        uint64_t memory_kib = s_number (child->result, "memory_kib");
        usage->memory_kib = memory_kib > usage->memory_kib ? memory_kib : usage->memory_kib;
        if (child->kind == BN_BENCH_ORCHESTRATOR ||
            (is_actor && child->actor + 1 < self->bench->stages))
            continue;
        uint64_t events = s_number (child->result, "events");
        uint64_t first_ns = s_number (child->result, "first_ns");
        uint64_t last_ns = s_number (child->result, "last_ns");
        uint64_t *latest = is_actor ? &totals->handled_last_ns : &totals->receipt_last_ns;
        if (!bn_histogram_take (is_actor ? &totals->delivery : &totals->receipt,
                                json_object_get (child->result, "latency")))
            return false;
        if (!is_actor &&
            !bn_histogram_take (&totals->late, json_object_get (child->result, "late")))
            return false;
        *(is_actor ? &totals->handled : &totals->receipts) += events;
        *latest = last_ns > *latest ? last_ns : *latest;
        if (!is_actor && first_ns < totals->first_ns)
            totals->first_ns = first_ns;
    }
    return true;
}

/*  ---- all of it ---- */

static int s_remove (const char *path, const struct stat *info, int flag, struct FTW *walk)
{
    (void)info;
    (void)flag;
    (void)walk;
    return remove (path);
}

static void s_forget_actors (s_run_t *self)
{
    for (uint64_t i = 0; i < s_actor_count (self->bench); i++) {
        char name[64];
        const bn_message_t *reply;
        s_actor_name (self, i, name, sizeof (name));
        bn_message_t request = {.type = BN_FORGET, .forget = {.text = name, .size = strlen (name)}};
        baton_err_t err = bn_admin_request (self->admin, &request, BN_FORGOTTEN, 0, &reply);
        if (err && err != BATON_ERR_NOT_FOUND)
            bn_failure ("bench", err, "%s is not forgotten: %s", name,
                        bn_admin_error_text (self->admin));
    }
}

static bool s_measure (s_run_t *self, bn_bench_totals_t *totals)
{
    bn_admin_options_t options = {.endpoint = self->endpoint,
                                  .name = "bench",
                                  .timeout_ms = (uint32_t)self->bench->connect.timeout_s * 1000};
    baton_err_t err = bn_admin_new (&self->admin, &options);
    if (err) {
        bn_failure ("bench", err, "%s: %s", self->endpoint, baton_err_text (err));
        return false;
    }
    if (!s_start_actors (self) || !s_start_producers (self) || !s_wait (self))
        return false;
    s_stop (self, BN_BENCH_ACTOR);
    if (self->bench->connect_set)
        s_forget_actors (self);
    else
        s_stop (self, BN_BENCH_ORCHESTRATOR);
    if (s_add_up (self, totals))
        return true;
    bn_failure ("bench", BATON_OK, "a process did not say what it has measured");
    return false;
}

static int s_bench (bn_bench_t *bench)
{
    s_run_t *self = calloc (1, sizeof (*self));
    bn_bench_totals_t *totals = calloc (1, sizeof (*totals));
    sigset_t set;
    int code = BN_EXIT_FAILED;
    if (!self || !totals) {
        free (self);
        free (totals);
        return bn_failure ("bench", BATON_ERR_MEMORY, "out of memory");
    }
    self->bench = bench;
    snprintf (self->topic, sizeof (self->topic), "bench.b%015" PRIx64, bn_random_u64 () >> 4);
    sigemptyset (&set);
    sigaddset (&set, SIGINT);
    sigaddset (&set, SIGTERM);
    pthread_sigmask (SIG_BLOCK, &set, NULL);
    self->signals = signalfd (-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (bench->connect_set)
        snprintf (self->endpoint, sizeof (self->endpoint), "%s", bench->connect.endpoint);
    if ((bench->connect_set || s_start_orchestrator (self)) && s_measure (self, totals)) {
        bn_bench_place_t place = {.endpoint = self->endpoint, .filesystem = self->filesystem};
        (bench->as_json ? bn_bench_print_json : bn_bench_print) (bench, &place, totals);
        code = BN_EXIT_OK;
    } else if (self->admin && bn_admin_error (self->admin) == BATON_ERR_UNREACHABLE)
        code = BN_EXIT_UNREACHABLE;

    s_stop (self, BN_BENCH_PRODUCER);
    s_stop (self, BN_BENCH_ACTOR);
    if (bench->connect_set && self->admin && code == BN_EXIT_FAILED)
        s_forget_actors (self);
    bn_admin_destroy (&self->admin);
    s_stop (self, BN_BENCH_ORCHESTRATOR);
    for (size_t i = 0; i < self->count; i++) {
        bn_process_destroy (&self->children[i].process);
        json_decref (self->children[i].result);
    }
    if (*self->folder)
        nftw (self->folder, s_remove, 16, FTW_DEPTH | FTW_PHYS);
    close (self->signals);
    free (self);
    free (totals);
    return code;
}

static int s_check (const bn_bench_t *self)
{
    int sync;
    if (bn_bench_sync (self->sync, &sync))
        return bn_usage_error ("bench", "--sync takes always, interval or never, not '%s'",
                               self->sync);
    if (self->stages > 1 && self->actors > 1)
        return bn_usage_error ("bench", "either --actors or --stages");
    if (s_actor_count (self) * self->instances + self->producers >= CHILDREN_MAX)
        return bn_usage_error ("bench", "at most %d processes: actors x instances and producers",
                               CHILDREN_MAX - 1);
    return -1;
}

int bn_cli_bench (int argc, char **argv)
{
    bn_bench_t self = {.events = 100000,
                       .size = 256,
                       .keys = 1000,
                       .topics = 1,
                       .actors = 1,
                       .instances = 1,
                       .stages = 1,
                       .producers = 1,
                       .sync = "always"};
    const char *connect = NULL;
    const bn_option_t table[] = {
        {"events", 'n', BN_OPTION_UINT, &self.events, "N", "events in all (default: 100000)", 1,
         1000000000},
        {"size", 's', BN_OPTION_UINT, &self.size, "BYTES", "data of an event (default: 256)",
         BN_BENCH_SIZE_MIN, 1024 * 1024},
        {"keys", 'k', BN_OPTION_UINT, &self.keys, "N", "different keys (default: 1000)", 1,
         1000000000},
        {"topics", 0, BN_OPTION_UINT, &self.topics, "N",
         "topics that events take turns on (default: 1)", 1, 100000},
        {"partitions", 0, BN_OPTION_UINT, &self.partitions, "N",
         "of the orchestrator (default: 32)", 1, 256},
        {"actors", 'a', BN_OPTION_UINT, &self.actors, "N", "actors; each gets all (default: 1)", 1,
         CHILDREN_MAX},
        {"instances", 'i', BN_OPTION_UINT, &self.instances, "N",
         "processes of each actor (default: 1)", 1, CHILDREN_MAX},
        {"stages", 0, BN_OPTION_UINT, &self.stages, "N",
         "actors in a row: each but the last emits one event per event (default: 1)", 1, 16},
        {"producers", 'p', BN_OPTION_UINT, &self.producers, "N",
         "processes that publish (default: 1)", 1, CHILDREN_MAX},
        {"rate", 'r', BN_OPTION_UINT, &self.rate, "N", "events per second, all producers together",
         1, 100000000},
        {"sync", 0, BN_OPTION_TEXT, &self.sync, "POLICY",
         "of the orchestrator: always, interval or never (default: always)", 0, 0},
        {"keep-awake", 0, BN_OPTION_UINT, &self.keep_awake_ms, "MS",
         "the orchestrator's keep_awake_ms (default: 0, processors may sleep)", 0, 60000},
        {"data-dir", 'd', BN_OPTION_TEXT, &self.data_dir, "DIR",
         "where the journal is made, and removed (default: $TMPDIR, or /var/tmp)", 0, 0},
        {"connect", 'c', BN_OPTION_TEXT, &connect, "ENDPOINT",
         "a running orchestrator, instead of one of its own", 0, 0},
        {"timeout", 0, BN_OPTION_UINT, &self.connect.timeout_s, "SECONDS",
         "how long to wait for an answer (default: 5)", 1, 86400},
        BN_JSON_OPTION (&self.as_json),
        {"role", 0, BN_OPTION_TEXT, &self.role, "ROLE", NULL, 0, 0},
        {"name", 0, BN_OPTION_TEXT, &self.name, "NAME", NULL, 0, 0},
        {"topic", 0, BN_OPTION_TEXT, &self.topic, "TOPIC", NULL, 0, 0},
        {"emit-to", 0, BN_OPTION_TEXT, &self.emit_to, "TOPIC", NULL, 0, 0},
        {"index", 0, BN_OPTION_UINT, &self.index, "N", NULL, 0, 0},
    };
    const bn_command_t command = {.usage = "bench [OPTION]...",
                                  .about = s_about,
                                  .details = s_details,
                                  .options = table,
                                  .option_count = sizeof (table) / sizeof (table[0])};
    int first;
    bn_connect_options_init (&self.connect);
    int code = bn_options_parse (&command, argc, argv, &first);
    if (code >= 0)
        return code;
    if (first < argc)
        return bn_usage_error ("bench", "what is '%s'?", argv[first]);
    if (connect) {
        self.connect.endpoint = connect;
        self.connect_set = true;
    }
    code = connect ? bn_connect_check ("bench", &self.connect) : -1;
    if (code < 0)
        code = s_check (&self);
    if (code >= 0)
        return code;
    if (!self.role)
        return s_bench (&self);
    if (!strcmp (self.role, "orchestrator") && self.data_dir)
        return bn_bench_orchestrator (&self);
    if (!strcmp (self.role, "actor") && self.name && self.topic)
        return bn_bench_actor (&self);
    if (!strcmp (self.role, "producer") && self.topic && self.index < self.producers)
        return bn_bench_producer (&self);
    return bn_usage_error ("bench", "--role is for the processes that it starts");
}
