/* SPDX-License-Identifier: MPL-2.0 */

/*  state_internal.h - shared by state.c, state_apply.c and state_save.c.  */
#ifndef BN_STATE_INTERNAL_H
#define BN_STATE_INTERNAL_H

#include "core/state.h"

/*  A new actor without patterns, in both maps. NULL: no memory.  */
bn_actor_state_t *bn_state_actor_new (bn_state_t *self, uint32_t id, const char *name, size_t size);
void bn_state_actor_remove (bn_state_t *self, bn_actor_state_t *actor);
/*  Sets the patterns, or the former ones. false: no memory (what was there is kept).  */
bool bn_state_actor_patterns (bn_actor_state_t *actor, const bn_text_t *patterns, uint32_t count);
bool bn_state_actor_former (bn_actor_state_t *actor, const bn_text_t *patterns, uint32_t count);
/*  The patterns become the former ones. false: no memory (nothing is changed).  */
bool bn_state_actor_revise (bn_actor_state_t *actor, const bn_text_t *patterns, uint32_t count);
bool bn_state_actor_matches (const bn_actor_state_t *actor, const char *topic, size_t size);

/*  The topic, made if there is none yet, with its readers. NULL: no memory.  */
bn_topic_state_t *bn_state_topic_ensure (bn_state_t *self, const char *name, size_t size);
bool bn_state_topic_is_read_by (const bn_topic_state_t *topic, const bn_actor_state_t *actor);
/*  Puts the actor among the readers, or takes it out. false: no memory.  */
bool bn_state_topic_reader (bn_topic_state_t *topic, bn_actor_state_t *actor, bool reads);

/*  Finds or makes. NULL: no memory.  */
bn_producer_state_t *bn_state_producer_ensure (bn_state_t *self, uint64_t id);
/*  Marks as used by the record `sequence`, and forgets the longest unused past producers_max.  */
bool bn_state_producer_used (bn_state_t *self, bn_producer_state_t *producer, uint64_t sequence);

/*  Parked, charged and dead. Putting in: ROT if the offset is held already (S3), or MEMORY; what is
 *  there already is replaced by the functions with "re". Taking out: the entry, which is the
 *  caller's, or NULL.  */
baton_err_t bn_state_park (bn_actor_state_t *actor, uint32_t partition, const bn_parked_t *parked);
baton_err_t bn_state_repark (bn_actor_state_t *actor, uint32_t partition,
                             const bn_parked_t *parked);
bn_parked_t *bn_state_unpark (bn_actor_state_t *actor, uint32_t partition, uint64_t offset);
baton_err_t bn_state_bury (bn_actor_state_t *actor, const bn_dead_state_t *dead);
bn_dead_state_t *bn_state_exhume (bn_actor_state_t *actor, uint64_t dead_offset);
baton_err_t bn_state_charge (bn_actor_partition_t *partition, const bn_charged_t *charged);
baton_err_t bn_state_recharge (bn_actor_partition_t *partition, const bn_charged_t *charged);

#endif
