/* SPDX-License-Identifier: MPL-2.0 */

#include "orchestrator/routes.h"
#include "base/map.h"
#include "orchestrator/monitor.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MONITOR_ENDPOINT "inproc://routes"

typedef struct {
    uint64_t handle; /* route on this descriptor; 0: none */
    bool connected;
} descriptor_t;

struct bn_routes {
    void *router;    /* borrowed */
    void *monitor;   /* owned */
    bn_door_t *door; /* borrowed; hears who comes and leaves */
    size_t routes_max;
    uint64_t handle_last;
    bn_map_t *by_id;           /* routing id -> bn_route_t (owned) */
    bn_map_t *by_handle;       /* handle -> the same */
    bn_map_t *closing;         /* handle -> the same; gone once the ROUTER is drained */
    bn_map_t *lost;            /* handle -> the same; gone now */
    descriptor_t *descriptors; /* owned; by number */
    size_t descriptor_count;
};

bn_routes_t *bn_routes_new (void *context, void *router, bn_door_t *door, size_t routes_max)
{
    bn_routes_t *self = calloc (1, sizeof *self);
    if (!self)
        return NULL;
    self->router = router;
    self->door = door;
    self->routes_max = routes_max;
    self->by_id = bn_map_new ();
    self->by_handle = bn_map_new ();
    self->closing = bn_map_new ();
    self->lost = bn_map_new ();
    if (!self->by_id || !self->by_handle || !self->closing || !self->lost) {
        bn_routes_destroy (&self);
        errno = ENOMEM;
        return NULL;
    }
    self->monitor = bn_monitor_new (context, router, MONITOR_ENDPOINT);
    if (!self->monitor) {
        int saved = errno;
        bn_routes_destroy (&self);
        errno = saved;
    }
    return self;
}

void bn_routes_destroy (bn_routes_t **self_p)
{
    bn_routes_t *self = *self_p;
    if (!self)
        return;
    if (self->by_id)
        for (bn_map_node_t *node = bn_map_first (self->by_id); node; node = bn_map_next (node))
            free (bn_map_value (node));
    bn_map_destroy (&self->by_id);
    bn_map_destroy (&self->by_handle);
    bn_map_destroy (&self->closing);
    bn_map_destroy (&self->lost);
    bn_monitor_destroy (&self->monitor, self->router);
    free (self->descriptors);
    free (self);
    *self_p = NULL;
}

void *bn_routes_monitor (bn_routes_t *self)
{
    return self->monitor;
}

static descriptor_t *descriptor_at (bn_routes_t *self, int fd)
{
    size_t index = (size_t)fd;
    if (index >= self->descriptor_count) {
        size_t count = index + 64;
        descriptor_t *all = realloc (self->descriptors, count * sizeof *all);
        if (!all)
            return NULL;
        memset (all + self->descriptor_count, 0, (count - self->descriptor_count) * sizeof *all);
        self->descriptors = all;
        self->descriptor_count = count;
    }
    return &self->descriptors[index];
}

/*  The connection that had this descriptor has ended.  */
static bool end_of (bn_routes_t *self, descriptor_t *descriptor)
{
    bn_route_t *route = bn_routes_get (self, descriptor->handle);
    descriptor->handle = 0;
    descriptor->connected = false;
    if (!route || route->closing)
        return true;
    route->closing = true;
    return bn_map_put_u64 (self->closing, route->handle, route, NULL);
}

static bool take_event (bn_routes_t *self, const bn_monitor_event_t *event)
{
    descriptor_t *descriptor = descriptor_at (self, event->fd);
    if (!descriptor || !end_of (self, descriptor))
        return false;
    descriptor->connected = event->came;
    if (event->came)
        bn_door_came (self->door, event->fd);
    else
        bn_door_left (self->door);
    return true;
}

bool bn_routes_update (bn_routes_t *self)
{
    bool ok = true;
    bn_monitor_event_t event;
    while (bn_monitor_next (self->monitor, &event))
        ok = take_event (self, &event) && ok;
    return ok;
}

bn_route_t *bn_routes_get (const bn_routes_t *self, uint64_t handle)
{
    return bn_map_get_u64 (self->by_handle, handle);
}

static bn_route_t *add (bn_routes_t *self, const void *id, int fd)
{
    bn_route_t *route = calloc (1, sizeof *route);
    if (!route)
        return NULL;
    route->handle = ++self->handle_last;
    route->fd = fd;
    memcpy (route->id, id, sizeof route->id);
    if (!bn_map_put (self->by_id, route->id, sizeof route->id, route, NULL)) {
        free (route);
        return NULL;
    }
    if (!bn_map_put_u64 (self->by_handle, route->handle, route, NULL)) {
        bn_map_remove (self->by_id, route->id, sizeof route->id);
        free (route);
        return NULL;
    }
    return route;
}

bn_route_result_t bn_routes_of_message (bn_routes_t *self, const void *id, size_t id_size, int fd,
                                        bn_route_t **route)
{
    *route = bn_map_get (self->by_id, id, id_size);
    if (*route)
        return BN_ROUTE_OK;
    if (id_size != BN_ROUTING_ID_BYTES || *(const uint8_t *)id != 0)
        return BN_ROUTE_CHOSEN;
    if (fd < 0)
        return BN_ROUTE_DEAD;
    if (bn_map_count (self->by_id) >= self->routes_max)
        return BN_ROUTE_LIMIT;
    if (!bn_routes_update (self))
        return BN_ROUTE_MEMORY;
    descriptor_t *descriptor = descriptor_at (self, fd);
    if (!descriptor)
        return BN_ROUTE_MEMORY;
    if (!descriptor->connected)
        return BN_ROUTE_DEAD;
    if (!end_of (self, descriptor))
        return BN_ROUTE_MEMORY;
    *route = add (self, id, fd);
    if (!*route)
        return BN_ROUTE_MEMORY;
    descriptor->handle = (*route)->handle;
    descriptor->connected = true;
    return BN_ROUTE_OK;
}

void bn_routes_lost (bn_routes_t *self, bn_route_t *route)
{
    route->lost = true;
    /*  Without memory for this the session times out.  */
    bn_map_put_u64 (self->lost, route->handle, route, NULL);
}

static void forget (bn_routes_t *self, bn_route_t *route)
{
    size_t fd = (size_t)route->fd;
    if (fd < self->descriptor_count && self->descriptors[fd].handle == route->handle)
        self->descriptors[fd].handle = 0;
    bn_map_remove (self->by_id, route->id, sizeof route->id);
    bn_map_remove_u64 (self->by_handle, route->handle);
    bn_map_remove_u64 (self->closing, route->handle);
    bn_map_remove_u64 (self->lost, route->handle);
    free (route);
}

bool bn_routes_next_gone (bn_routes_t *self, bool drained, uint64_t *handle)
{
    bn_map_node_t *node = bn_map_first (self->lost);
    if (!node && drained)
        node = bn_map_first (self->closing);
    if (!node)
        return false;
    bn_route_t *route = bn_map_value (node);
    *handle = route->handle;
    forget (self, route);
    return true;
}
