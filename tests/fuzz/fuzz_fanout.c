/* SPDX-License-Identifier: MPL-2.0 */

/*  fuzz_fanout.c - the first two frames of a fan-out or a bundle; the first byte is the size of
 *  frame 0. Oracle: what is accepted is the same after another round.  */
#include "fuzz.h"
#include "wire/message.h"
#include <string.h>

/*  The frame with the payloads is as long as the sections say: where they disagree nothing else is
 *  looked at.  */
static void bundle (bn_frame_t frames[3])
{
    static uint8_t payloads[1 << 16];
    bn_bundle_t bundle, again;
    char what[256] = "";
    baton_err_t err = BATON_ERR_MALFORMED;
    for (size_t bytes = 0; bytes <= 64 && err == BATON_ERR_MALFORMED; bytes++) {
        frames[2] = (bn_frame_t){payloads, bytes};
        what[0] = 0;
        err = bn_bundle_decode (&bundle, frames, 3, what);
    }
    if (err) {
        FUZZ_CHECK (what[0]);
        return;
    }
    bn_blob_t *header = bn_bundle_encode (&bundle);
    frames[1] = (bn_frame_t){header->data, header->size};
    FUZZ_CHECK (bn_bundle_decode (&again, frames, 3, what) == BATON_OK);
    FUZZ_CHECK (again.section_count == bundle.section_count);
    for (uint32_t i = 0; i < again.section_count; i++)
        FUZZ_CHECK (again.sections[i].base == bundle.sections[i].base &&
                    again.sections[i].bytes == bundle.sections[i].bytes);
    bn_bundle_fini (&bundle);
    bn_bundle_fini (&again);
    bn_blob_unref (&header);
}

int LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t size)
{
    if (size < 1 || bytes[0] >= size)
        return 0;
    size_t topic_size = bytes[0];
    bn_frame_t frames[3] = {
        {bytes + 1, topic_size}, {bytes + 1 + topic_size, size - 1 - topic_size}, {"payload", 7}};
    if (bn_is_channel (frames[0].data, frames[0].size)) {
        bundle (frames);
        return 0;
    }
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
