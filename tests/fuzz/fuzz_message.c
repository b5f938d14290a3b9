/* SPDX-License-Identifier: MPL-2.0 */

/*  fuzz_message.c - messages of one frame and of several: the first byte says how many payload
 *  frames follow. Oracle: what is accepted, encoded again and decoded again, encodes to the same
 *  bytes.  */
#include "fuzz.h"
#include "wire/message.h"
#include <string.h>

enum { FRAMES_MAX = 4 };

int LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t size)
{
    if (size < 1)
        return 0;
    size_t count = 1 + bytes[0] % FRAMES_MAX;
    bn_frame_t frames[1 + FRAMES_MAX] = {{bytes + 1, size - 1}};
    for (size_t i = 1; i < count; i++)
        frames[i] = (bn_frame_t){"payload", 7};
    bn_message_t message;
    char what[256] = "";
    if (bn_message_decode (&message, frames, count, what)) {
        FUZZ_CHECK (what[0] && memchr (what, 0, sizeof (what)));
        return 0;
    }
    bn_blob_t *first = bn_message_encode (&message);
    bn_message_fini (&message);
    frames[0] = (bn_frame_t){first->data, first->size};
    FUZZ_CHECK (bn_message_decode (&message, frames, count, what) == BATON_OK);
    bn_blob_t *second = bn_message_encode (&message);
    FUZZ_CHECK (first->size == second->size);
    FUZZ_CHECK (memcmp (first->data, second->data, first->size) == 0);
    bn_message_fini (&message);
    bn_blob_unref (&first);
    bn_blob_unref (&second);
    return 0;
}
