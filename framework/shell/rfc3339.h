/* SPDX-License-Identifier: MPL-2.0 */

/*  rfc3339.h - times as people write them, for command lines.  */
#ifndef BN_RFC3339_H
#define BN_RFC3339_H

#include <stdbool.h>
#include <stdint.h>

/*  "2026-01-31", "2026-01-31T12:00:00Z", with a fraction of the second (".25") and an offset
 *  ("+01:00") if there is one, to microseconds since 1970 UTC. false: it is no time, or one before
 *  1970.  */
bool bn_rfc3339_parse (const char *text, int64_t *time_us);

#endif
