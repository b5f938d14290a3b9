/* SPDX-License-Identifier: MPL-2.0 */

/*  nats.c - NATS JetStream with libnats: asynchronous publishing; durable pull consumers that fetch
 *  up to 1,000 messages at a time and acknowledge each. The stream is on disk, one replica, and the
 *  server has its default of one fsync every two minutes.  */
#include "peer.h"
#include <inttypes.h>
#include <nats/nats.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FETCH_EVENTS_MAX 1000

typedef struct {
    natsConnection *connection;
    jsCtx *js;
    jsErrCode code;
} nats_t;

static bool nats_failed (natsStatus status)
{
    return peer_failed ("nats: %s", natsStatus_GetText (status));
}

static bool nats_open (nats_t *self, const peer_load_t *load)
{
    char url[128];
    jsOptions options;
    snprintf (url, sizeof url, "nats://%s", load->endpoint);
    jsOptions_Init (&options);
    options.PublishAsync.MaxPending = (int64_t)(load->window ? load->window : 4000);
    natsStatus status = natsConnection_ConnectTo (&self->connection, url);
    if (!status)
        status = natsConnection_JetStream (&self->js, self->connection, &options);
    if (status)
        return nats_failed (status);
    jsStreamConfig config;
    const char *subjects[] = {PEER_NAME};
    jsStreamConfig_Init (&config);
    config.Name = PEER_NAME;
    config.Subjects = subjects;
    config.SubjectsLen = 1;
    config.Storage = js_FileStorage;
    status = js_AddStream (NULL, self->js, &config, NULL, &self->code);
    return status == NATS_OK || nats_failed (status);
}

static void nats_shut (nats_t *self)
{
    jsCtx_Destroy (self->js);
    natsConnection_Destroy (self->connection);
    nats_Close ();
}

bool peer_nats_producer (peer_load_t *load)
{
    nats_t self = {0};
    char *event = malloc (load->size);
    bool ok = event && nats_open (&self, load);
    load->first_ns = peer_now_ns ();
    for (uint64_t k = 0; ok && k < load->events; k++) {
        uint64_t from_ns = peer_await_turn (load, peer_due_ns (load, load->first_ns, k));
        peer_fill (load, event, from_ns);
        natsStatus status = js_PublishAsync (self.js, PEER_NAME, event, (int)load->size, NULL);
        ok = status == NATS_OK || nats_failed (status);
    }
    if (ok) {
        jsPubOptions wait;
        jsPubOptions_Init (&wait);
        wait.MaxWait = PEER_IDLE_MS;
        natsStatus status = js_PublishAsyncComplete (self.js, &wait);
        ok = status == NATS_OK || nats_failed (status);
    }
    load->done = load->events;
    load->last_ns = peer_now_ns ();
    free (event);
    nats_shut (&self);
    return ok;
}

bool peer_nats_consumer (peer_load_t *load)
{
    nats_t self = {0};
    natsSubscription *subscription = NULL;
    uint64_t heard_ns = peer_now_ns ();
    bool ok = nats_open (&self, load);
    if (ok) {
        jsSubOptions options;
        jsSubOptions_Init (&options);
        options.Config.AckPolicy = js_AckExplicit;
        options.Config.MaxAckPending = 20000;
        natsStatus status = js_PullSubscribe (&subscription, self.js, PEER_NAME, load->group, NULL,
                                              &options, &self.code);
        ok = status == NATS_OK || nats_failed (status);
    }
    if (ok)
        peer_ready ();
    while (ok && load->done < load->events) {
        natsMsgList list = {0};
        uint64_t left = load->events - load->done;
        natsStatus status = natsSubscription_Fetch (
            &list, subscription, left < FETCH_EVENTS_MAX ? (int)left : FETCH_EVENTS_MAX, 1000,
            &self.code);
        ok = status == NATS_OK || status == NATS_TIMEOUT || nats_failed (status);
        for (int i = 0; i < list.Count; i++) {
            ok = ok && peer_handle (load, natsMsg_GetData (list.Msgs[i]),
                                    (uint64_t)natsMsg_GetDataLength (list.Msgs[i]));
            ok = ok && natsMsg_Ack (list.Msgs[i], NULL) == NATS_OK;
            heard_ns = peer_now_ns ();
        }
        natsMsgList_Destroy (&list);
        if (ok && peer_now_ns () - heard_ns > PEER_IDLE_MS * 1000000ull)
            ok = peer_failed ("%" PRIu64 " events, and then nothing", load->done);
    }
    if (ok)
        ok = natsConnection_FlushTimeout (self.connection, 10000) == NATS_OK;
    natsSubscription_Destroy (subscription);
    nats_shut (&self);
    return ok;
}
