/* SPDX-License-Identifier: MPL-2.0 */

/*  processes.h - the system under trouble: `baton up` on the first host, `baton node` on the
 *  others, as a team runs it. Instances elsewhere are called payment-1.HOST.
 *
 *  A host has two names: hostN, and what the file calls it, if that is something else ("up" is the
 *  first one).
 *
 *  Each of these dies with this process, and what it started dies with it, whatever happened here:
 *  nothing runs on after a kill -9 of the lab.
 *
 *  From one thread, the one that forks, which must live as long as the process (process.h).  */
#ifndef BN_LAB_PROCESSES_H
#define BN_LAB_PROCESSES_H

#include "lab/hosts.h"
#include "supervisor/process.h"
#include "supervisor/supervisor.h"
#include <czmq.h>

#define BN_LAB_SERVICES_MAX (BN_SUPERVISOR_SERVICES_MAX - 1)
#define BN_LAB_PIDS_MAX     (BN_SUPERVISOR_INSTANCES_MAX + 1)
#define BN_LAB_PORT         "7711" /* of the orchestrator; the next one is its fan-out's */
#define BN_LAB_NODES_PORT   "7713" /* where nodes join */
#define BN_LAB_POLL_FDS     (BN_LAB_HOSTS_MAX * BN_PROCESS_POLL_FDS)

#define BN_LAB_HOST_BYTES_MAX 32

typedef struct {
    char name[BATON_NAME_BYTES_MAX + 1];
    zconfig_t *section;                /* borrowed: its properties for `baton up` */
    bool spread;                       /* the file says nothing of hosts: counts does */
    uint32_t counts[BN_LAB_HOSTS_MAX]; /* instances on each host */
} bn_lab_service_t;

/*  The whole system, as a file says it. Trees are borrowed.  */
typedef struct {
    zconfig_t *orchestrator; /* the section's properties */
    zconfig_t *top;          /* children are properties of the file itself, beside the sections */
    char hosts[BN_LAB_HOSTS_MAX][BN_LAB_HOST_BYTES_MAX + 1]; /* what the file calls them */
    bn_lab_service_t services[BN_LAB_SERVICES_MAX];
    size_t service_count;
    uint32_t instances;     /* of all services */
    uint64_t reserve_bytes; /* of the disk that the orchestrator keeps */
} bn_lab_plan_t;

typedef struct bn_lab_processes bn_lab_processes_t;

typedef struct {
    const bn_lab_plan_t *plan;
    bn_lab_hosts_t *hosts; /* borrowed */
    const char *directory; /* each host has a folder in it */
    const char *data_dir;  /* of the orchestrator */
    const char *program;   /* baton */
    bool loud;             /* output of the processes goes to standard output, too */
} bn_lab_processes_options_t;

/*  Writes the file of `baton up` (DIRECTORY/up.conf). Errors: SYSTEM, MEMORY, with detail.  */
baton_err_t bn_lab_processes_new (bn_lab_processes_t **processes,
                                  const bn_lab_processes_options_t *options, char detail[512]);
/*  Kills what still runs.  */
void bn_lab_processes_destroy (bn_lab_processes_t **self_p);

const char *bn_lab_processes_endpoint (const bn_lab_processes_t *self);
baton_err_t bn_lab_processes_start (bn_lab_processes_t *self, char detail[512]);

/*  Fills BN_LAB_POLL_FDS entries. poll restarts hosts that are due, and notes ends that nobody has
 *  asked for.  */
void bn_lab_processes_poll_prepare (const bn_lab_processes_t *self, struct pollfd *fds);
void bn_lab_processes_poll (bn_lab_processes_t *self, const struct pollfd *fds);

/*  Asks everything to stop: first all hosts but the first, then that one.  */
void bn_lab_processes_stop (bn_lab_processes_t *self);
bool bn_lab_processes_stopped (const bn_lab_processes_t *self);
/*  What has ended in a way that no order explains; "": nothing. Borrowed.  */
const char *bn_lab_processes_unexpected (const bn_lab_processes_t *self, uint32_t *count);

/*  ---- one of them ---- */

#define BN_LAB_VICTIM_BYTES (BATON_NAME_BYTES_MAX + BN_LAB_HOST_BYTES_MAX + 8)

typedef struct {
    uint32_t host;
    pid_t pid;
    pid_t parent;
    char name[BN_LAB_VICTIM_BYTES]; /* of the instance; "hostN" for its supervisor */
} bn_lab_victim_t;

/*  Who is meant: an instance, an actor (all its instances), "orchestrator", a host (its supervisor
 *  first, then all that it runs). Fills up to `max`; 0: nobody of that name runs.  */
size_t bn_lab_processes_find (bn_lab_processes_t *self, const char *name, bn_lab_victim_t *victims,
                              size_t max);
/*  Number of the host, from 0, if that is the name of one.  */
bool bn_lab_processes_host (const bn_lab_processes_t *self, const char *name, uint32_t *host);
/*  Signals the victim's process group, if the victim is still the child that it was.  */
bool bn_lab_victim_signal (const bn_lab_victim_t *victim, int number);

/*  A host that is paused is not asked for anything: it would not answer.  */
void bn_lab_processes_freeze (bn_lab_processes_t *self, uint32_t host, bool frozen);
/*  Kills a host and starts it again after so long.  */
void bn_lab_processes_kill_host (bn_lab_processes_t *self, uint32_t host, uint64_t down_ms);
/*  Passes "restart NAME" or "scale NAME N" on to `baton up`; `says` (256 bytes) gets what came of
 *  it. Errors: NOT_FOUND (`baton up` does not run now), CONFLICT (refused).  */
baton_err_t bn_lab_processes_tell (bn_lab_processes_t *self, const char *verb, const char *actor,
                                   const char *rest, char says[256]);

/*  True while some host replaces instances of the actor (bn_lab_processes_tell with "restart").  */
bool bn_lab_processes_rolling (bn_lab_processes_t *self, const char *actor);

#endif
