/* SPDX-License-Identifier: MPL-2.0 */

/*  supervisor_internal.h - what the files of the supervisor share.
 *
 *    supervisor.c          the loop, and what the public header promises
 *    supervisor_answers.c  the requests of the control socket
 *    supervised.c          a service: what is wanted, and its slots
 *    child.c               one instance: its states, its process
 *
 *  One thread runs all of it.  */
#ifndef BN_SUPERVISOR_INTERNAL_H
#define BN_SUPERVISOR_INTERNAL_H

#include "base/prng.h"
#include "supervisor/control.h"
#include "supervisor/process.h"
#include "supervisor/supervisor.h"

typedef enum { BN_CHILD_WAITING, BN_CHILD_RUNNING, BN_CHILD_STOPPING } bn_child_state_t;

typedef struct bn_supervised bn_supervised_t;

typedef struct {
    bn_supervised_t *service;
    uint32_t number; /* 1, 2, ... */
    bn_child_state_t state;
    bn_process_t *process; /* owned; RUNNING, STOPPING */
    uint64_t due_ms;       /* WAITING: when to start; STOPPING: when to kill */
    uint64_t started_ms;
    uint32_t backoff_ms; /* the last one; 0: none yet */
    uint32_t restarts;
    bool leaving; /* the slot goes when the process has ended */
} bn_child_t;

struct bn_supervised {
    bn_supervisor_t *supervisor;
    char name[BATON_NAME_BYTES_MAX + 1];
    char **argv;        /* owned */
    char **environment; /* owned; may be NULL */
    char *directory;    /* owned; may be NULL */
    uint32_t wanted;
    uint32_t stop_timeout_ms;
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
    bn_control_t *control; /* owned; NULL: none */
    bn_prng_t prng;
    uint32_t stops_asked; /* 1: stop, 2: kill */
    uint64_t gate_due_ms;
    baton_err_t err; /* what bn_supervisor_run returns */
};

/*  ---- child.c ---- */

void bn_child_start (bn_child_t *self, uint64_t now_ms);
/*  It leaves: SIGTERM, and its slot goes with the process.  */
void bn_child_stop (bn_child_t *self, uint64_t now_ms);
void bn_child_ended (bn_child_t *self, int status, uint64_t now_ms);
/*  Kills it if it should have stopped by now. Returns when to look again.  */
uint64_t bn_child_kill_late (bn_child_t *self, uint64_t now_ms);
void bn_child_line (const char *line, size_t size, void *child);

/*  ---- supervised.c ---- */

/*  Errors: ARGUMENT, NAME.  */
baton_err_t bn_supervised_check (const bn_service_options_t *options);
/*  Copies the options, which were checked, and makes the slots. Errors: MEMORY.  */
baton_err_t bn_supervised_new (bn_supervised_t **service, bn_supervisor_t *supervisor,
                               const bn_service_options_t *options);
void bn_supervised_destroy (bn_supervised_t **self_p); /* kills what runs */
/*  Makes the slots that are missing: those that are leaving stay after all and start again when
 *  their process has ended, then come the lowest numbers that are free.  */
baton_err_t bn_supervised_grow (bn_supervised_t *self);
/*  Stops those of the highest numbers until no more than what is wanted stay.  */
void bn_supervised_shrink (bn_supervised_t *self, uint64_t now_ms);
void bn_supervised_sweep (bn_supervised_t *self); /* frees the slots that have left */

/*  ---- supervisor.c ---- */

bn_supervised_t *bn_supervisor_find (const bn_supervisor_t *self, const char *name);

/*  ---- supervisor_answers.c ---- */

bn_control_fn bn_supervisor_answer; /* arg: the supervisor */

#endif
