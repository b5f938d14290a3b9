/* SPDX-License-Identifier: MPL-2.0 */

/*  supervisor.h - services made of processes: start, restart, scale, stop.
 *
 *  A service is a program and how many instances of it are wanted. An instance has a slot, 1 to N,
 *  and keeps its slot, and so its name "SERVICE-SLOT", over restarts. Services start in the order
 *  in which they were added and stop in the reverse one.
 *
 *  DESIGN. One thread, one poll loop, no timers but its timeout. Each slot is a small state
 *  machine:
 *
 *      WAITING --due, and the gate of an earlier service is open--> RUNNING
 *      RUNNING --ended--> WAITING (backoff)
 *      RUNNING --stop--> STOPPING --ended--> gone
 *                        (SIGTERM, and after stop_timeout_ms SIGKILL)
 *
 *  Backoff: 200 ms, doubled with each death up to 10 s (or as told), a fifth of it random, so that
 *  instances that die of the same cause do not come back as one; it starts anew after 10 s of life.
 *
 *  INVARIANT V1: while the supervisor stops, nothing is started.
 *  INVARIANT V2: a service receives SIGTERM only after every instance of all later ones has ended.
 *
 *  Knows nothing of orchestrators, actors or configuration files.  */
#ifndef BN_SUPERVISOR_H
#define BN_SUPERVISOR_H

#include <baton/error.h>
#include <baton/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define BN_SUPERVISOR_SERVICES_MAX  64
#define BN_SUPERVISOR_INSTANCES_MAX 256 /* of all services: two descriptors each */

typedef struct bn_supervisor bn_supervisor_t;

/*  Asked again and again, each 50 ms, until it says true: may what comes after this service start?
 *  May block for a little while, no longer than 200 ms.  */
typedef bool (bn_supervisor_gate_fn) (void *arg);

typedef struct {
    const char *name;               /* letters, digits, '-' and '_' */
    const char *const *argv;        /* NULL-terminated; all of it is copied */
    const char *const *environment; /* "NAME=value", NULL-terminated, or NULL */
    const char *directory;          /* NULL: the supervisor's */
    uint32_t instances;
    uint32_t stop_timeout_ms;    /* from SIGTERM to SIGKILL; default 10,000 */
    bn_supervisor_gate_fn *gate; /* NULL: always open */
    void *gate_arg;
    bool essential; /* an end before its gate has opened for the first time ends
                       the supervisor: a wrong configuration is not worth a retry */
} bn_service_options_t;

typedef struct {
    /*  A line of output of an instance, NUL-terminated.  */
    void (*line) (const char *service, uint32_t slot, const char *line, size_t size, void *arg);
    void *arg;
    const char *instance_variable; /* environment variable that gets "SERVICE-SLOT"; NULL: none */
    uint32_t backoff_max_ms;       /* default 10,000 */
} bn_supervisor_options_t;

/*  options may be NULL. Blocks SIGINT and SIGTERM in the calling thread, for good: they are read
 *  from a descriptor. Call it before other threads are made, so that these have them blocked too,
 *  and call everything from the one thread, which must live as long as the process.  */
baton_err_t bn_supervisor_new (bn_supervisor_t **supervisor,
                               const bn_supervisor_options_t *options);
/*  Kills what still runs.  */
void bn_supervisor_destroy (bn_supervisor_t **self_p);

/*  Errors: ARGUMENT, NAME, CONFLICT (the name is taken), LIMIT, MEMORY.  */
baton_err_t bn_supervisor_add (bn_supervisor_t *self, const bn_service_options_t *service);

/*  Runs until a stop was asked for, by SIGINT, SIGTERM or bn_supervisor_stop, and everything has
 *  ended. A second SIGINT or SIGTERM kills. Errors: SYSTEM, or why an essential service did not
 *  come up; everything was stopped then, too.  */
baton_err_t bn_supervisor_run (bn_supervisor_t *self);
void bn_supervisor_stop (bn_supervisor_t *self); /* from within a callback */

/*  Changes how many instances are wanted. Fewer: those of the highest slots are stopped. Errors:
 *  NOT_FOUND, LIMIT, CLOSED (it is stopping).  */
baton_err_t bn_supervisor_scale (bn_supervisor_t *self, const char *name, uint32_t instances);

/*  ---- looking at it ---- */
typedef struct {
    const char *service; /* borrowed */
    uint32_t slot;       /* 1, 2, ... */
    pid_t pid;           /* 0: does not run */
    const char *state;   /* "waiting", "running", "stopping"; static */
    uint32_t restarts;   /* since the slot was made */
    uint64_t age_ms;     /* of the process; 0 if it does not run */
} bn_instance_info_t;

size_t bn_supervisor_services (const bn_supervisor_t *self);
/*  Name and wanted instances of the index-th service.  */
const char *bn_supervisor_service (const bn_supervisor_t *self, size_t index, uint32_t *wanted);
/*  The index-th instance of a service, in the order of slots; false past the end.  */
bool bn_supervisor_instance (const bn_supervisor_t *self, size_t service, size_t index,
                             bn_instance_info_t *info);

/*  ---- the control socket ----
 *  Listens on DIRECTORY/supervisor.sock (mode 0600), holding a lock on DIRECTORY/supervisor.lock. A
 *  request is a line, the answer a line of JSON, then the connection is closed:
 *
 *    "status\n"          {"ok":true,"pid":P,"stopping":false,"services":[{"name":"payment",
 *                        "wanted":2,"instances":[{"instance":"payment-1","slot":1,"pid":123,
 *                        "state":"running","restarts":0,"age_ms":5000}, ...]}, ...]}
 *    "scale NAME N\n"    {"ok":true,"service":"payment","before":2,"wanted":4}
 *    "stop\n"            {"ok":true}
 *                        {"ok":false,"error":"NOT_FOUND","text":"..."}
 *
 *  Errors: LOCKED (another supervisor has the directory), PERMISSION, SYSTEM, CONFLICT (it listens
 *  already); detail says more.  */
baton_err_t bn_supervisor_listen (bn_supervisor_t *self, const char *directory, char *detail,
                                  size_t detail_size);

#endif
