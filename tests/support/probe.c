/* SPDX-License-Identifier: MPL-2.0 */

/*  probe.c - an actor for the tests: it does what each event tells it to, and writes down what it
 *  did.
 *
 *    probe-actor [options of every actor] -- --log FILE --on PATTERN ... [--emit TOPIC]
 *
 *  --emit: as if every event had this "emit", for stages of a pipeline.
 *  Each event's data may hold:
 *    n      number of the event within its key; logged
 *    do     "ack" (default), "retry" (BATON_RETRY while attempt <= times), "reject", "crash"
 *           (SIGKILL to itself while attempt <= times), "hang" (while attempt <= times, for ms),
 *           "sleep" (ms, then ACK), "flood" (emits until refused, ignores the error, ACK),
 *           "bad-topic" (emits to a bad topic, ignores the error, ACK)
 *    times  see above; default: always
 *    ms     see above
 *    emit   a topic: emits {n, cause} to it
 *  Lines of the log: "begin|end INSTANCE PID OFFSET TOPIC KEY N ATTEMPT", then spaces.  */

#include <baton/baton.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef struct {
    int log_fd;       /* appended to; -1: none */
    const char *emit; /* where to emit for events that do not say; NULL: nowhere */
} probe_t;

/* Appends a line of LINE_SIZE bytes. Lines of one size that divides a page never lie across two
 * pages, and an append to one page is seen whole or not at all: by a test that reads along, and
 * after a kill -9 in the midst of it. */
enum { LINE_SIZE = 256 };

static void note (const probe_t *self, const char *what, const baton_event_t *event)
{
    int64_t n = -1;
    baton_event_int (event, "n", &n);
    const char *instance = getenv ("BATON_INSTANCE");
    char line[LINE_SIZE];
    int size = snprintf (line, sizeof line, "%s %s %d %llu %s %s %lld %u", what,
                         instance ? instance : "-", (int)getpid (),
                         (unsigned long long)baton_event_offset (event), baton_event_topic (event),
                         baton_event_key (event), (long long)n, baton_event_attempt (event));
    if (size < 0 || size >= LINE_SIZE)
        exit (EXIT_FAILURE);
    memset (line + size, ' ', (size_t)(LINE_SIZE - size));
    line[LINE_SIZE - 1] = '\n';
    if (self->log_fd >= 0 && write (self->log_fd, line, LINE_SIZE) != LINE_SIZE)
        exit (EXIT_FAILURE);
}

static void sleep_ms (int64_t ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    while (nanosleep (&left, &left) == -1 && errno == EINTR)
        ;
}

static void emit (baton_context_t *context, const baton_event_t *event, const char *topic)
{
    int64_t n = -1;
    baton_event_int (event, "n", &n);
    baton_data_t *data = baton_data_new ();
    baton_data_put_int (data, "n", n);
    baton_data_put_str (data, "cause", baton_event_id (event));
    baton_emit_data (context, topic, NULL, data);
    baton_data_destroy (&data);
}

static void flood (baton_context_t *context)
{
    static unsigned char bytes[64 * 1024];
    baton_attributes_t raw = {.datacontenttype = "application/octet-stream"};
    while (baton_emit (context, "probe.flood", NULL, bytes, sizeof bytes, &raw) == BATON_OK)
        ;
}

static baton_verdict_t obey (baton_context_t *context, const baton_event_t *event)
{
    const char *order = baton_event_str (event, "do");
    int64_t times = INT64_MAX, ms = 0;
    baton_event_int (event, "times", &times);
    baton_event_int (event, "ms", &ms);
    bool still = baton_event_attempt (event) <= times;

    if (!order || strcmp (order, "ack") == 0)
        return BATON_ACK;
    if (strcmp (order, "reject") == 0) {
        baton_reason (context, "told to reject %s", baton_event_id (event));
        return BATON_REJECT;
    }
    if (strcmp (order, "retry") == 0 && still) {
        baton_reason (context, "told to retry");
        return BATON_RETRY;
    }
    if (strcmp (order, "crash") == 0 && still)
        kill (getpid (), SIGKILL);
    if ((strcmp (order, "hang") == 0 && still) || strcmp (order, "sleep") == 0)
        sleep_ms (ms);
    if (strcmp (order, "flood") == 0)
        flood (context);
    if (strcmp (order, "bad-topic") == 0)
        baton_emit (context, "not a topic!", NULL, "", 0, NULL);
    return BATON_ACK;
}

static baton_verdict_t on_event (baton_context_t *context, const baton_event_t *event, void *arg)
{
    const probe_t *self = arg;
    note (self, "begin", event);
    const char *topic = baton_event_str (event, "emit");
    if (!topic)
        topic = self->emit;
    if (topic)
        emit (context, event, topic);
    baton_verdict_t verdict = obey (context, event);
    note (self, "end", event);
    return verdict;
}

static baton_err_t configure (baton_actor_t *actor, int argc, char **argv, void *arg)
{
    probe_t *self = arg;
    baton_err_t err = BATON_OK;
    for (int at = 0; at + 1 < argc && err == BATON_OK; at++) {
        if (strcmp (argv[at], "--log") == 0)
            self->log_fd = open (argv[++at], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        else if (strcmp (argv[at], "--on") == 0)
            err = baton_actor_on (actor, argv[++at], on_event, self);
        else if (strcmp (argv[at], "--emit") == 0)
            self->emit = argv[++at];
    }
    return err;
}

int main (int argc, char **argv)
{
    probe_t self = {.log_fd = -1};
    baton_actor_options_t defaults = {.name = "probe", .start = BATON_START_BEGINNING};
    return baton_actor_main (argc, argv, &defaults, configure, &self);
}
