/* SPDX-License-Identifier: MPL-2.0 */

#include "integration/peer.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_MS 10000

bn_text_t peer_text (const char *text)
{
    return (bn_text_t){text, strlen (text)};
}

void peer_init (peer_t *self, const char *endpoint)
{
    int none = 0;
    *self = (peer_t){.context = zmq_ctx_new ()};
    self->socket = zmq_socket (self->context, ZMQ_DEALER);
    zmq_setsockopt (self->socket, ZMQ_LINGER, &none, sizeof none);
    assert_int_equal (zmq_connect (self->socket, endpoint), 0);
    bn_inbound_init (&self->inbound);
}

void peer_fini (peer_t *self)
{
    bn_message_fini (&self->reply);
    bn_inbound_fini (&self->inbound);
    zmq_close (self->socket);
    zmq_ctx_term (self->context);
}

void peer_send_raw (peer_t *self, const bn_frame_t *frames, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_int_equal (zmq_send (self->socket, frames[i].data, frames[i].size,
                                    i + 1 < count ? ZMQ_SNDMORE : 0),
                          frames[i].size);
}

const bn_message_t *peer_receive (peer_t *self, int timeout_ms)
{
    char what[256] = "";
    bn_message_fini (&self->reply);
    self->reply = (bn_message_t){.request = 0};
    zmq_setsockopt (self->socket, ZMQ_RCVTIMEO, &timeout_ms, sizeof timeout_ms);
    if (bn_inbound_receive (&self->inbound, self->socket, 0, BN_FRAMES_MAX, SIZE_MAX) != 0) {
        assert_int_equal (errno, EAGAIN);
        return NULL;
    }
    baton_err_t err =
        bn_message_decode (&self->reply, self->inbound.frames, self->inbound.count, what);
    assert_string_equal (what, "");
    assert_int_equal (err, BATON_OK);
    return &self->reply;
}

/*  Sends with a fresh request number.  */
static void send_request (peer_t *self, bn_message_t *message)
{
    message->request = ++self->request;
    bn_blob_t *head = bn_message_encode (message);
    assert_non_null (head);
    const bn_section_t *sections = message->type == BN_PUBLISH ? message->publish.sections : NULL;
    uint32_t count = message->type == BN_PUBLISH ? message->publish.section_count : 0;
    bn_slice_t *payloads = calloc (count + 1, sizeof *payloads);
    for (uint32_t i = 0; i < count; i++)
        payloads[i] = sections[i].payload;
    assert_int_equal (bn_send_message (self->socket, head, payloads, count, 0), 0);
    free (payloads);
    bn_blob_unref (&head);
}

static const bn_message_t *await_reply (peer_t *self)
{
    for (;;) {
        const bn_message_t *reply = peer_receive (self, ANSWER_MS);
        assert_non_null (reply);
        if (reply->request == self->request)
            return reply;
        assert_int_equal (reply->request, 0);
    }
}

const bn_message_t *peer_request (peer_t *self, bn_message_t *message)
{
    send_request (self, message);
    return await_reply (self);
}

void peer_hello (peer_t *self, bn_role_t role, uint64_t incarnation)
{
    bn_message_t hello = {
        .type = BN_HELLO,
        .hello = {.role = role, .name = peer_text ("peer"), .incarnation = incarnation},
    };
    const bn_message_t *reply = peer_request (self, &hello);
    assert_int_equal (reply->type, BN_WELCOME);
    self->journal_id = reply->welcome.journal_id;
    self->tail = reply->welcome.tail;
    self->partitions = reply->welcome.partitions;
    self->producer_sequence = reply->welcome.producer_sequence;
    snprintf (self->fanout_endpoint, sizeof self->fanout_endpoint, "%.*s",
              (int)reply->welcome.fanout_endpoint.size, reply->welcome.fanout_endpoint.text);
}

void peer_publish_only (peer_t *self, uint64_t producer_id, uint64_t sequence, const char *topic,
                        uint32_t count, size_t data_size)
{
    bn_sections_t *sections = bn_sections_new (self->partitions, 64 * 1024 * 1024);
    uint8_t *data = calloc (1, data_size + 16);
    for (uint32_t i = 0; i < count; i++) {
        char key[16], text[16];
        snprintf (key, sizeof key, "k%u", i);
        int size = snprintf (text, sizeof text, "d%u", i);
        memcpy (data, text, (size_t)size);
        bn_event_fields_t event = {
            .id_prefix = peer_text ("peer"),
            .id_number_set = true,
            .id_number = sequence * 1000 + i,
            .key = peer_text (key),
            .source = peer_text ("/tests/peer"),
            .time_us = 1,
            .datacontenttype = peer_text ("text/plain"),
            .dataschema = peer_text (""),
            .data = data,
            .data_size = data_size > 0 ? data_size : (size_t)size,
        };
        assert_int_equal (bn_sections_add (sections, topic, strlen (topic), &event, 0), BATON_OK);
    }
    bn_message_t message = {
        .type = BN_PUBLISH,
        .publish = {.producer_id = producer_id, .sequence = sequence},
    };
    message.publish.sections = bn_sections_take (sections, &message.publish.section_count);
    assert_non_null (message.publish.sections);
    send_request (self, &message);
    bn_section_array_free (message.publish.sections, message.publish.section_count);
    bn_sections_destroy (&sections);
    free (data);
}

const bn_message_t *peer_publish (peer_t *self, uint64_t producer_id, uint64_t sequence,
                                  const char *topic, uint32_t count, size_t data_size)
{
    peer_publish_only (self, producer_id, sequence, topic, count, data_size);
    return await_reply (self);
}

void peer_join_only (peer_t *self, const char *actor, const char *instance, uint64_t incarnation,
                     const char *pattern)
{
    bn_text_t patterns[1] = {peer_text (pattern)};
    bn_message_t message = {
        .type = BN_JOIN,
        .join =
            {
                .actor = peer_text (actor),
                .instance = peer_text (instance),
                .incarnation = incarnation,
                .patterns = patterns,
                .pattern_count = 1,
                .start = BN_START_TAIL,
                .policy = {.max_attempts = 5,
                           .backoff_min_ms = 100,
                           .backoff_max_ms = 1000,
                           .handler_deadline_ms = 30000},
            },
    };
    send_request (self, &message);
}

const bn_message_t *peer_join (peer_t *self, const char *actor, const char *instance,
                               uint64_t incarnation, const char *pattern)
{
    peer_join_only (self, actor, instance, incarnation, pattern);
    return await_reply (self);
}

const bn_message_t *peer_read (peer_t *self, uint64_t from, uint32_t bytes_max)
{
    bn_message_t message = {
        .type = BN_READ,
        .read = {.bytes_max = bytes_max, .from_kind = BN_FROM_OFFSET, .from = from},
    };
    return peer_request (self, &message);
}
