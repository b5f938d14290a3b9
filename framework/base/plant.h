/* SPDX-License-Identifier: MPL-2.0 */

/*  plant.h - bugs that are planted on purpose, to see that the simulator finds them.
 *
 *  `BN_PLANT (name)` is the constant false in every build but that of baton-simulate-planted, which
 *  compiles the core and the journal a second time with BN_PLANTED and chooses one at run time.  */
#ifndef BN_PLANT_H
#define BN_PLANT_H

#ifdef BN_PLANTED

#define BN_PLANTS(X)                                                                               \
    X (receipt_before_sync, "a receipt leaves before its record is on disk")                       \
    X (fanout_before_sync, "events are fanned out before they are on disk")                        \
    X (sync_skipped, "fdatasync is not called")                                                    \
    X (sync_error_ignored, "an error of fdatasync is not noticed")                                 \
    X (directory_not_synced, "a new segment's name is not synced")                                 \
    X (roll_not_synced, "a full segment is left behind unsynced")                                  \
    X (synced_claimed_early, "a record claims to be synced before it is")                          \
    X (flight_claims_all, "a sync speaks for what was written after it had begun")                 \
    X (torn_tail_is_rot, "a torn tail is refused as rot")                                          \
    X (rot_is_torn_tail, "rot at the end is cut off as a torn tail")                               \
    X (body_unchecked, "the checksum of a record's body is not looked at")                         \
    X (duplicate_appended, "a repeated sequence is appended again")                                \
    X (outbox_renumbers, "a producer repeats its request under a new sequence")                    \
    X (gap_ignored, "a break in the chain is not noticed")                                         \
    X (tail_loss_ignored, "what is lost before a silence is not asked for")                        \
    X (fetch_off_by_one, "FETCH begins one event too late")                                        \
    X (stale_generation_accepted, "a settle of an old generation is accepted")                     \
    X (generation_not_raised, "two owners of one generation: it is not raised")                    \
    X (park_lost_at_rebalance, "the new owner is not told of parked events")                       \
    X (parked_not_saved, "a checkpoint forgets a parked event")                                    \
    X (key_released, "a key goes on while its elder is parked")                                    \
    X (follower_forgotten, "what waits behind a parked event is not woken")                        \
    X (redrive_out_of_order, "redriven events have lost their key")                                \
    X (floor_past_unsettled, "the floor passes an event that went back to the queue")              \
    X (emission_lost, "a settle leaves out what was emitted")                                      \
    X (begin_not_journaled, "BEGIN is answered and not written down")                              \
    X (blame_on_prefetched, "an event that was only prefetched is charged")                        \
    X (nobody_suspected, "the next owner is not told to be careful")                               \
    X (reason_kept, "a parked event keeps the reason of an attempt before the last")               \
    X (reason_not_saved, "a checkpoint forgets the reason of a parked event")                      \
    X (attempts_doubled, "a retry counts twice")                                                   \
    X (parked_unbounded, "parked_max is not looked at")                                            \
    X (dead_unbounded, "dead_max is not looked at")                                                \
    X (actor_number_reused, "a forgotten actor's number is given out again")                       \
    X (former_forgotten, "what waits is looked for with the new patterns")                         \
    X (former_not_saved, "a checkpoint forgets the former patterns")                               \
    X (stale_not_stopped, "an instance with older patterns goes past the cut")                     \
    X (drained_too_early, "partitions go to new patterns before they are drained")                 \
    X (foreign_handled, "a handler gets a topic that its process does not know")                   \
    X (start_ignored, "a new actor starts at the tail, whatever it asks for")                      \
    X (reader_not_woken, "a READ that waits is not woken")                                         \
    X (mixed_sent_whole, "a mixed section goes whole to who reads a part of its topics")           \
    X (list_skips, "a page of dead letters begins one too late")                                   \
    X (lag_keeps_parked, "a parked event is still counted as ready")                               \
    X (parked_not_needed, "retention lets go of what is parked")                                   \
    X (recovery_not_synced, "what recovery keeps is not synced")                                   \
    X (memory_ignored, "a record that cannot be applied for want of memory is not missed")         \
    X (prefetch_unbounded, "prefetch_bytes is not looked at")

#define BN_PLANT_ENUM(name, text) BN_PLANT_##name,
typedef enum { BN_PLANT_NONE, BN_PLANTS (BN_PLANT_ENUM) BN_PLANT_COUNT } bn_plant_t;
#undef BN_PLANT_ENUM

extern bn_plant_t bn_planted; /* of the simulator */
#define BN_PLANT(name) (bn_planted == BN_PLANT_##name)

#else
#define BN_PLANT(name) 0
#endif

#endif
