/* SPDX-License-Identifier: MPL-2.0 */

/*  node_samples.h - one message of each type between nodes and `baton up`.  */
#ifndef NODE_SAMPLES_H
#define NODE_SAMPLES_H

#include "wire/node_message.h"

extern const bn_node_message_t g_node_samples[]; /* REPORT, LEAVE, PART, HEARD, REFUSED */
extern const size_t g_node_sample_count;

#endif
