/* SPDX-License-Identifier: MPL-2.0 */

/*  publication.h - an event as its author gives it: checked at once, in the author's thread, then
 *  copied into a blob. Used by producers and by what handlers emit.
 *
 *  The checks are those of the orchestrator (bn_batch_check), so that a mistake is told to who made
 *  it and never travels.  */
#ifndef BN_PUBLICATION_H
#define BN_PUBLICATION_H

#include "wire/batch.h"
#include <baton/producer.h>

#define BN_WHAT_BYTES 256

typedef struct {
    bn_text_t name;
    bn_text_t value;
} bn_default_extension_t;

/*  What stands in for attributes that were not given. Texts are borrowed, and so are they in the
 *  fields made from them: they must outlive the machine that the fields go to, or live in its blob.
 */
typedef struct {
    bn_text_t source;
    bn_text_t id_prefix; /* of an id made by the library */
    uint64_t id_number;
    int64_t time_us;
    const bn_default_extension_t *extensions; /* added where the author gave none of that name */
    size_t extension_count;
} bn_publication_defaults_t;

/*  OK, or an error and one line that says what is wrong. Errors: TOPIC, KEY, TOO_LARGE, TOO_DEEP,
 *  MALFORMED (the data), ARGUMENT (anything else).  */
baton_err_t bn_publication_check (const baton_publication_t *self, size_t data_bytes_max,
                                  char what[BN_WHAT_BYTES]);

/*  Room that bn_publication_pack takes at most.  */
size_t bn_publication_bytes (const baton_publication_t *self,
                             const bn_publication_defaults_t *defaults);

/*  Copies the checked publication to *at, advances *at, and describes the copy. False: with the
 *  defaults it has more than BATON_EXTENSIONS_COUNT_MAX extensions.  */
bool bn_publication_pack (const baton_publication_t *self,
                          const bn_publication_defaults_t *defaults, uint8_t **at, bn_text_t *topic,
                          bn_event_fields_t *fields);

#endif
