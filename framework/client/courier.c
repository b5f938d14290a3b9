/* SPDX-License-Identifier: MPL-2.0 */

/*  courier.c - carries an actor's messages: the shell of the mailbox.
 *
 *  DESIGN. One loop: wait for the link, the fan-out, the handlers' side or the next due time; read
 *  what is there, a bounded number of messages from each; let the mailbox step; do what it says, in
 *  its order. The courier decides nothing but when to give up on an orchestrator that does not
 *  answer and on a handler that does not return.
 *
 *  Two threads may have it (crossing.h). The handler thread takes the runs that come of a turn for
 *  itself, and reads on in the fan-out when it has handled all: what waits is hot in its cache, and
 *  libzmq queues the rest. The stand-in gives the runs through the crossing.
 *
 *  Deadlines. An item past its deadline is told to the mailbox once (EXPIRED: the partition goes to
 *  somebody else). If the handler is still not back one more deadline later, and the options say
 *  so, the process ends: a thread that hangs cannot be stopped, and a supervisor starts a new one.
 *
 *  INVARIANT C1: every effect of a step of the mailbox is done before the next step; a run that is
 *  left to the caller has nothing done to it until it comes back.  */

#include "base/assert.h"
#include "base/prng.h"
#include "client/actor_internal.h"
#include "client/link.h"
#include "shell/awake.h"
#include "shell/clock.h"
#include "shell/log.h"
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define LINK_MESSAGES_MAX   64 /* read in a row before the others get their turn */
#define FANOUT_MESSAGES_MAX 256
#define FANOUT_FRAMES       3
#define SUB_RCVHWM          1000 /* messages */
#define SETTLE_BYTES_MAX    (2 * 1024 * 1024)
#define NEVER_INDEX         UINT32_MAX
#define TELL_MS             500 /* between two looks at what there is to tell */

struct bn_courier {
    baton_actor_t *actor; /* borrowed; options, patterns, crossing, and where the outcome goes */
    void *context;        /* of libzmq, owned */
    bn_link_t *link;
    void *sub;
    bool sub_quiet;                         /* see wait.h */
    char fanout[BN_ENDPOINT_BYTES_MAX + 1]; /* what sub is connected to; "" nothing */
    bn_mailbox_t *mailbox;
    bn_mailbox_effects_t effects;
    bn_inbound_t inbound;
    bn_prng_t prng;
    bn_awake_t awake;
    bn_run_t *run;             /* owned; left to the caller of bn_courier_serve; NULL: none */
    bn_crossing_facts_t facts; /* of `run` */
    bool standing_in;          /* runs are given through the crossing */
    uint64_t waited_ms;        /* when bn_wait was last asked, monotonic */
    uint64_t now_ms;           /* of this turn of the loop */
    bool stop_told;            /* the mailbox knows of the stop */
    bool join_said;            /* in the log, of this connection */
    bool done;                 /* the loop ends */
    uint64_t tell_ms;          /* when to tell again who started this process how it is */
    uint32_t expired;          /* index of the item of this run that was told, or NEVER_INDEX */
};

static void finish (bn_courier_t *self, baton_err_t err, const char *text)
{
    if (!self->done) {
        self->actor->err = err;
        snprintf (self->actor->error_text, sizeof self->actor->error_text, "%s",
                  text ? text : baton_err_text (err));
    }
    self->done = true;
}

/*  ---- the fan-out socket ---------------------------------------------------------------- */

/*  A test knob: a tiny receive mark makes libzmq drop, so that tests can see gaps repaired.  */
static int sub_rcvhwm (void)
{
    const char *text = getenv ("BATON_TEST_SUB_RCVHWM");
    int value = text ? atoi (text) : 0;
    return value > 0 ? value : SUB_RCVHWM;
}

static bool open_sub (bn_courier_t *self)
{
    self->sub = zmq_socket (self->context, ZMQ_SUB);
    if (!self->sub)
        return false;
    /*  SNDHWM 0: with a mark, libzmq loses filters past it when it reconnects.  */
    int options[][2] = {{ZMQ_SNDHWM, 0},
                        {ZMQ_RCVHWM, sub_rcvhwm ()},
                        {ZMQ_RECONNECT_IVL, 100},
                        {ZMQ_RECONNECT_IVL_MAX, 5000}};
    bn_link_socket_options (self->sub);
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (zmq_setsockopt (self->sub, options[i][0], &options[i][1], sizeof (int)) != 0)
            return false;
    return true;
}

/*  The subscriptions stay with the socket and go to wherever it is connected.  */
static void connect_sub (bn_courier_t *self, const char *told)
{
    char endpoint[BN_ENDPOINT_BYTES_MAX + 1];
    self->sub_quiet = false;
    bn_link_fanout_endpoint (told, self->actor->endpoint, endpoint);
    if (strcmp (endpoint, self->fanout) == 0)
        return;
    if (self->fanout[0])
        zmq_disconnect (self->sub, self->fanout);
    self->fanout[0] = 0;
    if (bn_link_connect (self->sub, endpoint) == 0)
        snprintf (self->fanout, sizeof self->fanout, "%s", endpoint);
    else
        bn_log (BN_LOG_WARNING, "cannot connect to the fan-out at %s (%s); fetching instead",
                endpoint, zmq_strerror (errno));
}

/*  ---- stepping the mailbox ---------------------------------------------------------------- */

static void do_effect (bn_courier_t *self, bn_mailbox_effect_t *effect)
{
    bn_crossing_facts_t facts;
    switch (effect->kind) {
    case BN_MAILBOX_SEND:
        bn_link_send (self->link, effect->head, effect->payloads, effect->payload_count,
                      self->now_ms);
        break;
    case BN_MAILBOX_CONNECT_SUB:
        connect_sub (self, effect->text);
        break;
    case BN_MAILBOX_SUBSCRIBE:
        self->sub_quiet = false;
        zmq_setsockopt (self->sub, ZMQ_SUBSCRIBE, effect->head->data, effect->head->size);
        break;
    case BN_MAILBOX_UNSUBSCRIBE:
        self->sub_quiet = false;
        zmq_setsockopt (self->sub, ZMQ_UNSUBSCRIBE, effect->head->data, effect->head->size);
        break;
    case BN_MAILBOX_RUN:
        facts = (bn_crossing_facts_t){.journal_id = bn_mailbox_journal_id (self->mailbox),
                                      .data_bytes_max = bn_mailbox_data_bytes_max (self->mailbox),
                                      .after_stop = self->stop_told};
        self->expired = NEVER_INDEX;
        bn_awake_touch (&self->awake, self->now_ms);
        if (self->standing_in)
            bn_crossing_give (self->actor->crossing, effect->run, &facts);
        else {
            bn_assert (!self->run);
            self->run = effect->run;
            self->facts = facts;
        }
        effect->run = NULL;
        break;
    case BN_MAILBOX_RESET_LINK:
        bn_link_reset (self->link, self->now_ms);
        break;
    case BN_MAILBOX_LOG:
        bn_log (effect->level, "%s", effect->text);
        break;
    case BN_MAILBOX_FATAL:
        finish (self, effect->err, effect->text);
        break;
    case BN_MAILBOX_DRAINED:
        finish (self, BATON_OK, "");
        break;
    }
}

static void step (bn_courier_t *self, bn_mailbox_event_t event)
{
    event.now = bn_clock_now ();
    event.random = bn_prng_next (&self->prng);
    self->now_ms = event.now.mono_ms;
    bn_mailbox_step (self->mailbox, &event, &self->effects);
    for (size_t i = 0; i < self->effects.count && !self->done; i++)
        do_effect (self, &self->effects.items[i]);
    if (self->effects.failed)
        finish (self, BATON_ERR_MEMORY, NULL);
    bn_mailbox_effects_clear (&self->effects);
}

/*  ---- one turn of the loop ---------------------------------------------------------------- */

static void read_link (bn_courier_t *self)
{
    for (int i = 0; i < LINK_MESSAGES_MAX && !self->done; i++) {
        if (!bn_link_receive (self->link, &self->inbound, 1, self->now_ms))
            break;
        step (self, (bn_mailbox_event_t){.kind = BN_MAILBOX_MESSAGE,
                                         .frames = self->inbound.frames,
                                         .blobs = self->inbound.blobs,
                                         .frame_count = self->inbound.count});
    }
}

static void read_fanout (bn_courier_t *self)
{
    for (int i = 0; i < FANOUT_MESSAGES_MAX && !self->done && !self->run; i++) {
        /*  One frame more than there should be, so that the decoder sees that it is wrong. A
         * message lost for want of memory is a gap, and gaps are repaired.  */
        if (bn_inbound_receive (&self->inbound, self->sub, ZMQ_DONTWAIT, FANOUT_FRAMES + 1,
                                FANOUT_FRAMES - 1) != 0) {
            self->sub_quiet = errno == EAGAIN;
            break;
        }
        self->sub_quiet = false;
        step (self, (bn_mailbox_event_t){.kind = BN_MAILBOX_FANOUT,
                                         .frames = self->inbound.frames,
                                         .blobs = self->inbound.blobs,
                                         .frame_count = self->inbound.count});
    }
}

static void follow_link (bn_courier_t *self)
{
    bn_link_change_t change;
    while (!self->done && (change = bn_link_advance (self->link, self->now_ms)) != BN_LINK_SAME) {
        self->join_said = false;
        step (self, (bn_mailbox_event_t){.kind = change == BN_LINK_CAME_UP ? BN_MAILBOX_LINK_UP
                                                                           : BN_MAILBOX_LINK_DOWN});
    }
    uint64_t limit_ms = self->actor->options.connect_timeout_ms;
    if (!self->done && limit_ms > 0 && bn_link_silent_ms (self->link, self->now_ms) >= limit_ms) {
        char text[BN_ERROR_TEXT_BYTES];
        snprintf (text, sizeof text, "no orchestrator answered at %s for %" PRIu64 " ms",
                  self->actor->endpoint, limit_ms);
        finish (self, BATON_ERR_UNREACHABLE, text);
    }
}

static void follow_handlers (bn_courier_t *self)
{
    bn_crossing_t *crossing = self->actor->crossing;
    bn_crossing_acknowledge (crossing);
    bn_run_t *run = bn_crossing_collect (crossing);
    if (run)
        step (self, (bn_mailbox_event_t){.kind = BN_MAILBOX_RUN_DONE, .run = run});
    if (!self->done && !self->stop_told && bn_crossing_stopping (crossing)) {
        self->stop_told = true;
        self->tell_ms = 0;
        step (self, (bn_mailbox_event_t){.kind = BN_MAILBOX_STOP});
    }
}

/*  When check_deadline has something to do; UINT64_MAX: nothing in hand, or nothing left to do.  */
static uint64_t deadline_due_ms (const bn_courier_t *self)
{
    bn_in_hand_t hand;
    if (!bn_crossing_in_hand (self->actor->crossing, &hand))
        return UINT64_MAX;
    if (self->expired != hand.index)
        return hand.deadline_ms;
    return self->actor->options.exit_when_hung
               ? hand.deadline_ms + self->actor->options.handler_deadline_ms
               : UINT64_MAX;
}

_Noreturn static void end_hung_process (const bn_in_hand_t *hand)
{
    bn_log (BN_LOG_ERROR,
            "the handler of event %" PRIu64 " (partition %" PRIu32 ") hangs; ending the process",
            hand->offset, hand->partition);
    _exit (EX_SOFTWARE);
}

static void check_deadline (bn_courier_t *self)
{
    bn_in_hand_t hand;
    if (self->done || self->now_ms < deadline_due_ms (self) ||
        !bn_crossing_in_hand (self->actor->crossing, &hand))
        return;
    if (self->expired != hand.index) {
        /*  It may have finished meanwhile, or be another one that has just begun.  */
        if (self->now_ms < hand.deadline_ms)
            return;
        self->expired = hand.index;
        bn_log (BN_LOG_WARNING,
                "the handler of event %" PRIu64 " (partition %" PRIu32 ") is past its deadline",
                hand.offset, hand.partition);
        step (self, (bn_mailbox_event_t){.kind = BN_MAILBOX_EXPIRED,
                                         .partition = hand.partition,
                                         .offset = hand.offset});
        return;
    }
    end_hung_process (&hand);
}

/*  For whoever looks at an actor that has nothing to do, or was told that nobody answers.  */
static void say_join (bn_courier_t *self)
{
    bn_mailbox_stats_t stats;
    bn_mailbox_stats (self->mailbox, &stats);
    if (!stats.joined)
        return;
    self->join_said = true;
    bn_log (BN_LOG_INFO, "joined at %s as %s/%s", self->actor->endpoint, self->actor->name,
            self->actor->instance);
}

/*  Tells who started this process. It is well while this thread runs and no handler is past its
 *  deadline; whether an orchestrator answers is not its fault.  */
static void tell (bn_courier_t *self)
{
    bn_notify_t *notify = self->actor->notify;
    bn_mailbox_stats_t stats;
    bn_in_hand_t hand;
    if (!notify || notify->fd < 0 || (notify->ready && self->now_ms < self->tell_ms))
        return;
    uint64_t often_ms = notify->watchdog_ms / 4;
    self->tell_ms = self->now_ms + (often_ms && often_ms < TELL_MS ? often_ms : TELL_MS);
    bn_mailbox_stats (self->mailbox, &stats);
    if (stats.joined)
        bn_notify_ready (notify);
    if (self->stop_told || self->done)
        bn_notify_stopping (notify);
    if (bn_crossing_in_hand (self->actor->crossing, &hand) && self->now_ms >= hand.deadline_ms) {
        bn_notify_status (notify, self->now_ms,
                          "the handler of event %" PRIu64 " (partition %" PRIu32
                          ") is past its deadline",
                          hand.offset, hand.partition);
        return;
    }
    if (!stats.joined && !self->stop_told)
        bn_notify_status (notify, self->now_ms, "waiting for the orchestrator at %s",
                          self->actor->endpoint);
    else
        bn_notify_status (notify, self->now_ms,
                          "%s%" PRIu32 " partitions, %" PRIu64 " handled, %" PRIu64
                          " retried, %" PRIu64 " rejected",
                          self->stop_told ? "draining: " : "", stats.partitions, stats.handled,
                          stats.retried, stats.rejected);
    bn_notify_alive (notify, self->now_ms);
}

static long poll_timeout_ms (const bn_courier_t *self)
{
    uint64_t due_ms = bn_mailbox_due_ms (self->mailbox);
    uint64_t others[] = {bn_link_due_ms (self->link), deadline_due_ms (self),
                         self->actor->notify ? self->tell_ms : UINT64_MAX};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (others[i] < due_ms)
            due_ms = others[i];
    /*  An item may begin while this thread sleeps: its deadline is seen soon enough.  */
    uint64_t most_ms = self->actor->options.handler_deadline_ms / 2 + 1;
    uint64_t limit_ms = self->actor->options.connect_timeout_ms;
    if (limit_ms > 0 && limit_ms / 2 + 1 < most_ms)
        most_ms = limit_ms / 2 + 1;
    if (most_ms > 1000)
        most_ms = 1000;
    uint64_t now_ms = bn_clock_now ().mono_ms;
    uint64_t wait_ms = due_ms <= now_ms ? 0 : due_ms - now_ms;
    return (long)(wait_ms < most_ms ? wait_ms : most_ms);
}

/*  Waits for something to do, not at all while a run waits.  */
static void await (bn_courier_t *self)
{
    enum { HANDLERS, SUB, LINK, ITEMS = LINK + BN_LINK_WAIT_ITEMS };
    bn_wait_item_t items[ITEMS] = {[HANDLERS] = {.fd = bn_crossing_fd (self->actor->crossing)},
                                   [SUB] = {.socket = self->sub, .quiet = self->sub_quiet}};
    bn_link_wait_items (self->link, &items[LINK]);
    if (bn_wait (items, ITEMS, self->run ? 0 : poll_timeout_ms (self)) != 0 && errno != EINTR) {
        finish (self, BATON_ERR_SYSTEM, zmq_strerror (errno));
        return;
    }
    bn_link_waited (self->link, &items[LINK]);
    if (items[SUB].ready)
        self->sub_quiet = false;
    self->waited_ms = self->now_ms = bn_clock_now ().mono_ms;
    if (items[HANDLERS].ready)
        follow_handlers (self);
}

static void turn (bn_courier_t *self)
{
    self->now_ms = bn_clock_now ().mono_ms;
    /*  Between two runs, and while it reads what is known to be there, the handler thread need not
     *  ask the system each time.  */
    bool busy = !self->standing_in && (self->run || !self->sub_quiet);
    if (!busy || self->now_ms != self->waited_ms)
        await (self);
    read_link (self);
    follow_link (self);
    if (!self->sub_quiet)
        read_fanout (self);
    check_deadline (self);
    if (!self->done && bn_clock_now ().mono_ms >= bn_mailbox_due_ms (self->mailbox))
        step (self, (bn_mailbox_event_t){.kind = BN_MAILBOX_TICK});
    if (!self->join_said && !self->done)
        say_join (self);
    bn_awake_update (&self->awake, self->now_ms);
    tell (self);
}

/*  ---- from start to end ------------------------------------------------------------------- */

/*  A supervisor chooses the incarnation of a process that it starts, so that it can tell the
 *  orchestrator of the end (GONE): BATON_INCARNATION is 16 hexadecimal digits, '/', and its own
 *  process id. Only its child takes the number, and only once: two processes with the same one, say
 *  what a script starts in a loop, would be one to the orchestrator, and no crash of the first ever
 *  blamed on an event (G6).  */
static uint64_t choose_incarnation (void)
{
    static atomic_flag taken = ATOMIC_FLAG_INIT;
    const char *text = getenv ("BATON_INCARNATION");
    if (text && strlen (text) > 17 && strspn (text, "0123456789abcdef") == 16 && text[16] == '/') {
        char *end;
        long parent = strtol (text + 17, &end, 10);
        if (*end == 0 && parent == (long)getppid () && !atomic_flag_test_and_set (&taken))
            return strtoull (text, NULL, 16);
    }
    return bn_random_u64 ();
}

static bn_mailbox_t *make_mailbox (const baton_actor_t *actor)
{
    const baton_actor_options_t *options = &actor->options;
    bn_mailbox_options_t mailbox = {.incarnation = choose_incarnation (),
                                    .patterns = actor->patterns,
                                    .pattern_count = actor->handler_count,
                                    .start_kind = options->start,
                                    .start_value = options->start_value,
                                    .policy = {.max_attempts = options->max_attempts,
                                               .backoff_min_ms = options->backoff_min_ms,
                                               .backoff_max_ms = options->backoff_max_ms,
                                               .handler_deadline_ms = options->handler_deadline_ms},
                                    .backoff_jitter_pct = options->backoff_jitter_pct,
                                    .prefetch_bytes = options->prefetch_bytes,
                                    .settle_bytes_max = SETTLE_BYTES_MAX,
                                    .run_events_max = BN_RUN_EVENTS_MAX};
    memcpy (mailbox.actor, actor->name, sizeof mailbox.actor);
    memcpy (mailbox.instance, actor->instance, sizeof mailbox.instance);
    return bn_mailbox_new (&mailbox);
}

static bool open_all (bn_courier_t *self, baton_actor_t *actor)
{
    bn_mailbox_effects_init (&self->effects);
    bn_inbound_init (&self->inbound);
    bn_prng_init (&self->prng, bn_random_u64 ());
    if (!bn_awake_init (&self->awake, actor->options.keep_awake_ms))
        bn_log (BN_LOG_WARNING, "keep awake: %s: %s; processors may sleep between events",
                BN_AWAKE_DEVICE, strerror (errno));
    self->context = zmq_ctx_new ();
    if (!self->context)
        return false;
    self->link = bn_link_new (self->context, actor->endpoint);
    self->mailbox = make_mailbox (actor);
    return open_sub (self) && self->link && self->mailbox;
}

/*  Leaves the orchestrator; the courier serves nobody any more.  */
static void close_all (bn_courier_t *self)
{
    bn_run_destroy (&self->run);
    bn_mailbox_effects_fini (&self->effects);
    bn_inbound_fini (&self->inbound);
    bn_mailbox_destroy (&self->mailbox);
    bn_link_destroy (&self->link);
    bn_awake_fini (&self->awake);
    if (self->sub)
        zmq_close (self->sub);
    if (self->context)
        zmq_ctx_term (self->context);
    self->sub = self->context = NULL;
}

/*  The end came while a handler is running: it is waited for, as long as it may take at most.  */
static void await_handler (bn_courier_t *self)
{
    bn_crossing_t *crossing = self->actor->crossing;
    uint32_t more_ms = self->actor->options.handler_deadline_ms;
    while (self->actor->options.exit_when_hung && bn_crossing_is_out (crossing)) {
        zmq_pollitem_t item = {.fd = bn_crossing_fd (crossing), .events = ZMQ_POLLIN};
        bn_in_hand_t hand;
        zmq_poll (&item, 1, 100);
        bn_crossing_acknowledge (crossing);
        bn_run_t *run = bn_crossing_collect (crossing);
        bn_run_destroy (&run);
        self->now_ms = bn_clock_now ().mono_ms;
        tell (self);
        if (bn_crossing_in_hand (crossing, &hand) && self->now_ms >= hand.deadline_ms + more_ms)
            end_hung_process (&hand);
    }
}

bn_courier_t *bn_courier_new (baton_actor_t *actor)
{
    bn_courier_t *self = calloc (1, sizeof *self);
    if (!self)
        return NULL;
    self->actor = actor;
    self->expired = NEVER_INDEX;
    if (!open_all (self, actor))
        bn_courier_destroy (&self);
    return self;
}

void bn_courier_destroy (bn_courier_t **self_p)
{
    bn_courier_t *self = *self_p;
    if (!self)
        return;
    close_all (self);
    free (self);
    *self_p = NULL;
}

bn_run_t *bn_courier_serve (bn_courier_t *self, bn_crossing_facts_t *facts)
{
    /*  Also between two runs there is a turn: for answers, heartbeats and a stop.  */
    while (!self->done) {
        turn (self);
        if (self->run)
            break;
    }
    if (self->done) {
        bn_crossing_close (self->actor->crossing);
        close_all (self);
        return NULL;
    }
    bn_run_t *run = self->run;
    self->run = NULL;
    *facts = self->facts;
    return run;
}

void bn_courier_handled (bn_courier_t *self, bn_run_t *run)
{
    step (self, (bn_mailbox_event_t){.kind = BN_MAILBOX_RUN_DONE, .run = run});
}

/*  With the courier, while a run is out. False: the end.  */
static bool serve_a_run (bn_courier_t *self)
{
    bn_crossing_t *crossing = self->actor->crossing;
    self->standing_in = true;
    do
        turn (self);
    while (!self->done && bn_crossing_is_out (crossing));
    self->standing_in = false;
    if (!self->done) {
        bn_crossing_hand_back (crossing);
        return true;
    }
    bn_crossing_close (crossing);
    await_handler (self);
    close_all (self);
    return false;
}

void bn_courier_stand_in (bn_courier_t *self)
{
    while (bn_crossing_stand_in (self->actor->crossing) && serve_a_run (self))
        ;
}
