/* SPDX-License-Identifier: MPL-2.0 */

/*  mailbox_internal.h - what the files of the mailbox share. The picture and the invariants are at
 *  the head of mailbox.c.
 *
 *    mailbox.c            life, step, what happens in which order
 *    mailbox_link.c       HELLO, JOIN, HEARTBEAT, LEAVE, time limits, assignments
 *    mailbox_partition.c  one partition: parked events, outcomes, where the floor is
 *    mailbox_intake.c     fan-out, FETCH, subscriptions, the queue
 *    mailbox_run.c        which events go to the handler next, and what became of them
 *    mailbox_settle.c     outcomes to SETTLE requests, and the answers
 *    mailbox_relief.c     what is still settled when not all of it is accepted
 *    mailbox_dead.c       the copy of an event that is given up
 *    mailbox_effects.c    the list of effects; runs  */
#ifndef BN_MAILBOX_INTERNAL_H
#define BN_MAILBOX_INTERNAL_H

#include "base/assert.h"
#include "base/map.h"
#include "base/prng.h"
#include "core/mailbox.h"

#define BN_PARKED_AHEAD 64  /* events of one key that are fetched and run together once they may */
#define BN_OFFSETS_MAX  256 /* in one FETCH by offset */
#define BN_GAPS_MAX     3   /* more within BN_GAPS_MS: live from FETCH for a while */
#define BN_GAPS_MS      10000
#define BN_RUN_FIRST    64 /* events in the first run; later ones by what handlers take */
#define BN_QUICK_BEATS                                                                             \
    4 /* early heartbeats after a subscription: 50, 100, 200, 400, 800 ms after it */
#define BN_QUICK_BEAT_MS 50
#define BN_REJOIN_MS     500   /* between two HELLOs on one connection */
#define BN_LEAVE_MS      2000  /* waiting for LEFT */
#define BN_DRAIN_MS      10000 /* waiting for the last settle after a stop */
#define BN_SPARE_MAX     4096  /* outcomes that are kept to be used again */
#define BN_HANDOVER_MS   5000  /* handling what newer patterns leave to us, after a stop */

/*  Requests; at most one of each is in flight (G7).  */
typedef enum {
    BN_ASK_HELLO,
    BN_ASK_START, /* READ that resolves a start time */
    BN_ASK_JOIN,
    BN_ASK_HEARTBEAT,
    BN_ASK_FETCH,
    BN_ASK_OFFSETS,
    BN_ASK_SETTLE,
    BN_ASK_BEGIN,
    BN_ASK_LEAVE,
    BN_ASK_COUNT
} bn_ask_kind_t;

typedef struct {
    uint64_t request; /* 0: not in flight */
    uint64_t sent_ms;
} bn_ask_t;

typedef enum {
    BN_LINK_DOWN,
    BN_LINK_IDLE, /* connected; HELLO goes out at hello_at_ms */
    BN_LINK_GREETING,
    BN_LINK_STARTING, /* resolving the start time */
    BN_LINK_JOINING,
    BN_LINK_JOINED,
    BN_LINK_LEAVING,
    BN_LINK_OVER /* FATAL or DRAINED was said */
} bn_link_state_t;

/*  A section in a partition's queue; events are decoded when they are taken.  */
typedef struct bn_chunk {
    struct bn_chunk *next;
    bn_blob_t *home;     /* counted; what it lies in itself, with its topic and a copied payload */
    bn_blob_t *payload;  /* counted; NULL: it was copied */
    const uint8_t *data; /* of the payload */
    size_t bytes;        /* of the payload; on account of prefetch_bytes */
    bn_text_t topic;     /* "": the section is mixed, its events have theirs */
    uint64_t previous;   /* kept ahead: from its chain */
    uint64_t end;        /* of the section */
    uint64_t offset;     /* of the next event */
    uint64_t from;       /* events below are not wanted */
    bool foreign;        /* none of our patterns matches the topic; not of a mixed one */
} bn_chunk_t;

typedef enum {
    BN_PARKED_BLOCKED, /* behind an elder of its key, or its parking is not settled yet */
    BN_PARKED_DUE,     /* waits for due_ms; in mailbox.due */
    BN_PARKED_WANTED,  /* to be fetched; in mailbox.wanted */
    BN_PARKED_FETCHING,
    BN_PARKED_READY, /* `item` is here; in partition.revived */
    BN_PARKED_OUT    /* in the run */
} bn_parked_state_t;

typedef struct {
    uint64_t offset;
    uint64_t key_hash;
    uint64_t due_ms; /* monotonic */
    uint32_t partition;
    uint32_t attempts;
    bool settled; /* the orchestrator knows it as it is here */
    bool foreign; /* READY: as in bn_chunk_t */
    bn_parked_state_t state;
    bn_run_item_t item; /* READY */
    size_t bytes;       /* READY: on account of prefetch_bytes */
} bn_parked_entry_t;

typedef enum {
    BN_OUTCOME_ACK,
    BN_OUTCOME_PARK,
    BN_OUTCOME_DONE,
    BN_OUTCOME_DIED
} bn_outcome_kind_t;

/*  What became of one event, until it is settled. A main-line ACK without emissions has none: the
 *  floor says it.  */
typedef struct bn_outcome {
    struct bn_outcome *next;
    bn_outcome_kind_t kind;
    bool main_line; /* else it was parked before */
    bool in_flight; /* in the SETTLE that is */
    uint64_t offset;
    uint64_t handled_upto; /* main line, in `ready`: partition.handled with this one */
    uint64_t key_hash;
    uint64_t due_ms;          /* PARK: monotonic */
    uint32_t attempts;        /* PARK, DIED; else of the call that was acknowledged */
    char *reason;             /* owned; PARK: of this attempt, as SETTLE takes it; NULL: none */
    bn_emission_t *emissions; /* owned; DIED: the dead letter */
    bool emissions_within;    /* as in bn_run_item_t */
    uint32_t emission_count;
    size_t bytes;             /* upper bound of what it adds to a message */
    bn_text_t topic;          /* ACK, DONE with emissions: the event, for a dead letter if the */
    bn_event_fields_t fields; /*   emissions are refused */
    bn_blob_t *blob;          /* counted */
    bn_blob_t *topic_blob;    /* counted */
} bn_outcome_t;

typedef struct {
    bn_outcome_t *first;
    bn_outcome_t *last;
} bn_outcomes_t;

typedef enum {
    BN_RELIEF_OPEN, /* not stopped */
    BN_RELIEF_PART,
    BN_RELIEF_WHOLE
} bn_relief_state_t;

/*  What a request has of one partition, by what is bounded.  */
typedef struct {
    uint32_t held;  /* main-line events that are parked or dead now */
    uint32_t died;  /* dead ones, parked before or not */
    uint32_t parks; /* newly parked ones */
    uint32_t gone;  /* parked ones that leave */
    uint32_t there; /* parked events that the orchestrator has once it is accepted */
    bool whole;     /* nothing was left out */
} bn_relief_offer_t;

/*  The search for what is accepted of a partition after LIMIT (mailbox_relief.c).  */
typedef struct {
    bn_relief_state_t state;
    uint64_t at_ms;     /* nothing is offered before */
    uint32_t held_most; /* PART: bounds of the offer */
    uint32_t died_most;
    uint32_t parks_most;
    uint32_t there;          /* parked events that the orchestrator has */
    uint32_t fits;           /* so many were accepted, or JOINED told them */
    uint32_t most;           /* more are refused; UINT32_MAX: as far as is known, none are */
    bool dead_full;          /* dead letters were refused, and none accepted since */
    bn_relief_offer_t offer; /* in the request that is built, or in flight */
} bn_relief_t;

typedef struct {
    uint32_t index;
    bool owned;
    bool revoked;    /* settle with release, then forget */
    bool behind;     /* lives from FETCH alone */
    bool subscribed; /* survives a new session: the subscriptions of the socket do too */
    bool missing;    /* to be FETCHed */
    uint64_t generation;
    uint64_t epoch;         /* own number of this taking over; 0: not owned */
    uint64_t asked_epoch;   /* epoch when it was put into the FETCH in flight; 0: not in it */
    uint64_t out_epoch;     /* epoch of its items in the run; 0: none */
    uint64_t settle_epoch;  /* epoch of its settlement in flight; 0: none */
    uint64_t floor;         /* settled: what the orchestrator has */
    uint64_t position;      /* all sections for us below were received */
    uint64_t known;         /* a section ends here that must be received */
    uint64_t beat_position; /* position at the last BEAT */
    uint64_t beat_head;     /* that it told; 0: none yet */
    uint64_t until;         /* what begins here is for newer patterns; BN_NO_OFFSET: no limit */
    uint64_t careful_until;
    uint64_t gap_ms[BN_GAPS_MAX]; /* when the last gaps were */
    bn_charged_t *charged;        /* owned */
    uint32_t charged_count;
    bn_chunk_t *chunk_first;
    bn_chunk_t *chunk_last;
    bn_chunk_t *ahead_first; /* came by fan-out behind a gap that is being fetched */
    bn_chunk_t *ahead_last;
    size_t chunk_bytes;
    bn_batch_reader_t reader; /* of the first chunk, if it was opened */
    bn_event_fields_t event;  /* its next one, if it was peeked */
    bn_text_t topic;          /* of that */
    bool foreign;             /* none of our patterns matches the topic */
    bool opened;
    bool peeked;
    bn_blob_t *slab; /* counted; small chunks go into it; NULL: none yet */
    size_t slab_used;
    bn_run_item_t *returned; /* owned; handed out, not handled: next, before the chunks; ascending,
                                from returned_first on */
    uint32_t returned_first;
    uint32_t returned_count;
    uint32_t returned_capacity;
    bn_map_t *parked;        /* offset -> bn_parked_entry_t (owned) */
    bn_map_t *parked_by_key; /* key hash, offset -> the same; without key hash 0 */
    bn_map_t *revived;       /* offset -> the same, READY ones */
    uint32_t out_count;      /* main-line items in the run */
    uint64_t out_first;      /* lowest offset of them */
    bn_outcomes_t held;      /* main line, above something unresolved; ascending */
    bn_outcomes_t ready;     /* may be settled; main-line ones ascending */
    uint64_t handled;        /* main-line events below unresolved () since the start */
    uint64_t handled_settled;
    uint64_t settle_floor; /* of the settlement in flight */
    uint64_t settle_handled;
    bool settle_release;
    bn_relief_t relief;
} bn_slot_t;

typedef enum {
    BN_CAREFUL_NONE,
    BN_CAREFUL_BEGINNING, /* BEGIN is in flight or waits; the run is in begin_run */
    BN_CAREFUL_OUT,
    BN_CAREFUL_SETTLING
} bn_careful_t;

struct bn_mailbox {
    bn_mailbox_options_t options;
    char **prefixes; /* owned; literal prefixes to subscribe to */
    uint32_t prefix_count;
    bn_blob_t *channel;        /* owned; subscribed to; NULL: not */
    uint32_t channel_actor_id; /* that it is for */

    /*  during a step */
    bn_mailbox_effects_t *fx;
    bn_time_t now;
    bn_prng_t prng;
    bool seeded;

    bn_link_state_t link;
    bn_ask_t asks[BN_ASK_COUNT];
    uint64_t request_last;
    uint64_t heard_ms; /* last message from the orchestrator */
    uint64_t hello_at_ms;
    uint64_t hello_sent_ms; /* 0: never on this connection */
    uint64_t join_at_ms;
    uint64_t beat_at_ms;
    uint32_t quick_beats; /* early ones still to come */
    bool start_resolved;
    uint64_t start_offset;

    uint64_t journal_id; /* WELCOME */
    uint32_t partitions;
    uint32_t heartbeat_ms;
    uint32_t message_bytes_max;
    uint32_t data_bytes_max;
    char fanout_endpoint[BN_ENDPOINT_BYTES_MAX + 1];

    uint32_t actor_id;   /* JOINED */
    uint32_t parked_max; /* a partition with so many takes no more from its main line */
    uint64_t version;    /* of the assignment; 0: ask for all of it */
    bn_slot_t slots[BN_PARTITIONS_MAX];
    uint32_t owned_count;
    uint64_t epoch_last;

    size_t queue_bytes;       /* received, not in a run */
    size_t out_bytes;         /* sections that left the queue with the run */
    bn_map_t *due;            /* due_ms, partition, offset -> entry */
    bn_map_t *wanted;         /* partition, offset -> entry */
    uint32_t revived_count;   /* entries FETCHING or READY */
    uint64_t offsets_at_ms;   /* next FETCH by offset not before */
    uint64_t fetch_at_ms;     /* next FETCH not before */
    uint32_t fetches_refused; /* in a row, of both kinds */

    bool run_out;
    uint32_t run_most; /* events in the next run: twice what the last one came to, within limits */
    uint32_t run_last; /* events in the last one: at first, room is made for as many */
    uint32_t turn;     /* partition that is first in the next run */
    bool careful_turn;
    bn_careful_t careful;
    bn_run_t *begin_run; /* owned */
    uint32_t careful_partition;
    uint64_t careful_epoch;
    uint64_t begin_at_ms;

    bn_outcome_t *spare; /* owned; outcomes to be used again: each event that emits has one */
    uint32_t spare_count;
    size_t unsettled_bytes; /* of outcomes */
    size_t relief_bytes;    /* of those whose events were parked before, in this too */
    uint64_t settle_at_ms;  /* not before */
    uint32_t settle_partitions_max;
    uint32_t settle_emitting_max; /* outcomes with emissions in one SETTLE */
    uint32_t settle_partitions;   /* in the one in flight */
    uint32_t settle_emitting;

    bool expired; /* left; until the run is back */
    bool stopping;
    uint64_t stop_at_ms;        /* when to give up on the last settle */
    uint64_t handover_until_ms; /* stopping: when to give up on what is below `until` */
    bn_mailbox_stats_t stats;
};

/*  ---- mailbox_effects.c ---- */
bn_mailbox_effect_t *bn_mailbox_effect (bn_mailbox_t *self, bn_mailbox_effect_kind_t kind);
void bn_mailbox_log (bn_mailbox_t *self, bn_log_level_t level, const char *format, ...)
    __attribute__ ((format (printf, 3, 4)));
void bn_mailbox_no_memory (bn_mailbox_t *self);
void bn_run_item_fini (bn_run_item_t *item);

/*  ---- mailbox.c ---- */
void bn_mailbox_fatal (bn_mailbox_t *self, baton_err_t err, const char *format, ...)
    __attribute__ ((format (printf, 3, 4)));

/*  ---- mailbox_link.c ---- */
/*  Encodes and sends; payloads of sections (borrowed, may be NULL) go as further frames. False: no
 *  memory.  */
bool bn_mailbox_ask (bn_mailbox_t *self, bn_ask_kind_t kind, bn_message_t *message,
                     const bn_section_t *sections, uint32_t section_count);
bool bn_mailbox_asking (const bn_mailbox_t *self, bn_ask_kind_t kind);
void bn_mailbox_link_up (bn_mailbox_t *self);
void bn_mailbox_link_down (bn_mailbox_t *self);
void bn_mailbox_message (bn_mailbox_t *self, const bn_mailbox_event_t *event);
void bn_mailbox_expired (bn_mailbox_t *self, uint32_t partition, uint64_t offset);
/*  Drops the session and all progress and says HELLO again.  */
void bn_mailbox_rejoin (bn_mailbox_t *self);
/*  Forgets one partition after a refusal and asks for the assignment anew.  */
void bn_mailbox_refused (bn_mailbox_t *self, uint32_t partition);
/*  The part of every refusal that is the same for all requests; true: dealt with.  */
bool bn_mailbox_common_error (bn_mailbox_t *self, const bn_error_t *error);
/*  The next heartbeat in wait_ms at the latest.  */
void bn_mailbox_beat_early (bn_mailbox_t *self, uint32_t wait_ms);
void bn_mailbox_link_pump (bn_mailbox_t *self);
void bn_mailbox_leave_pump (bn_mailbox_t *self);
uint64_t bn_mailbox_link_due (const bn_mailbox_t *self);

/*  ---- mailbox_partition.c ---- */
/*  Events are taken from it and handed out. Once told to stop: only what lies below its limit, for
 *  those with newer patterns do not know it, and only for a while.  */
bool bn_slot_works (const bn_mailbox_t *self, const bn_slot_t *slot);
/*  Told to stop, and no partition works any more.  */
bool bn_mailbox_halts (const bn_mailbox_t *self);
bool bn_slot_start (bn_mailbox_t *self, bn_slot_t *slot, const bn_assignment_t *assignment);
void bn_slot_forget (bn_mailbox_t *self, bn_slot_t *slot);
void bn_slot_revoke (bn_mailbox_t *self, bn_slot_t *slot);
/*  Newer patterns begin at `until`: lets go of what it has from there on.  */
void bn_slot_limit (bn_mailbox_t *self, bn_slot_t *slot, uint64_t until);
/*  The lowest main-line offset about which nothing is known yet: the floor of a settle.  */
uint64_t bn_slot_unresolved (const bn_slot_t *slot);
uint32_t bn_slot_charged (const bn_slot_t *slot, uint64_t offset);
bool bn_slot_key_parked (const bn_slot_t *slot, uint64_t key_hash);
/*  Events received and not settled, over all partitions.  */
uint64_t bn_mailbox_in_flight (const bn_mailbox_t *self);
/*  Takes ownership of the outcome.  */
void bn_slot_resolve (bn_slot_t *slot, bn_outcome_t *outcome);
void bn_slot_flush_held (bn_slot_t *slot, uint64_t below);
void bn_slot_push_ready (bn_slot_t *slot, bn_outcome_t *outcome);
/*  What it adds to a message is so much from now on.  */
void bn_outcome_account (bn_mailbox_t *self, bn_outcome_t *outcome, size_t bytes);
/*  All zero; NULL: no memory.  */
bn_outcome_t *bn_outcome_new (bn_mailbox_t *self);
void bn_outcome_destroy (bn_mailbox_t *self, bn_outcome_t *outcome);
/*  Those that were kept to be used again; none is in use any more.  */
void bn_outcomes_fini (bn_mailbox_t *self);
bn_parked_entry_t *bn_parked_add (bn_mailbox_t *self, bn_slot_t *slot, const bn_parked_t *parked,
                                  bool settled);
void bn_parked_remove (bn_mailbox_t *self, bn_slot_t *slot, bn_parked_entry_t *entry);
void bn_parked_activate (bn_mailbox_t *self, bn_slot_t *slot, bn_parked_entry_t *entry);
/*  Takes it back to BLOCKED, out of whatever list it is in, data dropped.  */
void bn_parked_block (bn_mailbox_t *self, bn_slot_t *slot, bn_parked_entry_t *entry);
void bn_parked_block_followers (bn_mailbox_t *self, bn_slot_t *slot, bn_parked_entry_t *entry);
bn_parked_entry_t *bn_parked_head (const bn_slot_t *slot, uint64_t key_hash);
/*  The next of the same key, or NULL.  */
bn_parked_entry_t *bn_parked_after (const bn_slot_t *slot, const bn_parked_entry_t *entry);
void bn_parked_revive (bn_mailbox_t *self, bn_slot_t *slot, bn_parked_entry_t *entry);
void bn_parked_want_due (bn_mailbox_t *self);
uint64_t bn_parked_due (const bn_mailbox_t *self);

/*  ---- mailbox_intake.c ---- */
void bn_mailbox_fanout (bn_mailbox_t *self, const bn_mailbox_event_t *event);
void bn_mailbox_fetched (bn_mailbox_t *self, const bn_message_t *message, bn_blob_t *const *blobs);
void bn_mailbox_fetch_refused (bn_mailbox_t *self, const bn_error_t *error);
void bn_mailbox_offsets_fetched (bn_mailbox_t *self, const bn_message_t *message,
                                 bn_blob_t *const *blobs);
void bn_mailbox_offsets_refused (bn_mailbox_t *self, const bn_error_t *error);
void bn_mailbox_head (bn_mailbox_t *self, uint32_t partition, uint64_t head);
void bn_mailbox_subscribe_pump (bn_mailbox_t *self);
void bn_mailbox_fetch_pump (bn_mailbox_t *self);
uint64_t bn_mailbox_fetch_due (const bn_mailbox_t *self);
bool bn_slot_stopped (const bn_mailbox_t *self, const bn_slot_t *slot);

/*  ---- mailbox_queue.c ---- */
/*  The section's payload is all of a blob; without one it is copied: it is a small part of
 *  something larger, which it must not keep in memory. NULL: no memory.  */
bn_chunk_t *bn_chunk_new (bn_mailbox_t *self, bn_slot_t *slot, const bn_section_t *section);
void bn_chunk_destroy (bn_chunk_t *chunk);
/*  A reader of a chunk of which nothing was taken, and its next event. False: FATAL was said.  */
bool bn_chunk_read (bn_mailbox_t *self, const bn_chunk_t *chunk, bn_batch_reader_t *reader);
bool bn_chunk_next (bn_mailbox_t *self, const bn_chunk_t *chunk, bn_batch_reader_t *reader,
                    bn_event_fields_t *event);
/*  That event as an item of a run: offset, topic, fields, blobs counted.  */
void bn_chunk_item (const bn_slot_t *slot, const bn_chunk_t *chunk, bn_text_t topic,
                    const bn_event_fields_t *event, bn_run_item_t *item);
/*  At the end of the queue; it covers everything for us up to its end.  */
void bn_slot_link_last (bn_mailbox_t *self, bn_slot_t *slot, bn_chunk_t *chunk);
/*  The first of those that wait behind a gap.  */
bn_chunk_t *bn_slot_unlink_ahead (bn_mailbox_t *self, bn_slot_t *slot);
void bn_slot_drop_ahead (bn_mailbox_t *self, bn_slot_t *slot);
/*  The chunk with the next event, which is decoded into slot->event and what is beside it, or NULL.
 */
bn_chunk_t *bn_slot_peek (bn_mailbox_t *self, bn_slot_t *slot);
/*  Takes it.  */
void bn_slot_pop (bn_mailbox_t *self, bn_slot_t *slot, bn_run_item_t *item);
/*  Lets go of the chunks behind this one, or (NULL) of all.  */
void bn_slot_cut_chunks (bn_mailbox_t *self, bn_slot_t *slot, bn_chunk_t *last);
/*  What a run has brought back unhandled, before the chunks: the first, or NULL; taken; put where
 *  it belongs (false: no memory); all of it dropped.  */
const bn_run_item_t *bn_slot_returned (const bn_slot_t *slot);
void bn_slot_take_returned (bn_slot_t *slot, bn_run_item_t *item);
bool bn_slot_give_back (bn_slot_t *slot, const bn_run_item_t *item);
void bn_slot_drop_returned (bn_slot_t *slot, uint64_t from); /* those at or above it */
void bn_slot_drop_chunks (bn_mailbox_t *self, bn_slot_t *slot);

/*  ---- mailbox_run.c ---- */
void bn_mailbox_run_pump (bn_mailbox_t *self);
/*  Consumes the run.  */
void bn_mailbox_run_done (bn_mailbox_t *self, bn_run_t *run);
void bn_mailbox_begun (bn_mailbox_t *self);
void bn_mailbox_begin_refused (bn_mailbox_t *self, const bn_error_t *error);
void bn_mailbox_begin_cancel (bn_mailbox_t *self);
uint64_t bn_mailbox_run_due (const bn_mailbox_t *self);

/*  ---- mailbox_settle.c ---- */
void bn_mailbox_settle_pump (bn_mailbox_t *self);
void bn_mailbox_settled (bn_mailbox_t *self);
void bn_mailbox_settle_refused (bn_mailbox_t *self, const bn_error_t *error);
bool bn_slot_dirty (const bn_slot_t *slot);
bool bn_mailbox_dirty (const bn_mailbox_t *self);
uint64_t bn_mailbox_settle_due (const bn_mailbox_t *self);
size_t bn_emission_bytes (const bn_emission_t *emission);

/*  ---- mailbox_relief.c ---- */
/*  Of a partition taken over with so many parked events.  */
void bn_relief_start (bn_relief_t *self, uint32_t parked_max, uint32_t parked);
static inline bool bn_relief_stopped (const bn_relief_t *self)
{
    return self->state != BN_RELIEF_OPEN;
}
/*  A request is built: offer, then allows and add for each outcome of `ready` in turn, offered at
 *  the end, and nothing_goes if there is nothing in it. True: the next one has to wait; until when,
 *  the caller puts into at_ms.  */
void bn_relief_offer (bn_relief_t *self, const bn_outcomes_t *ready);
bool bn_relief_allows (const bn_relief_t *self, const bn_outcome_t *outcome);
void bn_relief_add (bn_relief_t *self, const bn_outcome_t *outcome);
void bn_relief_offered (bn_relief_t *self, bool whole);
bool bn_relief_nothing_goes (bn_relief_t *self);
/*  It was accepted, or refused with LIMIT. True: the next one has to wait, as above.  */
void bn_relief_accepted (bn_relief_t *self);
bool bn_relief_refused (bn_relief_t *self);
/*  A parked event was handled: what became of it makes room, goes first, and at once.  */
void bn_relief_parked_handled (bn_relief_t *self);

/*  ---- mailbox_dead.c ---- */
typedef struct {
    bn_text_t topic;
    const bn_event_fields_t *fields;
    uint32_t partition;
    uint64_t offset;
    uint32_t attempts;
    const char *reason;
} bn_dead_source_t;

/*  A new array of one emission; NULL: no memory.  */
bn_emission_t *bn_mailbox_dead_letter (const bn_mailbox_t *self, const bn_dead_source_t *source);

#endif
