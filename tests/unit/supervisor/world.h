/* SPDX-License-Identifier: MPL-2.0 */

/*  world.h - a supervisor under test. What its processes print is gathered, and the test acts on
 *  it: from within the callback for a line, or in a tick, each 50 ms, which is there for what no
 *  line tells. A test that waits for ever ends by SIGALRM, which is not blocked, and not by a
 *  SIGTERM of who runs the tests, which would wake the supervisor up.  */
#ifndef WORLD_H
#define WORLD_H

#include "supervisor/supervisor.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define DEADLINE_S 20 /* for each test */

/*  Says "up NAME", and "down" when it is stopped.  */
#define POLITE                                                                                     \
    "trap 'echo down; exit 0' TERM; echo \"up $NAME\"; while :; do sleep 1000 & wait $!; done"

typedef struct {
    bn_supervisor_t *supervisor;
    char heard[8192];               /* "SERVICE.SLOT LINE;" ... */
    void (*act) (const char *line); /* what to do when a line has come: "SERVICE.SLOT LINE" */
    void (*tick) (void);
    bn_supervisor_end_t ends[64];
    size_t end_count;
} world_t;

extern world_t world;

int set_up (void **state);
int tear_down (void **state);

/*  A service that runs a script. The text is borrowed until it is added.  */
bn_service_options_t service_of (const char *name, const char *script, uint32_t instances);
void add (const char *name, const char *script, uint32_t instances);
/*  Adds what makes the ticks; the last service of all.  */
void add_clock (void);
/*  bn_supervisor_apply of these and the clock.  */
baton_err_t apply (const bn_service_options_t *services, size_t count,
                   bn_supervisor_changes_t *changes);
void run (void); /* until something calls bn_supervisor_stop */

/*  How often a text was heard.  */
size_t count (const char *wanted);
/*  By its name, "SERVICE.SLOT"; false: there is none.  */
bool instance (const char *name, bn_instance_info_t *info);

#endif
