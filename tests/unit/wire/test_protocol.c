/* SPDX-License-Identifier: MPL-2.0 */

/*  test_protocol.c - docs/protocol.md against the code: its bytes, its errors, its partitions.  */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash.h"
#include "wire/message.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FRAMES_MAX = 4, FRAME_BYTES_MAX = 512, PARTITIONS = 2 };

typedef struct {
    uint8_t bytes[FRAMES_MAX][FRAME_BYTES_MAX];
    bn_frame_t frames[FRAMES_MAX];
    size_t count;
    char direction; /* '>' request, '<' reply, '*' fan-out */
} block_t;

static FILE *open_document (void)
{
    FILE *file = fopen (PROTOCOL_MD, "r");
    if (!file)
        fail_msg ("%s cannot be opened", PROTOCOL_MD);
    return file;
}

/*  "> 0: 42 54 ..." starts a frame, other lines go on with it.  */
static void read_line (block_t *block, const char *line)
{
    if (strchr ("><*", line[0])) {
        assert_int_equal (line[2], '0' + (char)block->count);
        assert_true (block->count < FRAMES_MAX);
        block->direction = line[0];
        block->frames[block->count] = (bn_frame_t){block->bytes[block->count], 0};
        block->count++;
        line += 4;
    }
    assert_true (block->count > 0);
    bn_frame_t *frame = &block->frames[block->count - 1];
    char *end;
    for (unsigned long byte = strtoul (line, &end, 16); end != line;
         byte = strtoul (line, &end, 16)) {
        assert_true (byte < 256 && frame->size < FRAME_BYTES_MAX);
        block->bytes[block->count - 1][frame->size++] = (uint8_t)byte;
        line = end;
    }
}

static bool next_block (FILE *file, block_t *block)
{
    char line[1024];
    bool inside = false;
    memset (block, 0, sizeof (*block));
    while (fgets (line, sizeof (line), file)) {
        if (inside && strncmp (line, "```", 3) == 0)
            return true;
        if (inside)
            read_line (block, line);
        else
            inside = strcmp (line, "```hex\n") == 0;
    }
    return false;
}

static void check_sections (const bn_section_t *sections, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        bn_batch_limits_t limits = {sections[i].partition, PARTITIONS, 1024};
        uint32_t index;
        const char *what;
        assert_int_equal (bn_batch_check (sections[i].payload.data, sections[i].payload.size,
                                          sections[i].count, &limits, &index, &what),
                          BATON_OK);
    }
}

static void check_message (const block_t *block)
{
    bn_message_t message;
    char what[256] = "";
    if (bn_message_decode (&message, block->frames, block->count, what))
        fail_msg ("%s", what);
    assert_int_equal (block->direction, message.type < 0x80 ? '>' : '<');
    bn_blob_t *again = bn_message_encode (&message);
    assert_int_equal (again->size, block->frames[0].size);
    assert_memory_equal (again->data, block->frames[0].data, again->size);
    bn_blob_unref (&again);
    if (message.type == BN_PUBLISH)
        check_sections (message.publish.sections, message.publish.section_count);
    if (message.type == BN_SETTLE)
        check_sections (message.settle.sections, message.settle.section_count);
    if (message.type == BN_EVENTS)
        check_sections (message.events.sections, message.events.section_count);
    bn_message_fini (&message);
}

static void test_every_byte_picture_is_a_message (void **state)
{
    (void)state;
    FILE *file = open_document ();
    block_t block;
    size_t messages = 0;
    size_t fanouts = 0;
    while (next_block (file, &block)) {
        if (block.direction != '*') {
            check_message (&block);
            messages++;
            continue;
        }
        bn_fanout_t fanout;
        assert_int_equal (bn_fanout_decode (&fanout, block.frames, block.count, NULL), BATON_OK);
        assert_int_equal (fanout.chain_count, 1);
        bn_fanout_fini (&fanout);
        fanouts++;
    }
    fclose (file);
    assert_int_equal (messages, 18);
    assert_int_equal (fanouts, 1);
}

static bool document_has_line (const char *start)
{
    FILE *file = open_document ();
    char line[1024];
    bool found = false;
    while (!found && fgets (line, sizeof (line), file))
        found = strncmp (line, start, strlen (start)) == 0;
    fclose (file);
    return found;
}

static void test_every_error_is_in_the_table (void **state)
{
    (void)state;
#define CHECK_ROW(name, number, retriable, text)                                                   \
    {                                                                                              \
        char row[256];                                                                             \
        snprintf (row, sizeof (row), "| %d | %s | %s | %s", number, #name,                         \
                  (retriable) ? "yes" : "no", text);                                               \
        if (!document_has_line (row))                                                              \
            fail_msg ("no row \"%s\"", row);                                                       \
    }
    BATON_ERRORS (CHECK_ROW)
}

static void test_the_partition_table_is_right (void **state)
{
    (void)state;
    static const char *const keys[] = {"a", "foobar", "12347", "customer-1", "Zo\xc3\xab", "17850"};
    for (size_t i = 0; i < sizeof (keys) / sizeof (keys[0]); i++) {
        uint64_t hash = bn_hash (keys[i], strlen (keys[i]));
        char row[256];
        snprintf (row, sizeof (row), "| `%s` | 0x%016llx | %u | %u |", keys[i],
                  (unsigned long long)hash, bn_hash_partition (hash, 32),
                  bn_hash_partition (hash, 7));
        if (!document_has_line (row))
            fail_msg ("no row \"%s\"", row);
    }
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_every_byte_picture_is_a_message),
        cmocka_unit_test (test_every_error_is_in_the_table),
        cmocka_unit_test (test_the_partition_table_is_right),
    };
    return cmocka_run_group_tests_name ("wire.protocol", tests, NULL, NULL);
}
