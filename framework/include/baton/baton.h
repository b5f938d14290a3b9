/* SPDX-License-Identifier: MPL-2.0 */

/*  baton.h - everything: events, producers, actors and the embedded orchestrator.  */
#ifndef BATON_H
#define BATON_H

#include <baton/actor.h>
#include <baton/error.h>
#include <baton/event.h>
#include <baton/orchestrator.h>
#include <baton/producer.h>
#include <baton/version.h>

#endif
