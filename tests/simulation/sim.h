/* SPDX-License-Identifier: MPL-2.0 */

/*  sim.h - a whole system in one thread under a virtual clock.
 *
 *  DESIGN. The production machines (conductor, gate, mailbox, outbox) and the production journal
 *  run here; the event loop, the sockets, the disk and the handlers are played. Everything that
 *  happens is an event in one queue, ordered by virtual time; everything that is random comes from
 *  one seed. So a seed is a whole run, and the same run each time.
 *
 *      config.c     what the seed makes of limits, rates and faults
 *      world.c      the queue, time, the trace, the story
 *      network.c    connections, and the fan-out that drops
 *      server.c     the orchestrator's shell: conductor, gate, journal jobs, crash and recovery
 *      process.c    an actor's process: mailbox and model handler
 *      client.c     producers and an administrator
 *      watcher.c    somebody who reads along
 *      model.c      what the journal's records add up to, worked out again
 *      oracle.c     what must hold
 *      answers.c    what the administrator must be told
 *      nemesis.c    faults
 *      memory.c     allocations that fail
 *
 *  INVARIANT: nothing here reads a clock, an address or the machine's randomness.  */
#ifndef BN_SIM_H
#define BN_SIM_H

#include "base/prng.h"
#include "base/time.h"
#include "core/conductor.h"
#include "core/mailbox.h"
#include "core/outbox.h"
#include "journal/journal.h"
#include "support/disk.h"
#include <baton/actor.h>

#define SIM_ACTORS_MAX     4
#define SIM_PARTITIONS_MAX 8
#define SIM_PROCESSES_MAX  24 /* slots; those that run at a time */
#define SIM_PRODUCERS_MAX  3
#define SIM_NAMES_MAX      4 /* instances of one actor */
#define SIM_PEERS_MAX      (SIM_PROCESSES_MAX + SIM_PRODUCERS_MAX + 2)
#define SIM_STORY_LINES    48
#define SIM_LINE_BYTES     200
#define SIM_EPOCH_US       UINT64_C (1700000000000000)

/*  ---- config.c ---- */

typedef enum {
    FAULT_POWER,      /* the machine loses power */
    FAULT_KILL,       /* the orchestrator's process dies */
    FAULT_DISK_CUT,   /* power goes during a disk call */
    FAULT_DISK_ERROR, /* a disk call fails: EIO or ENOSPC */
    FAULT_DISK_FULL,  /* below the reserve for a while */
    FAULT_DISK_SLOW,
    FAULT_ROT,        /* a synced byte changes, on a copy of the disk */
    FAULT_DISCONNECT, /* a connection ends, with what was in flight */
    FAULT_SPLIT,      /* one direction stands still for a while */
    FAULT_FANOUT,     /* the fan-out drops */
    FAULT_CRASH,      /* an actor's process dies */
    FAULT_POISON,     /* an event whose handler kills its process */
    FAULT_HANG,       /* a handler runs past its deadline */
    FAULT_PAUSE,      /* a process sleeps past its session and wakes up */
    FAULT_REPLACE,    /* the same while another one takes its name */
    FAULT_STOP,       /* a process is asked to stop */
    FAULT_REPLAY,     /* a process says once more what it said in an earlier session */
    FAULT_CLOCK,      /* the wall clock jumps */
    FAULT_DEPLOY,     /* an actor comes back with other patterns; some old processes stay */
    FAULT_FORGET,     /* an actor is stopped, forgotten, and started as a new one */
    FAULT_MEMORY,     /* an allocation within a step fails, or all from one on */
    FAULT_COUNT
} sim_fault_t;

/*  Of an actor's patterns: as written first, fewer, others, and all of these and more.  */
#define SIM_REVISIONS 4
#define SIM_WIDEST    3
#define SIM_PATTERNS  3

typedef struct {
    const char *name;
    const char *patterns[SIM_REVISIONS][SIM_PATTERNS]; /* NULL: no more */
    uint32_t start_kind;                               /* baton_start_t */
    uint64_t start_value;
    uint32_t names; /* instances */
    bn_policy_t policy;
    uint32_t emit_pct; /* acknowledgements that emit */
    const char *emit_topic;
} sim_actor_config_t;

typedef struct {
    bool faults[FAULT_COUNT];
    uint32_t partitions;
    uint32_t actor_count;
    sim_actor_config_t actors[SIM_ACTORS_MAX];
    uint32_t producer_count;
    uint32_t topics;
    uint32_t keys;
    uint32_t keyless_pct;
    uint32_t groups; /* published by each producer */
    uint32_t group_events_max;
    uint32_t padding_max;    /* bytes of data beside the identity */
    uint32_t produce_gap_us; /* mean */
    uint32_t retry_pct, reject_pct;
    uint32_t poison_pct;
    uint32_t handle_us;    /* mean */
    uint32_t delay_us;     /* network, mean */
    uint32_t sync_us;      /* mean */
    uint32_t fault_gap_us; /* mean */
    uint64_t safety_us;
    uint32_t fanout_hwm;
    uint32_t fanout_drop_pct;
    bn_sync_t sync;
    uint32_t sync_interval_ms;
    uint64_t segment_bytes;
    uint64_t checkpoint_bytes; /* 0: no views at all */
    uint64_t retention_bytes;  /* 0: keep everything */
    uint32_t prefetch_bytes;
    uint32_t settle_bytes;
    uint32_t run_events;
    uint32_t jitter_pct;
    bool misled; /* actors are told of a larger parked_max than there is */
    uint32_t request_bytes;
    bn_conductor_options_t conductor;
} sim_config_t;

void sim_config_make (sim_config_t *config, uint64_t seed);
const char *sim_fault_name (sim_fault_t fault);

/*  ---- world.c ---- */

/*  Frames on their way; blobs counted.  */
typedef struct {
    bn_blob_t **blobs;
    size_t count;
} sim_message_t;

typedef enum {
    EVENT_SERVER_TICK,
    EVENT_SERVER_START,
    EVENT_SERVER_JOB,
    EVENT_SERVER_IDLE,
    EVENT_SERVER_SYNCED, /* the sync in flight is over */
    EVENT_TO_SERVER, /* a: connection; message */
    EVENT_TO_PEER,   /* a: connection; b: epoch of its actor when it left; message */
    EVENT_GONE,      /* a: connection: the server learns of its end */
    EVENT_DOWN,      /* a: connection: the peer learns of its end */
    EVENT_CONNECT,   /* a: peer; b: its attempt */
    EVENT_FANOUT,    /* a: process slot; b: its subscription's life; message */
    EVENT_SUB_UP,    /* a: process slot; b: incarnation */
    EVENT_SUB_DOWN,  /* a: process slot; b: its subscription's life */
    EVENT_PEER_TICK, /* a: peer */
    EVENT_HANDLER,   /* a: process slot; b: incarnation; c: 0 begin, 1 end */
    EVENT_DEADLINE,  /* a: process slot; b: incarnation; c: call */
    EVENT_PROCESS,   /* a: actor; b: name: start a process */
    EVENT_PRODUCE,   /* a: producer */
    EVENT_ADMIN,
    EVENT_WATCHER,
    EVENT_NEMESIS
} sim_event_kind_t;

typedef struct {
    uint64_t time_us;
    uint64_t order;
    sim_event_kind_t kind;
    uint64_t a, b, c;
    sim_message_t message;
} sim_event_t;

typedef struct {
    uint32_t peer;
    uint32_t actor;       /* of the process */
    uint64_t incarnation; /* of the process; 0: another peer */
    uint32_t revision;    /* of the process */
    uint32_t life;        /* of the server */
    bool peer_open;
    bool server_open;
    bool ending;
    uint64_t last_us[2]; /* 0 to the server, 1 to the peer */
    uint64_t cut_us[2];  /* nothing arrives later */
    uint64_t held_us[2]; /* nothing arrives before */
} sim_connection_t;

typedef enum { PEER_PROCESS, PEER_PRODUCER, PEER_ADMIN, PEER_WATCHER } sim_peer_kind_t;

typedef struct {
    sim_peer_kind_t kind;
    uint32_t index;
    uint64_t connection; /* 0: none */
    uint64_t attempt;
    uint64_t tick_us; /* the tick that counts; UINT64_MAX: none */
    bool used;
} sim_peer_t;

typedef struct {
    uint8_t bytes[64];
    size_t size;
    uint64_t from_us; /* the publisher knows of it from then on */
} sim_filter_t;

typedef struct {
    bool used;
    uint32_t actor;
    uint32_t name;
    uint32_t revision;
    uint64_t started_us;
    uint64_t incarnation;
    uint64_t epoch; /* the actor's, as its last JOINED left the orchestrator */
    bn_mailbox_t *mailbox;
    char *instance;
    bool current; /* the one that is started again when it ends */
    bool stopping;
    uint64_t paused_us;
    uint64_t starved;   /* the allocation of its next step that fails; 0: none */
    sim_message_t said; /* its last SETTLE, and where */
    uint64_t said_connection;
    /*  Fan-out.  */
    bool sub_wanted;
    bool sub_up;
    uint64_t sub_life;
    uint64_t sub_last_us;
    uint32_t sub_waiting;     /* messages on their way */
    sim_filter_t filters[65]; /* prefixes by partitions, and the channel */
    uint32_t filter_count;
    /*  Handler.  */
    bn_run_t *run;
    uint64_t run_epoch; /* epoch when it was handed out */
    bool run_after_stop;
    uint32_t at;
    uint64_t call; /* in the handler: number + 1; 0: none */
    bool expired;
    uint64_t expired_offset;
} sim_process_t;

typedef struct {
    uint64_t id;
    bn_outbox_t *outbox;
    uint32_t groups_made;
    uint32_t groups_receipted;
    uint64_t *group_first; /* serial of the first event, by ticket */
} sim_producer_t;

typedef struct {
    bool up;
    uint32_t life;
    bn_disk_t *disk;
    bn_vfs_t *vfs;
    bn_journal_writer_t *writer;
    bn_journal_reader_t *reader;
    bn_conductor_t *conductor;
    bn_gate_t *gate;
    bn_effects_t effects;
    uint64_t sequence_next;
    uint64_t durable;
    uint64_t written;
    uint64_t synced;
    bn_journal_flight_t flight; /* with the policy interval; `file` NULL: none */
    bool flown;                 /* the disk has done its part already */
    uint64_t sync_due_us;       /* of what is written and not synced */
    uint64_t unchecked; /* bytes since the last checkpoint */
    uint64_t tick_us;
    /*  The batch that gathers and the job in hand, as ranges of the model's records.  */
    uint64_t batch_first, batch_last;
    uint64_t job_first, job_last;
    int phase; /* of the job; 0: idle */
    bool idle_due;
    bool disk_full;
    uint64_t slow_until_us;
    struct sim_views *job_views;
    uint64_t trim_offset, trim_sequence;
    uint64_t first_base;
    uint64_t kept;           /* records that the last crash must have left */
    bool cut;                /* power may go during a disk call */
    struct sim_views *views; /* the checkpoint on disk, or NULL */
    bool rotten;             /* recovery is being tried on a copy with rot */
    bn_state_t *shadow;      /* the journaled records, decoded and applied once more */
    uint64_t starved;        /* the allocation of the next step that fails; 0: none */
    uint64_t sender;         /* connection whose message is being stepped; 0: none */
    bool armed;              /* a disk call was made to fail: an error is no surprise */
} sim_server_t;

typedef struct {
    uint64_t steps, events, emitted, settles, calls, crashes, virtual_us, records, recoveries,
        rot_cases, torn, lost, read, answers, starved;
    uint64_t faults[FAULT_COUNT];
    uint64_t fanout_drops;
    uint64_t refusals;
} sim_stats_t;

/*  Of the requests for lists of dead letters: to check their answers.  */
#define SIM_ASKED 8

typedef struct {
    uint64_t request;
    uint32_t actor;
    uint64_t from;
    uint32_t count;
} sim_asked_t;

typedef struct {
    bool ready;
    uint64_t request; /* in flight; 0: none */
    uint64_t request_last;
    uint64_t asked_us;
    uint64_t next;
    const char *pattern; /* NULL: everything */
} sim_watcher_t;

typedef struct sim_model sim_model_t;

typedef struct {
    uint64_t seed;
    sim_config_t config;
    bn_prng_t prng;
    uint64_t now_us;
    int64_t wall_skew_us;
    bool liveness; /* the second phase: no more faults */
    uint64_t trace;
    sim_event_t *heap;
    size_t heap_count, heap_capacity;
    uint64_t order;
    sim_connection_t *connections;
    size_t connection_count, connection_capacity;
    sim_peer_t peers[SIM_PEERS_MAX];
    sim_process_t processes[SIM_PROCESSES_MAX];
    sim_producer_t producers[SIM_PRODUCERS_MAX];
    uint64_t incarnation_last;
    uint32_t revisions[SIM_ACTORS_MAX]; /* that new processes are of */
    uint64_t forget_us[SIM_ACTORS_MAX]; /* until then it is tried to forget it; 0: it is not */
    uint64_t forget_asked[SIM_ACTORS_MAX]; /* number of the last request for it; 0: none */
    uint64_t admin_request;
    bool admin_ready;
    sim_asked_t asked[SIM_ASKED];
    sim_watcher_t watcher;
    sim_server_t server;
    sim_model_t *model;
    sim_stats_t stats;
    bool failed;
    char failure[512];
    bool tell;    /* keep a story */
    bool verbose; /* and print it */
    char story[SIM_STORY_LINES][SIM_LINE_BYTES];
    uint64_t story_count;
} sim_t;

/*  Runs a seed to its end; the caller frees. `failure` says what is wrong, with G1 to G8.  */
sim_t *sim_new (uint64_t seed, bool tell, bool verbose);
void sim_run (sim_t *sim);
void sim_destroy (sim_t **sim_p);

bool sim_fail (sim_t *sim, const char *format, ...) __attribute__ ((format (printf, 2, 3)));
void sim_say_line (sim_t *sim, const char *format, ...) __attribute__ ((format (printf, 2, 3)));
#define sim_say(sim, ...)                                                                          \
    do {                                                                                           \
        if ((sim)->tell)                                                                           \
            sim_say_line ((sim), __VA_ARGS__);                                                     \
    } while (0)

bn_time_t sim_time (const sim_t *sim);
uint64_t sim_random (sim_t *sim);
uint64_t sim_below (sim_t *sim, uint64_t bound);
bool sim_chance (sim_t *sim, uint32_t pct);
/*  Between half and one and a half of the mean, sometimes ten times as long.  */
uint64_t sim_about (sim_t *sim, uint64_t mean_us);
/*  Later than now by at least a microsecond, unless asked for now.  */
sim_event_t *sim_push (sim_t *sim, uint64_t time_us, sim_event_kind_t kind, uint64_t a, uint64_t b,
                       uint64_t c);
sim_message_t sim_message (bn_blob_t *head, const bn_slice_t *payloads, size_t count);
void sim_message_fini (sim_message_t *message);
void sim_trace (sim_t *sim, uint64_t value);
void *sim_must (void *memory);

/*  ---- network.c ---- */
sim_connection_t *sim_connection (sim_t *sim, uint64_t id);
void sim_peer_init (sim_t *sim, uint32_t peer, sim_peer_kind_t kind, uint32_t index);
void sim_connect_later (sim_t *sim, uint32_t peer, uint64_t mean_us);
void sim_to_server (sim_t *sim, uint32_t peer, bn_blob_t *head, const bn_slice_t *payloads,
                    size_t count);
void sim_to_peer (sim_t *sim, uint64_t connection, bn_blob_t *head, const bn_slice_t *payloads,
                  size_t count);
/*  The network ends it: both sides learn of it, each in its time.  */
void sim_disconnect (sim_t *sim, uint64_t connection);
/*  The peer ends it, or its process is dead.  */
void sim_hang_up (sim_t *sim, uint32_t peer);
void sim_server_gone (sim_t *sim); /* every connection */
void sim_fanout (sim_t *sim, const bn_effect_t *effect);
void sim_subscribe (sim_t *sim, uint32_t slot, const bn_blob_t *prefix, bool on);
void sim_network_event (sim_t *sim, sim_event_t *event);
/*  When the peer ticks next.  */
void sim_peer_due (sim_t *sim, uint32_t peer, uint64_t due_ms);

/*  ---- server.c ---- */
void sim_server_init (sim_t *sim);
void sim_server_fini (sim_t *sim);
void sim_server_event (sim_t *sim, sim_event_t *event);
void sim_server_message (sim_t *sim, uint64_t connection, const sim_message_t *message);
void sim_server_left (sim_t *sim, uint64_t connection);
/*  The process ends; with power: the disk loses what was not synced.  */
void sim_server_crash (sim_t *sim, bool power);
bool sim_server_recover (sim_t *sim);
/*  The oldest offset that the journal keeps, as soon as the order to trim is out.  */
uint64_t sim_server_first (const sim_t *sim);
void sim_server_rot (sim_t *sim);

/*  ---- process.c ---- */
uint32_t sim_process_peer (uint32_t slot);
void sim_process_start (sim_t *sim, uint32_t actor, uint32_t name);
void sim_process_step (sim_t *sim, uint32_t slot, bn_mailbox_event_t event);
/*  It is no more; started again later if it is the current one of its name.  */
void sim_process_end (sim_t *sim, uint32_t slot);
void sim_process_event (sim_t *sim, sim_event_t *event);
/*  Into the story: what its mailbox is waiting for.  */
void sim_describe (sim_t *sim, uint32_t slot);
void sim_processes_fini (sim_t *sim);

/*  ---- client.c ---- */
void sim_clients_init (sim_t *sim);
void sim_clients_fini (sim_t *sim);
void sim_producer_step (sim_t *sim, uint32_t index, bn_outbox_event_t event);
void sim_admin_link (sim_t *sim, bool up);
void sim_admin_message (sim_t *sim, const sim_message_t *message);
void sim_client_event (sim_t *sim, sim_event_t *event);

/*  ---- watcher.c ---- */
void sim_watcher_init (sim_t *sim);
void sim_watcher_link (sim_t *sim, bool up);
void sim_watcher_message (sim_t *sim, const bn_frame_t *frames, size_t count);
void sim_watcher_look (sim_t *sim);
/*  The journal ends here now.  */
void sim_watcher_lost (sim_t *sim, uint64_t tail);

/*  ---- nemesis.c ---- */
void sim_nemesis_event (sim_t *sim);
void sim_nemesis_end (sim_t *sim); /* heals what it can */
/*  The administrator hears that it is done.  */
void sim_forgotten (sim_t *sim, uint32_t actor);

/*  ---- memory.c ---- */
/*  That allocation from now fails (1: the next), with `on` all later ones, too, until enough.  */
void sim_memory_short (uint64_t allocation, bool on);
/*  False: one failed.  */
bool sim_memory_enough (void);

/*  ---- what is in an event's data ---- */
typedef struct {
    uint64_t serial; /* of a producer's event; else 0 */
    uint64_t call;   /* of an emission: the handler call + 1 */
    uint64_t source; /* of an emission: offset of the event that was handled */
    uint32_t actor;  /* of an emission */
    uint32_t index;  /* of an emission, among those of its call */
    uint32_t depth;  /* emissions before it */
    uint32_t poison; /* its handler kills the process */
} sim_identity_t;

/*  ---- model.c and oracle.c ---- */
typedef enum { STATUS_NONE, STATUS_OPEN, STATUS_PARKED, STATUS_SETTLED, STATUS_DEAD } sim_status_t;

typedef struct {
    uint8_t status;
    uint32_t attempts;
    uint64_t reason;   /* hash of that of the last attempt; 0: none is told */
    uint64_t redriven; /* record that took it back from the dead; 0: none */
    bool expired;      /* a handler of it was past its deadline */
    uint64_t done_generation;
    uint64_t call; /* last call + 1: survives a crash of the server */
} sim_duty_t;

typedef struct {
    sim_identity_t identity;
    char topic[24];
    char key[12];
    uint32_t partition;
    uint32_t wanted; /* bit: an actor that it is for */
    uint64_t hash;   /* of key, topic and data */
} sim_log_t;

typedef struct {
    uint32_t actor;
    uint64_t dead_offset;
    uint64_t offset;
    bool open; /* neither redriven nor discarded */
} sim_grave_t;

typedef struct {
    uint32_t actor;
    uint64_t offset;
    uint64_t epoch;
    uint64_t incarnation;
    uint64_t generation;
    uint32_t partition;
    uint32_t emissions;
    bn_result_t result;
    bool ended;
    bool counted;    /* a RETRY that a settle has told */
    uint64_t before; /* the call before it on the same event + 1 */
} sim_call_t;

typedef struct {
    uint32_t type;
    uint64_t base;
    uint32_t count;
    uint64_t time_us;
    bn_blob_t *body;
} sim_record_t;

typedef struct {
    uint64_t floor;
    uint64_t generation;
    uint64_t careful;
    uint64_t suspected; /* the record that raised careful last */
    uint64_t begun;
    char owner[80];
    uint64_t incarnation;
    uint64_t *assigned; /* owned: record sequence by generation */
    uint64_t assigned_count;
    uint32_t parked;
} sim_share_t;

typedef struct {
    uint32_t id; /* 0: not registered */
    char patterns[SIM_PATTERNS][16];
    uint32_t pattern_count;
    uint64_t start;
    uint64_t cut;   /* where its present patterns begin; 0: they are its first ones */
    uint64_t epoch; /* goes up when what its processes know is no longer true */
    uint32_t dead;
    sim_share_t shares[SIM_PARTITIONS_MAX];
    sim_duty_t *duties; /* owned; by offset */
    size_t duty_capacity;
} sim_actor_t;

struct sim_model {
    sim_record_t *records; /* owned; by sequence - 1 */
    uint64_t record_count, record_capacity;
    sim_log_t *log; /* owned; by offset */
    uint64_t tail, log_capacity;
    uint32_t actor_id_last;
    size_t section_bytes_max; /* the largest so far */
    sim_call_t *calls;        /* owned */
    uint64_t call_count, call_capacity;
    sim_actor_t actors[SIM_ACTORS_MAX];
    sim_grave_t *graves; /* owned */
    size_t grave_count, grave_capacity;
    uint64_t durable_tail; /* events below are on disk */
    uint64_t visible;      /* highest record of which anybody outside may know */
    uint64_t serials;      /* given out */
    uint8_t *published;    /* owned; by serial: PUBLISHED bits */
    size_t published_capacity;
    uint64_t *offset_of; /* owned; by serial: offset + 1 */
    bool checking;       /* false while the records are folded again after a crash */
};

/*  Bits of `published`.  */
#define PUBLISHED_RECEIPTED 1
#define PUBLISHED_LOST      2 /* by a power cut before a sync that the policy puts off */

sim_model_t *sim_model_new (void);
void sim_model_destroy (sim_model_t **model_p);
uint64_t sim_model_serial (sim_model_t *model);
/*  A record is on its way to the journal: it counts from now on.  */
void sim_model_record (sim_t *sim, const bn_effect_t *effect, uint64_t sequence);
/*  After a crash only the first `count` records are there.  */
void sim_model_rewind (sim_t *sim, uint64_t count);
/*  Records that others have seen are gone.  */
void sim_model_lost (sim_t *sim, uint64_t count);
bool sim_model_wants (const sim_t *sim, uint32_t actor, uint64_t offset);
bool sim_model_matches (const char *pattern, const char *topic);
/*  Does that revision of the actor know the topic?  */
bool sim_model_knows (const sim_t *sim, uint32_t actor, uint32_t revision, const char *topic);
/*  Main-line events from before the cut are left.  */
bool sim_model_drains (sim_t *sim, uint32_t actor);
/*  Is the actor registered with the patterns of that revision?  */
bool sim_model_has (const sim_t *sim, uint32_t actor, uint32_t revision);
sim_duty_t *sim_model_duty (sim_t *sim, uint32_t actor, uint64_t offset);
uint32_t sim_model_actor (const sim_t *sim, uint32_t id); /* SIM_ACTORS_MAX: none */
void sim_model_describe (const bn_event_fields_t *event, const bn_text_t *topic, uint32_t partition,
                         sim_log_t *log);

/*  A registration, before the model knows of it.  */
void sim_oracle_register (sim_t *sim, uint32_t actor, const bn_register_record_t *record);
void sim_oracle_settlement (sim_t *sim, uint32_t actor, const bn_settle_record_t *record,
                            const bn_settlement_t *settlement, uint64_t base);
/*  What the handler of that call (+ 1) gives as a reason.  */
#define SIM_REASON 40
void sim_reason (uint64_t call, char reason[SIM_REASON]);
void sim_oracle_suspicion (sim_t *sim, uint32_t actor, const bn_suspicion_t *suspicion);
void sim_oracle_emissions (sim_t *sim, uint32_t actor, const bn_settle_record_t *record,
                           uint64_t base, uint32_t count);
/*  A handler is called: returns the number of the call.  */
uint64_t sim_oracle_call (sim_t *sim, uint32_t slot, const bn_run_item_t *item);
/*  After a step of its mailbox.  */
void sim_oracle_bounds (sim_t *sim, uint32_t slot);
/*  A handler is past its deadline: it may be charged for that.  */
void sim_oracle_expired (sim_t *sim, uint32_t actor, uint64_t offset);
void sim_oracle_verdict (sim_t *sim, uint64_t call, bn_result_t result, uint32_t emissions);
void sim_oracle_receipt (sim_t *sim, uint32_t producer, const bn_outbox_effect_t *effect);
/*  The journal as it can be read is what was written.  */
void sim_oracle_journal (sim_t *sim, const bn_journal_record_t *record);
void sim_oracle_recovered (sim_t *sim, const bn_journal_recovery_t *recovery);
/*  What the conductor answers, in the moment in which it does.  */
void sim_oracle_answer (sim_t *sim, const bn_blob_t *head);
/*  Records up to this one are on disk: their events may be seen.  */
void sim_oracle_durable (sim_t *sim, uint64_t sequence);
void sim_oracle_state (sim_t *sim, bool thorough);
/*  NULL: everything is done; else what is waited for.  */
const char *sim_oracle_waiting (sim_t *sim, char text[256]);
void sim_oracle_end (sim_t *sim);

#endif
