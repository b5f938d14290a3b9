/* SPDX-License-Identifier: MPL-2.0 */

#include "unit/journal/fixture.h"
#include <stdlib.h>
#include <string.h>

#define BATCH_MAX 512

uint32_t record_count (uint64_t sequence)
{
    return (uint32_t)(sequence % 4);
}

uint64_t record_base (uint64_t sequence)
{
    uint64_t before = sequence - 1; /* records 1..before; each four have 1 + 2 + 3 + 0 events */
    uint64_t rest = before % 4;
    return before / 4 * 6 + rest * (rest + 1) / 2;
}

size_t record_size (uint64_t sequence)
{
    return sequence % 9 == 0 ? 0 : (size_t)(sequence * 37 % 150);
}

uint64_t record_time (uint64_t sequence)
{
    return 1000 * sequence;
}

static uint8_t body_byte (uint64_t sequence, size_t at)
{
    return (uint8_t)(sequence * 31 + at * 7 + 1);
}

void record_fill (uint64_t sequence, uint8_t *body)
{
    for (size_t at = 0; at < record_size (sequence); at++)
        body[at] = body_byte (sequence, at);
}

const char *record_differs (const bn_journal_record_t *record, uint64_t sequence)
{
    if (record->sequence != sequence)
        return "sequence";
    if (record->type != RECORD_TYPE || record->count != record_count (sequence))
        return "type or count";
    if (record->base != record_base (sequence) || record->time_us != record_time (sequence))
        return "base or time";
    if (record->body_size != record_size (sequence))
        return "size";
    for (size_t i = 0; i < record->body_size; i++)
        if (record->body[i] != body_byte (sequence, i))
            return "body";
    return NULL;
}

void fixture_init (fixture_t *self, uint64_t seed, uint64_t segment_bytes)
{
    *self = (fixture_t){.next = 1};
    self->disk = bn_disk_new (seed);
    self->options = (bn_journal_options_t){.segment_bytes = segment_bytes, .salt = 4711};
}

void fixture_abandon (fixture_t *self)
{
    bn_journal_reader_destroy (&self->reader);
    bn_journal_writer_destroy (&self->writer);
    if (self->vfs)
        self->vfs->destroy (&self->vfs);
}

void fixture_close (fixture_t *self)
{
    fixture_abandon (self);
}

void fixture_kill (fixture_t *self)
{
    bn_disk_kill (self->disk);
    fixture_abandon (self);
}

void fixture_crash (fixture_t *self)
{
    bn_disk_crash (self->disk);
    fixture_abandon (self);
}

void fixture_fini (fixture_t *self)
{
    fixture_close (self);
    bn_disk_destroy (&self->disk);
}

static baton_err_t check_replayed (const bn_journal_record_t *record, void *arg)
{
    fixture_t *self = arg;
    if (self->first_replayed == 0)
        self->first_replayed = record->sequence;
    else
        assert_int_equal (record->sequence, self->last_replayed + 1);
    self->last_replayed = record->sequence;
    const char *differs = record_differs (record, record->sequence);
    if (differs)
        fail_msg ("record %llu: %s", (unsigned long long)record->sequence, differs);
    return BATON_OK;
}

baton_err_t fixture_open (fixture_t *self, uint64_t trusted)
{
    self->first_replayed = self->last_replayed = 0;
    *self->detail = '\0';
    self->vfs = bn_disk_vfs (self->disk);
    baton_err_t err =
        bn_journal_open (&self->writer, &self->reader, self->vfs, &self->options, trusted,
                         check_replayed, self, &self->recovery, self->detail);
    if (err) {
        assert_null (self->writer);
        assert_null (self->reader);
        assert_true (*self->detail != '\0');
        self->vfs->destroy (&self->vfs);
        return err;
    }
    self->next = self->recovery.sequence_next;
    assert_int_equal (self->recovery.tail, record_base (self->next));
    return BATON_OK;
}

baton_err_t fixture_write (fixture_t *self, uint64_t count)
{
    bn_journal_record_t records[BATCH_MAX];
    assert_true (count <= BATCH_MAX);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t n = self->next + i;
        uint8_t *body = malloc (record_size (n) + 1);
        for (size_t at = 0; at < record_size (n); at++)
            body[at] = body_byte (n, at);
        records[i] = (bn_journal_record_t){.type = RECORD_TYPE,
                                           .sequence = n,
                                           .base = record_base (n),
                                           .count = record_count (n),
                                           .time_us = record_time (n),
                                           .body = body,
                                           .body_size = record_size (n)};
    }
    baton_err_t err = bn_journal_write (self->writer, records, (size_t)count, self->detail);
    for (uint64_t i = 0; i < count; i++)
        free ((void *)records[i].body);
    if (!err)
        self->next += count;
    return err;
}

baton_err_t fixture_append (fixture_t *self, uint64_t count)
{
    baton_err_t err = fixture_write (self, count);
    if (!err)
        err = bn_journal_sync (self->writer, self->detail);
    if (err)
        return err;
    bn_extent_t extents[4];
    for (size_t got; (got = bn_journal_writer_extents (self->writer, extents, 4)) > 0;)
        bn_journal_reader_learn (self->reader, extents, got);
    bn_journal_reader_durable (self->reader, self->next - 1);
    return BATON_OK;
}

void fixture_expect (fixture_t *self, uint64_t first, uint64_t last)
{
    for (uint64_t n = first; n <= last; n++) {
        bn_journal_record_t record;
        bool end = true;
        baton_err_t err = bn_journal_next (self->reader, &record, &end, self->detail);
        if (err)
            fail_msg ("record %llu: %s", (unsigned long long)n, self->detail);
        assert_false (end);
        const char *differs = record_differs (&record, n);
        if (differs)
            fail_msg ("record %llu: %s", (unsigned long long)n, differs);
    }
    bn_journal_record_t record;
    bool end = false;
    assert_int_equal (bn_journal_next (self->reader, &record, &end, self->detail), BATON_OK);
    assert_true (end);
}
