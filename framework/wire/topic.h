/* SPDX-License-Identifier: MPL-2.0 */

/*  topic.h - topic names, patterns and other names.
 *
 *  Topic: segments of letters, digits, '-', '_' joined by '.', no empty segment, at most
 *  BATON_TOPIC_BYTES_MAX bytes; the first segment may start with '$' (reserved: only baton writes
 *  to those). Pattern: a segment may be "*" (one segment), the last one ">" (one or more). A
 *  pattern that starts with a wildcard does not match topics that start with '$'.
 *  Name (actor, instance): letters, digits, '-', '_', '.'; 1..BATON_NAME_BYTES_MAX bytes; an
 *  actor's name has no '.'.  */
#ifndef BN_TOPIC_H
#define BN_TOPIC_H

#include <stdbool.h>
#include <stddef.h>

bool bn_topic_valid (const char *topic, size_t size);   /* also "$..." */
bool bn_topic_reserved (const char *topic, size_t size); /* starts with '$' */
bool bn_pattern_valid (const char *pattern, size_t size);
bool bn_pattern_matches (const char *pattern, size_t pattern_size, const char *topic,
                         size_t topic_size);
/*  Bytes of the literal prefix that a ZeroMQ subscription can filter on: "a.b.*.c" -> 4 ("a.b."),
 *  "a.>" -> 2, ">" -> 0, "a.b" -> 3 (all of it).  */
size_t bn_pattern_prefix (const char *pattern, size_t size);
/*  True if everything that `inner` matches is matched by `outer`.  */
bool bn_pattern_covers (const char *outer, size_t outer_size, const char *inner,
                        size_t inner_size);
bool bn_actor_name_valid (const char *name, size_t size);
bool bn_instance_name_valid (const char *name, size_t size);

#endif
