/* SPDX-License-Identifier: MPL-2.0 */

/*  samples.h - one message and more of each type, with what it must look like on the wire: the
 *  array of frame 0 as msgpack-c prints it, written by hand from docs/protocol.md.  */
#ifndef SAMPLES_H
#define SAMPLES_H

#include "wire/message.h"

typedef struct {
    bn_message_t message;
    const char *printed;
} sample_t;

extern const sample_t g_samples[];
extern const size_t g_sample_count;

#endif
