/* SPDX-License-Identifier: MPL-2.0 */

/*  supervisor_internal.h - what the files of the supervisor share.
 *
 *    supervisor.c          the loop, and what the public header promises
 *    supervisor_apply.c    the difference between what runs and another list
 *    supervisor_answers.c  the requests of the control socket
 *    supervised.c          a service: what is wanted, its slots
 *    supervised_roll.c     how its instances are replaced
 *    child.c               one instance: its states, its process
 *    health.c              what it says of itself
 *    keeper.c              ends what is left behind when the supervisor is killed
 *
 *  One thread runs all of it.  */
#ifndef BN_SUPERVISOR_INTERNAL_H
#define BN_SUPERVISOR_INTERNAL_H

#include "base/prng.h"
#include "supervisor/control.h"
#include "supervisor/health.h"
#include "supervisor/keeper.h"
#include "supervisor/process.h"
#include "supervisor/supervisor.h"

#define BN_CHILD_ENDS             (BN_SUPERVISOR_INTENSITY_MAX + 1) /* that are remembered */
#define BN_CHILD_REASON_BYTES_MAX 127

typedef enum {
    BN_CHILD_WAITING,
    BN_CHILD_RUNNING,
    BN_CHILD_STOPPING,
    BN_CHILD_PARKED, /* ended too often */
    BN_CHILD_DONE    /* ended, and is not restarted */
} bn_child_state_t;

typedef struct bn_supervised bn_supervised_t;

typedef struct {
    bn_supervised_t *service;
    uint32_t number; /* 1, 2, ... */
    bn_child_state_t state;
    bn_process_t *process; /* owned; RUNNING, STOPPING */
    bn_health_t health;    /* open as long as the process */
    uint64_t incarnation;  /* of the process: random */
    uint64_t revision;     /* of the service, when the process was started; 0: never was */
    uint64_t due_ms;       /* WAITING: when to start; STOPPING: when to kill */
    uint64_t started_ms;
    uint32_t watchdog_ms; /* of the process; 0: none */
    bool hung;            /* killed by the watchdog */
    bool leaving;         /* the slot goes when the process has ended */
    uint32_t backoff_ms;  /* the last one; 0: none yet */
    uint32_t restarts;
    uint64_t ends_ms[BN_CHILD_ENDS]; /* a ring: when it ended, unasked */
    uint32_t end_count;              /* since it was revived: the next one goes to % MAX */
    char reason[BN_CHILD_REASON_BYTES_MAX + 1]; /* how it ended last; "" while it runs */
} bn_child_t;

/*  What a process is started from; another one is another revision.  */
typedef struct {
    char **argv;        /* owned */
    char **environment; /* owned */
    char *directory;    /* owned; may be NULL */
} bn_definition_t;

struct bn_supervised {
    bn_supervisor_t *supervisor;
    char name[BATON_NAME_BYTES_MAX + 1];
    bn_definition_t *definition; /* owned */
    uint64_t revision;           /* 1, 2, ... */
    bool rolling;                /* instances of an earlier revision are being replaced */
    bn_restart_order_t order;
    /*  Number of the slot that is one more than wanted, to take over from another one: it is there,
     *  and not leaving. 0: none.  */
    uint32_t surge;
    uint64_t awaited_ms; /* rolling: since when the same thing is waited for; 0: not */
    bool awaited_told;
    bool removed;      /* goes when its last process has ended */
    bool speaks;       /* an instance has said READY=1 */
    uint32_t declared; /* instances, by the list */
    uint32_t wanted;   /* instances, after scaling */
    uint32_t stop_timeout_ms;
    uint32_t backoff_max_ms;
    uint32_t watchdog_ms;
    bn_restart_t restart;
    uint32_t intensity; /* 0: unlimited */
    uint32_t intensity_period_ms;
    bn_supervisor_gate_fn *gate;
    void *gate_arg;
    bool essential;
    bool open;          /* the gate has said yes */
    bn_child_t **slots; /* owned; ascending numbers */
    size_t slot_count;
};

struct bn_supervisor {
    bn_supervised_t *services[BN_SUPERVISOR_SERVICES_MAX]; /* owned */
    size_t service_count;
    bn_supervisor_options_t options;
    int signals;           /* owned signalfd */
    bn_keeper_t keeper;
    bn_control_t *control; /* owned; NULL: none */
    bn_prng_t prng;
    uint32_t stops_asked; /* 1: stop, 2: kill */
    bool may_stop;        /* options.may_stop has said yes */
    bool reload_asked;
    uint64_t gate_due_ms;
    baton_err_t err; /* what bn_supervisor_run returns */
};

/*  ---- child.c ---- */

void bn_child_start (bn_child_t *self, uint64_t now_ms);
/*  It leaves: SIGTERM, and its slot goes with the process.  */
void bn_child_stop (bn_child_t *self, uint64_t now_ms);
/*  The same, and then the slot starts the next one.  */
void bn_child_replace (bn_child_t *self, uint64_t now_ms);
/*  Starts it soon, if it does not run, and forgets what it was parked for.  */
void bn_child_revive (bn_child_t *self, uint64_t now_ms);
void bn_child_ended (bn_child_t *self, int status, uint64_t now_ms);
/*  Kills it if it should have stopped by now, or has not been heard for too long. Returns when to
 *  look again.  */
uint64_t bn_child_check (bn_child_t *self, uint64_t now_ms);
void bn_child_hear (bn_child_t *self, uint64_t now_ms); /* its NOTIFY_SOCKET */
/*  Since when it is ready, or when to look again, in *when_ms (UINT64_MAX: it will be heard).  */
bool bn_child_ready (const bn_child_t *self, uint64_t now_ms, uint64_t *when_ms);
void bn_child_line (const char *line, size_t size, void *child);

/*  ---- supervised.c ---- */

bn_definition_t *bn_definition_new (const bn_service_options_t *options); /* NULL: no memory */
void bn_definition_destroy (bn_definition_t **self_p);
bool bn_definition_same (const bn_definition_t *self, const bn_service_options_t *options);

/*  Errors: ARGUMENT, NAME.  */
baton_err_t bn_supervised_check (const bn_service_options_t *options);
/*  Copies the options, which were checked, and makes the slots. Errors: MEMORY.  */
baton_err_t bn_supervised_new (bn_supervised_t **service, bn_supervisor_t *supervisor,
                               const bn_service_options_t *options);
void bn_supervised_destroy (bn_supervised_t **self_p); /* kills what runs */
/*  Timeouts, restart, intensity, watchdog: what counts from now on without a restart.  */
void bn_supervised_set (bn_supervised_t *self, const bn_service_options_t *options);
/*  How many slots there would be, with those that are leaving.  */
size_t bn_supervised_slots_at (const bn_supervised_t *self, uint32_t wanted);
/*  Makes the slots that are missing, or stops those of the highest numbers. Slots that are leaving
 *  stay after all, if wanted, and start again when their process has ended. MEMORY.  */
baton_err_t bn_supervised_scale (bn_supervised_t *self, uint32_t wanted, uint64_t now_ms);
/*  A slot of the lowest number that none has, to be started; NULL: no memory.  */
bn_child_t *bn_supervised_spare (bn_supervised_t *self);
void bn_supervised_sweep (bn_supervised_t *self); /* frees the slots that have left */

/*  ---- supervised_roll.c ---- */

void bn_supervised_revive (bn_supervised_t *self, uint64_t now_ms);  /* what does not run */
void bn_supervised_restart (bn_supervised_t *self, uint64_t now_ms); /* the next revision */
/*  Takes the next step of replacing if it may (V3, V4). Returns when to look again.  */
uint64_t bn_supervised_roll (bn_supervised_t *self, uint64_t now_ms);

/*  ---- supervisor.c ---- */

/*  Also one that is removed and has not ended yet.  */
bn_supervised_t *bn_supervisor_find (const bn_supervisor_t *self, const char *name);
/*  Of all services, also those that are leaving: their processes count.  */
size_t bn_supervisor_slots (const bn_supervisor_t *self);
/*  Reads anew what is wanted; detail says why not.  */
baton_err_t bn_supervisor_reload (bn_supervisor_t *self, char *detail, size_t detail_size);

/*  ---- supervisor_answers.c ---- */

bn_control_fn bn_supervisor_answer; /* arg: the supervisor */

#endif
