/* SPDX-License-Identifier: MPL-2.0 */

/*  up_config.h - the file of `baton up`: an orchestrator and the actors around it.
 *
 *    orchestrator                    # what `baton orchestrator` takes
 *        data_dir = ./.baton
 *    connect = tcp://10.0.0.1:7711   # instead of that section: the orchestrator runs elsewhere
 *    data_dir = ./.baton             # only with connect: where the control socket is
 *    restart_backoff_max = 10s       # between restarts of what keeps ending; default 10s
 *    log_bytes_max = 64MiB           # of the output of an instance, kept in data_dir/logs; 0: none
 *    nodes = tcp://10.0.0.1:7713     # where `baton node` joins; default: nowhere
 *    actors
 *        payment                     # name of the actor; started in this order
 *            command = "./payment --max-attempts 3"
 *            instances = 2           # default 1; or 1..8: as many as the lag asks for, and then
 *            target_lag = 1000       #   events that are ready, for each instance; default 1000
 *            cooldown = 30s          #   how long fewer must do before some go; default 30s
 *            restart = permanent     # or transient, temporary; default permanent
 *            restart_order = stop-first # or start-first: the successor is ready before it stops
 *            intensity = 10 in 60s   # more ends of an instance park it; 0: never; default as here
 *            watchdog = 30s          # silence that gets an instance killed; 0: off; default 30s
 *            host = a                # where it runs: the name of a node; default: up, this host
 *            hosts                   # or several, and how many there, instead of instances
 *                up = 1
 *                a = 2..4
 *            directory = ./work      # to run in; default: where baton up runs
 *            stop_timeout = 10s      # from SIGTERM to SIGKILL; default 10s
 *            environment
 *                LEVEL = debug
 *
 *  A command is words between blanks; '...' and "..." keep blanks in a word, and no shell is
 *  involved. Relative paths start from where `baton up` runs.  */
#ifndef BN_UP_CONFIG_H
#define BN_UP_CONFIG_H

#include "orchestrator/config.h"
#include "supervisor/supervisor.h"
#include "wire/node_message.h"

#define BN_UP_ARGUMENTS_MAX   64 /* of one command */
#define BN_UP_ENVIRONMENT_MAX 32 /* of one actor */
#define BN_UP_NODES_MAX       16
#define BN_UP_PLACES_MAX      (BN_UP_NODES_MAX + 1) /* of one actor */
#define BN_UP_HERE            "up"                  /* the host of `baton up` itself */

/*  A variable of an actor that is for the node that runs it: what comes first when it is replaced.
 *  A node that does not know it passes it on to the process, and stops first.  */
#define BN_UP_ORDER_VARIABLE "BATON_RESTART_ORDER"
#define BN_UP_START_FIRST    BN_UP_ORDER_VARIABLE "=start-first"

typedef struct {
    char host[BN_NODE_HOST_BYTES_MAX + 1];
    uint32_t instances;
    uint32_t instances_max;
} bn_up_place_t;

typedef struct {
    char name[BATON_NAME_BYTES_MAX + 1];
    char *command;                                /* owned; cut into words */
    char *argv[BN_UP_ARGUMENTS_MAX + 1];          /* point into command; NULL-terminated */
    char *environment[BN_UP_ENVIRONMENT_MAX + 1]; /* owned; NULL-terminated */
    char *directory;                              /* owned; may be NULL */
    uint32_t instances;                           /* in all places */
    uint32_t instances_max;                       /* more than instances: elastic */
    bn_up_place_t places[BN_UP_PLACES_MAX];
    size_t place_count;   /* at least 1 */
    uint32_t target_lag;  /* 0: the default */
    uint32_t cooldown_ms; /* 0: the default */
    uint32_t stop_timeout_ms;
    bn_restart_t restart;
    bn_restart_order_t restart_order;
    uint32_t intensity;
    uint32_t intensity_period_ms;
    uint32_t watchdog_ms;
} bn_up_actor_t;

typedef struct {
    bool orchestrator_set;
    bn_orchestrator_config_t orchestrator; /* as in the file */
    zconfig_t *section;                    /* owned copy of the section, or NULL */
    char *connect;                         /* owned; where the actors connect to */
    char *data_dir;                        /* owned */
    uint32_t backoff_max_ms;               /* 0: the default */
    uint64_t log_bytes_max;                /* 0: what instances print is not kept */
    char *nodes;                           /* owned; where nodes join; NULL: nowhere */
    bn_up_actor_t actors[BN_SUPERVISOR_SERVICES_MAX];
    size_t actor_count;
} bn_up_config_t;

/*  Reads and checks FILE, also that each command can be run. `detail` (512 bytes) gets FILE:LINE
 *  and what is wrong. Free with bn_up_config_fini, also after an error. Errors: NOT_FOUND,
 *  PERMISSION, SYSTEM, CONFIG, MEMORY.  */
baton_err_t bn_up_config_load (bn_up_config_t *self, const char *path, char detail[512]);
void bn_up_config_fini (bn_up_config_t *self);

/*  What of an actor runs at a host; NULL: nothing.  */
const bn_up_place_t *bn_up_actor_at (const bn_up_actor_t *self, const char *host);
/*  True if all of it runs at the host of `baton up`.  */
bool bn_up_actor_is_here (const bn_up_actor_t *self);

/*  Puts ports in the place of '*' in the orchestrator's endpoints: ports that are free now, and
 *  below those that the kernel gives to outgoing connections, so that nobody takes one while the
 *  orchestrator restarts. Sets `connect`. Errors: ADDRESS, MEMORY.  */
baton_err_t bn_up_config_settle (bn_up_config_t *self, char detail[512]);
/*  The same for a file that is read anew while `running` runs: takes over the ports and `connect`.
 *  Refuses what cannot change then: where the data is, where the orchestrator is or listens, where
 *  nodes join. Sets
 *  *orchestrator_changed if anything else of its section did. Errors: CONFIG, MEMORY.  */
baton_err_t bn_up_config_follow (bn_up_config_t *self, const bn_up_config_t *running,
                                 bool *orchestrator_changed, char detail[512]);
/*  Writes the orchestrator's section for `baton orchestrator PATH`; false with errno.  */
bool bn_up_config_write (const bn_up_config_t *self, const char *path);

/*  Cuts a command into words, in place. Returns their number, or -1 with *what.  */
int bn_up_words (char *command, char **argv, size_t argv_max, const char **what);

#endif
