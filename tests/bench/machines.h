/* SPDX-License-Identifier: MPL-2.0 */

/*  machines.h - an orchestrator and an actor without what is around them, for instruction counts.
 *
 *  The conductor and a mailbox answer each other directly; records go nowhere. A round is one
 *  PUBLISH request and everything that follows from it, until nobody has anything to say.  */
#ifndef BENCH_MACHINES_H
#define BENCH_MACHINES_H

#include "wire/message.h"

typedef struct bench_machines bench_machines_t;

/*  A journal of so many partitions, and an actor that reads "bench.in.>" and "bench.paths". emits:
 *  for each event its handler emits one to "bench.out". NULL: something went wrong.  */
bench_machines_t *bench_machines_new (uint32_t partitions, bool emits);
void bench_machines_destroy (bench_machines_t **self_p);
/*  actor: what is fanned out reaches the actor, which handles it all; else it is lost. *handled:
 *  how many events were. False: something went wrong.  */
bool bench_machines_publish (bench_machines_t *self, bn_section_t *sections, uint32_t count,
                             bool actor, uint64_t *handled);

#endif
