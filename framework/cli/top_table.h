/* SPDX-License-Identifier: MPL-2.0 */

/*  top_table.h - the picture of `baton top`, as lines of text with marks where to look.
 *
 *  DESIGN. Pure: samples in, lines out. The terminal (top.c), the rounds of --batch and the tests
 *  see the same lines. Names are ASCII (the protocol allows nothing else), so a byte is a column.
 *
 *  Marked are: an actor without instances that has something to do, dead letters, a lag that grows
 *  while more comes in than goes out, a partition that waits at parked_max, a full disk. A line
 *  with a mark begins with "!", so that it is found without colours as well.  */
#ifndef BN_CLI_TOP_TABLE_H
#define BN_CLI_TOP_TABLE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define BN_TOP_WIDTH_MIN 40
#define BN_TOP_WIDTH_MAX 240
#define BN_TOP_MARKS_MAX 8
#define BN_TOP_HISTORY   10 /* samples, for "the lag grows" */

typedef enum { BN_TOP_HEAD, BN_TOP_SORTED, BN_TOP_WARNING, BN_TOP_ALARM } bn_top_mark_t;

typedef struct {
    char text[BN_TOP_WIDTH_MAX + 1];
    struct {
        size_t at;
        size_t size;
        bn_top_mark_t mark;
    } marks[BN_TOP_MARKS_MAX];
    size_t mark_count;
} bn_top_line_t;

typedef enum {
    BN_TOP_NAME,
    BN_TOP_INSTANCES,
    BN_TOP_IN,
    BN_TOP_OUT,
    BN_TOP_LAG,
    BN_TOP_FLIGHT,
    BN_TOP_PARKED,
    BN_TOP_DEAD,
    BN_TOP_OLDEST,
    BN_TOP_COLUMNS
} bn_top_column_t;

typedef struct {
    bn_top_column_t sort;
    bool reverse;   /* smallest first; names: z first */
    bool instances; /* a line each, below its actor */
    bool no_topics;
    bool no_actors;
} bn_top_view_t;

typedef struct {
    json_t *samples[BN_TOP_HISTORY]; /* owned; [0] is the latest; NULL: not that many yet */
    bn_top_line_t *lines;            /* owned */
    size_t line_count;
    size_t line_room;
    size_t width;
} bn_top_t;

void bn_top_fini (bn_top_t *self); /* a zeroed one is a new one */
/*  Takes a sample over, with its rates and ages (sample.h).  */
void bn_top_add (bn_top_t *self, json_t *sample);
/*  How the column is called, as --sort has it; a column that does not exist: NULL.  */
const char *bn_top_column_name (bn_top_column_t column);

/*  Two lines about the orchestrator.  */
void bn_top_draw_head (bn_top_t *self, const char *endpoint, size_t width);
/*  Lines of the tables, into self->lines. No sample yet, or no memory: none, or fewer.  */
void bn_top_draw (bn_top_t *self, const bn_top_view_t *view, size_t width);

#endif
