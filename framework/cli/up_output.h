/* SPDX-License-Identifier: MPL-2.0 */

/*  up_output.h - where the lines that instances print go: to standard output with their name in
 *  front, or as JSON; and into the logbook.  */
#ifndef BN_UP_OUTPUT_H
#define BN_UP_OUTPUT_H

#include "supervisor/logbook.h"
#include <stdbool.h>

typedef struct {
    bool colour;
    bool as_json;          /* each line an object */
    bool closed;           /* standard output takes nothing any more */
    bool quiet;            /* into the logbook only */
    size_t name_width;     /* of the prefix */
    bn_logbook_t *logbook; /* borrowed; NULL: none */
} bn_up_output_t;

/*  A line of an instance, without its end.  */
void bn_up_output_line (bn_up_output_t *self, const char *service, uint32_t slot, const char *line,
                        size_t size);

#endif
