/* SPDX-License-Identifier: MPL-2.0 */

/*  sample.h - STATUS as a tree, with what takes more than one answer: what `baton status`, `top`,
 *  `why` and `monitor` share.
 *
 *  The orchestrator answers with counts. Rates are the difference of two samples, and the age of
 *  the oldest event that is not settled is a look at that event: both are added here, so that
 *  asking costs the orchestrator little.  */
#ifndef BN_CLI_SAMPLE_H
#define BN_CLI_SAMPLE_H

#include "client/admin.h"
#include <jansson.h>

/*  Owned; NULL: *err, of which bn_sample_error_text says more.  */
json_t *bn_sample_take (bn_admin_t *admin, baton_err_t *err);
const char *bn_sample_error_text (const bn_admin_t *admin, baton_err_t err);

/*  Sets events_per_second in each topic; settled_per_second and published_per_second in each actor.
 *  null where `before` (NULL: no earlier sample) does not know it.  */
void bn_sample_add_rates (json_t *sample, const json_t *before);
/*  Sets oldest_unsettled_age_ms in each actor: an upper bound, null if nothing is unsettled. One
 *  READ for each actor that is behind.  */
void bn_sample_add_ages (json_t *sample, bn_admin_t *admin);

/*  Members; 0 and "" where there is none.  */
json_int_t bn_sample_int (const json_t *object, const char *name);
const char *bn_sample_text (const json_t *object, const char *name);

/*  For people: "1.5 s", "12 min", "-" for null; "12.5 MiB"; "1234", "-" for null.  */
void bn_sample_age_text (const json_t *ms, char text[32]);
void bn_sample_bytes_text (json_int_t bytes, char text[32]);
void bn_sample_rate_text (const json_t *rate, char text[32]);

#endif
