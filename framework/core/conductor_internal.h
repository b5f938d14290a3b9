/* SPDX-License-Identifier: MPL-2.0 */

/*  conductor_internal.h - what the files of the conductor share.
 *
 *    conductor.c          routes, sessions, dispatch, time
 *    conductor_publish.c  PUBLISH; checks of sections
 *    conductor_fanout.c   sections that were accepted: to the state and to the subscribers
 *    conductor_session.c  HEARTBEAT, LEAVE, GONE; how an instance ends
 *    conductor_join.c     JOIN; other patterns
 *    conductor_settle.c   SETTLE, BEGIN
 *    conductor_fetch.c    FETCH, READ and those who wait for events
 *    conductor_dead.c     DEAD, FORGET
 *    conductor_status.c   STATUS
 *    conductor_explain.c  EXPLAIN
 *    assignment.c         which instance gets which partition
 *
 *  Three things are kept apart: a *session* is a connection that said HELLO; an *instance* is a
 *  process that joined an actor and outlives its connection for a while; the *live actor* holds the
 *  instances of one actor and which of them owns which partition, the same that the state says.  */
#ifndef BN_CONDUCTOR_INTERNAL_H
#define BN_CONDUCTOR_INTERNAL_H

#include "base/assert.h"
#include "core/conductor.h"
#include "wire/mixed.h"
#include "wire/topic.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define BN_DEAD_PAGE_MAX    1000
#define BN_JOINS_REMEMBERED 64
#define BN_PARK_MS_MAX      (7ull * 86400 * 1000)

typedef struct bn_session bn_session_t;
typedef struct bn_instance bn_instance_t;
typedef struct bn_actor_live bn_actor_live_t;
typedef struct bn_bundling bn_bundling_t; /* conductor_fanout.c */

#define BN_LIVE_CACHED 256

typedef struct {
    const bn_actor_state_t *actor; /* borrowed; NULL: free */
    const bn_actor_live_t *live;   /* borrowed; NULL: nobody has joined as it */
} bn_live_cached_t;

struct bn_session {
    uint64_t route;
    bn_role_t role;
    uint64_t incarnation;
    uint64_t heard_ms;       /* the last request */
    bool fenced;             /* a later incarnation has taken its instance name */
    bn_instance_t *instance; /* joined as; NULL: not joined */
    bn_read_spec_t *waiting; /* owned; the FETCH or READ that waits for events, or NULL */
    bool waits_for_read;     /* it is a READ: patterns of its own */
    bool woken;
    uint64_t waits_until_ms;
    bn_session_t *woken_next;
    uint64_t fetching;                   /* number of the last FETCH by partitions; 0: none */
    uint64_t fetches[BN_PARTITIONS_MAX]; /* from where; BN_NO_OFFSET: not in it */
};

struct bn_instance {
    char name[BATON_NAME_BYTES_MAX + 1];
    uint64_t incarnation;
    bn_actor_live_t *actor;
    bn_session_t *session; /* NULL: its connection is gone, or it has not come back yet */
    uint64_t deadline_ms;  /* without a session: taken for dead then */
    uint64_t version;      /* of its assignment */
    uint64_t in_flight;    /* received and not settled, as its last heartbeat said */
    bool dirty;            /* the assignment has changed and it was not told */
    bool stale;            /* joined with older patterns: gets nothing from floor_max on */
    bool drains;           /* stale, with the former ones: takes what is left from before the cut */
    uint64_t floor_max;    /* stale: may settle up to here, where newer patterns begin */
    uint32_t owned;        /* partitions, with the revoked ones */
    uint32_t revoked;      /* of them */
    uint32_t desired;      /* scratch of assignment.c */
    bn_bundling_t *bundling; /* scratch of conductor_fanout.c; NULL outside of it */
};

typedef struct {
    char name[BATON_NAME_BYTES_MAX + 1];
    uint64_t incarnation;
    uint32_t revision; /* of the actor's patterns, that it has; 0: older ones */
} bn_joined_before_t;

struct bn_actor_live {
    bn_actor_state_t *state; /* borrowed */
    bn_map_t *instances;     /* name -> bn_instance_t (owned) */
    bn_instance_t *owners[BN_PARTITIONS_MAX];
    bn_instance_t *former[BN_PARTITIONS_MAX]; /* who released it: gets it back if that is even */
    bool revoked[BN_PARTITIONS_MAX];
    bool fresh[BN_PARTITIONS_MAX]; /* given to its owner, ASSIGN not yet made */
    /*  Where the events end that the owner can have in hand; BN_NO_OFFSET: it lives from the
     *  fan-out, or may do so any moment.  */
    uint64_t delivered[BN_PARTITIONS_MAX];
    bn_joined_before_t
        joins[BN_JOINS_REMEMBERED]; /* a ring: the last joins, to tell old from new */
    uint32_t join_next;
    uint32_t revision; /* counts changes of the patterns, since the start of this process */
    bool deserted;     /* no instance with the present patterns is there, since: */
    uint64_t deserted_ms;
};

struct bn_conductor {
    bn_conductor_options_t options;
    bn_state_t *state;      /* owned */
    bn_map_t *sessions;     /* route -> bn_session_t (owned) */
    bn_map_t *live;         /* actor id -> bn_actor_live_t (owned) */
    bn_map_t *waiting;      /* route -> bn_session_t with a waiting fetch or read */
    uint32_t waiting_reads; /* of them */
    uint32_t instances;     /* of all actors */
    bool started;
    uint64_t due_ms;     /* next tick */
    uint64_t stepped_ms; /* the last step */

    /*  The step at hand.  */
    bn_time_t now;
    bool disk_full;
    uint64_t first; /* oldest offset that the journal keeps */
    uint64_t route;
    uint64_t request;
    bn_effects_t *effects;  /* borrowed */
    bn_session_t *woken;    /* waiters that got something, in order */
    bn_blob_t *fanout_body; /* borrowed: record whose sections are going out */
    size_t fanout_position; /* of the next section's payload in it */
    size_t whole_position;  /* of the payload of the mixed section at hand */
    bool bundling;          /* they go out in bundles */
    bn_live_cached_t bundled_for[BN_LIVE_CACHED]; /* for this record, by the actor's number */
    bn_bundling_t *bundlings;                     /* the last one begun first */
    size_t bundled_bytes;                         /* in all of them */
    bn_chain_t *chain;                            /* scratch, owned; options.actors_max entries */
    size_t chain_capacity;
    bn_mixed_event_t *mixed; /* owned; of the mixed sections of the request at hand */
    size_t mixed_capacity;
};

/*  ---- conductor.c ---- */

/*  A reply to the request at hand, or an unsolicited message to any route (request 0).  */
void bn_conductor_send (bn_conductor_t *self, uint64_t route, const bn_message_t *message);
void bn_conductor_reply (bn_conductor_t *self, bn_message_t *message);
/*  The ERROR reply. Returns false, so that a check can say `return bn_conductor_refuse (...)`.  */
bool bn_conductor_refuse (bn_conductor_t *self, baton_err_t err, uint64_t detail,
                          const char *format, ...) __attribute__ ((format (printf, 4, 5)));
/*  Encodes a record and adds PERSIST; borrowed body, or NULL (no memory: effects->failed).  */
bn_blob_t *bn_conductor_persist (bn_conductor_t *self, const bn_record_t *record, uint32_t events);
/*  Applies what was just persisted. false: no memory.  */
bool bn_conductor_apply (bn_conductor_t *self, const bn_record_t *record, uint32_t events);
/*  Both.  */
bool bn_conductor_commit (bn_conductor_t *self, const bn_record_t *record);
uint64_t bn_conductor_wall_ms (const bn_conductor_t *self);
void bn_conductor_due (bn_conductor_t *self, uint64_t ms); /* a deadline: not later than this */
bn_actor_live_t *bn_conductor_live (bn_conductor_t *self,
                                    bn_actor_state_t *state); /* or makes it */
/*  Cuts the tie between a connection and its instance; the instance has until deadline_ms (0: it is
 *  about to end or to be attached again).  */
void bn_conductor_detach (bn_conductor_t *self, bn_session_t *session, uint64_t deadline_ms);

/*  ---- conductor_publish.c ---- */
void bn_conductor_publish (bn_conductor_t *self, bn_session_t *session, bn_publish_t *publish);
/*  Checks sections and gives them their offsets; refuses and returns false, or *events is set.
 *  dead_of: the actor that may write to its $dead topic; NULL: nobody.  */
bool bn_conductor_check_sections (bn_conductor_t *self, bn_section_t *sections, uint32_t count,
                                  const bn_actor_state_t *dead_of, uint32_t *events);
bool bn_conductor_is_dead_topic (const bn_text_t *topic, const bn_actor_state_t *actor);

/*  ---- conductor_fanout.c ---- */
/*  Applies a record with sections, fans them out and wakes those who wait.  */
bool bn_conductor_apply_events (bn_conductor_t *self, const bn_record_t *record, uint32_t events,
                                bn_blob_t *body, const bn_section_t *sections, uint32_t count);

/*  ---- conductor_session.c ---- */
void bn_conductor_heartbeat (bn_conductor_t *self, bn_session_t *session,
                             const bn_heartbeat_t *heartbeat);
void bn_conductor_leave (bn_conductor_t *self, bn_session_t *session,
                         const bn_leave_message_t *leave);
void bn_conductor_gone (bn_conductor_t *self, const bn_gone_t *gone);
/*  An instance died: suspicion, blame, and its partitions to others.  */
void bn_conductor_death (bn_conductor_t *self, bn_instance_t *instance, const char *why);
bn_instance_t *bn_conductor_instance_new (bn_conductor_t *self, bn_actor_live_t *live,
                                          const char *name, size_t size, uint64_t incarnation);
/*  Tells every instance of the actor whose assignment has changed.  */
void bn_conductor_push (bn_conductor_t *self, bn_actor_live_t *live);
bool bn_conductor_owns (const bn_instance_t *instance, uint32_t partition);

/*  What may have been in the hands of a dead one is suspected (G6). false: no memory.  */
bool bn_conductor_suspect (bn_conductor_t *self, const bn_instance_t *instance);
/*  Its assignment (full) or just the heads, as a BEAT or JOINED.  */
void bn_conductor_send_beat (bn_conductor_t *self, const bn_instance_t *instance,
                             bn_message_type_t type, uint64_t request, bool full);

/*  ---- conductor_join.c ---- */
void bn_conductor_join (bn_conductor_t *self, bn_session_t *session, const bn_join_t *join);
/*  A heartbeat of one with the former patterns: where those with the present ones do not come back,
 *  they do.  */
void bn_conductor_go_back (bn_conductor_t *self, const bn_instance_t *instance);
/*  Events from before the cut that wait for instances with the former patterns, at most.  */
uint64_t bn_conductor_left_to_drain (const bn_conductor_t *self, const bn_actor_state_t *actor);

/*  ---- conductor_settle.c ---- */
void bn_conductor_settle (bn_conductor_t *self, bn_session_t *session, bn_settle_t *settle);
void bn_conductor_begin (bn_conductor_t *self, bn_session_t *session, const bn_begin_t *begin);
/*  Refuses with FENCED or NOT_OWNER unless the instance owns the partition in this generation.  */
bool bn_conductor_check_owner (bn_conductor_t *self, const bn_instance_t *instance,
                               uint32_t partition, uint64_t generation);

/*  ---- conductor_fetch.c ---- */
void bn_conductor_fetch (bn_conductor_t *self, bn_session_t *session,
                         const bn_fetch_request_t *fetch);
void bn_conductor_read (bn_conductor_t *self, bn_session_t *session, const bn_read_t *read);
/*  Ends a wait with an empty EVENTS (answer) or without a word.  */
void bn_conductor_stop_waiting (bn_conductor_t *self, bn_session_t *session, bool answer);
/*  A section is being applied: marks who waits for it; bn_conductor_wake then answers them.  */
void bn_conductor_notice (bn_conductor_t *self, const bn_topic_state_t *topic,
                          const bn_section_t *section);
void bn_conductor_wake (bn_conductor_t *self);

/*  ---- conductor_dead.c, conductor_status.c, conductor_explain.c ---- */
void bn_conductor_dead (bn_conductor_t *self, const bn_dead_t *dead);
void bn_conductor_forget (bn_conductor_t *self, const bn_text_t *name);
void bn_conductor_status (bn_conductor_t *self);
void bn_conductor_explain (bn_conductor_t *self, const bn_explain_t *explain);

/*  ---- assignment.c ---- */
void bn_assignment_give (bn_actor_live_t *live, uint32_t partition, bn_instance_t *instance);
void bn_assignment_free (bn_actor_live_t *live, uint32_t partition, bn_instance_t *former);
void bn_assignment_revoke (bn_actor_live_t *live, uint32_t partition);
/*  Connected, and may be given what is left from before the cut.  */
bool bn_assignment_drainer (const bn_instance_t *instance);
/*  Shares free partitions out, revokes what is uneven, journals new owners. false: no memory.  */
bool bn_assignment_balance (bn_conductor_t *self, bn_actor_live_t *live);

#endif
