/* SPDX-License-Identifier: MPL-2.0 */

#include "cli/up_hosts_status.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *bn_up_hosts_state (uint32_t state)
{
    static const char *const states[BN_NODE_STATES] = {"waiting", "running", "stopping", "parked",
                                                       "done"};
    return state < BN_NODE_STATES ? states[state] : "unknown";
}

void bn_up_hosts_put (bn_buffer_t *reply, json_t *value)
{
    char *text = value ? json_dumps (value, JSON_COMPACT) : NULL;
    if (text)
        bn_buffer_append (reply, text, strlen (text));
    else
        reply->failed = true;
    free (text);
    json_decref (value);
}

static json_t *s_named (json_t *list, const char *name)
{
    size_t i;
    json_t *item;
    json_array_foreach (list, i, item)
    {
        const char *its = json_string_value (json_object_get (item, "name"));
        if (its && !strcmp (its, name))
            return item;
    }
    return NULL;
}

json_t *bn_up_hosts_service (json_t *services, const char *name)
{
    json_t *service = s_named (services, name);
    if (service)
        return service;
    service = json_pack ("{s:s, s:i, s:s, s:s, s:b, s:[]}", "name", name, "wanted", 0, "restart",
                         "permanent", "restart_order", "stop-first", "rolling", 0, "instances");
    json_array_append_new (services, service);
    return service;
}

void bn_up_hosts_here (json_t *services)
{
    size_t i, k;
    json_t *service, *instance;
    json_array_foreach (services, i, service)
    {
        json_array_foreach (json_object_get (service, "instances"), k, instance)
        {
            json_object_set_new (instance, "host", json_string (BN_UP_HERE));
        }
    }
}

/*  Bytes of a node are not to be trusted with a JSON string; what is not printable is left out.  */
static json_t *s_text (const bn_text_t *text)
{
    char clean[BN_NODE_NOTE_BYTES_MAX + 1];
    size_t size = text->size < sizeof (clean) ? text->size : sizeof (clean) - 1;
    for (size_t i = 0; i < size; i++)
        clean[i] = text->text[i] < 0x20 || text->text[i] > 0x7e ? '?' : text->text[i];
    return json_stringn (clean, size);
}

static void s_instance (json_t *list, const char *service, const bn_up_node_t *node,
                        const bn_node_instance_t *its)
{
    char name[2 * BATON_NAME_BYTES_MAX];
    bool lost = node->state == BN_UP_NODE_LOST;
    snprintf (name, sizeof (name), "%s-%" PRIu32 ".%s", service, its->slot, node->host);
    json_array_append_new (
        list,
        json_pack ("{s:s, s:s, s:i, s:i, s:s, s:b, s:b, s:I, s:I, s:o, s:o}", "instance", name,
                   "host", node->host, "slot", (int)its->slot, "pid", lost ? 0 : (int)its->pid,
                   "state", lost ? "lost" : bn_up_hosts_state (its->state), "ready",
                   its->ready && !lost, "current", its->current, "restarts",
                   (json_int_t)its->restarts, "age_ms", (json_int_t)its->age_ms, "status",
                   s_text (&its->status), "reason", s_text (&its->reason)));
}

void bn_up_hosts_node (json_t *services, json_t *nodes, const bn_up_node_t *node)
{
    static const char *const states[] = {"joined", "lost", "left"};
    uint32_t instances = 0;
    for (uint32_t i = 0; i < node->report->service_count; i++) {
        const bn_node_service_t *its = &node->report->services[i];
        char name[BATON_NAME_BYTES_MAX + 1];
        snprintf (name, sizeof (name), "%.*s", (int)its->name.size, its->name.text);
        json_t *service = bn_up_hosts_service (services, name);
        json_t *list = json_object_get (service, "instances");
        if (its->rolling)
            json_object_set_new (service, "rolling", json_true ());
        for (uint32_t k = 0; k < its->instance_count; k++)
            s_instance (list, name, node, &its->instances[k]);
        instances += its->instance_count;
    }
    json_array_append_new (
        nodes, json_pack ("{s:s, s:s, s:s, s:o, s:b, s:I, s:i, s:o}", "name", node->host, "state",
                          states[node->state], "address", node->address, "version",
                          s_text (&node->report->version), "current", node->current, "silent_ms",
                          (json_int_t)node->silent_ms, "instances", (int)instances, "trouble",
                          s_text (&node->report->trouble)));
}

void bn_up_hosts_absent (json_t *nodes, const char *host, uint32_t wanted)
{
    json_t *node = s_named (nodes, host);
    if (!node) {
        node = json_pack ("{s:s, s:s, s:i}", "name", host, "state", "absent", "instances", 0);
        json_array_append_new (nodes, node);
    }
    json_int_t before = json_integer_value (json_object_get (node, "wanted"));
    json_object_set_new (node, "wanted", json_integer (before + wanted));
}

void bn_up_hosts_outdated (json_t *service, const char *host)
{
    size_t i;
    json_t *instance;
    json_object_set_new (service, "rolling", json_true ());
    json_array_foreach (json_object_get (service, "instances"), i, instance)
    {
        const char *its = json_string_value (json_object_get (instance, "host"));
        if (its && !strcmp (its, host))
            json_object_set_new (instance, "current", json_false ());
    }
}
