/* SPDX-License-Identifier: MPL-2.0 */

/*  message.h - the messages of the protocol, as structs and as bytes.
 *
 *  A message is: frame 0 = 'B' 'T' version type, then one MessagePack array, positional, whose
 *  first element is the request number; then one frame per section where the message carries
 *  sections. docs/protocol.md has the ABNF and is the contract; this file implements it.
 *
 *  Decoding checks everything: counts, lengths, names, UTF-8, the exact number of fields and
 *  frames. A decoded message borrows its texts and payloads from the frames. Arrays in it are
 *  allocated after their counts were checked; bn_message_fini frees them.  */
#ifndef BN_MESSAGE_H
#define BN_MESSAGE_H

#include "wire/batch.h"

/*  ---- limits of the protocol (counts unless the name says otherwise) ---- */
#define BN_SECTIONS_MAX 16384           /* per message */
#define BN_SECTION_EVENTS_MAX 1000000   /* per section */
#define BN_PATTERNS_MAX 64              /* per actor */
#define BN_PARTITIONS_MAX 256
#define BN_PARKED_MAX 65536             /* per partition in one message */
/*  A SETTLE may be so much longer than message_bytes_max: a dead letter is longer than its event,
 *  which may have been as long as a message can be.  */
#define BN_SETTLE_BYTES_MORE 8192
#define BN_EXPLAINED_MAX 1000           /* events of a key in one EXPLAINED */
#define BN_REASON_BYTES_MAX 255         /* of a dead letter */
#define BN_PARKED_REASON_BYTES_MAX 120  /* the state keeps them in memory */
#define BN_ENDPOINT_BYTES_MAX 255
#define BN_FRAMES_MAX (BN_SECTIONS_MAX + 1)
#define BN_NO_OFFSET UINT64_MAX

typedef enum {
    BN_HELLO = 0x01,
    BN_PUBLISH = 0x02,
    BN_JOIN = 0x03,
    BN_FETCH = 0x04,
    BN_SETTLE = 0x05,
    BN_BEGIN = 0x06,
    BN_HEARTBEAT = 0x07,
    BN_LEAVE = 0x08,
    BN_STATUS = 0x09,
    BN_READ = 0x0a,
    BN_DEAD = 0x0b,
    BN_FORGET = 0x0c,
    BN_GONE = 0x0d,
    BN_EXPLAIN = 0x0e,
    BN_FANOUT = 0x40,
    BN_BUNDLE = 0x41,
    BN_WELCOME = 0x81,
    BN_RECEIPT = 0x82,
    BN_JOINED = 0x83,
    BN_EVENTS = 0x84,
    BN_SETTLED = 0x85,
    BN_BEGUN = 0x86,
    BN_BEAT = 0x87,
    BN_LEFT = 0x88,
    BN_STATUS_REPLY = 0x89,
    BN_DEAD_REPLY = 0x8b,
    BN_FORGOTTEN = 0x8c,
    BN_GONE_REPLY = 0x8d,
    BN_EXPLAINED = 0x8e,
    BN_ERROR = 0xff
} bn_message_type_t;

typedef enum { BN_ROLE_PRODUCER = 1, BN_ROLE_ACTOR = 2, BN_ROLE_ADMIN = 3 } bn_role_t;

/*  A run of events of one topic and partition.  */
typedef struct bn_section {
    bn_text_t topic;
    uint32_t partition;
    uint32_t count;       /* events, >= 1 */
    uint64_t base;        /* offset of the first one; 0 in PUBLISH and SETTLE */
    bn_slice_t payload;   /* blob counted if not NULL */
    void *topic_state;    /* borrowed; core's, once it has looked the topic up; else NULL */
    struct bn_mixed_event *mixed; /* borrowed; core's: the events, if the topic is "" (mixed.h) */
} bn_section_t;

void bn_section_array_free (bn_section_t *sections, uint32_t count); /* NULL is fine */

/*  A parked event, as state, settle and assignment know it.  */
typedef struct {
    uint64_t offset;
    uint32_t attempts;    /* charged so far; 0: only waits behind an elder of its key */
    uint64_t due_ms;      /* on the wire: milliseconds from now; in state: wall clock, ms */
    uint64_t key_hash;    /* bn_hash of the key; 0 for an empty key, which blocks nothing */
    bn_text_t reason;     /* of the last attempt; "": none is known. Not in an assignment */
} bn_parked_t;

typedef struct {
    uint64_t offset;
    uint32_t attempts;
    bn_text_t reason;     /* as in bn_parked_t */
} bn_charged_t;           /* crashes charged to an event that is not parked */

typedef struct {          /* one entry of an assignment */
    uint32_t partition;
    uint64_t generation;
    bool revoked;         /* finish, settle with release, forget it */
    uint64_t floor;
    uint64_t head;        /* end (exclusive) of the last section for this actor here */
    uint64_t careful_until; /* BEGIN each event below this offset, and each parked one that
                               has parked below it, before handling it; 0: none */
    bn_parked_t *parked;  /* owned; ascending offsets */
    uint32_t parked_count;
    bn_charged_t *charged; /* owned */
    uint32_t charged_count;
    uint64_t until;       /* take nothing at or above it: others have newer patterns; 0: no limit */
} bn_assignment_t;

typedef struct {
    uint32_t partition;
    uint64_t value;
} bn_partition_u64_t;

typedef struct {          /* one partition in FETCH */
    uint32_t partition;
    uint64_t generation;
    uint64_t from;
} bn_fetch_t;

typedef struct {          /* a dead letter in SETTLE */
    uint64_t offset;      /* of the event that died */
    uint32_t attempts;
} bn_died_t;

typedef struct {          /* one partition in SETTLE */
    uint32_t partition;
    uint64_t generation;
    uint64_t floor;       /* new floor: all below is settled, parked or dead */
    uint32_t handled;     /* main-line events between old and new floor (for the exact lag) */
    bn_parked_t *parks;   /* owned; added or updated */
    uint32_t park_count;
    uint64_t *dones;      /* owned; offsets of parked events that are now settled */
    uint32_t done_count;
    bn_died_t *died;      /* owned; each has its copy in a $dead.ACTOR section of the message, in
                             the same order within the partition */
    uint32_t died_count;
    bool release;         /* gives the partition up afterwards */
} bn_settlement_t;

typedef enum { BN_START_TAIL = 0, BN_START_BEGINNING = 1, BN_START_OFFSET = 2 } bn_start_t;

typedef struct {
    uint32_t max_attempts;
    uint32_t backoff_min_ms;
    uint32_t backoff_max_ms;
    uint32_t handler_deadline_ms;
} bn_policy_t;

typedef enum { BN_LEAVE_CLEAN = 0, BN_LEAVE_EXPIRED = 1 } bn_leave_t;
typedef enum { BN_DEAD_LIST = 0, BN_DEAD_REDRIVE = 1, BN_DEAD_DISCARD = 2 } bn_dead_op_t;
typedef enum { BN_FROM_OFFSET = 0, BN_FROM_TIME = 1 } bn_from_t;

typedef struct {
    uint64_t dead_offset; /* of the copy in $dead.ACTOR: its name for people */
    uint64_t offset;      /* of the event that died */
    uint32_t partition;
    uint32_t attempts;
    uint64_t time_us;     /* when it was given up */
} bn_dead_letter_t;

typedef struct {          /* chain entry of a fan-out header */
    uint32_t actor_id;
    uint64_t previous_end; /* end (exclusive) of the last section for that actor here */
} bn_chain_t;

/*  Field order in each struct = field order on the wire, after the request number.  */
typedef struct {
    bn_role_t role;
    bn_text_t name;          /* source of a producer, actor's name, anything for an admin */
    uint64_t incarnation;    /* random, one per process; a producer's id */
} bn_hello_t;

typedef struct {
    uint64_t journal_id;
    uint32_t partitions;
    uint64_t tail;           /* offset that the next event gets */
    uint32_t heartbeat_ms;
    uint32_t session_timeout_ms;
    uint32_t message_bytes_max;
    uint32_t data_bytes_max;
    uint64_t producer_sequence; /* last one journaled for this producer id; 0: none */
    bn_text_t fanout_endpoint; /* host 0.0.0.0 or *: take the host that HELLO was sent to */
} bn_welcome_t;

typedef struct {
    uint64_t producer_id;
    uint64_t sequence;       /* 1, 2, 3, ... */
    bn_section_t *sections;
    uint32_t section_count;
} bn_publish_t;

typedef struct {
    uint64_t sequence;
    uint64_t base;           /* offset of the first event; BN_NO_OFFSET: a repeat too old to know */
    uint32_t count;
    bool duplicate;
} bn_receipt_t;

typedef struct {
    bn_text_t actor;
    bn_text_t instance;
    uint64_t incarnation;
    bn_text_t *patterns;     /* owned array */
    uint32_t pattern_count;
    bn_start_t start;
    uint64_t start_offset;
    bn_policy_t policy;
} bn_join_t;

typedef struct {             /* JOINED (actor_id set) and BEAT */
    uint32_t actor_id;       /* JOINED only */
    uint32_t parked_max;     /* JOINED only: events that may be parked in a partition */
    uint64_t version;        /* of the assignment */
    uint64_t tail;
    bn_partition_u64_t *heads; /* owned; chain heads of the instance's partitions */
    uint32_t head_count;
    bool assignments_set;    /* BEAT: nil when the version that was asked with is current */
    bn_assignment_t *assignments; /* owned */
    uint32_t assignment_count;
} bn_beat_t;

typedef struct {
    uint32_t wait_ms;        /* long poll: answer empty only after that long; at most 30,000 */
    uint32_t bytes_max;      /* of payload; at least one section is sent whatever its size */
    bn_fetch_t *partitions;  /* owned */
    uint32_t partition_count;
    uint64_t *offsets;       /* owned; single events asked for (parked ones); exclusive with
                                partitions: exactly one of the two is not empty */
    uint32_t offset_count;
} bn_fetch_request_t;

typedef struct {
    uint64_t from;           /* where the scan started (READ by time: what it resolved to) */
    uint64_t scanned_to;     /* everything asked for below this offset was sent now or before */
    bool at_tail;
    bn_section_t *sections;
    uint32_t section_count;
} bn_events_t;

typedef struct {
    bn_settlement_t *settlements; /* owned */
    uint32_t settlement_count;
    bn_section_t *sections;
    uint32_t section_count;
} bn_settle_t;

typedef struct {
    uint64_t base;           /* of the emitted events; BN_NO_OFFSET if none */
    uint32_t count;
} bn_settled_t;

typedef struct {
    uint32_t partition;
    uint64_t generation;
    uint64_t offset;
} bn_begin_t;

typedef struct {
    uint64_t version;        /* of the assignment that the sender has; 0: none */
    uint64_t in_flight;      /* events that it has received and not settled: for the status */
} bn_heartbeat_t;

typedef struct {
    bn_leave_t reason;
    uint32_t partition;      /* EXPIRED: of the event whose handler is still running */
    uint64_t offset;         /* EXPIRED; BN_NO_OFFSET if CLEAN */
} bn_leave_message_t;

typedef struct {
    uint32_t wait_ms;
    uint32_t bytes_max;
    bn_from_t from_kind;
    uint64_t from;           /* offset, or microseconds since 1970 UTC */
    bn_text_t *patterns;     /* owned array; none: everything, also $ topics */
    uint32_t pattern_count;
} bn_read_t;

typedef struct {
    bn_dead_op_t op;
    bn_text_t actor;
    bool dry_run;
    uint64_t from;           /* LIST: dead offsets from here on */
    uint32_t count_max;      /* LIST: at most 1,000 */
    uint64_t *offsets;       /* owned; REDRIVE, DISCARD: dead offsets; none: all */
    uint32_t offset_count;
} bn_dead_t;

typedef struct {
    bool more;
    uint64_t affected;       /* REDRIVE, DISCARD: how many */
    bn_dead_letter_t *letters; /* owned; LIST, and what a redrive or discard takes, first 1,000 */
    uint32_t letter_count;
} bn_dead_reply_t;

typedef struct {
    bn_text_t actor;
    uint32_t partition;
    uint64_t offset;         /* of the event that is asked about; BN_NO_OFFSET: the key alone */
    bn_text_t key;           /* "": none, blocks nothing */
} bn_explain_t;

/*  What an event is to an actor.  */
typedef enum {
    BN_EVENT_NOT_ASKED = 0,
    BN_EVENT_SETTLED = 1,    /* or discarded, or before the actor's start, or not for it */
    BN_EVENT_READY = 2,      /* at or above the floor; if it is for the actor at all */
    BN_EVENT_PARKED = 3,
    BN_EVENT_DEAD = 4
} bn_event_state_t;

typedef struct {
    bn_event_state_t state;
    uint32_t attempts;       /* charged so far */
    uint64_t due_ms;         /* PARKED: milliseconds from now */
    bn_text_t reason;        /* READY, PARKED: of the last attempt; "": none is known */
    uint64_t elder;          /* lowest parked event of the key below it; BN_NO_OFFSET: none */
    uint64_t dead_offset;    /* DEAD: of the copy; else BN_NO_OFFSET */
    uint64_t died_us;        /* DEAD: when */
    uint64_t floor;          /* of the partition, as the following */
    uint64_t head;
    uint64_t ready;          /* events at or above the floor; at most, unless exact */
    bool exact;
    uint32_t parked;         /* events; at parked_max the partition waits */
    uint32_t parked_max;
    uint64_t careful_until;  /* 0: not careful */
    uint64_t begun;          /* careful: what is in the handler; BN_NO_OFFSET: not known */
    uint64_t generation;
    bn_text_t instance;      /* that it is assigned to; "": nobody */
    bool connected;          /* it has a session */
    bool revoked;            /* it is to release it, for another one */
    uint64_t in_flight;      /* of the instance, in all its partitions */
    bool more;               /* there are more than these: */
    bn_parked_t *waiting;    /* owned; parked events of the key, ascending offsets */
    uint32_t waiting_count;
    bn_dead_letter_t *letters; /* owned; dead letters of the key */
    uint32_t letter_count;
} bn_explained_t;

typedef struct {             /* a process has ended, says who started it */
    bn_text_t actor;         /* empty: whatever it had joined */
    bn_text_t instance;
    uint64_t incarnation;
} bn_gone_t;

typedef struct {
    uint32_t count;          /* instances that this ended */
} bn_gone_reply_t;

typedef struct {
    uint32_t code;           /* baton_err_t */
    bool retriable;
    bn_text_t name;          /* "FENCED" */
    bn_text_t text;          /* one line: what and where */
    uint64_t detail;         /* SEQUENCE: the expected one; FENCED, NOT_OWNER, OFFSET: the
                                partition; else 0 */
} bn_error_t;

typedef struct {
    bn_message_type_t type;
    uint64_t request;        /* echoed by the reply; 0: unsolicited */
    union {
        bn_hello_t hello;
        bn_welcome_t welcome;
        bn_publish_t publish;
        bn_receipt_t receipt;
        bn_join_t join;
        bn_beat_t beat;               /* BN_JOINED, BN_BEAT */
        bn_fetch_request_t fetch;
        bn_events_t events;
        bn_settle_t settle;
        bn_settled_t settled;
        bn_begin_t begin;
        bn_heartbeat_t heartbeat;
        bn_leave_message_t leave;
        bn_read_t read;
        bn_dead_t dead;
        bn_dead_reply_t dead_reply;
        bn_text_t forget;             /* BN_FORGET: actor */
        bn_gone_t gone;
        bn_gone_reply_t gone_reply;
        bn_explain_t explain;
        bn_explained_t explained;
        bn_slice_t status;            /* BN_STATUS_REPLY: one MessagePack map, self-describing */
        bn_error_t error;
    };
} bn_message_t;

/*  A frame in memory.  */
typedef struct {
    const void *data;
    size_t size;
} bn_frame_t;

/*  Decodes; frames are borrowed and must outlive the message. On an error *message holds only type
 *  and request as far as they could be read (so that an answer can be addressed), nothing to
 *  free, and `what` (256 bytes, may be NULL) says what is wrong and where. Errors: MALFORMED,
 *  VERSION, UNKNOWN_TYPE, TOO_LARGE, TOO_DEEP, TOPIC, NAME, PARTITION, KEY, MEMORY. The payloads
 *  of sections are not checked here: bn_batch_check.  */
baton_err_t bn_message_decode (bn_message_t *message, const bn_frame_t *frames, size_t count,
                               char what[256]);
void bn_message_fini (bn_message_t *message);

/*  Encodes frame 0; section payloads are the further frames, sent as they are. NULL: no memory.  */
bn_blob_t *bn_message_encode (const bn_message_t *message);

/*  An ERROR reply. text may be NULL: the code's own.  */
bn_blob_t *bn_error_encode (uint64_t request, baton_err_t err, uint64_t detail, const char *text);

/*  Fan-out: frame 0 is the partition byte and the topic, frame 1 this header, frame 2 the
 *  payload. */
typedef struct {
    uint32_t partition;
    bn_text_t topic;
    uint64_t base;
    uint32_t count;
    bn_chain_t *chain;       /* owned when decoded */
    uint32_t chain_count;
} bn_fanout_t;

bn_blob_t *bn_fanout_topic_encode (uint32_t partition, const char *topic, size_t size);
bn_blob_t *bn_fanout_encode (const bn_fanout_t *fanout);
baton_err_t bn_fanout_decode (bn_fanout_t *fanout, const bn_frame_t *frames, size_t count,
                              char what[256]);
void bn_fanout_fini (bn_fanout_t *fanout);

/*  Many small sections for one instance: frame 0 is its channel, frame 1 this header, frame 2 the
 *  payloads, one after the other.  */
typedef struct {
    bn_text_t topic;
    uint32_t partition;
    uint64_t base;
    uint32_t count;
    uint64_t previous_end; /* of the instance's actor, as in a chain */
    uint32_t bytes;        /* of payload */
} bn_bundled_t;

typedef struct {
    bn_bundled_t *sections; /* owned when decoded */
    uint32_t section_count;
} bn_bundle_t;

/*  What the instance subscribes to: no partition and topic start like it.  */
bn_blob_t *bn_channel_encode (uint32_t actor_id, uint64_t incarnation);
bool bn_is_channel (const void *head, size_t size);
bn_blob_t *bn_bundle_encode (const bn_bundle_t *bundle);
/*  As bn_fanout_decode; the bytes of all sections are those of frame 2.  */
baton_err_t bn_bundle_decode (bn_bundle_t *bundle, const bn_frame_t *frames, size_t count,
                              char what[256]);
void bn_bundle_fini (bn_bundle_t *bundle);

#endif
