/* SPDX-License-Identifier: MPL-2.0 */

/*  worker.h - an actor for drills, so that one needs no code of one's own: it takes its time, fails
 *  now and then, needs a provider that may be down, and dies of a poisoned event.
 *
 *    baton lab worker [ACTOR OPTION]... -- [--on PATTERN]... [--emit TOPIC]... [--handle 5ms]
 *        [--fail-rate 0.02] [--provider NAME]
 *
 *  The options before "--" are those of every actor (baton_actor_main). An event whose data has
 *  "poison": true kills the process, as a bad pointer would.  */
#ifndef BN_LAB_WORKER_H
#define BN_LAB_WORKER_H

/*  Environment of what a lab runs: its folder. Its file NAME.down means: provider NAME is down. */
#define BN_LAB_VARIABLE "BATON_LAB"
#define BN_LAB_DOWN     ".down"

/*  Exit code as baton_actor_main.  */
int bn_lab_worker (int argc, char **argv);

#endif
