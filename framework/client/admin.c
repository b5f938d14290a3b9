/* SPDX-License-Identifier: MPL-2.0 */

#include "client/admin.h"
#include "shell/clock.h"
#include "shell/socket.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPLY_BYTES_MAX (256 * 1024 * 1024) /* of one frame */

struct bn_admin {
    void *context;  /* owned */
    void *socket;   /* owned DEALER; NULL: to be made anew */
    char *endpoint; /* owned */
    char name[BATON_NAME_BYTES_MAX + 1];
    uint32_t timeout_ms;
    uint64_t incarnation; /* random */
    uint64_t request;     /* number of the last request */
    bool greeted;         /* HELLO was answered on this connection */
    bn_welcome_t welcome; /* without fanout_endpoint */
    bn_inbound_t inbound; /* the last reply's frames */
    bn_message_t reply;   /* borrows from inbound */
    bool reply_set;
    baton_err_t err;
    char error_text[512];
};

static baton_err_t s_fail (bn_admin_t *self, baton_err_t err, const char *format, ...)
    __attribute__ ((format (printf, 3, 4)));

static baton_err_t s_fail (bn_admin_t *self, baton_err_t err, const char *format, ...)
{
    va_list args;
    va_start (args, format);
    vsnprintf (self->error_text, sizeof (self->error_text), format, args);
    va_end (args);
    self->err = err;
    return err;
}

static void s_disconnect (bn_admin_t *self)
{
    if (self->socket)
        zmq_close (self->socket);
    self->socket = NULL;
    self->greeted = false;
}

static baton_err_t s_connect (bn_admin_t *self)
{
    static const struct {
        int option;
        int value;
    } settings[] = {{ZMQ_LINGER, 0},
                    {ZMQ_RECONNECT_IVL, 100},
                    {ZMQ_RECONNECT_IVL_MAX, 1000},
                    {ZMQ_CONNECT_TIMEOUT, 3000},
                    {ZMQ_HANDSHAKE_IVL, 3000}};
    int64_t bytes_max = REPLY_BYTES_MAX;

    if (self->socket)
        return BATON_OK;
    self->socket = zmq_socket (self->context, ZMQ_DEALER);
    if (!self->socket)
        return s_fail (self, BATON_ERR_SYSTEM, "no socket: %s", zmq_strerror (zmq_errno ()));
    for (size_t i = 0; i < sizeof (settings) / sizeof (settings[0]); i++)
        zmq_setsockopt (self->socket, settings[i].option, &settings[i].value,
                        sizeof (settings[i].value));
    zmq_setsockopt (self->socket, ZMQ_MAXMSGSIZE, &bytes_max, sizeof (bytes_max));
    if (zmq_connect (self->socket, self->endpoint)) {
        s_fail (self, BATON_ERR_ARGUMENT, "'%s' is not an endpoint that can be connected to: %s",
                self->endpoint, zmq_strerror (zmq_errno ()));
        s_disconnect (self);
        return self->err;
    }
    return BATON_OK;
}

static void s_drop_reply (bn_admin_t *self)
{
    if (self->reply_set)
        bn_message_fini (&self->reply);
    self->reply_set = false;
}

baton_err_t bn_admin_new (bn_admin_t **admin, const bn_admin_options_t *options)
{
    static const bn_admin_options_t none = {0};
    bn_admin_t *self = calloc (1, sizeof (*self));
    *admin = NULL;
    if (!self)
        return BATON_ERR_MEMORY;
    if (!options)
        options = &none;
    bn_inbound_init (&self->inbound);
    self->endpoint = strdup (options->endpoint ? options->endpoint : "tcp://127.0.0.1:7711");
    snprintf (self->name, sizeof (self->name), "%s", options->name ? options->name : "admin");
    self->timeout_ms = options->timeout_ms ? options->timeout_ms : 5000;
    self->incarnation = bn_random_u64 ();
    self->context = zmq_ctx_new ();

    baton_err_t err = self->endpoint && self->context ? s_connect (self) : BATON_ERR_MEMORY;
    if (err) {
        bn_admin_destroy (&self);
        return err;
    }
    *admin = self;
    return BATON_OK;
}

void bn_admin_destroy (bn_admin_t **self_p)
{
    bn_admin_t *self = *self_p;
    if (!self)
        return;
    *self_p = NULL;
    s_drop_reply (self);
    bn_inbound_fini (&self->inbound);
    s_disconnect (self);
    if (self->context)
        zmq_ctx_term (self->context);
    free (self->endpoint);
    free (self);
}

/*  Waits for the reply with the number of the last request; others are stale and dropped.  */
static baton_err_t s_receive (bn_admin_t *self, uint32_t timeout_ms)
{
    uint64_t deadline_ms = bn_clock_now ().mono_ms + timeout_ms;
    for (;;) {
        char what[256] = "";
        uint64_t now_ms = bn_clock_now ().mono_ms;
        zmq_pollitem_t item = {.socket = self->socket, .events = ZMQ_POLLIN};
        int ready = zmq_poll (&item, 1, now_ms < deadline_ms ? (long)(deadline_ms - now_ms) : 0);
        if (ready < 0 && zmq_errno () != EINTR)
            return s_fail (self, BATON_ERR_SYSTEM, "poll: %s", zmq_strerror (zmq_errno ()));
        if (ready == 0) {
            s_disconnect (self);
            return s_fail (self, BATON_ERR_UNREACHABLE,
                           "no answer from %s within %.1f s: does an orchestrator run there?",
                           self->endpoint, timeout_ms / 1000.0);
        }
        if (ready < 0 || bn_inbound_receive (&self->inbound, self->socket, ZMQ_DONTWAIT,
                                             BN_FRAMES_MAX, SIZE_MAX))
            continue;
        if (self->inbound.overflow) {
            s_disconnect (self);
            return s_fail (self, BATON_ERR_MALFORMED, "%s sent an answer of too many frames",
                           self->endpoint);
        }
        baton_err_t err =
            bn_message_decode (&self->reply, self->inbound.frames, self->inbound.count, what);
        if (err) {
            s_disconnect (self);
            return s_fail (self, err, "%s sent an answer that cannot be read: %s", self->endpoint,
                           what);
        }
        self->reply_set = true;
        /*  An error with number 0 is about a request whose number could not be read: ours.  */
        if (self->reply.request == self->request ||
            (self->reply.request == 0 && self->reply.type == BN_ERROR))
            return BATON_OK;
        s_drop_reply (self);
    }
}

static baton_err_t s_exchange (bn_admin_t *self, bn_message_t *request, bn_message_type_t wanted,
                               uint32_t timeout_ms)
{
    s_drop_reply (self);
    baton_err_t err = s_connect (self);
    if (err)
        return err;
    request->request = ++self->request;
    bn_blob_t *head = bn_message_encode (request);
    if (!head)
        return s_fail (self, BATON_ERR_MEMORY, "out of memory");
    int sent = bn_send_message (self->socket, head, NULL, 0, ZMQ_DONTWAIT);
    bn_blob_unref (&head);
    if (sent)
        return s_fail (self, BATON_ERR_SYSTEM, "send: %s", zmq_strerror (zmq_errno ()));
    err = s_receive (self, timeout_ms);
    if (err)
        return err;
    if (self->reply.type == BN_ERROR) {
        const bn_error_t *error = &self->reply.error;
        return s_fail (self, (baton_err_t)error->code, "%.*s", (int)error->text.size,
                       error->text.text);
    }
    if (self->reply.type != wanted) {
        s_disconnect (self);
        return s_fail (self, BATON_ERR_MALFORMED, "%s gave an answer of type 0x%02x, not 0x%02x",
                       self->endpoint, self->reply.type, wanted);
    }
    return BATON_OK;
}

const bn_welcome_t *bn_admin_welcome (bn_admin_t *self)
{
    if (self->greeted)
        return &self->welcome;
    bn_message_t hello = {.type = BN_HELLO,
                          .hello = {.role = BN_ROLE_ADMIN,
                                    .name = {.text = self->name, .size = strlen (self->name)},
                                    .incarnation = self->incarnation}};
    if (s_exchange (self, &hello, BN_WELCOME, self->timeout_ms))
        return NULL;
    self->welcome = self->reply.welcome;
    self->welcome.fanout_endpoint = (bn_text_t){0}; /* borrowed from a reply that goes */
    self->greeted = true;
    return &self->welcome;
}

baton_err_t bn_admin_request (bn_admin_t *self, bn_message_t *request, bn_message_type_t wanted,
                              uint32_t wait_ms, const bn_message_t **reply)
{
    *reply = NULL;
    for (int attempt = 0;; attempt++) {
        if (!bn_admin_welcome (self))
            return self->err;
        baton_err_t err = s_exchange (self, request, wanted, self->timeout_ms + wait_ms);
        if (err == BATON_ERR_NO_SESSION && attempt == 0) {
            self->greeted = false;
            continue;
        }
        if (err == BATON_OK)
            *reply = &self->reply;
        return err;
    }
}

baton_err_t bn_admin_error (const bn_admin_t *self)
{
    return self->err;
}

const char *bn_admin_error_text (const bn_admin_t *self)
{
    return self->error_text;
}
