/* SPDX-License-Identifier: MPL-2.0 */

#include "cli/up_nodes.h"
#include "orchestrator/monitor.h"
#include "shell/clock.h"
#include "shell/log.h"
#include "shell/socket.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define CONNECTIONS_MAX   (4 * BN_UP_NODES_MAX)
#define MONITOR_ENDPOINT  "inproc://nodes"
#define TURN_MESSAGES_MAX 32
#define TURN_BYTES_MAX    (2 * BN_NODE_MESSAGE_BYTES_MAX)
#define PEER_HWM          16   /* messages that wait for a peer, or from one */
#define PROBE_MS          1000 /* between two looks whether its connection is there */
#define HEARTBEAT_MS      1000 /* of ZeroMQ: finds peers that have gone without a word */
#define HANDSHAKE_MS      3000
#define TELL_MS           10000 /* between two lines about the same trouble */
#define ID_BYTES_MAX      8     /* of a routing id; those of libzmq have 5 */
#define FRAMES_MAX        2     /* routing id, message */

typedef struct {
    char host[BN_NODE_HOST_BYTES_MAX + 1];
    char address[64];
    bn_up_node_state_t state;
    uint8_t id[ID_BYTES_MAX]; /* its connection */
    size_t id_size;
    bool broken;          /* that has gone */
    uint64_t heard_ms;    /* monotonic */
    uint64_t probe_ms;    /* when to look for the connection */
    uint64_t incarnation; /* of its process */
    bn_blob_t *bytes;     /* owned; of the last report */
    bn_node_message_t report;
    uint64_t revision; /* of what it is to run */
} s_node_t;

struct bn_up_nodes {
    bn_up_nodes_options_t options;
    void *context; /* owned */
    void *router;  /* owned */
    void *monitor; /* owned; of its connections */
    size_t connections;
    bn_inbound_t inbound;
    s_node_t *nodes[BN_UP_NODES_MAX]; /* owned */
    size_t count;
    uint64_t rubbish;   /* messages that were dropped */
    uint64_t tell_ms;   /* when a line about them is due again */
    uint64_t refuse_ms; /* when a line about one that is refused is due again */
    uint64_t crowd_ms;  /* when one about too many connections is */
};

/*  ---- sending: nobody is waited for ---- */

/*  False: the connection has gone. One that does not take it now gets it another time.  */
static bool s_send (bn_up_nodes_t *self, const void *id, size_t id_size, bn_blob_t *message)
{
    if (!message)
        return true;
    bn_slice_t body = {.blob = message, .data = message->data, .size = message->size};
    bn_blob_t *head = bn_blob_new_copy (id, id_size);
    if (!head)
        return true;
    int rc = bn_send_message (self->router, head, &body, 1, ZMQ_DONTWAIT);
    int error = errno;
    bn_blob_unref (&head);
    return rc == 0 || error != EHOSTUNREACH;
}

static void s_send_heard (bn_up_nodes_t *self, s_node_t *node, uint64_t now_ms)
{
    bn_node_message_t heard = {.type = BN_NODE_HEARD};
    bn_blob_t *bytes = bn_node_message_encode (&heard);
    node->broken = !s_send (self, node->id, node->id_size, bytes);
    node->probe_ms = now_ms + PROBE_MS;
    bn_blob_unref (&bytes);
}

static void s_refuse (bn_up_nodes_t *self, const bn_inbound_t *inbound, const char *why)
{
    bn_node_message_t refused = {.type = BN_NODE_REFUSED, .refused.why = {why, strlen (why)}};
    bn_blob_t *bytes = bn_node_message_encode (&refused);
    s_send (self, inbound->frames[0].data, inbound->frames[0].size, bytes);
    bn_blob_unref (&bytes);
}

/*  Its part, if it does not run that; else a word.  */
static void s_answer (bn_up_nodes_t *self, s_node_t *node, uint64_t now_ms)
{
    if (node->revision && node->report.report.revision == node->revision) {
        s_send_heard (self, node, now_ms);
        return;
    }
    bn_blob_t *part = self->options.part (node->host, &node->revision, self->options.arg);
    if (part && node->report.report.revision != node->revision)
        node->broken = !s_send (self, node->id, node->id_size, part);
    else
        s_send_heard (self, node, now_ms);
    node->probe_ms = now_ms + PROBE_MS;
    bn_blob_unref (&part);
}

/*  ---- nodes ---- */

static s_node_t *s_find (const bn_up_nodes_t *self, const char *host)
{
    for (size_t i = 0; i < self->count; i++)
        if (!strcmp (self->nodes[i]->host, host))
            return self->nodes[i];
    return NULL;
}

/*  The processes of its last report are dead, or must be taken for it.  */
static void s_gone (bn_up_nodes_t *self, const s_node_t *node)
{
    char name[BATON_NAME_BYTES_MAX + 32];
    const bn_node_report_t *report = &node->report.report;
    for (uint32_t i = 0; i < report->service_count; i++) {
        const bn_node_service_t *service = &report->services[i];
        for (uint32_t k = 0; k < service->instance_count; k++) {
            const bn_node_instance_t *instance = &service->instances[k];
            if (!instance->pid)
                continue;
            snprintf (name, sizeof (name), "%.*s-%" PRIu32 ".%s", (int)service->name.size,
                      service->name.text, instance->slot, node->host);
            self->options.gone (name, instance->incarnation, self->options.arg);
        }
    }
}

static uint32_t s_running (const s_node_t *node)
{
    uint32_t running = 0;
    const bn_node_report_t *report = &node->report.report;
    for (uint32_t i = 0; i < report->service_count; i++)
        for (uint32_t k = 0; k < report->services[i].instance_count; k++)
            running += report->services[i].instances[k].pid != 0;
    return running;
}

static void s_forget (bn_up_nodes_t *self, size_t index)
{
    s_node_t *node = self->nodes[index];
    bn_node_message_fini (&node->report);
    bn_blob_unref (&node->bytes);
    free (node);
    self->nodes[index] = self->nodes[--self->count];
}

/*  Makes room by forgetting the one that was heard longest ago of those that are not there.  */
static void s_make_room (bn_up_nodes_t *self)
{
    size_t oldest = self->count;
    for (size_t i = 0; i < self->count; i++)
        if (self->nodes[i]->state != BN_UP_NODE_JOINED &&
            (oldest == self->count || self->nodes[i]->heard_ms < self->nodes[oldest]->heard_ms))
            oldest = i;
    if (oldest < self->count)
        s_forget (self, oldest);
}

/*  NULL: too many are there (N1).  */
static s_node_t *s_add (bn_up_nodes_t *self, const char *host)
{
    if (self->count == BN_UP_NODES_MAX)
        s_make_room (self);
    s_node_t *node = self->count < BN_UP_NODES_MAX ? calloc (1, sizeof (*node)) : NULL;
    if (!node)
        return NULL;
    snprintf (node->host, sizeof (node->host), "%s", host);
    node->state = BN_UP_NODE_LEFT;
    self->nodes[self->count++] = node;
    return node;
}

static void s_lose (bn_up_nodes_t *self, s_node_t *node, uint64_t now_ms)
{
    node->state = BN_UP_NODE_LOST;
    bn_log (BN_LOG_WARNING,
            "node %s is lost: not heard for %.1f s; its %" PRIu32 " instances are reported gone, "
            "and not started elsewhere",
            node->host, (double)(now_ms - node->heard_ms) / 1000, s_running (node));
    s_gone (self, node);
}

/*  ---- receiving ---- */

static void s_drop (bn_up_nodes_t *self, const char *what, uint64_t now_ms)
{
    self->rubbish++;
    if (now_ms < self->tell_ms)
        return;
    self->tell_ms = now_ms + TELL_MS;
    bn_log (BN_LOG_WARNING,
            "where nodes join somebody sends what cannot be read (%s); dropped, %" PRIu64 " in all",
            what, self->rubbish);
}

/*  Whose name it is: the node's, or that of another process, and that one is refused.  */
static bool s_may_have (bn_up_nodes_t *self, s_node_t *node, const bn_node_report_t *report,
                        uint64_t now_ms)
{
    if (node->state != BN_UP_NODE_JOINED || node->incarnation == report->incarnation)
        return true;
    s_send_heard (self, node, now_ms); /* finds out whether it is there */
    if (!node->broken)
        return false;
    s_lose (self, node, now_ms);
    return true;
}

static void s_note (bn_up_nodes_t *self, s_node_t *node, bn_node_message_t *message,
                    bn_up_node_state_t before, bool same)
{
    const bn_node_report_t *report = &message->report;
    bool trouble = report->trouble.size > 0 &&
                   (!same || node->report.report.trouble.size != report->trouble.size ||
                    memcmp (node->report.report.trouble.text, report->trouble.text,
                            report->trouble.size) != 0);
    bn_node_message_fini (&node->report);
    bn_blob_unref (&node->bytes);
    node->report = *message;
    node->bytes = bn_blob_ref (self->inbound.blobs[1]);
    node->incarnation = report->incarnation;
    node->state = BN_UP_NODE_JOINED;
    if (before != BN_UP_NODE_JOINED || !same)
        bn_log (BN_LOG_INFO, "node %s %s from %s, baton %.*s, %" PRIu32 " instances run there",
                node->host, before == BN_UP_NODE_LOST && same ? "is back" : "has joined",
                node->address, (int)report->version.size, report->version.text, s_running (node));
    if (trouble)
        bn_log (BN_LOG_WARNING, "node %s: %.*s", node->host, (int)report->trouble.size,
                report->trouble.text);
}

/*  Takes over the message, or leaves it to be freed.  */
static bool s_report (bn_up_nodes_t *self, bn_node_message_t *message, uint64_t now_ms)
{
    const bn_node_report_t *report = &message->report;
    char host[BN_NODE_HOST_BYTES_MAX + 1], why[BN_NODE_NOTE_BYTES_MAX + 1];
    snprintf (host, sizeof (host), "%.*s", (int)report->host.size, report->host.text);
    why[0] = 0;
    s_node_t *node = NULL;
    if (!strcmp (host, BN_UP_HERE))
        snprintf (why, sizeof (why), "'" BN_UP_HERE "' is the host of `baton up` itself");
    else if (!(node = s_find (self, host)) && !(node = s_add (self, host)))
        snprintf (why, sizeof (why), "%d nodes are known already, more are not allowed",
                  BN_UP_NODES_MAX);
    else if (!s_may_have (self, node, report, now_ms))
        snprintf (why, sizeof (why), "another node of the name '%s' is here, from %s", host,
                  node->address);
    if (*why) {
        s_refuse (self, &self->inbound, why);
        if (now_ms >= self->refuse_ms) {
            bn_log (BN_LOG_WARNING, "a node '%s' is refused: %s", host, why);
            self->refuse_ms = now_ms + TELL_MS;
        }
        return false;
    }
    bn_up_node_state_t before = node->state;
    bool same = node->incarnation == report->incarnation;
    const char *address = zmq_msg_gets (&self->inbound.messages[1], "Peer-Address");
    snprintf (node->address, sizeof (node->address), "%s", address ? address : "this host");
    node->id_size = self->inbound.frames[0].size;
    memcpy (node->id, self->inbound.frames[0].data, node->id_size);
    node->heard_ms = now_ms;
    node->broken = false;
    s_note (self, node, message, before, same);
    if (before != BN_UP_NODE_JOINED || !same)
        node->revision = 0; /* what it is to run is asked for anew */
    s_answer (self, node, now_ms);
    return true;
}

static void s_leave (bn_up_nodes_t *self, const bn_node_leave_t *leave)
{
    char host[BN_NODE_HOST_BYTES_MAX + 1];
    snprintf (host, sizeof (host), "%.*s", (int)leave->host.size, leave->host.text);
    s_node_t *node = s_find (self, host);
    if (!node || node->incarnation != leave->incarnation || node->state == BN_UP_NODE_LEFT)
        return;
    node->state = BN_UP_NODE_LEFT;
    bn_node_message_fini (&node->report);
    bn_blob_unref (&node->bytes);
    bn_log (BN_LOG_INFO, "node %s has left; what it ran has ended", host);
}

static void s_take (bn_up_nodes_t *self, uint64_t now_ms)
{
    const bn_inbound_t *inbound = &self->inbound;
    bn_node_message_t message;
    char what[256];
    if (inbound->overflow || inbound->count != 2 || inbound->frames[0].size > ID_BYTES_MAX) {
        s_drop (self, "it is not one frame", now_ms);
        return;
    }
    baton_err_t err =
        bn_node_message_decode (&message, inbound->frames[1].data, inbound->frames[1].size, what);
    if (err) {
        s_drop (self, what, now_ms);
        if (err != BATON_ERR_MALFORMED) /* it is a node, or was meant to be */
            s_refuse (self, inbound, what);
        return;
    }
    bool taken = false;
    if (message.type == BN_NODE_REPORT)
        taken = s_report (self, &message, now_ms);
    else if (message.type == BN_NODE_LEAVE)
        s_leave (self, &message.leave);
    else
        s_drop (self, "only nodes have something to say here", now_ms);
    if (!taken)
        bn_node_message_fini (&message);
}

/*  Connections that have come and gone.  */
static void s_watch_connections (bn_up_nodes_t *self, uint64_t now_ms)
{
    bn_monitor_event_t event;
    while (bn_monitor_next (self->monitor, &event)) {
        if (!event.came) {
            self->connections -= self->connections > 0;
            continue;
        }
        if (++self->connections <= CONNECTIONS_MAX)
            continue;
        shutdown (event.fd, SHUT_RDWR); /* then libzmq closes it, and that is an event, too */
        if (now_ms < self->crowd_ms)
            continue;
        self->crowd_ms = now_ms + TELL_MS;
        bn_log (BN_LOG_WARNING, "more than %d connections where nodes join: refused",
                CONNECTIONS_MAX);
    }
}

uint64_t bn_up_nodes_turn (bn_up_nodes_t *self)
{
    uint64_t now_ms = self->options.now_ms (), next_ms = now_ms + PROBE_MS;
    size_t bytes = 0;
    s_watch_connections (self, now_ms);
    for (int i = 0; i < TURN_MESSAGES_MAX && bytes < TURN_BYTES_MAX; i++) {
        if (bn_inbound_receive (&self->inbound, self->router, ZMQ_DONTWAIT, FRAMES_MAX, 1)) {
            bytes = SIZE_MAX;
            break;
        }
        for (size_t k = 0; k < self->inbound.count; k++)
            bytes += self->inbound.frames[k].size;
        s_take (self, now_ms);
    }
    for (size_t i = 0; i < self->count; i++) {
        s_node_t *node = self->nodes[i];
        if (node->state != BN_UP_NODE_JOINED)
            continue;
        if (now_ms >= node->probe_ms)
            s_send_heard (self, node, now_ms);
        uint64_t lost_ms =
            node->heard_ms + (node->broken ? BN_UP_NODE_BROKEN_MS : BN_UP_NODE_LOST_MS);
        if (now_ms >= lost_ms)
            s_lose (self, node, now_ms);
        else {
            next_ms = lost_ms < next_ms ? lost_ms : next_ms;
            next_ms = node->probe_ms < next_ms ? node->probe_ms : next_ms;
        }
    }
    /*  Nothing tells of what is left to read, or came while the last one was sent.  */
    return bytes == SIZE_MAX &&
                   !(zmq_poll (&(zmq_pollitem_t){.socket = self->router, .events = ZMQ_POLLIN}, 1,
                               0) > 0)
               ? next_ms
               : now_ms;
}

void bn_up_nodes_refresh (bn_up_nodes_t *self)
{
    uint64_t now_ms = self->options.now_ms ();
    for (size_t i = 0; i < self->count; i++) {
        s_node_t *node = self->nodes[i];
        if (node->state != BN_UP_NODE_JOINED)
            continue;
        node->revision = 0;
        s_answer (self, node, now_ms);
    }
}

/*  ---- looking ---- */

size_t bn_up_nodes_count (const bn_up_nodes_t *self)
{
    return self->count;
}

static void s_show (const bn_up_nodes_t *self, const s_node_t *node, bn_up_node_t *shown)
{
    *shown = (bn_up_node_t){.host = node->host,
                            .state = node->state,
                            .address = node->address,
                            .report = &node->report.report,
                            .current = node->state == BN_UP_NODE_JOINED &&
                                       node->report.report.revision == node->revision,
                            .silent_ms = self->options.now_ms () - node->heard_ms};
}

void bn_up_nodes_at (const bn_up_nodes_t *self, size_t index, bn_up_node_t *node)
{
    s_show (self, self->nodes[index], node);
}

bool bn_up_nodes_find (const bn_up_nodes_t *self, const char *host, bn_up_node_t *node)
{
    const s_node_t *found = s_find (self, host);
    if (found)
        s_show (self, found, node);
    return found != NULL;
}

/*  ---- the socket ---- */

static void s_warn_if_open (const char *endpoint)
{
    static const char *const local[] = {"ipc://", "tcp://127.", "tcp://localhost:", "tcp://[::1]:"};
    for (size_t i = 0; i < sizeof (local) / sizeof (local[0]); i++)
        if (!strncmp (endpoint, local[i], strlen (local[i])))
            return;
    bn_log (BN_LOG_WARNING,
            "%s can be reached from other machines: nothing is encrypted yet, and who joins as a "
            "host of this file is told its commands and environment",
            endpoint);
}

static bool s_set (void *socket, int option, int value)
{
    return zmq_setsockopt (socket, option, &value, sizeof (value)) == 0;
}

static baton_err_t s_listen (bn_up_nodes_t *self, char detail[512])
{
    int64_t bytes_max = BN_NODE_MESSAGE_BYTES_MAX;
    const char *endpoint = self->options.endpoint;
    char real[BN_ENDPOINT_BYTES_MAX + 1] = "";
    size_t real_size = sizeof (real);
    bn_random_seed_libc ();
    self->context = zmq_ctx_new ();
    self->router = self->context ? zmq_socket (self->context, ZMQ_ROUTER) : NULL;
    if (!self->router || !s_set (self->router, ZMQ_LINGER, 200) ||
        !s_set (self->router, ZMQ_ROUTER_MANDATORY, 1) ||
        !s_set (self->router, ZMQ_RCVHWM, PEER_HWM) ||
        !s_set (self->router, ZMQ_SNDHWM, PEER_HWM) ||
        !s_set (self->router, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS) ||
        !s_set (self->router, ZMQ_HEARTBEAT_IVL, HEARTBEAT_MS) ||
        !s_set (self->router, ZMQ_HEARTBEAT_TIMEOUT, BN_UP_NODE_LOST_MS) ||
        (strstr (endpoint, "//[") && !s_set (self->router, ZMQ_IPV6, 1)) ||
        zmq_setsockopt (self->router, ZMQ_MAXMSGSIZE, &bytes_max, sizeof (bytes_max))) {
        snprintf (detail, 512, "no socket for nodes: %s", zmq_strerror (zmq_errno ()));
        return BATON_ERR_SYSTEM;
    }
    self->monitor = bn_monitor_new (self->context, self->router, MONITOR_ENDPOINT);
    if (!self->monitor) {
        snprintf (detail, 512, "the socket for nodes cannot be watched: %s",
                  zmq_strerror (zmq_errno ()));
        return BATON_ERR_SYSTEM;
    }
    if (zmq_bind (self->router, endpoint)) {
        snprintf (detail, 512, "nodes = %s: %s", endpoint, zmq_strerror (zmq_errno ()));
        return BATON_ERR_ADDRESS;
    }
    zmq_getsockopt (self->router, ZMQ_LAST_ENDPOINT, real, &real_size);
    bn_log (BN_LOG_INFO, "nodes join at %s", real);
    s_warn_if_open (endpoint);
    return BATON_OK;
}

baton_err_t bn_up_nodes_new (bn_up_nodes_t **nodes, const bn_up_nodes_options_t *options,
                             char detail[512])
{
    *nodes = NULL;
    bn_up_nodes_t *self = calloc (1, sizeof (*self));
    if (!self)
        return BATON_ERR_MEMORY;
    self->options = *options;
    bn_inbound_init (&self->inbound);
    baton_err_t err = s_listen (self, detail);
    if (err)
        bn_up_nodes_destroy (&self);
    *nodes = self;
    return err;
}

void bn_up_nodes_destroy (bn_up_nodes_t **self_p)
{
    bn_up_nodes_t *self = *self_p;
    if (!self)
        return;
    *self_p = NULL;
    while (self->count)
        s_forget (self, 0);
    bn_inbound_fini (&self->inbound);
    if (self->monitor)
        bn_monitor_destroy (&self->monitor, self->router);
    if (self->router)
        zmq_close (self->router);
    if (self->context)
        zmq_ctx_term (self->context);
    free (self);
}

void bn_up_nodes_fds (const bn_up_nodes_t *self, int fds[BN_UP_NODES_FDS])
{
    void *sockets[BN_UP_NODES_FDS] = {self->router, self->monitor};
    for (size_t i = 0; i < BN_UP_NODES_FDS; i++) {
        size_t size = sizeof (fds[i]);
        if (zmq_getsockopt (sockets[i], ZMQ_FD, &fds[i], &size))
            fds[i] = -1;
    }
}
