/* SPDX-License-Identifier: MPL-2.0 */

/*  message_layout.h - which message has which fields. Private to wire/.  */
#ifndef BN_MESSAGE_LAYOUT_H
#define BN_MESSAGE_LAYOUT_H

#include "wire/layout.h"

/*  Offsets in these layouts count from the union of bn_message_t. NULL: no such type.  */
const bn_layout_t *bn_message_layout (uint32_t type);

/*  Fan-out header: base, count, chain; offsets count from bn_fanout_t.  */
extern const bn_layout_t bn_layout_fanout;
/*  Header of a bundle; offsets count from bn_bundle_t.  */
extern const bn_layout_t bn_layout_bundle;

#endif
