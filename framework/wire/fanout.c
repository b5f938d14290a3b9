/* SPDX-License-Identifier: MPL-2.0 */

/*  fanout.c - a section on the XPUB socket.
 *
 *    frame 0 = partition byte, topic
 *    frame 1 = 'B' 'T' version 0x40 [base, count, [[actor id, previous end], ...]]
 *    frame 2 = payload  */
#include "wire/message_layout.h"
#include "wire/topic.h"
#include <stdio.h>
#include <string.h>

#define FRAME_COUNT      3
#define HEADER_BYTES     4
#define HEADER_BYTES_MAX (2u << 20) /* a chain of 65,535 entries fits */

static const uint8_t s_header[HEADER_BYTES] = {'B', 'T', 1, BN_FANOUT};

bn_blob_t *bn_fanout_topic_encode (uint32_t partition, const char *topic, size_t size)
{
    bn_blob_t *blob = bn_blob_new (1 + size);
    if (blob) {
        blob->data[0] = (uint8_t)partition;
        memcpy (blob->data + 1, topic, size);
    }
    return blob;
}

bn_blob_t *bn_fanout_encode (const bn_fanout_t *fanout)
{
    bn_buffer_t buffer;
    bn_buffer_init (&buffer, HEADER_BYTES_MAX);
    bn_buffer_append (&buffer, s_header, sizeof (s_header));
    msgpack_packer packer = bn_mp_packer (&buffer);
    msgpack_pack_array (&packer, bn_layout_fanout.field_count);
    bn_layout_write (&bn_layout_fanout, &packer, fanout);
    bn_blob_t *blob = bn_buffer_take (&buffer);
    bn_buffer_fini (&buffer);
    return blob;
}

static baton_err_t fail (char what[256], baton_err_t err, const char *text)
{
    if (what)
        snprintf (what, 256, "fan-out: %s", text);
    return err;
}

baton_err_t bn_fanout_decode (bn_fanout_t *fanout, const bn_frame_t *frames, size_t count,
                              char what[256])
{
    memset (fanout, 0, sizeof (*fanout));
    if (count != FRAME_COUNT)
        return fail (what, BATON_ERR_MALFORMED, "not 3 frames");
    const char *topic = frames[0].data;
    const uint8_t *header = frames[1].data;
    if (frames[0].size < 1 || !bn_topic_valid (topic + 1, frames[0].size - 1))
        return fail (what, BATON_ERR_TOPIC, "frame 0 is not a partition and a topic");
    if (frames[1].size < HEADER_BYTES || memcmp (header, s_header, 2) || header[3] != s_header[3])
        return fail (what, BATON_ERR_MALFORMED, "frame 1 does not start as a fan-out header");
    if (header[2] != s_header[2])
        return fail (what, BATON_ERR_VERSION, "another protocol version");
    bn_mp_t mp;
    bn_mp_init (&mp, header + HEADER_BYTES, frames[1].size - HEADER_BYTES);
    if (bn_mp_array (&mp, UINT32_MAX, "not an array") != bn_layout_fanout.field_count)
        bn_mp_fail (&mp, BATON_ERR_MALFORMED, "wrong number of fields");
    bn_layout_read (&bn_layout_fanout, &mp, fanout);
    bn_mp_end (&mp);
    if (mp.err) {
        bn_fanout_fini (fanout);
        return bn_layout_error (&mp, bn_layout_fanout.name, what);
    }
    fanout->partition = (uint8_t)topic[0];
    fanout->topic = (bn_text_t){topic + 1, frames[0].size - 1};
    return BATON_OK;
}

void bn_fanout_fini (bn_fanout_t *fanout)
{
    bn_layout_fini (&bn_layout_fanout, fanout);
    memset (fanout, 0, sizeof (*fanout));
}
