/* SPDX-License-Identifier: MPL-2.0 */

/*  supervisor.h - services made of processes: start, restart, replace, scale, stop.
 *
 *  A service is a program and how many instances of it are wanted. An instance has a slot, a number
 *  from 1 on, and keeps it, and so its name "SERVICE-SLOT", when it is started again. Services
 *  start in the order of the list and stop in the reverse one.
 *
 *  DESIGN. One thread, one poll loop, no timers but its timeout. Each slot is a small state
 *  machine:
 *
 *      WAITING --due, and the gate of an earlier service is open--> RUNNING
 *      RUNNING --ended, and is to be restarted--> WAITING (backoff)
 *              --ended too often--> PARKED         --scale, restart--> WAITING
 *              --ended, and was not to be restarted--> DONE --scale, restart--> WAITING
 *      RUNNING --stop--> STOPPING --ended--> gone, or, to be replaced, WAITING
 *                        (SIGTERM, and after stop_timeout_ms SIGKILL)
 *
 *  Restart is data, with the words of Erlang/OTP's supervisors: permanent, transient, temporary.
 *  Backoff: 200 ms, doubled with each end up to backoff_max_ms, a fifth of it random, so that
 *  instances that die of the same cause do not come back as one; it starts anew after 10 s of life.
 *  Intensity: an instance that has ended more than N times within S is parked and says why; the
 *  others, and the other services, go on. It is counted by instance and not by service, so that a
 *  poison event, which takes several instances down in turn before it is a dead letter, parks none.
 *
 *  Replacing. A service has a revision; a restart, or another definition, makes the next one, and
 *  an instance knows the one that it was started with. While there are instances of an earlier
 *  revision, one of them is stopped, and the next one only when its successor, and every other
 *  instance of the new revision, is ready: it said READY=1 (health.h), or, if no instance of the
 *  service ever did, it has lived for a moment. If the successor does not become ready, no other
 *  one is touched: a build that does not work replaces one instance and no more. Where a service
 *  says so (start-first), the successor is started before the other one is stopped, in a slot of
 *  the lowest number that none has; then a build that does not work replaces nobody.
 *
 *  INVARIANT V1: while the supervisor stops, nothing is started.
 *  INVARIANT V2: a service receives SIGTERM, when everything stops, only after every instance of
 *  all later ones has ended.
 *  INVARIANT V3: at most one instance of a service at a time is stopped to be replaced, and none
 *  while another one is leaving.
 *  INVARIANT V4: start-first adds one instance to those that are wanted, never two, and stops one
 *  to be replaced only when all new ones are ready.
 *
 *  Killed itself, it leaves nothing behind: its children die with it, and a keeper (keeper.h) ends
 *  what these have started.
 *
 *  Knows nothing of orchestrators, actors or configuration files.  */
#ifndef BN_SUPERVISOR_H
#define BN_SUPERVISOR_H

#include "base/buffer.h"
#include <baton/error.h>
#include <baton/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define BN_SUPERVISOR_SERVICES_MAX  64
#define BN_SUPERVISOR_INSTANCES_MAX 256 /* of all services: three descriptors each */
#define BN_SUPERVISOR_INTENSITY_MAX 99

typedef struct bn_supervisor bn_supervisor_t;

/*  Asked again and again, each 50 ms, until it says true: may what comes after this service start?
 *  May block for a little while, no longer than 200 ms.  */
typedef bool (bn_supervisor_gate_fn) (void *arg);

/*  What happens when an instance ends that nobody told to.  */
typedef enum {
    BN_RESTART_PERMANENT, /* it is started again */
    BN_RESTART_TRANSIENT, /* it is started again, unless its exit code was 0 */
    BN_RESTART_TEMPORARY  /* it stays ended */
} bn_restart_t;

/*  What comes first when an instance is replaced.  */
typedef enum {
    BN_RESTART_STOP_FIRST, /* its end: the successor has its slot */
    BN_RESTART_START_FIRST /* the successor, in another slot, until it is ready */
} bn_restart_order_t;

typedef struct {
    const char *name;               /* letters, digits, '-' and '_' */
    const char *const *argv;        /* NULL-terminated; all of it is copied */
    const char *const *environment; /* "NAME=value", NULL-terminated, or NULL */
    const char *directory;          /* NULL: the supervisor's */
    uint32_t instances;
    uint32_t stop_timeout_ms;         /* from SIGTERM to SIGKILL; default 10,000 */
    bn_restart_t restart;             /* default permanent */
    bn_restart_order_t restart_order; /* default stop-first */
    uint32_t backoff_max_ms;          /* between restarts of what keeps ending; default 10,000 */
    uint32_t intensity;               /* an instance that ended more often than this, */
    uint32_t intensity_period_ms;     /* within this time, is parked; intensity 0: never */
    uint32_t watchdog_ms;             /* see health.h; 0: no watchdog */
    bn_supervisor_gate_fn *gate;      /* NULL: always open */
    void *gate_arg;
    bool essential; /* an end before its gate has opened for the first time ends
                       the supervisor: a wrong configuration is not worth a retry */
} bn_service_options_t;

/*  The end of an instance's process.  */
typedef struct {
    const char *service;
    uint32_t slot;
    uint64_t incarnation; /* as in options.incarnation_variable */
    bool clean;           /* it had been told to stop, and did with exit code 0 */
} bn_supervisor_end_t;

typedef struct {
    /*  A line of output of an instance, NUL-terminated.  */
    void (*line) (const char *service, uint32_t slot, const char *line, size_t size, void *arg);
    /*  A process has ended.  */
    void (*ended) (const bn_supervisor_end_t *end, void *arg);
    /*  SIGHUP, or the request "reload": reads what is wanted anew and calls bn_supervisor_apply. On
     *  errors `detail` says why, and nothing has changed.  */
    baton_err_t (*reload) (bn_supervisor_t *self, char *detail, size_t detail_size, void *arg);
    /*  Each turn of the loop, behind what has happened; returns when it wants to be called again at
     *  the latest, monotonic ms, UINT64_MAX: whenever. NULL: none.  */
    uint64_t (*turn) (bn_supervisor_t *self, uint64_t now_ms, void *arg);
    int wake_fd; /* with turn: readable when a turn is wanted, which reads it; -1: none */
    /*  A request of the control socket; true: it was answered. NULL, or false: it is answered as
     *  below.  */
    bool (*answer) (bn_supervisor_t *self, const char *request, bn_buffer_t *reply, void *arg);
    /*  Asked each 50 ms when a stop was asked for, until it says true: may processes be stopped?
     *  Meanwhile nothing is started. A second SIGINT or SIGTERM does not wait. NULL: yes.  */
    bool (*may_stop) (bn_supervisor_t *self, void *arg);
    void *arg;
    const char *instance_variable; /* environment variable that gets "SERVICE-SLOT"; NULL: none */
    const char *instance_suffix;   /* behind that; NULL: nothing */
    /*  Gets a random number, another one for each process, as 16 hexadecimal digits, '/' and the
     *  process id of the supervisor: who finds that this is not its parent is not meant. NULL:
     *  none.  */
    const char *incarnation_variable;
} bn_supervisor_options_t;

/*  options may be NULL. Blocks SIGINT, SIGTERM and, with a reload, SIGHUP in the calling thread,
 *  for good: they are read from a descriptor. Forks the keeper. Call it before other threads are
 *  made, so that these have the signals blocked too, and call everything from the one thread,
 *  which must live as long as the process.  */
baton_err_t bn_supervisor_new (bn_supervisor_t **supervisor,
                               const bn_supervisor_options_t *options);
/*  Kills what still runs.  */
void bn_supervisor_destroy (bn_supervisor_t **self_p);

/*  Errors: ARGUMENT, NAME, CONFLICT (the name is taken), LIMIT, MEMORY.  */
baton_err_t bn_supervisor_add (bn_supervisor_t *self, const bn_service_options_t *service);

/*  Makes what runs like the list: services that are new start, those that are not in it any more
 *  are stopped, those whose argv, environment or directory is another one are replaced, instance by
 *  instance; another number of instances scales, and everything else (timeouts, restart, its order,
 *  intensity, watchdog) counts from now on. What is the same is not touched, and keeps the
 *  number of instances that bn_supervisor_scale gave it. Of a service that stays, gate and
 *  essential stay as they were.
 *
 *  Everything is checked before anything changes. `changes` may be NULL. Errors: as of
 *  bn_supervisor_add, and CLOSED (it is stopping).  */
typedef struct {
    uint32_t added, removed, replaced, scaled, unchanged; /* services */
} bn_supervisor_changes_t;

baton_err_t bn_supervisor_apply (bn_supervisor_t *self, const bn_service_options_t *services,
                                 size_t count, bn_supervisor_changes_t *changes);

/*  Runs until a stop was asked for, by SIGINT, SIGTERM or bn_supervisor_stop, and everything has
 *  ended. A second SIGINT or SIGTERM kills. Errors: SYSTEM, or why an essential service did not
 *  come up; everything was stopped then, too.  */
baton_err_t bn_supervisor_run (bn_supervisor_t *self);
void bn_supervisor_stop (bn_supervisor_t *self); /* from within a callback */
bool bn_supervisor_stopping (const bn_supervisor_t *self);

/*  Changes how many instances are wanted. Fewer: those of the highest slots are stopped; while they
 *  are replaced start-first, those that are still to be replaced before others. Those that are
 *  parked, or done, start again. Errors: NOT_FOUND, LIMIT, CLOSED (it is stopping).  */
baton_err_t bn_supervisor_scale (bn_supervisor_t *self, const char *name, uint32_t instances);
/*  Replaces every instance, one by one; see above. Those that do not run start at once. Errors:
 *  NOT_FOUND, CLOSED.  */
baton_err_t bn_supervisor_restart (bn_supervisor_t *self, const char *name);

/*  ---- looking at it ---- */
typedef struct {
    const char *service; /* borrowed, as all texts here: until the next call */
    uint32_t slot;       /* 1, 2, ... */
    pid_t pid;           /* 0: does not run */
    const char *state;   /* "waiting", "running", "stopping", "parked", "done"; static */
    const char *reason;  /* how it ended last, while it does not run; else "" */
    const char *status;  /* what it says of itself; "" */
    bool ready;
    bool current;         /* not to be replaced any more */
    uint32_t restarts;    /* since the slot was made */
    uint64_t age_ms;      /* of the process; 0 if it does not run */
    uint64_t incarnation; /* of the last process; 0: there was none yet */
} bn_instance_info_t;

size_t bn_supervisor_services (const bn_supervisor_t *self);
/*  Name and wanted instances of the index-th service.  */
const char *bn_supervisor_service (const bn_supervisor_t *self, size_t index, uint32_t *wanted);
/*  True while instances of it are being replaced.  */
bool bn_supervisor_rolling (const bn_supervisor_t *self, size_t index);
/*  The index-th instance of a service, in the order of slots; false past the end.  */
bool bn_supervisor_instance (const bn_supervisor_t *self, size_t service, size_t index,
                             bn_instance_info_t *info);

/*  ---- the control socket ----
 *  Listens on DIRECTORY/supervisor.sock (mode 0600), holding a lock on DIRECTORY/supervisor.lock. A
 *  request is a line, the answer a line of JSON, then the connection is closed:
 *
 *    "status\n"          {"ok":true,"pid":P,"stopping":false,"services":[{"name":"payment",
 *                        "wanted":2,"restart":"permanent","restart_order":"stop-first",
 *                        "rolling":false,"instances":[{"instance":"payment-1","slot":1,
 *                        "pid":123,"state":"running","ready":true,"current":true,
 *                        "restarts":0,"age_ms":5000,"status":"...","reason":""}, ...]}, ...]}
 *    "scale NAME N\n"    {"ok":true,"service":"payment","before":2,"wanted":4}
 *    "restart NAME\n"    {"ok":true,"service":"payment","instances":2}; it has begun
 *    "reload\n"          {"ok":true}; what it comes to is in the log
 *    "stop\n"            {"ok":true}
 *                        {"ok":false,"error":"NOT_FOUND","text":"..."}
 *
 *  Errors: LOCKED (another supervisor has the directory), PERMISSION, SYSTEM, CONFLICT (it listens
 *  already); detail says more.  */
baton_err_t bn_supervisor_listen (bn_supervisor_t *self, const char *directory, char *detail,
                                  size_t detail_size);

/*  Appends what is answered where options.answer does not.  */
void bn_supervisor_answer_request (bn_supervisor_t *self, const char *request, bn_buffer_t *reply);

#endif
