/* SPDX-License-Identifier: MPL-2.0 */

/*  fuzz_node_message.c - what nodes and `baton up` say to each other. Oracles: what is refused is
 *  named; what is accepted, encoded again and decoded again, encodes to the same bytes.  */
#include "fuzz.h"
#include "wire/node_message.h"
#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t size)
{
    bn_node_message_t message;
    char what[256] = "";
    if (bn_node_message_decode (&message, bytes, size, what)) {
        FUZZ_CHECK (what[0] && memchr (what, 0, sizeof (what)));
        return 0;
    }
    bn_blob_t *first = bn_node_message_encode (&message);
    bn_node_message_fini (&message);
    FUZZ_CHECK (
        first); /* numbers come out in their shortest form: never longer than what came in */
    FUZZ_CHECK (bn_node_message_decode (&message, first->data, first->size, what) == BATON_OK);
    bn_blob_t *second = bn_node_message_encode (&message);
    FUZZ_CHECK (second && first->size == second->size);
    FUZZ_CHECK (memcmp (first->data, second->data, first->size) == 0);
    bn_node_message_fini (&message);
    bn_blob_unref (&first);
    bn_blob_unref (&second);
    return 0;
}
