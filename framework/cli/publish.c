/* SPDX-License-Identifier: MPL-2.0 */

/*  publish.c - `baton publish`: lines of JSON become events.
 *
 *  The main thread reads and publishes; receipts come on the producer's thread. They come in the
 *  order of publishing, so a queue of "which line was that" is enough to name a line that the
 *  orchestrator refuses. The queue is as long as what has no receipt, which the producer bounds in
 *  bytes.  */

#include "cli/cli.h"
#include "cli/connect.h"
#include "cli/json.h"
#include "cli/options.h"
#include "shell/clock.h"
#include "wire/topic.h"
#include <baton/producer.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES_MAX  (16 * 1024 * 1024) /* of JSON text: 1 MiB of data is at most 6 MiB of it */
#define PROGRESS_MS     200
#define FLUSH_MS        200
#define STALLED_WARN_MS 5000

static const char s_about[] =
    "Publishes JSON lines, from FILEs or standard input, as events of TOPIC: one line, one event,\n"
    "stored as MessagePack. Lines go out in order; a receipt means that an event is on disk.\n"
    "Blank lines are left out. A bad line is named on standard error (FILE:LINE: why), and the\n"
    "rest goes on.";

static const char s_details[] =
    "Numbers without fraction and exponent must fit 64 bits, signed. Keys that occur twice in an\n"
    "object are refused. A key field must be there, as a string or an integer, in every line.\n"
    "Once connected, a restart of the orchestrator and a full disk are waited out, for as long as\n"
    "they last: nothing is lost or doubled. Ctrl-C and SIGTERM end it before the end: it reads no\n"
    "further, waits up to --timeout for receipts, and says which line is the first without one. A\n"
    "second one ends it at once.\n"
    "\n"
    "Exit codes: 0 every line has its receipt, 1 at least one line was bad or was refused, or a\n"
    "file could not be read, 2 wrong usage, 69 no answer from the orchestrator, 130 and 143 ended\n"
    "by SIGINT and SIGTERM.";

static volatile sig_atomic_t s_signal; /* that asked for the end; 0: none */

typedef struct {
    uint32_t file; /* index of the operand */
    uint64_t line;
} s_place_t;

typedef struct {
    /*  as asked for  */
    bn_connect_options_t connect;
    const char *topic;
    const char *key;
    const char *key_field;
    const char *source;
    uint64_t rate; /* events per second; 0: as fast as it goes */
    bool as_json;
    char **files;
    uint32_t file_count;

    baton_producer_t *producer; /* owned */
    bn_buffer_t line;           /* of input, NUL-terminated */
    bn_buffer_t packed;         /* the same as MessagePack */
    uint64_t bad_lines;
    uint64_t accepted;
    uint64_t started_ns;
    uint64_t shown_ms; /* when progress was shown last */
    bool terminal;     /* of standard error */
    bool failed;       /* a file could not be read */
    s_place_t here;    /* the line that is read, or next to be */

    pthread_mutex_t lock; /* over what follows: the receipt callback uses it */
    s_place_t *places;    /* owned ring: accepted and without a receipt */
    size_t first, count, capacity;
    bool given_up; /* what has no receipt gets none any more */
    uint64_t receipts, refused;
    uint64_t offset_first, offset_last; /* lowest and highest; UINT64_MAX, 0: none yet */
} s_publish_t;

static const char *s_file_name (const s_publish_t *self, uint32_t file)
{
    const char *name = self->file_count ? self->files[file] : "-";
    return strcmp (name, "-") ? name : "(standard input)";
}

static void s_clear_progress (const s_publish_t *self)
{
    if (self->terminal)
        fputs ("\r\033[K", stderr);
}

static void s_show_progress (s_publish_t *self, bool waiting)
{
    uint64_t now_ms = bn_clock_now ().mono_ms;
    if (!self->terminal || now_ms < self->shown_ms + PROGRESS_MS)
        return;
    self->shown_ms = now_ms;
    pthread_mutex_lock (&self->lock);
    uint64_t receipts = self->receipts;
    pthread_mutex_unlock (&self->lock);
    double seconds = (double)(bn_clock_mono_ns () - self->started_ns) / 1e9;
    fprintf (stderr, "\r\033[K%" PRIu64 " published, %" PRIu64 " receipts, %.0f/s%s",
             self->accepted, receipts, seconds > 0 ? (double)receipts / seconds : 0.0,
             waiting ? ", waiting for receipts" : "");
    fflush (stderr);
}

/*  On the producer's thread.  */
static void s_on_receipt (uint64_t ticket, baton_err_t err, uint64_t offset, void *arg)
{
    s_publish_t *self = arg;
    (void)ticket;
    pthread_mutex_lock (&self->lock);
    if (self->given_up) {
        pthread_mutex_unlock (&self->lock);
        return;
    }
    s_place_t place = self->places[self->first];
    self->first = (self->first + 1) % self->capacity;
    self->count--;
    if (err)
        self->refused++;
    else {
        self->receipts++;
        if (offset != UINT64_MAX) { /* a repeat whose place is forgotten has none */
            self->offset_first = offset < self->offset_first ? offset : self->offset_first;
            self->offset_last = offset > self->offset_last ? offset : self->offset_last;
        }
    }
    pthread_mutex_unlock (&self->lock);
    if (err) {
        s_clear_progress (self);
        fprintf (stderr, "%s:%" PRIu64 ": refused: %s (%s)\n", s_file_name (self, place.file),
                 place.line, baton_err_text (err), baton_err_name (err));
    }
}

/*  Before publishing, because the receipt may come before publish returns. false: no memory.  */
static bool s_push_place (s_publish_t *self, s_place_t place)
{
    bool pushed = true;
    pthread_mutex_lock (&self->lock);
    if (self->count == self->capacity) {
        size_t capacity = self->capacity ? self->capacity * 2 : 1024;
        s_place_t *places = malloc (capacity * sizeof (*places));
        pushed = places != NULL;
        for (size_t i = 0; pushed && i < self->count; i++)
            places[i] = self->places[(self->first + i) % self->capacity];
        if (pushed) {
            free (self->places);
            self->places = places;
            self->first = 0;
            self->capacity = capacity;
        }
    }
    if (pushed) {
        self->places[(self->first + self->count) % self->capacity] = place;
        self->count++;
    }
    pthread_mutex_unlock (&self->lock);
    return pushed;
}

/*  The last one: it was not accepted after all.  */
static void s_pop_place (s_publish_t *self)
{
    pthread_mutex_lock (&self->lock);
    self->count--;
    pthread_mutex_unlock (&self->lock);
}

static void s_bad_line (s_publish_t *self, s_place_t place, const char *why)
{
    self->bad_lines++;
    s_clear_progress (self);
    fprintf (stderr, "%s:%" PRIu64 ": %s\n", s_file_name (self, place.file), place.line, why);
}

/*  Waits until the next event is due, at the rate that was asked for.  */
static void s_pace (s_publish_t *self)
{
    if (!self->rate)
        return;
    uint64_t due_ns =
        self->started_ns + (uint64_t)((double)self->accepted * 1e9 / (double)self->rate);
    struct timespec due = {.tv_sec = (time_t)(due_ns / 1000000000u),
                           .tv_nsec = (long)(due_ns % 1000000000u)};
    while (!s_signal && clock_nanosleep (CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL) == EINTR)
        ;
}

static void s_warn_stalled (const s_publish_t *self)
{
    s_clear_progress (self);
    fprintf (stderr, "baton publish: no receipts from %s for %d s; still trying\n",
             self->connect.endpoint, STALLED_WARN_MS / 1000);
}

/*  Publishes what is in self->packed, saying so when the orchestrator does not take it for long.
 *  CLOSED: a signal came meanwhile, and it was not published.  */
static baton_err_t s_send (s_publish_t *self, const char *key, s_place_t place)
{
    const baton_attributes_t attributes = {.source = self->source};
    const baton_publication_t event = {.topic = self->topic,
                                       .key = key,
                                       .data = bn_buffer_data (&self->packed),
                                       .data_size = self->packed.size,
                                       .attributes = &attributes};
    if (!s_push_place (self, place))
        return BATON_ERR_MEMORY;
    for (int waited_ms = 0;;) {
        baton_err_t err =
            s_signal ? BATON_ERR_CLOSED
                     : baton_producer_publish_group (self->producer, &event, 1, FLUSH_MS, NULL);
        if (err == BATON_OK)
            self->accepted++;
        if (err != BATON_ERR_AGAIN) {
            if (err)
                s_pop_place (self);
            return err;
        }
        waited_ms += FLUSH_MS;
        if (waited_ms >= STALLED_WARN_MS) {
            s_warn_stalled (self);
            waited_ms = 0;
        }
    }
}

static void s_take_line (s_publish_t *self, const char *line, size_t size, s_place_t place)
{
    char what[256], digits[32];
    const char *key = self->key;
    while (size > 0 && strchr (" \t\r\n", line[size - 1]))
        size--;
    if (size == 0 || size == strspn (line, " \t"))
        return;
    json_t *value = bn_json_parse (line, size, what);
    if (!value) {
        s_bad_line (self, place, what);
        return;
    }
    if (self->key_field) {
        const json_t *field = bn_json_path (value, self->key_field);
        key = field ? bn_json_key_text (field, digits) : NULL;
        if (!key) {
            snprintf (what, sizeof (what), "the key field '%.100s' %s", self->key_field,
                      field ? "is neither a string nor an integer" : "is not there");
            s_bad_line (self, place, what);
            json_decref (value);
            return;
        }
    }
    bn_buffer_clear (&self->packed);
    baton_err_t err = bn_json_pack (value, &self->packed);
    if (!err) {
        s_pace (self);
        err = s_send (self, key, place);
    }
    json_decref (value);
    if (err && !s_signal) {
        snprintf (what, sizeof (what), "%s (%s)",
                  err == BATON_ERR_TOO_LARGE ? "the data has more than 1 MiB"
                                             : baton_err_text (err),
                  baton_err_name (err));
        s_bad_line (self, place, what);
    }
    s_show_progress (self, false);
}

/*  Reads a line into text (bounded), without its end. 1: a line, 0: the end of the file, or a
 *  signal, -1: the line was longer than the bound (it was read to its end, and is not there).  */
static int s_read_line (FILE *file, bn_buffer_t *text)
{
    char piece[8192];
    size_t size = 0;
    int c;
    bn_buffer_clear (text);
    while ((c = getc_unlocked (file)) != EOF && c != '\n') {
        piece[size++] = (char)c;
        if (size == sizeof (piece)) {
            bn_buffer_append (text, piece, size);
            size = 0;
        }
    }
    if (c == EOF && (s_signal || (size == 0 && text->size == 0 && !text->failed)))
        return 0;
    piece[size++] = 0;
    bn_buffer_append (text, piece, size);
    return text->failed ? -1 : 1;
}

static void s_take_file (s_publish_t *self, uint32_t index)
{
    const char *name = self->file_count ? self->files[index] : "-";
    FILE *file = strcmp (name, "-") ? fopen (name, "re") : stdin;
    int got = 0;

    self->here = (s_place_t){.file = index, .line = 1};
    errno = file ? 0 : errno;
    while (file && (got = s_read_line (file, &self->line)) != 0) {
        const char *line = (const char *)bn_buffer_data (&self->line);
        if (got < 0)
            s_bad_line (self, self->here, "the line is longer than 16 MiB");
        else if (strlen (line) + 1 != self->line.size)
            s_bad_line (self, self->here, "there is a NUL byte in the line");
        else
            s_take_line (self, line, self->line.size - 1, self->here);
        if (s_signal)
            break;
        self->here.line++;
        errno = 0;
    }
    if (!s_signal && (!file || ferror (file))) {
        bn_failure ("publish", BATON_OK, "%s: %s", s_file_name (self, index),
                    strerror (errno ? errno : EIO));
        self->failed = true;
    }
    if (file && file != stdin)
        fclose (file);
}

/*  Waits for the receipts that are missing; after a signal no longer than --timeout.  */
static void s_drain (s_publish_t *self)
{
    uint64_t warn_ms = bn_clock_now ().mono_ms + STALLED_WARN_MS;
    uint64_t receipts = 0, end_ms = 0;
    while (baton_producer_flush (self->producer, FLUSH_MS) == BATON_ERR_TIMEOUT) {
        uint64_t now_ms = bn_clock_now ().mono_ms;
        if (s_signal && !end_ms)
            end_ms = now_ms + self->connect.timeout_s * 1000;
        if (end_ms && now_ms >= end_ms)
            break;
        pthread_mutex_lock (&self->lock);
        bool moves = self->receipts != receipts;
        receipts = self->receipts;
        pthread_mutex_unlock (&self->lock);
        if (moves)
            warn_ms = now_ms + STALLED_WARN_MS;
        else if (now_ms >= warn_ms) {
            s_warn_stalled (self);
            warn_ms = now_ms + STALLED_WARN_MS;
        }
        s_show_progress (self, true);
    }
}

/*  After a signal: where to go on.  */
static void s_say_where (s_publish_t *self)
{
    pthread_mutex_lock (&self->lock);
    s_place_t place = self->count > 0 ? self->places[self->first] : self->here;
    size_t count = self->count;
    self->given_up = true;
    pthread_mutex_unlock (&self->lock);
    fprintf (stderr,
             "baton publish: ended by a signal; the first line without a receipt: %s:%" PRIu64,
             s_file_name (self, place.file), place.line);
    if (count > 0)
        fprintf (stderr, " (it and what comes after it, %zu events, may be in the journal or not)",
                 count);
    fputc ('\n', stderr);
}

static int s_report (s_publish_t *self)
{
    double seconds = (double)(bn_clock_mono_ns () - self->started_ns) / 1e9;
    baton_producer_stats_t stats;
    baton_producer_stats (self->producer, &stats);
    s_clear_progress (self);
    if (s_signal)
        s_say_where (self);
    if (self->refused && *stats.last_error)
        fprintf (stderr, "baton publish: last refusal: %s\n", stats.last_error);
    if (self->as_json) {
        printf ("{\"published\":%" PRIu64 ",\"receipts\":%" PRIu64 ",\"refused\":%" PRIu64
                ",\"bad_lines\":%" PRIu64,
                self->accepted, self->receipts, self->refused, self->bad_lines);
        if (self->offset_first != UINT64_MAX)
            printf (",\"offset_first\":%" PRIu64 ",\"offset_last\":%" PRIu64, self->offset_first,
                    self->offset_last);
        printf (",\"seconds\":%.3f}\n", seconds);
    } else {
        printf ("%" PRIu64 " receipts for %" PRIu64 " events", self->receipts, self->accepted);
        if (self->offset_first != UINT64_MAX)
            printf (", offsets %" PRIu64 " to %" PRIu64, self->offset_first, self->offset_last);
        printf (", %.3f s", seconds);
        if (self->refused)
            printf ("; %" PRIu64 " refused", self->refused);
        if (self->bad_lines)
            printf ("; %" PRIu64 " bad lines", self->bad_lines);
        putchar ('\n');
    }
    if (s_signal)
        return 128 + (int)s_signal;
    return self->refused || self->bad_lines || self->failed ? BN_EXIT_FAILED : BN_EXIT_OK;
}

static void s_on_signal (int signal)
{
    s_signal = signal;
}

/*  The producer's thread, which is made meanwhile, leaves signals to this one, whose reading and
 *  sleeping they interrupt.  */
static baton_err_t s_make_producer (s_publish_t *self, const baton_producer_options_t *options)
{
    struct sigaction action = {.sa_handler = s_on_signal, .sa_flags = (int)SA_RESETHAND};
    sigset_t both, before;
    sigemptyset (&both);
    sigaddset (&both, SIGINT);
    sigaddset (&both, SIGTERM);
    pthread_sigmask (SIG_BLOCK, &both, &before);
    baton_err_t err = baton_producer_new (&self->producer, options);
    if (!err) {
        sigaction (SIGINT, &action, NULL);
        sigaction (SIGTERM, &action, NULL);
    }
    pthread_sigmask (SIG_SETMASK, &before, NULL);
    return err;
}

static int s_publish (s_publish_t *self)
{
    baton_producer_options_t options = {.endpoint = self->connect.endpoint,
                                        .source = self->source,
                                        .connect_timeout_ms =
                                            (uint32_t)self->connect.timeout_s * 1000,
                                        .on_receipt = s_on_receipt,
                                        .on_receipt_arg = self};
    baton_err_t err = s_make_producer (self, &options);
    if (err == BATON_ERR_UNREACHABLE)
        return bn_failure ("publish", err, "no answer from %s within %" PRIu64 " s",
                           self->connect.endpoint, self->connect.timeout_s);
    if (err)
        return bn_failure ("publish", err, "%s: %s", self->connect.endpoint, baton_err_text (err));
    self->started_ns = bn_clock_mono_ns ();
    bn_buffer_init (&self->line, LINE_BYTES_MAX);
    bn_buffer_init (&self->packed, BATON_DATA_BYTES_MAX);
    for (uint32_t i = 0; i < (self->file_count ? self->file_count : 1) && !s_signal; i++)
        s_take_file (self, i);
    s_drain (self);
    int code = s_report (self);
    baton_producer_destroy (&self->producer);
    bn_buffer_fini (&self->line);
    bn_buffer_fini (&self->packed);
    return code;
}

int bn_cli_publish (int argc, char **argv)
{
    s_publish_t self = {.offset_first = UINT64_MAX, .terminal = isatty (STDERR_FILENO)};
    const bn_option_t table[] = {
        {"key-field", 'f', BN_OPTION_TEXT, &self.key_field, "FIELD",
         "the key is this field of the line; a.b is field b in field a", 0, 0},
        {"key", 'k', BN_OPTION_TEXT, &self.key, "KEY", "one key for all events", 0, 0},
        {"source", 's', BN_OPTION_TEXT, &self.source, "SOURCE",
         "CloudEvents source (default: /producers/HOST/PID)", 0, 0},
        {"rate", 'r', BN_OPTION_UINT, &self.rate, "N", "at most N events per second", 1, 10000000},
        BN_CONNECT_OPTIONS (&self.connect),
        BN_JSON_OPTION (&self.as_json),
    };
    const bn_command_t command = {.usage = "publish [OPTION]... TOPIC [FILE]...",
                                  .about = s_about,
                                  .details = s_details,
                                  .options = table,
                                  .option_count = sizeof (table) / sizeof (table[0])};
    int first;
    bn_connect_options_init (&self.connect);
    int code = bn_options_parse (&command, argc, argv, &first);
    if (code >= 0)
        return code;
    if (first == argc)
        return bn_usage_error ("publish", "which TOPIC?");
    self.topic = argv[first];
    if (!bn_topic_valid (self.topic, strlen (self.topic)) ||
        bn_topic_reserved (self.topic, strlen (self.topic)))
        return bn_usage_error ("publish",
                               "'%s' is not a topic: words of letters, digits, '-' and '_' with "
                               "dots between, at most %d bytes",
                               self.topic, BATON_TOPIC_BYTES_MAX);
    if (self.key && self.key_field)
        return bn_usage_error ("publish", "--key or --key-field, not both");
    if (self.key && strlen (self.key) > BATON_KEY_BYTES_MAX)
        return bn_usage_error ("publish", "--key is longer than %d bytes", BATON_KEY_BYTES_MAX);
    code = bn_connect_check ("publish", &self.connect);
    if (code >= 0)
        return code;
    self.files = argv + first + 1;
    self.file_count = (uint32_t)(argc - first - 1);
    pthread_mutex_init (&self.lock, NULL);
    code = s_publish (&self);
    pthread_mutex_destroy (&self.lock);
    free (self.places);
    return code;
}
