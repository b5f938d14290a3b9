/* SPDX-License-Identifier: MPL-2.0 */

/*  fuzz_fanout.c - the first two frames of a fan-out; the first byte is the size of frame 0.
 *  Oracle: what is accepted is the same after another round.  */
#include "fuzz.h"
#include "wire/message.h"
#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t size)
{
    if (size < 1 || bytes[0] >= size)
        return 0;
    size_t topic_size = bytes[0];
    bn_frame_t frames[3] = {
        {bytes + 1, topic_size}, {bytes + 1 + topic_size, size - 1 - topic_size}, {"payload", 7}};
    bn_fanout_t fanout;
    char what[256] = "";
    if (bn_fanout_decode (&fanout, frames, 3, what)) {
        FUZZ_CHECK (what[0]);
        return 0;
    }
    bn_blob_t *topic =
        bn_fanout_topic_encode (fanout.partition, fanout.topic.text, fanout.topic.size);
    FUZZ_CHECK (topic->size == topic_size && memcmp (topic->data, bytes + 1, topic_size) == 0);
    bn_blob_t *header = bn_fanout_encode (&fanout);
    frames[1] = (bn_frame_t){header->data, header->size};
    bn_fanout_t again;
    FUZZ_CHECK (bn_fanout_decode (&again, frames, 3, what) == BATON_OK);
    FUZZ_CHECK (again.base == fanout.base && again.count == fanout.count);
    FUZZ_CHECK (again.chain_count == fanout.chain_count);
    bn_fanout_fini (&fanout);
    bn_fanout_fini (&again);
    bn_blob_unref (&topic);
    bn_blob_unref (&header);
    return 0;
}
