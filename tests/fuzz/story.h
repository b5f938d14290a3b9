/* SPDX-License-Identifier: MPL-2.0 */

/*  story.h - seeds for the fuzzers of the core: a short life of a conductor, once as the messages
 *  of its peers, once as the records that follow from them, once as a checkpoint.  */
#ifndef FUZZ_STORY_H
#define FUZZ_STORY_H

#include "base/buffer.h"

typedef struct {
    bn_buffer_t messages; /* input of fuzz_conductor */
    bn_buffer_t records;  /* inputs of fuzz_state */
    bn_buffer_t checkpoint;
} story_t;

void story_init (story_t *self);
void story_fini (story_t *self);

#endif
