/* SPDX-License-Identifier: MPL-2.0 */

/*  journal_command.c - `baton journal`: looks at a data directory without an orchestrator; what
 *  salvage does is in journal_salvage.c.
 *
 *  Everything is read only: nothing is locked, repaired or cut. A journal that is being written to
 *  may change while it is read, so damage in one counts only if it is found twice at the same
 *  place.  */

#include "cli/cli.h"
#include "cli/journal_salvage.h"
#include "cli/json.h"
#include "cli/options.h"
#include "journal/journal.h"
#include "wire/record.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXIT_DAMAGED     1
#define EXIT_UNREADABLE  3
#define ATTEMPTS_MAX     5 /* to read a journal that is being written to */
#define LINE_BYTES_MAX   (16u << 20)
#define NAME_BYTES_MAX   24
#define DETAIL_BYTES_MAX 512

static const char about[] =
    "Reads a data directory; nothing in it is changed, and an orchestrator may be running on it.\n"
    "\n"
    "  verify    reads everything, checks every checksum, the chain of the records and what they\n"
    "            contain; prints the segments and the first damage with file and position\n"
    "  dump      prints one line for each record\n"
    "  salvage   makes a new data directory, OUT, of all that can still be read, and says what\n"
    "            is lost; sequences and offsets stay, and an orchestrator can run on it";

static const char details[] =
    "An unfinished write at the end is not damage: the next start cuts it.\n"
    "\n"
    "Exit codes: 0 ok, 1 damaged (salvage: something is lost, the rest is in OUT), 2 wrong usage,\n"
    "3 it cannot be opened, read or written.";

typedef struct {
    uint64_t segment;
    uint64_t first_sequence;
    uint64_t last_sequence;
    uint64_t first_base;
    uint64_t end_base;
    uint64_t bytes;
} segment_t;

typedef struct {
    bool as_json;
    bool print_records; /* dump; else verify */
    bn_vfs_t *vfs;
    bool running;        /* an orchestrator owns the directory */
    segment_t *segments; /* owned */
    size_t segment_count;
    size_t segment_capacity;
    uint64_t records;
    uint64_t events;
    uint64_t lost_records; /* by an earlier salvage */
    uint64_t lost_events;
    bn_buffer_t line;
    bn_journal_recovery_t recovery;
    char detail[DETAIL_BYTES_MAX];
} journal_t;

/*  ---- records ---- */

static const char *type_name (uint32_t type, char number[NAME_BYTES_MAX])
{
    static const char *const names[] = {
        [BN_RECORD_GENESIS] = "GENESIS", [BN_RECORD_REGISTER] = "REGISTER",
        [BN_RECORD_PUBLISH] = "PUBLISH", [BN_RECORD_SETTLE] = "SETTLE",
        [BN_RECORD_ASSIGN] = "ASSIGN",   [BN_RECORD_BEGIN] = "BEGIN",
        [BN_RECORD_SUSPECT] = "SUSPECT", [BN_RECORD_REDRIVE] = "REDRIVE",
        [BN_RECORD_DISCARD] = "DISCARD", [BN_RECORD_FORGET] = "FORGET",
        [BN_RECORD_LOST] = "LOST"};
    if (type < sizeof names / sizeof *names && names[type])
        return names[type];
    snprintf (number, NAME_BYTES_MAX, "TYPE%" PRIu32, type);
    return number;
}

/*  The actor that a record is about; false: none.  */
static bool actor_of (const bn_record_t *record, uint32_t *actor)
{
    switch (record->type) {
    case BN_RECORD_REGISTER:
        *actor = record->registration.actor_id;
        return true;
    case BN_RECORD_SETTLE:
        *actor = record->settle.actor_id;
        return true;
    case BN_RECORD_ASSIGN:
        *actor = record->assign.actor_id;
        return true;
    case BN_RECORD_BEGIN:
        *actor = record->begin.actor_id;
        return true;
    case BN_RECORD_SUSPECT:
        *actor = record->suspect.actor_id;
        return true;
    case BN_RECORD_REDRIVE:
    case BN_RECORD_DISCARD:
        *actor = record->dead.actor_id;
        return true;
    case BN_RECORD_FORGET:
        *actor = record->forget;
        return true;
    default:
        return false;
    }
}

static const bn_section_t *sections_of (const bn_record_t *record, uint32_t *count)
{
    *count = 0;
    if (record->type == BN_RECORD_PUBLISH) {
        *count = record->publish.section_count;
        return record->publish.sections;
    }
    if (record->type == BN_RECORD_SETTLE) {
        *count = record->settle.section_count;
        return record->settle.sections;
    }
    return NULL;
}

static void put_json (bn_buffer_t *line, const bn_journal_record_t *raw, const bn_record_t *record)
{
    char number[NAME_BYTES_MAX], time[40];
    uint32_t actor, count;
    bn_json_time ((int64_t)raw->time_us, time);
    bn_json_put_raw (line,
                     "{\"sequence\":%" PRIu64 ",\"type\":\"%s\",\"base\":%" PRIu64
                     ",\"count\":%" PRIu32 ",\"time\":\"%s\",\"bytes\":%zu,\"segment\":%" PRIu64
                     ",\"position\":%" PRIu64,
                     raw->sequence, type_name (raw->type, number), raw->base, raw->count, time,
                     raw->body_size, raw->segment, raw->position);
    if (actor_of (record, &actor))
        bn_json_put_raw (line, ",\"actor_id\":%" PRIu32, actor);
    if (record->type == BN_RECORD_REGISTER) {
        bn_json_put_raw (line, ",\"actor\":");
        bn_json_put_text (line, record->registration.name.text, record->registration.name.size);
    }
    const bn_section_t *sections = sections_of (record, &count);
    if (sections)
        bn_json_put_raw (line, ",\"sections\":[");
    for (uint32_t i = 0; i < count; i++) {
        bn_json_put_raw (line, "%s{\"topic\":", i > 0 ? "," : "");
        bn_json_put_text (line, sections[i].topic.text, sections[i].topic.size);
        bn_json_put_raw (
            line,
            ",\"partition\":%" PRIu32 ",\"base\":%" PRIu64 ",\"count\":%" PRIu32 ",\"bytes\":%zu}",
            sections[i].partition, sections[i].base, sections[i].count, sections[i].payload.size);
    }
    bn_json_put_raw (line, sections ? "]}\n" : "}\n");
}

static void put_line (bn_buffer_t *line, const bn_journal_record_t *raw, const bn_record_t *record)
{
    char number[NAME_BYTES_MAX], time[40];
    uint32_t actor, count;
    bn_json_time ((int64_t)raw->time_us, time);
    bn_json_put_raw (line, "%10" PRIu64 "  %-8s  %s  %8zu bytes  ", raw->sequence,
                     type_name (raw->type, number), time, raw->body_size);
    if (raw->count > 0)
        bn_json_put_raw (line, "offsets %" PRIu64 "..%" PRIu64, raw->base,
                         raw->base + raw->count - 1);
    else
        bn_json_put_raw (line, "offset %" PRIu64, raw->base);
    if (record->type == BN_RECORD_REGISTER)
        bn_json_put_raw (line, "  actor %.*s (%" PRIu32 ")", (int)record->registration.name.size,
                         record->registration.name.text, record->registration.actor_id);
    else if (actor_of (record, &actor))
        bn_json_put_raw (line, "  actor %" PRIu32, actor);
    const bn_section_t *sections = sections_of (record, &count);
    for (uint32_t i = 0; i < count; i++)
        bn_json_put_raw (line, "  %.*s/%" PRIu32 " x%" PRIu32, (int)sections[i].topic.size,
                         sections[i].topic.text, sections[i].partition, sections[i].count);
    bn_json_put_raw (line, "\n");
}

static baton_err_t print_record (journal_t *self, const bn_journal_record_t *raw,
                                 const bn_record_t *record)
{
    bn_buffer_clear (&self->line);
    if (self->as_json)
        put_json (&self->line, raw, record);
    else
        put_line (&self->line, raw, record);
    if (self->line.failed)
        return BATON_ERR_MEMORY;
    if (fwrite (bn_buffer_data (&self->line), 1, self->line.size, stdout) == self->line.size)
        return BATON_OK;
    snprintf (self->detail, sizeof self->detail, "standard output: %s", strerror (errno));
    return BATON_ERR_SYSTEM;
}

/*  ---- segments ---- */

static void print_segments (const journal_t *self)
{
    for (size_t i = 0; i < self->segment_count; i++) {
        const segment_t *segment = &self->segments[i];
        if (self->as_json)
            printf ("%s{\"segment\":%" PRIu64 ",\"first_sequence\":%" PRIu64
                    ",\"last_sequence\":%" PRIu64 ",\"first_offset\":%" PRIu64
                    ",\"end_offset\":%" PRIu64 ",\"bytes\":%" PRIu64 "}",
                    i > 0 ? "," : "", segment->segment, segment->first_sequence,
                    segment->last_sequence, segment->first_base, segment->end_base, segment->bytes);
        else
            printf ("%020" PRIu64 ".seg  records %" PRIu64 "..%" PRIu64 "  offsets %" PRIu64
                    " to %" PRIu64 "  %" PRIu64 " bytes\n",
                    segment->segment, segment->first_sequence, segment->last_sequence,
                    segment->first_base, segment->end_base, segment->bytes);
    }
}

static baton_err_t count_record (journal_t *self, const bn_journal_record_t *raw)
{
    size_t count = self->segment_count;
    if (count == 0 || self->segments[count - 1].segment != raw->segment) {
        if (count == self->segment_capacity) {
            size_t capacity = count > 0 ? count * 2 : 16;
            segment_t *segments = realloc (self->segments, capacity * sizeof *segments);
            if (!segments)
                return BATON_ERR_MEMORY;
            self->segments = segments;
            self->segment_capacity = capacity;
        }
        self->segments[self->segment_count++] = (segment_t){
            .segment = raw->segment, .first_sequence = raw->sequence, .first_base = raw->base};
    }
    segment_t *segment = &self->segments[self->segment_count - 1];
    segment->last_sequence = raw->sequence;
    segment->end_base = raw->base + raw->count;
    segment->bytes += raw->body_size;
    if (raw->type == BN_RECORD_LOST) {
        self->lost_records++;
        self->lost_events += raw->count;
        return BATON_OK;
    }
    self->records++;
    self->events += raw->count;
    return BATON_OK;
}

static baton_err_t take_record (const bn_journal_record_t *raw, void *arg)
{
    journal_t *self = arg;
    bn_record_t record;
    char what[256] = "";
    baton_err_t err =
        bn_record_decode (&record, raw->type, raw->base, raw->body, raw->body_size, what);
    if (err) {
        snprintf (self->detail, sizeof self->detail,
                  "journal/%020" PRIu64 ".seg, byte %" PRIu64 ": record %" PRIu64 ": %s",
                  raw->segment, raw->position, raw->sequence, what);
        return err;
    }
    if (self->print_records)
        err = print_record (self, raw, &record);
    else
        err = count_record (self, raw);
    bn_record_fini (&record);
    return err;
}

/*  ---- reading ---- */

static baton_err_t read_journal (journal_t *self)
{
    bn_journal_writer_t *writer;
    bn_journal_reader_t *reader;
    bn_journal_options_t options = {.read_only = true};
    self->segment_count = 0;
    self->records = self->events = self->lost_records = self->lost_events = 0;
    *self->detail = '\0';
    baton_err_t err = bn_journal_open (&writer, &reader, self->vfs, &options, 0, take_record, self,
                                       &self->recovery, self->detail);
    bn_journal_reader_destroy (&reader);
    if (err && !*self->detail)
        snprintf (self->detail, sizeof self->detail, "%s", baton_err_text (err));
    return err;
}

/*  A writer at work moves things while they are read: whatever is wrong only once is not wrong.  */
static baton_err_t read_settled (journal_t *self)
{
    char before[DETAIL_BYTES_MAX] = "";
    baton_err_t err = BATON_OK;
    for (int i = 0; i < ATTEMPTS_MAX; i++) {
        err = read_journal (self);
        if (!err || !self->running || strcmp (before, self->detail) == 0)
            break;
        memcpy (before, self->detail, sizeof before);
    }
    return err;
}

static void print_result (journal_t *self, baton_err_t err)
{
    bn_buffer_clear (&self->line);
    bn_json_put_cstr (&self->line, self->detail);
    printf ("],\"records\":%" PRIu64 ",\"events\":%" PRIu64 ",\"torn_bytes\":%" PRIu64
            ",\"lost_records\":%" PRIu64 ",\"lost_events\":%" PRIu64 ",\"running\":%s,\"error\":",
            self->records, self->events, self->recovery.torn_bytes, self->lost_records,
            self->lost_events, self->running ? "true" : "false");
    if (err)
        printf ("\"%s\",\"detail\":%.*s}\n", baton_err_name (err), (int)self->line.size,
                (const char *)bn_buffer_data (&self->line));
    else
        printf ("null,\"detail\":null}\n");
}

static baton_err_t verify (journal_t *self)
{
    baton_err_t err = read_settled (self);
    if (self->as_json)
        printf ("{\"segments\":[");
    print_segments (self);
    if (self->as_json)
        print_result (self, err);
    else if (!err) {
        if (self->recovery.torn_bytes > 0 && !self->running)
            printf ("an unfinished write of %" PRIu64 " bytes at the end; the next start cuts it\n",
                    self->recovery.torn_bytes);
        if (self->lost_records > 0)
            printf ("lost before a salvage: %" PRIu64 " records with %" PRIu64 " events\n",
                    self->lost_records, self->lost_events);
        printf ("ok: %" PRIu64 " records with %" PRIu64 " events in %zu segment%s\n", self->records,
                self->events, self->segment_count, self->segment_count == 1 ? "" : "s");
    }
    return err;
}

static int run (journal_t *self, const char *directory)
{
    int rc = bn_vfs_posix_new (&self->vfs, directory, false);
    if (rc != 0) {
        bn_failure ("journal", BATON_ERR_SYSTEM, "%s: %s", directory, strerror (-rc));
        return EXIT_UNREADABLE;
    }
    self->running = self->vfs->locked (self->vfs);
    if (self->running)
        fprintf (stderr,
                 "baton journal: %s is in use; what is written from now on is not looked at\n",
                 directory);
    bn_buffer_init (&self->line, LINE_BYTES_MAX);
    baton_err_t err = self->print_records ? read_journal (self) : verify (self);
    if (fflush (stdout) != 0 && !err) {
        err = BATON_ERR_SYSTEM;
        snprintf (self->detail, sizeof self->detail, "standard output: %s", strerror (errno));
    }
    if (err)
        bn_failure ("journal", err, "%s: %s", directory, self->detail);
    bn_buffer_fini (&self->line);
    free (self->segments);
    self->vfs->destroy (&self->vfs);
    return err == BATON_OK ? BN_EXIT_OK : err == BATON_ERR_ROT ? EXIT_DAMAGED : EXIT_UNREADABLE;
}

int bn_cli_journal (int argc, char **argv)
{
    journal_t self = {.as_json = false};
    bn_salvage_options_t salvage = {.partitions = 0};
    const bn_option_t options[] = {
        BN_JSON_OPTION (&self.as_json),
        {"partitions", 0, BN_OPTION_UINT, &salvage.partitions, "N",
         "salvage: how many there are, if neither the first record nor the views can be read", 1,
         BN_PARTITIONS_MAX},
    };
    const bn_command_t command = {
        .usage = "journal verify [OPTION]... DIR\njournal dump [OPTION]... DIR\n"
                 "journal salvage [OPTION]... DIR OUT",
        .about = about,
        .details = details,
        .options = options,
        .option_count = sizeof options / sizeof *options,
    };
    int first;
    int code = bn_options_parse (&command, argc, argv, &first);
    if (code >= 0)
        return code;
    if (first == argc)
        return bn_usage_error ("journal", "verify, dump or salvage?");
    if (strcmp (argv[first], "salvage") == 0) {
        if (argc - first != 3)
            return bn_usage_error ("journal", "salvage takes DIR and OUT");
        salvage.directory = argv[first + 1];
        salvage.target = argv[first + 2];
        salvage.as_json = self.as_json;
        return bn_salvage_run (&salvage);
    }
    self.print_records = strcmp (argv[first], "dump") == 0;
    if (!self.print_records && strcmp (argv[first], "verify") != 0)
        return bn_usage_error ("journal", "'%s' is neither verify nor dump nor salvage",
                               argv[first]);
    if (argc - first != 2)
        return bn_usage_error ("journal", "%s takes one DIR", argv[first]);
    return run (&self, argv[first + 1]);
}
