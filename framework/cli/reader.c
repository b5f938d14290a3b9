/* SPDX-License-Identifier: MPL-2.0 */

#include "cli/reader.h"
#include "shell/clock.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BYTES_MAX (1024 * 1024) /* of payload in one answer */
#define FOLLOW_MS 10000         /* how long an answer may wait for an event */
#define AGAIN_US  200000        /* between attempts while the orchestrator is away or refuses */

/*  Hands out the events of a section that are wanted. *enough: the callback said so.  */
static baton_err_t s_section (bn_reader_t *self, const bn_section_t *section, bool *enough)
{
    bn_batch_reader_t reader;
    bn_read_event_t event = {.topic = section->topic, .partition = section->partition};
    baton_err_t err = bn_batch_reader_init (&reader, section->payload.data, section->payload.size,
                                            section->count);
    for (uint64_t offset = section->base; !err && !*enough; offset++) {
        if (!bn_batch_next (&reader, &event.fields))
            return reader.mp.err;
        if (self->from_kind == BN_FROM_OFFSET && offset < self->from)
            continue; /* a section is sent whole */
        event.offset = offset;
        *enough = offset >= self->upto || !self->event (&event, self->arg);
    }
    return err;
}

static baton_err_t s_step (bn_reader_t *self, bn_admin_t *admin, bool *enough)
{
    bn_text_t patterns[BN_PATTERNS_MAX];
    const bn_message_t *reply;
    size_t count = self->pattern_count < BN_PATTERNS_MAX ? self->pattern_count : BN_PATTERNS_MAX;
    uint32_t wait_ms = self->follow ? FOLLOW_MS : 0;

    for (size_t i = 0; i < count; i++)
        patterns[i] = (bn_text_t){.text = self->patterns[i], .size = strlen (self->patterns[i])};
    bn_message_t request = {.type = BN_READ,
                            .read = {.wait_ms = wait_ms,
                                     .bytes_max = self->bytes_max ? self->bytes_max : BYTES_MAX,
                                     .from_kind = self->from_kind,
                                     .from = self->from,
                                     .patterns = count ? patterns : NULL,
                                     .pattern_count = (uint32_t)count}};
    baton_err_t err = bn_admin_request (admin, &request, BN_EVENTS, wait_ms, &reply);
    if (err)
        return err;
    if (self->from_kind == BN_FROM_TIME) {
        self->from_kind = BN_FROM_OFFSET;
        self->from = reply->events.from;
    }
    for (uint32_t i = 0; i < reply->events.section_count && !err && !*enough; i++)
        err = s_section (self, &reply->events.sections[i], enough);
    if (reply->events.scanned_to > self->from)
        self->from = reply->events.scanned_to;
    if (!self->follow && (reply->events.at_tail || self->from >= self->upto))
        *enough = true;
    return err;
}

/*  May it be otherwise in a moment? An orchestrator that is away has been waited for already.  */
static bool s_again (const bn_reader_t *self, baton_err_t err, uint64_t since_ms)
{
    if (!baton_err_retriable (err))
        return false;
    if (self->follow)
        return true;
    return err != BATON_ERR_UNREACHABLE && bn_clock_now ().mono_ms - since_ms < self->patience_ms;
}

baton_err_t bn_reader_run (bn_reader_t *self, bn_admin_t *admin)
{
    bool enough = false, waiting = false;
    uint64_t since_ms = bn_clock_now ().mono_ms;
    while (!enough) {
        baton_err_t err = s_step (self, admin, &enough);
        if (!err) {
            waiting = false;
            since_ms = bn_clock_now ().mono_ms;
            continue;
        }
        if (!s_again (self, err, since_ms))
            return err;
        if (!waiting && self->follow)
            fprintf (stderr, "baton read: %s; waiting\n", bn_admin_error_text (admin));
        waiting = true;
        usleep (AGAIN_US);
    }
    return BATON_OK;
}
