/* SPDX-License-Identifier: MPL-2.0 */

/*  journal_salvage.c - `baton journal salvage`: all that can still be read of a damaged data
 *  directory, in a new one.
 *
 *  DESIGN. Sequences and offsets stay as they were: people and actors have them written down. So
 *  for each record that is lost a LOST record takes its place, and the first one of a hole counts
 *  the events that are missing. The views are copied if they hold: what they include is known
 *  whatever became of its records, so that a hole below their checkpoint costs events, but no
 *  floor, parked event or registration. Behind it the state is made from what is there
 *  (bn_state_bridge).
 *
 *  The damaged directory is only read; the views are copied before LMDB sees them.  */
#include "cli/journal_salvage.h"
#include "cli/cli.h"
#include "cli/json.h"
#include "cli/options.h"
#include "core/state.h"
#include "journal/salvage.h"
#include "journal/views.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXIT_NOT_DONE    3
#define PATH_BYTES_MAX   4096
#define TEXT_BYTES_MAX   (64u << 20)
#define RECORD_BYTES_MAX (1u << 30)
#define SEGMENT_BYTES    (16u << 20)
#define PRODUCERS_MAX    1000000
#define COPY_BYTES       (256u << 10)

typedef struct {
    const bn_salvage_options_t *options;
    bn_vfs_t *from;
    bn_vfs_t *to;
    bn_salvage_t *salvage;
    bn_journal_writer_t *writer;
    bn_journal_reader_t *reader;
    bn_buffer_t lost;         /* lines, or items of a JSON array */
    bn_buffer_t remarks;      /* likewise */
    bn_salvage_hole_t *holes; /* owned */
    uint64_t hole_count;
    uint64_t checkpoint; /* sequence that the views include; 0: there are none */
    uint64_t checkpoint_tail;
    uint64_t next; /* sequence to be written */
    uint64_t tail;
    uint64_t time_us;
    uint64_t last_segment; /* file of the record before; 0: none */
    uint64_t last_position;
    uint64_t kept_records;
    uint64_t kept_events;
    uint64_t lost_records;
    uint64_t lost_events;
    bool beginning_lost; /* and nobody knows how much */
    char detail[512];
} salvage_t;

static void remark (const char *text, void *arg)
{
    salvage_t *self = arg;
    if (self->options->as_json) {
        bn_json_put_raw (&self->remarks, "%s", self->remarks.size > 0 ? "," : "");
        bn_json_put_cstr (&self->remarks, text);
    } else
        bn_json_put_raw (&self->remarks, "%s\n", text);
}

static baton_err_t fail (salvage_t *self, baton_err_t err, const char *path, const char *what)
{
    snprintf (self->detail, sizeof self->detail, "%.300s: %s: %s", path, what, strerror (errno));
    return err;
}

/*  ---- views ---- */

static baton_err_t copy_file (salvage_t *self, const char *from, const char *to, bool *found)
{
    static char bytes[COPY_BYTES];
    int in = open (from, O_RDONLY | O_CLOEXEC);
    *found = in >= 0;
    if (in < 0)
        return errno == ENOENT ? BATON_OK : fail (self, BATON_ERR_IO, from, "open");
    int out = open (to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    ssize_t size = 0;
    if (out < 0) {
        close (in);
        return fail (self, BATON_ERR_IO, to, "create");
    }
    baton_err_t err = BATON_OK;
    while (!err && (size = read (in, bytes, sizeof bytes)) > 0)
        for (ssize_t at = 0, part; at < size && !err; at += part) {
            part = write (out, bytes + at, (size_t)(size - at));
            if (part < 0)
                err = fail (self, BATON_ERR_IO, to, "write");
        }
    if (size < 0) {
        /*  Views that cannot be read are views that are damaged.  */
        *found = false;
        unlink (to);
    }
    if (!err && *found && fsync (out) != 0)
        err = fail (self, BATON_ERR_IO, to, "fsync");
    close (in);
    close (out);
    return err;
}

static baton_err_t restore_item (const void *key, size_t key_size, const void *value,
                                 size_t value_size, void *arg)
{
    return bn_state_restore (arg, key, key_size, value, value_size);
}

/*  Takes the copied views if they hold.  */
static baton_err_t try_views (salvage_t *self, const char *directory)
{
    char detail[512] = "", text[700];
    bn_views_t *views = NULL;
    bn_state_t *state = bn_state_new (PRODUCERS_MAX);
    if (!state)
        return BATON_ERR_MEMORY;
    baton_err_t err = bn_views_open (&views, directory, detail);
    if (!err)
        err = bn_views_load (views, &self->checkpoint, restore_item, state, detail);
    if (!err && self->checkpoint > 0)
        err = bn_state_restored (state);
    if (!err && self->checkpoint != state->sequence)
        err = BATON_ERR_ROT;
    self->checkpoint_tail = state->tail;
    bn_views_close (&views);
    bn_state_destroy (&state);
    if (!err || err == BATON_ERR_MEMORY)
        return err;
    self->checkpoint = self->checkpoint_tail = 0;
    snprintf (text, sizeof text, "views: they are damaged (%s)",
              *detail ? detail : baton_err_text (err));
    remark (text, self);
    return bn_views_remove (directory, self->detail);
}

static baton_err_t take_views (salvage_t *self)
{
    char from[PATH_BYTES_MAX], to[PATH_BYTES_MAX], directory[PATH_BYTES_MAX];
    snprintf (from, sizeof from, "%s/views/data.mdb", self->options->directory);
    snprintf (to, sizeof to, "%s/views/data.mdb", self->options->target);
    snprintf (directory, sizeof directory, "%s/views", self->options->target);
    if (mkdir (directory, 0700) != 0)
        return fail (self, BATON_ERR_IO, directory, "create");
    bool found;
    baton_err_t err = copy_file (self, from, to, &found);
    if (err)
        return err;
    if (found)
        return try_views (self, directory);
    remark ("views: they are missing or cannot be read", self);
    return BATON_OK;
}

/*  Views of a journal whose beginning is lost: they say only what the records cannot.  */
static baton_err_t make_views (salvage_t *self, uint64_t sequence, uint64_t tail)
{
    char directory[PATH_BYTES_MAX];
    snprintf (directory, sizeof directory, "%s/views", self->options->target);
    bn_state_t *state = bn_state_new (PRODUCERS_MAX);
    bn_views_t *views = NULL;
    bn_checkpoint_t *checkpoint = bn_checkpoint_new (sequence);
    baton_err_t err = state && checkpoint ? BATON_OK : BATON_ERR_MEMORY;
    if (!err) {
        if (getrandom (&state->journal_id, sizeof state->journal_id, 0) != sizeof state->journal_id)
            err = BATON_ERR_SYSTEM;
        state->journal_id |= 1;
        state->partitions = state->partition_room = (uint32_t)self->options->partitions;
        state->sequence = sequence;
        state->tail = tail;
    }
    if (!err && !bn_state_save (state, bn_checkpoint_put, checkpoint))
        err = BATON_ERR_MEMORY;
    if (!err)
        err = bn_views_open (&views, directory, self->detail);
    if (!err)
        err = bn_views_write (views, checkpoint, self->detail);
    bn_views_close (&views);
    bn_checkpoint_destroy (&checkpoint);
    bn_state_destroy (&state);
    self->checkpoint = sequence;
    self->checkpoint_tail = tail;
    return err;
}

/*  ---- writing ---- */

static baton_err_t write_record (salvage_t *self, bn_journal_record_t *record)
{
    record->sequence = self->next;
    record->base = self->tail;
    self->next++;
    self->tail += record->count;
    return bn_journal_write (self->writer, record, 1, self->detail);
}

static void describe_place (char text[128], uint64_t segment, uint64_t position)
{
    if (segment == 0)
        snprintf (text, 128, "-");
    else
        snprintf (text, 128, "journal/%020" PRIu64 ".seg, byte %" PRIu64, segment, position);
}

static baton_err_t tell_hole (salvage_t *self, uint64_t last, uint64_t tail, bool exact,
                              const bn_journal_record_t *behind)
{
    char from[128], to[128];
    describe_place (from, self->last_segment, self->last_position);
    describe_place (to, behind ? behind->segment : 0, behind ? behind->position : 0);
    bool json = self->options->as_json;
    if (json)
        bn_json_put_raw (&self->lost,
                         "%s{\"first_sequence\":%" PRIu64 ",\"last_sequence\":%" PRIu64
                         ",\"first_offset\":%" PRIu64 ",\"end_offset\":%" PRIu64
                         ",\"exact\":%s,\"after\":\"%s\",\"before\":\"%s\"}",
                         self->lost.size > 0 ? "," : "", self->next, last, self->tail, tail,
                         exact ? "true" : "false", from, to);
    else
        bn_json_put_raw (&self->lost,
                         "lost: records %" PRIu64 "..%" PRIu64 ", %s%" PRIu64
                         " events from offset %" PRIu64 " on; behind %s%s%s\n",
                         self->next, last, exact ? "" : "at most ", tail - self->tail, self->tail,
                         from, behind ? ", before " : "", behind ? to : "");
    bn_salvage_hole_t *holes =
        realloc (self->holes, (size_t)(self->hole_count + 1) * sizeof *holes);
    if (!holes)
        return BATON_ERR_MEMORY;
    self->holes = holes;
    holes[self->hole_count++] = (bn_salvage_hole_t){self->tail, tail};
    return BATON_OK;
}

/*  LOST records up to and with `last`; offsets go on at `tail`.  */
static baton_err_t fill_hole (salvage_t *self, uint64_t last, uint64_t tail, bool exact,
                              const bn_journal_record_t *behind)
{
    bn_record_t lost = {.type = BN_RECORD_LOST, .lost = {.first = self->next, .last = last}};
    bn_blob_t *body = bn_record_encode (&lost);
    baton_err_t err = body ? tell_hole (self, last, tail, exact, behind) : BATON_ERR_MEMORY;
    self->lost_records += last + 1 - self->next;
    self->lost_events += tail - self->tail;
    while (self->next <= last && !err) {
        uint64_t left = tail - self->tail;
        bn_journal_record_t record = {.type = BN_RECORD_LOST,
                                      .count = left < UINT32_MAX ? (uint32_t)left : UINT32_MAX,
                                      .time_us = self->time_us,
                                      .body = body->data,
                                      .body_size = body->size};
        err = write_record (self, &record);
    }
    bn_blob_unref (&body);
    return err;
}

static baton_err_t take_record (salvage_t *self, bn_journal_record_t *record)
{
    baton_err_t err = BATON_OK;
    if (record->sequence > self->next)
        err = fill_hole (self, record->sequence - 1, record->base, true, record);
    if (err)
        return err;
    if (record->base != self->tail) {
        snprintf (self->detail, sizeof self->detail,
                  "record %" PRIu64 " is at offset %" PRIu64 ", the one before it ends at %" PRIu64,
                  record->sequence, record->base, self->tail);
        return BATON_ERR_ROT;
    }
    self->kept_records++;
    self->kept_events += record->count;
    self->time_us = record->time_us;
    self->last_segment = record->segment;
    self->last_position = record->position;
    return write_record (self, record);
}

/*  ---- the beginning and the end ---- */

static baton_err_t open_target (salvage_t *self, uint64_t sequence, uint64_t base)
{
    bn_journal_options_t options = {.segment_bytes = SEGMENT_BYTES,
                                    .record_bytes_max = RECORD_BYTES_MAX,
                                    .first_sequence = sequence,
                                    .first_base = base};
    bn_journal_recovery_t recovery;
    int rc = bn_vfs_posix_new (&self->to, self->options->target, false);
    if (rc != 0) {
        errno = -rc;
        return fail (self, BATON_ERR_IO, self->options->target, "open");
    }
    self->next = sequence;
    self->tail = base;
    return bn_journal_open (&self->writer, &self->reader, self->to, &options, sequence - 1, NULL,
                            NULL, &recovery, self->detail);
}

/*  Nothing is left that tells what the journal began with: only its number of partitions, which the
 *  user may know.  */
static baton_err_t begin_without_genesis (salvage_t *self, const bn_journal_record_t *first)
{
    if (self->options->partitions == 0) {
        snprintf (self->detail, sizeof self->detail,
                  "the first record is lost and the views do not hold: say with --partitions how "
                  "many partitions the journal was made with (orchestrator's `partitions`, 32 by "
                  "default)");
        return BATON_ERR_ROT;
    }
    remark ("the journal's first record is lost: it gets a new id; ids of emitted events differ "
            "from those before, and what was registered before the first record that is left is "
            "unknown",
            self);
    if (first->sequence > 2) {
        /*  A LOST record in front, so that what follows is not expected to fit.  */
        baton_err_t err = make_views (self, first->sequence - 2, first->base);
        return err ? err : open_target (self, first->sequence - 1, first->base);
    }
    baton_err_t err = open_target (self, 1, 0);
    uint64_t id = 0;
    if (!err && getrandom (&id, sizeof id, 0) != sizeof id)
        return fail (self, BATON_ERR_SYSTEM, self->options->target, "getrandom");
    bn_record_t genesis = {
        .type = BN_RECORD_GENESIS,
        .genesis = {.journal_id = id | 1, .partitions = (uint32_t)self->options->partitions}};
    bn_blob_t *body = err ? NULL : bn_record_encode (&genesis);
    if (!err && !body)
        err = BATON_ERR_MEMORY;
    if (!err) {
        self->lost_records++;
        err = write_record (self, &(bn_journal_record_t){.type = BN_RECORD_GENESIS,
                                                         .time_us = first->time_us,
                                                         .body = body->data,
                                                         .body_size = body->size});
    }
    bn_blob_unref (&body);
    return err;
}

static baton_err_t begin (salvage_t *self, const bn_journal_record_t *first)
{
    uint64_t sequence = 0, base = 0;
    bool known = bn_salvage_begin (self->salvage, &sequence, &base);
    self->beginning_lost = !known || (first && first->sequence > sequence) || !first;
    if (self->checkpoint > 0) {
        /*  The views include everything up to their checkpoint.  */
        bool behind = !first || first->sequence > self->checkpoint + 1;
        uint64_t from = behind ? self->checkpoint + 1 : first->sequence;
        if (self->beginning_lost && known && sequence < from && base <= self->checkpoint_tail) {
            from = sequence;
            behind = false;
            self->beginning_lost = false;
            return open_target (self, from, base);
        }
        if (!known && first)
            remark ("the file with the first records is missing or damaged; how many they were is "
                    "not known",
                    self);
        return open_target (self, from, behind ? self->checkpoint_tail : first->base);
    }
    if (!first) {
        snprintf (self->detail, sizeof self->detail, "there is no record left that can be read");
        return BATON_ERR_ROT;
    }
    if (first->sequence == 1)
        return open_target (self, 1, 0);
    return begin_without_genesis (self, first);
}

static baton_err_t finish (salvage_t *self)
{
    uint64_t sequence, tail;
    bool exact;
    bn_salvage_end (self->salvage, &sequence, &tail, &exact);
    if (sequence == self->checkpoint && self->checkpoint_tail >= self->tail) {
        tail = self->checkpoint_tail;
        exact = true;
    }
    if (tail < self->tail)
        tail = self->tail;
    baton_err_t err = BATON_OK;
    if (sequence >= self->next)
        err = fill_hole (self, sequence, tail, exact, NULL);
    uint64_t torn = bn_salvage_torn_records (self->salvage);
    if (torn > 0)
        remark ("an unfinished write at the end is left out, as at any start", self);
    return err ? err : bn_journal_sync (self->writer, self->detail);
}

static baton_err_t copy_records (salvage_t *self)
{
    bn_journal_record_t record = {.sequence = 0};
    bool end;
    baton_err_t err = bn_salvage_next (self->salvage, &record, &end, self->detail);
    if (!err)
        err = begin (self, end ? NULL : &record);
    while (!err && !end) {
        err = take_record (self, &record);
        if (!err)
            err = bn_salvage_next (self->salvage, &record, &end, self->detail);
    }
    return err ? err : finish (self);
}

/*  ---- all of it ---- */

static baton_err_t open_source (salvage_t *self)
{
    int rc = bn_vfs_posix_new (&self->from, self->options->directory, false);
    if (rc != 0) {
        errno = -rc;
        return fail (self, BATON_ERR_IO, self->options->directory, "open");
    }
    if (self->from->locked (self->from)) {
        snprintf (self->detail, sizeof self->detail, "%.300s: an orchestrator is running on it",
                  self->options->directory);
        return BATON_ERR_LOCKED;
    }
    if (strlen (self->options->target) > PATH_BYTES_MAX - 32 ||
        strlen (self->options->directory) > PATH_BYTES_MAX - 32) {
        snprintf (self->detail, sizeof self->detail, "the path is too long");
        return BATON_ERR_ARGUMENT;
    }
    if (mkdir (self->options->target, 0700) != 0)
        return fail (self, BATON_ERR_IO, self->options->target, "create");
    return BATON_OK;
}

static void close_all (salvage_t *self)
{
    bn_salvage_destroy (&self->salvage);
    bn_journal_reader_destroy (&self->reader);
    bn_journal_writer_destroy (&self->writer);
    if (self->to)
        self->to->destroy (&self->to);
    if (self->from)
        self->from->destroy (&self->from);
}

static baton_err_t salvage_all (salvage_t *self)
{
    baton_err_t err = open_source (self);
    if (!err)
        err = take_views (self);
    if (!err)
        err = bn_salvage_new (&self->salvage, self->from, self->checkpoint, remark, self,
                              self->detail);
    if (!err)
        err = copy_records (self);
    close_all (self);
    if (err)
        return err;
    bool lost = self->lost_records > 0 || self->beginning_lost;
    return bn_salvage_tidy (self->options->target, self->holes, self->hole_count, lost, remark,
                            self, self->detail);
}

static void print_result (salvage_t *self)
{
    const char *lost = self->lost.size > 0 ? (const char *)bn_buffer_data (&self->lost) : "";
    const char *remarks =
        self->remarks.size > 0 ? (const char *)bn_buffer_data (&self->remarks) : "";
    if (self->options->as_json)
        printf ("{\"kept_records\":%" PRIu64 ",\"kept_events\":%" PRIu64
                ",\"lost_records\":%" PRIu64 ",\"lost_events\":%" PRIu64
                ",\"beginning_lost\":%s,\"lost\":[%.*s],\"remarks\":[%.*s]}\n",
                self->kept_records, self->kept_events, self->lost_records, self->lost_events,
                self->beginning_lost ? "true" : "false", (int)self->lost.size, lost,
                (int)self->remarks.size, remarks);
    else
        printf ("%.*s%.*skept: %" PRIu64 " records with %" PRIu64 " events; lost: %s%" PRIu64
                " records with %" PRIu64 " events\n",
                (int)self->lost.size, lost, (int)self->remarks.size, remarks, self->kept_records,
                self->kept_events, self->beginning_lost ? "the beginning, and " : "",
                self->lost_records, self->lost_events);
}

int bn_salvage_run (const bn_salvage_options_t *options)
{
    salvage_t self = {.options = options};
    bn_buffer_init (&self.lost, TEXT_BYTES_MAX);
    bn_buffer_init (&self.remarks, TEXT_BYTES_MAX);
    baton_err_t err = salvage_all (&self);
    if (err)
        bn_failure ("journal", err, "%s", *self.detail ? self.detail : baton_err_text (err));
    else
        print_result (&self);
    bool lost = self.lost_records > 0 || self.beginning_lost;
    bool failed = err || fflush (stdout) != 0;
    bn_buffer_fini (&self.lost);
    bn_buffer_fini (&self.remarks);
    free (self.holes);
    return failed ? EXIT_NOT_DONE : lost ? 1 : BN_EXIT_OK;
}
