/* SPDX-License-Identifier: MPL-2.0 */

/*  placement.h - how many instances of a service each host runs.
 *
 *  A place is a host and what the file says of it: so many instances there, or from so many to so
 *  many. Growing adds one after the other where there are the fewest; shrinking takes one after the
 *  other from where there are the most; of equal ones the earlier grows and the later shrinks.
 *
 *  INVARIANT P1: a place whose host is not there does not grow: what is wanted there cannot be had.
 *  INVARIANT P2: nothing moves by itself: a place changes because a total was asked for, never
 *  because another host has come or gone. A host that is cut off may still run its instances.
 *
 *  Pure.  */
#ifndef BN_PLACEMENT_H
#define BN_PLACEMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint32_t min;    /* what the file says */
    uint32_t max;    /* more than min: elastic */
    uint32_t wanted; /* now */
    bool present;    /* its host is there */
} bn_place_t;

uint32_t bn_placement_total (const bn_place_t *places, size_t count);

/*  Brings the total as near to `total` as can be; returns it. bounded: every place stays between
 *  its min and its max, as a decision to scale has to; else between 0 and `most`, as a person
 *  may.  */
uint32_t bn_placement_scale (bn_place_t *places, size_t count, uint32_t total, bool bounded,
                             uint32_t most);

#endif
