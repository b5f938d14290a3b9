/* SPDX-License-Identifier: MPL-2.0 */

/*  redis.c - Redis Streams with hiredis: pipelined XADD; consumer groups that read and acknowledge
 *  up to 1,000 entries at a time, the acknowledgement and the next read in one round trip.  */
#include "peer.h"
#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define READ_EVENTS_MAX "1000"

static redisContext *redis_open (const peer_load_t *load)
{
    char host[64];
    int port;
    if (sscanf (load->endpoint, "%63[^:]:%d", host, &port) != 2) {
        peer_failed ("endpoint %s", load->endpoint);
        return NULL;
    }
    redisContext *redis = redisConnect (host, port);
    if (redis && !redis->err)
        return redis;
    peer_failed ("%s: %s", load->endpoint, redis ? redis->errstr : "no memory");
    if (redis)
        redisFree (redis);
    return NULL;
}

/*  Takes the replies that are there; waits for one if told to, until `due_ns` at most (0: as long
 *  as it takes).  */
static bool take_receipts (redisContext *redis, peer_load_t *load, uint64_t sent, bool wait,
                           uint64_t due_ns)
{
    void *reply = NULL;
    int done = 0;
    while (!done)
        if (redisBufferWrite (redis, &done))
            return peer_failed ("redis: %s", redis->errstr);
    while (load->done < sent) {
        if (redisGetReplyFromReader (redis, &reply))
            return peer_failed ("redis: %s", redis->errstr);
        if (reply) {
            bool ok = ((redisReply *)reply)->type != REDIS_REPLY_ERROR;
            if (!ok)
                peer_failed ("redis: %s", ((redisReply *)reply)->str);
            freeReplyObject (reply);
            if (!ok)
                return false;
            load->done++;
            wait = false;
            continue;
        }
        struct pollfd fd = {.fd = redis->fd, .events = POLLIN};
        struct timespec left = {0};
        uint64_t now_ns = peer_now_ns ();
        if (wait && due_ns == 0)
            left.tv_sec = 1;
        else if (wait && due_ns > now_ns) {
            left.tv_sec = (time_t)((due_ns - now_ns) / 1000000000);
            left.tv_nsec = (long)((due_ns - now_ns) % 1000000000);
        }
        if (ppoll (&fd, 1, &left, NULL) > 0) {
            if (redisBufferRead (redis))
                return peer_failed ("redis: %s", redis->errstr);
        } else if (!wait || due_ns)
            return true;
    }
    return true;
}

bool peer_redis_producer (peer_load_t *load)
{
    redisContext *redis = redis_open (load);
    char *event = malloc (load->size);
    bool ok = redis && event;
    uint64_t window = load->window ? load->window : 2000;
    load->first_ns = peer_now_ns ();
    for (uint64_t k = 0; ok && k < load->events; k++) {
        uint64_t due_ns = peer_due_ns (load, load->first_ns, k), from_ns = due_ns;
        while (ok && load->rate && peer_now_ns () < due_ns) {
            if (load->done < k)
                ok = take_receipts (redis, load, k, true, due_ns);
            else {
                struct timespec left = {.tv_nsec = 0};
                uint64_t now_ns = peer_now_ns ();
                if (due_ns > now_ns) {
                    left.tv_sec = (time_t)((due_ns - now_ns) / 1000000000);
                    left.tv_nsec = (long)((due_ns - now_ns) % 1000000000);
                    ppoll (NULL, 0, &left, NULL);
                }
            }
            from_ns = peer_now_ns (); /* as in peer_await_turn */
        }
        peer_fill (load, event, from_ns);
        ok = ok && redisAppendCommand (redis, "XADD " PEER_NAME " * d %b", event,
                                       (size_t)load->size) == REDIS_OK;
        if (load->rate)
            ok = ok && take_receipts (redis, load, k + 1, false, 0);
        /*  Half a window at a time: the server has the other half to work on.  */
        while (ok && k + 1 - load->done >= window)
            for (uint64_t low = k + 1 - window / 2; ok && load->done < low;)
                ok = take_receipts (redis, load, low, true, 0);
    }
    while (ok && load->done < load->events)
        ok = take_receipts (redis, load, load->events, true, 0);
    load->last_ns = peer_now_ns ();
    free (event);
    if (redis)
        redisFree (redis);
    return ok;
}

/*  One answer to XREADGROUP: [[stream, [[id, [field, value]] ...]]]. Hands the events over and
 *  builds the XACK for them.  */
static bool take_events (peer_load_t *load, const redisReply *reply, const char **argv,
                         size_t *sizes, int *argc)
{
    if (reply->type == REDIS_REPLY_NIL)
        return true;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 1 ||
        reply->element[0]->elements != 2)
        return peer_failed ("redis: %s",
                            reply->type == REDIS_REPLY_ERROR ? reply->str : "a strange answer");
    const redisReply *entries = reply->element[0]->element[1];
    for (size_t i = 0; i < entries->elements; i++) {
        const redisReply *id = entries->element[i]->element[0];
        const redisReply *value = entries->element[i]->element[1]->element[1];
        if (!peer_handle (load, value->str, value->len))
            return false;
        argv[*argc] = id->str;
        sizes[(*argc)++] = id->len;
    }
    return true;
}

bool peer_redis_consumer (peer_load_t *load)
{
    const char *argv[1003] = {"XACK", PEER_NAME, load->group};
    size_t sizes[1003] = {4, strlen (PEER_NAME), strlen (load->group)};
    redisContext *redis = redis_open (load);
    bool ok = redis != NULL, acknowledged = false;
    uint64_t heard_ns = peer_now_ns ();
    redisReply *reply =
        ok ? redisCommand (redis, "XGROUP CREATE " PEER_NAME " %s $ MKSTREAM", load->group) : NULL;
    ok = reply && reply->type != REDIS_REPLY_ERROR;
    if (reply)
        freeReplyObject (reply);
    if (ok)
        peer_ready ();
    while (ok && load->done < load->events) {
        int argc = 3;
        redisAppendCommand (redis,
                            "XREADGROUP GROUP %s c COUNT " READ_EVENTS_MAX
                            " BLOCK 1000 STREAMS " PEER_NAME " >",
                            load->group);
        for (int replies = acknowledged ? 2 : 1; ok && replies > 0; replies--) {
            void *answer = NULL;
            ok = redisGetReply (redis, &answer) == REDIS_OK;
            if (ok && replies == 1) {
                uint64_t before = load->done;
                reply = answer;
                ok = take_events (load, reply, argv, sizes, &argc);
                heard_ns = load->done > before ? peer_now_ns () : heard_ns;
                acknowledged = argc > 3;
                if (acknowledged)
                    redisAppendCommandArgv (redis, argc, argv, sizes);
            }
            if (answer)
                freeReplyObject (answer);
        }
        if (ok && peer_now_ns () - heard_ns > PEER_IDLE_MS * 1000000ull)
            ok = peer_failed ("%" PRIu64 " events, and then nothing", load->done);
    }
    /*  The last acknowledgement belongs to the work.  */
    if (ok && acknowledged) {
        void *answer = NULL;
        ok = redisGetReply (redis, &answer) == REDIS_OK;
        if (answer)
            freeReplyObject (answer);
    }
    if (!ok && redis && redis->err)
        peer_failed ("redis: %s", redis->errstr);
    if (redis)
        redisFree (redis);
    return ok;
}
