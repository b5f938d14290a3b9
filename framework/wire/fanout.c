/* SPDX-License-Identifier: MPL-2.0 */

/*  fanout.c - sections on the XPUB socket: one to all who want it, or many small ones to one
 *  instance.
 *
 *    frame 0 = partition byte, topic
 *    frame 1 = 'B' 'T' version 0x40 [base, count, [[actor id, previous end], ...]]
 *    frame 2 = payload
 *
 *    frame 0 = 255 1, actor id (4 bytes, big endian), incarnation (8): the channel of an instance
 *    frame 1 = 'B' 'T' version 0x41 [[[topic, partition, base, count, previous end, bytes], ...]]
 *    frame 2 = the payloads, one after the other  */
#include "wire/message_layout.h"
#include "wire/topic.h"
#include <stdio.h>
#include <string.h>

#define FRAME_COUNT  3
#define HEADER_BYTES 4
#define HEADER_BYTES_MAX                                                                           \
    (8u << 20) /* a chain of 65,535 entries fits, and BN_SECTIONS_MAX sections */
#define CHANNEL_BYTES 14
#define CHANNEL_FIRST 255 /* seldom a partition: few hear what is meant for others */
#define CHANNEL_MARK  1   /* in the place of a topic's first letter */

static const uint8_t s_header[HEADER_BYTES] = {'B', 'T', 1, BN_FANOUT};
static const uint8_t s_bundle_header[HEADER_BYTES] = {'B', 'T', 1, BN_BUNDLE};

bn_blob_t *bn_fanout_topic_encode (uint32_t partition, const char *topic, size_t size)
{
    bn_blob_t *blob = bn_blob_new (1 + size);
    if (blob) {
        blob->data[0] = (uint8_t)partition;
        memcpy (blob->data + 1, topic, size);
    }
    return blob;
}

static bn_blob_t *encode (const uint8_t head[HEADER_BYTES], const bn_layout_t *layout,
                          const void *base)
{
    bn_buffer_t buffer;
    bn_buffer_init (&buffer, HEADER_BYTES_MAX);
    bn_buffer_append (&buffer, head, HEADER_BYTES);
    msgpack_packer packer = bn_mp_packer (&buffer);
    msgpack_pack_array (&packer, layout->field_count);
    bn_layout_write (layout, &packer, base);
    bn_blob_t *blob = bn_buffer_take (&buffer);
    bn_buffer_fini (&buffer);
    return blob;
}

bn_blob_t *bn_fanout_encode (const bn_fanout_t *fanout)
{
    return encode (s_header, &bn_layout_fanout, fanout);
}

static baton_err_t fail (char what[256], baton_err_t err, const char *text)
{
    if (what)
        snprintf (what, 256, "fan-out: %s", text);
    return err;
}

/*  Frame 1 into the zeroed struct at `base`, which is zeroed again on an error.  */
static baton_err_t decode (const uint8_t head[HEADER_BYTES], const bn_layout_t *layout,
                           const bn_frame_t *frame, void *base, char what[256])
{
    const uint8_t *header = frame->data;
    if (frame->size < HEADER_BYTES || memcmp (header, head, 2) || header[3] != head[3])
        return fail (what, BATON_ERR_MALFORMED, "frame 1 does not start as its header");
    if (header[2] != head[2])
        return fail (what, BATON_ERR_VERSION, "another protocol version");
    bn_mp_t mp;
    bn_mp_init (&mp, header + HEADER_BYTES, frame->size - HEADER_BYTES);
    if (bn_mp_array (&mp, UINT32_MAX, "not an array") != layout->field_count)
        bn_mp_fail (&mp, BATON_ERR_MALFORMED, "wrong number of fields");
    bn_layout_read (layout, &mp, base);
    bn_mp_end (&mp);
    if (!mp.err)
        return BATON_OK;
    bn_layout_fini (layout, base);
    memset (base, 0, layout->size);
    return bn_layout_error (&mp, layout->name, what);
}

baton_err_t bn_fanout_decode (bn_fanout_t *fanout, const bn_frame_t *frames, size_t count,
                              char what[256])
{
    memset (fanout, 0, sizeof (*fanout));
    if (count != FRAME_COUNT)
        return fail (what, BATON_ERR_MALFORMED, "not 3 frames");
    const char *topic = frames[0].data;
    if (frames[0].size < 1 || !bn_topic_valid (topic + 1, frames[0].size - 1))
        return fail (what, BATON_ERR_TOPIC, "frame 0 is not a partition and a topic");
    baton_err_t err = decode (s_header, &bn_layout_fanout, &frames[1], fanout, what);
    if (err)
        return err;
    fanout->partition = (uint8_t)topic[0];
    fanout->topic = (bn_text_t){topic + 1, frames[0].size - 1};
    return BATON_OK;
}

void bn_fanout_fini (bn_fanout_t *fanout)
{
    bn_layout_fini (&bn_layout_fanout, fanout);
    memset (fanout, 0, sizeof (*fanout));
}

/*  ---- bundles ---- */

bn_blob_t *bn_channel_encode (uint32_t actor_id, uint64_t incarnation)
{
    bn_blob_t *blob = bn_blob_new (CHANNEL_BYTES);
    if (!blob)
        return NULL;
    uint8_t *at = blob->data;
    *at++ = CHANNEL_FIRST;
    *at++ = CHANNEL_MARK;
    for (int shift = 24; shift >= 0; shift -= 8)
        *at++ = (uint8_t)(actor_id >> shift);
    for (int shift = 56; shift >= 0; shift -= 8)
        *at++ = (uint8_t)(incarnation >> shift);
    return blob;
}

bool bn_is_channel (const void *head, size_t size)
{
    const uint8_t *bytes = head;
    return size == CHANNEL_BYTES && bytes[0] == CHANNEL_FIRST && bytes[1] == CHANNEL_MARK;
}

bn_blob_t *bn_bundle_encode (const bn_bundle_t *bundle)
{
    return encode (s_bundle_header, &bn_layout_bundle, bundle);
}

baton_err_t bn_bundle_decode (bn_bundle_t *bundle, const bn_frame_t *frames, size_t count,
                              char what[256])
{
    memset (bundle, 0, sizeof (*bundle));
    if (count != FRAME_COUNT)
        return fail (what, BATON_ERR_MALFORMED, "not 3 frames");
    if (!bn_is_channel (frames[0].data, frames[0].size))
        return fail (what, BATON_ERR_MALFORMED, "frame 0 is not a channel");
    baton_err_t err = decode (s_bundle_header, &bn_layout_bundle, &frames[1], bundle, what);
    if (err)
        return err;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < bundle->section_count; i++)
        bytes += bundle->sections[i].bytes;
    if (bytes == frames[2].size)
        return BATON_OK;
    bn_bundle_fini (bundle);
    return fail (what, BATON_ERR_MALFORMED, "the sections are not as long as frame 2");
}

void bn_bundle_fini (bn_bundle_t *bundle)
{
    bn_layout_fini (&bn_layout_bundle, bundle);
    memset (bundle, 0, sizeof (*bundle));
}
