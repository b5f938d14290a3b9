/* SPDX-License-Identifier: MPL-2.0 */

/*  supervisor_answers.c - what the control socket is asked, and the answers in JSON.  */

#include "shell/log.h"
#include "supervisor/supervisor_internal.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void s_put (bn_buffer_t *reply, const char *format, ...)
    __attribute__ ((format (printf, 2, 3)));

static void s_put (bn_buffer_t *reply, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start (args, format);
    int size = vsnprintf (text, sizeof (text), format, args);
    va_end (args);
    if (size < 0 || (size_t)size >= sizeof (text))
        reply->failed = true;
    else
        bn_buffer_append (reply, text, (size_t)size);
}

static const char s_no_service[] = "there is no actor of that name; baton scale lists them";

/*  The text of a JSON string. What is not printable ASCII has no place in what is answered.  */
static void s_put_text (bn_buffer_t *reply, const char *text)
{
    for (; *text; text++)
        if (*text == '"' || *text == '\\')
            s_put (reply, "\\%c", *text);
        else
            s_put (reply, "%c", *text < 0x20 || *text > 0x7e ? '?' : *text);
}

static void s_put_instance (bn_buffer_t *reply, const bn_instance_info_t *info)
{
    s_put (reply,
           "{\"instance\":\"%s-%" PRIu32 "\",\"slot\":%" PRIu32
           ",\"pid\":%d,\"state\":\"%s\",\"ready\":%s,\"current\":%s,\"restarts\":%" PRIu32
           ",\"age_ms\":%" PRIu64 ",\"status\":\"",
           info->service, info->slot, info->slot, (int)info->pid, info->state,
           info->ready ? "true" : "false", info->current ? "true" : "false", info->restarts,
           info->age_ms);
    s_put_text (reply, info->status);
    s_put (reply, "\",\"reason\":\"");
    s_put_text (reply, info->reason);
    s_put (reply, "\"}");
}

/*  Names have no character that JSON would want escaped.  */
static void s_answer_status (const bn_supervisor_t *self, bn_buffer_t *reply)
{
    static const char *const restarts[] = {"permanent", "transient", "temporary"};
    static const char *const orders[] = {"stop-first", "start-first"};
    s_put (reply, "{\"ok\":true,\"pid\":%d,\"stopping\":%s,\"services\":[", (int)getpid (),
           self->stops_asked ? "true" : "false");
    for (size_t i = 0; i < self->service_count; i++) {
        const bn_supervised_t *service = self->services[i];
        bn_instance_info_t info;
        s_put (reply,
               "%s{\"name\":\"%s\",\"wanted\":%" PRIu32
               ",\"restart\":\"%s\",\"restart_order\":\"%s\",\"rolling\":%s,\"instances\":[",
               i ? "," : "", service->name, service->wanted, restarts[service->restart],
               orders[service->order], service->rolling ? "true" : "false");
        for (size_t k = 0; bn_supervisor_instance (self, i, k, &info); k++) {
            s_put (reply, "%s", k ? "," : "");
            s_put_instance (reply, &info);
        }
        s_put (reply, "]}");
    }
    s_put (reply, "]}");
}

static void s_answer_error (bn_buffer_t *reply, baton_err_t err, const char *text)
{
    s_put (reply, "{\"ok\":false,\"error\":\"%s\",\"text\":\"", baton_err_name (err));
    s_put_text (reply, text);
    s_put (reply, "\"}");
}

static void s_answer_scale (bn_supervisor_t *self, const char *request, bn_buffer_t *reply)
{
    char name[BATON_NAME_BYTES_MAX + 1];
    unsigned wanted;
    int end = 0;
    if (sscanf (request, "scale %64s %9u%n", name, &wanted, &end) != 2 || request[end]) {
        s_answer_error (reply, BATON_ERR_ARGUMENT, "the request is: scale NAME N");
        return;
    }
    bn_supervised_t *service = bn_supervisor_find (self, name);
    uint32_t before = service ? service->wanted : 0;
    baton_err_t err = bn_supervisor_scale (self, name, wanted);
    switch (err) {
    case BATON_OK:
        s_put (reply, "{\"ok\":true,\"service\":\"%s\",\"before\":%" PRIu32 ",\"wanted\":%u}",
               service->name, before, wanted);
        bn_log (BN_LOG_INFO, "%s scaled from %" PRIu32 " to %u", service->name, before, wanted);
        break;
    case BATON_ERR_NOT_FOUND:
        s_answer_error (reply, err, s_no_service);
        break;
    case BATON_ERR_LIMIT:
        s_answer_error (reply, err,
                        "at most 256 instances of all actors, with those that are still stopping");
        break;
    case BATON_ERR_CLOSED:
        s_answer_error (reply, err, "everything is being stopped");
        break;
    default:
        s_answer_error (reply, err, baton_err_text (err));
    }
}

static void s_answer_restart (bn_supervisor_t *self, const char *name, bn_buffer_t *reply)
{
    baton_err_t err = bn_supervisor_restart (self, name);
    const bn_supervised_t *service = bn_supervisor_find (self, name);
    if (err == BATON_OK) {
        s_put (reply, "{\"ok\":true,\"service\":\"%s\",\"instances\":%" PRIu32 "}", service->name,
               service->wanted);
        bn_log (BN_LOG_INFO, "%s is restarted, instance by instance", service->name);
    } else
        s_answer_error (reply, err,
                        err == BATON_ERR_NOT_FOUND ? s_no_service : "everything is being stopped");
}

static void s_answer_reload (bn_supervisor_t *self, bn_buffer_t *reply)
{
    char detail[512] = "";
    baton_err_t err = bn_supervisor_reload (self, detail, sizeof (detail));
    if (err) {
        s_answer_error (reply, err, detail);
        return;
    }
    s_put (reply, "{\"ok\":true,\"text\":\"");
    s_put_text (reply, detail);
    s_put (reply, "\"}");
}

void bn_supervisor_answer (const char *request, bn_buffer_t *reply, void *arg)
{
    bn_supervisor_t *self = arg;
    const bn_supervisor_options_t *options = &self->options;
    if (!options->answer || !options->answer (self, request, reply, options->arg))
        bn_supervisor_answer_request (self, request, reply);
}

void bn_supervisor_answer_request (bn_supervisor_t *self, const char *request, bn_buffer_t *reply)
{
    if (!strcmp (request, "status"))
        s_answer_status (self, reply);
    else if (!strncmp (request, "scale ", 6))
        s_answer_scale (self, request, reply);
    else if (!strncmp (request, "restart ", 8))
        s_answer_restart (self, request + 8, reply);
    else if (!strcmp (request, "reload"))
        s_answer_reload (self, reply);
    else if (!strcmp (request, "stop")) {
        bn_supervisor_stop (self);
        s_put (reply, "{\"ok\":true}");
    } else
        s_answer_error (reply, BATON_ERR_UNKNOWN_TYPE,
                        "the requests are status, scale, restart, reload and stop");
}
