/* SPDX-License-Identifier: MPL-2.0 */

/*  log.h - lines for people (or JSON lines for machines) on standard error.
 *
 *  Thread rule: any thread, after bn_log_setup; a line is one write.  */
#ifndef BN_LOG_H
#define BN_LOG_H

#include "core/effects.h"

typedef enum { BN_LOG_TEXT, BN_LOG_JSON } bn_log_format_t;

/*  `who` names the process in each line ("orchestrator", "payment/payment-1"); copied. Lines below
 *  `least` are left out (default INFO).  */
void bn_log_setup (const char *who, bn_log_format_t format, bn_log_level_t least);
/*  "text" or "json"; false: neither.  */
bool bn_log_format_parse (const char *text, bn_log_format_t *format);
void bn_log (bn_log_level_t level, const char *format, ...) __attribute__ ((format (printf, 2, 3)));

#endif
