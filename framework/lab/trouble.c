/* SPDX-License-Identifier: MPL-2.0 */

#include "lab/trouble.h"
#include "base/prng.h"
#include "lab/worker.h"
#include "shell/clock.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define UNDO_MAX   64
#define STORMS_MAX 8
#define ROLL_MS    60000 /* a rolling restart that takes longer is not waited for */
#define ASK_MS     200   /* between two questions whether it is over */
#define BALLAST    "ballast"
#define BURST_KEYS 100

typedef struct {
    bool set;
    bn_lab_order_t order;
    uint32_t host;
    uint64_t due_ms;
    uint64_t ask_ms;          /* RESTART: when to ask whether it is over */
    bn_lab_victim_t *victims; /* owned; PAUSE */
    size_t victim_count;
} s_undo_t;

typedef struct { /* trouble again and again */
    bool set;
    bn_lab_order_t order;
    bn_prng_t prng;
    uint64_t due_ms;
    uint64_t end_ms;
} s_storm_t;

struct bn_lab_trouble {
    bn_lab_trouble_options_t options;
    bn_lab_load_t *load;
    bn_prng_t prng;
    s_undo_t undos[UNDO_MAX];
    s_storm_t storms[STORMS_MAX];
    uint64_t counts[BN_LAB_KIND_COUNT];
    uint64_t from_us;
    uint64_t to_us;
    bn_lab_victim_t victims[BN_LAB_PIDS_MAX]; /* scratch */
};

static uint64_t s_now_ms (void)
{
    return bn_clock_now ().mono_ms;
}

static baton_err_t s_say (char says[256], baton_err_t err, const char *format, ...)
    __attribute__ ((format (printf, 3, 4)));

static baton_err_t s_say (char says[256], baton_err_t err, const char *format, ...)
{
    va_list args;
    va_start (args, format);
    vsnprintf (says, 256, format, args);
    va_end (args);
    return err;
}

baton_err_t bn_lab_trouble_new (bn_lab_trouble_t **trouble, const bn_lab_trouble_options_t *options)
{
    bn_lab_trouble_t *self = calloc (1, sizeof *self);
    *trouble = self;
    if (!self)
        return BATON_ERR_MEMORY;
    self->options = *options;
    bn_prng_init (&self->prng, options->seed);
    return BATON_OK;
}

void bn_lab_trouble_destroy (bn_lab_trouble_t **self_p)
{
    bn_lab_trouble_t *self = *self_p;
    if (!self)
        return;
    *self_p = NULL;
    for (size_t i = 0; i < UNDO_MAX; i++)
        free (self->undos[i].victims);
    free (self);
}

void bn_lab_trouble_load (bn_lab_trouble_t *self, bn_lab_load_t *load)
{
    self->load = load;
}

static void s_seconds (uint64_t ms, char text[32])
{
    snprintf (text, 32, "%g s", (double)ms / 1000);
}

/*  ---- what is to be undone ---- */

/*  An entry for this order, or the one that it takes the place of: a link, a disk, a provider and
 *  the load have one trouble at a time. NULL: too many at once.  */
static s_undo_t *s_entry (bn_lab_trouble_t *self, const bn_lab_order_t *order, uint32_t host)
{
    s_undo_t *room = NULL;
    bool is_link = order->kind == BN_LAB_PARTITION || order->kind == BN_LAB_SLOW ||
                   order->kind == BN_LAB_LOSSY;
    for (size_t i = 0; i < UNDO_MAX; i++) {
        s_undo_t *undo = &self->undos[i];
        if (!undo->set) {
            room = room ? room : undo;
            continue;
        }
        bn_lab_kind_t kind = undo->order.kind;
        bool was_link = kind == BN_LAB_PARTITION || kind == BN_LAB_SLOW || kind == BN_LAB_LOSSY;
        if ((is_link && was_link && undo->host == host) ||
            (kind == order->kind &&
             (kind == BN_LAB_FILL_DISK || kind == BN_LAB_BURST ||
              (kind == BN_LAB_PROVIDER && !strcmp (undo->order.target, order->target))))) {
            room = undo;
            break;
        }
    }
    if (!room)
        return NULL;
    free (room->victims);
    *room = (s_undo_t){
        .set = true, .order = *order, .host = host, .due_ms = s_now_ms () + order->for_ms};
    return room;
}

static void s_provider_path (const bn_lab_trouble_t *self, const char *name, char path[PATH_MAX])
{
    snprintf (path, PATH_MAX, "%s/%s" BN_LAB_DOWN, self->options.directory, name);
}

static void s_undo (bn_lab_trouble_t *self, s_undo_t *undo, char says[256])
{
    char path[PATH_MAX];
    uint32_t host;
    switch (undo->order.kind) {
    case BN_LAB_PAUSE:
        for (size_t i = undo->victim_count; i-- > 0;)
            bn_lab_victim_signal (&undo->victims[i], SIGCONT);
        if (bn_lab_processes_host (self->options.processes, undo->order.target, &host))
            bn_lab_processes_freeze (self->options.processes, host, false);
        s_say (says, BATON_OK, "%s goes on", undo->victim_count ? undo->victims[0].name : "nobody");
        break;
    case BN_LAB_PARTITION:
    case BN_LAB_SLOW:
    case BN_LAB_LOSSY:
        bn_lab_hosts_heal (self->options.hosts, undo->host, says);
        break;
    case BN_LAB_FILL_DISK:
        snprintf (path, sizeof path, "%s/" BALLAST, self->options.disk);
        unlink (path);
        s_say (says, BATON_OK, "the disk has room again");
        break;
    case BN_LAB_PROVIDER:
        s_provider_path (self, undo->order.target, path);
        unlink (path);
        s_say (says, BATON_OK, "provider %s is up", undo->order.target);
        break;
    case BN_LAB_BURST:
        if (undo->order.number && self->load)
            bn_lab_load_factor (self->load, 1);
        s_say (says, BATON_OK, "the burst is over");
        break;
    case BN_LAB_RESTART:
        s_say (says, BATON_OK, "%s %s", undo->order.target,
               s_now_ms () < undo->due_ms ? "has been replaced" : "is still being replaced");
        break;
    default: /* a host that was killed; it is started again by itself */
        s_say (says, BATON_OK, "%s starts again", undo->order.target);
        break;
    }
    free (undo->victims);
    *undo = (s_undo_t){0};
    self->to_us = bn_clock_mono_ns () / 1000;
}

/*  ---- each kind ---- */

static baton_err_t s_nobody (char says[256], const char *name)
{
    return s_say (says, BATON_ERR_NOT_FOUND,
                  "nobody is called '%s': expected an instance, an actor, hostN or orchestrator",
                  name);
}

static baton_err_t s_kill (bn_lab_trouble_t *self, const bn_lab_order_t *order, char says[256])
{
    uint32_t host;
    char time[32];
    if (bn_lab_processes_host (self->options.processes, order->target, &host)) {
        s_undo_t *undo = s_entry (self, order, host);
        if (!undo)
            return s_say (says, BATON_ERR_LIMIT, "too many troubles at once");
        bn_lab_processes_kill_host (self->options.processes, host, order->for_ms);
        s_seconds (order->for_ms, time);
        return s_say (says, BATON_OK, "killed %s, with all that it runs, for %s", order->target,
                      time);
    }
    if (order->for_given)
        return s_say (says, BATON_ERR_ARGUMENT,
                      "kill %s: only a host stays down for a while; the rest is started again",
                      order->target);
    size_t count = bn_lab_processes_find (self->options.processes, order->target, self->victims,
                                          BN_LAB_PIDS_MAX);
    size_t killed = 0;
    for (size_t i = 0; i < count; i++)
        killed += bn_lab_victim_signal (&self->victims[i], SIGKILL);
    if (!killed)
        return s_nobody (says, order->target);
    return s_say (says, BATON_OK, "killed %s%s (pid %d%s)", self->victims[0].name,
                  killed > 1 ? " and its like" : "", (int)self->victims[0].pid,
                  killed > 1 ? ", ..." : "");
}

static baton_err_t s_pause (bn_lab_trouble_t *self, const bn_lab_order_t *order, char says[256])
{
    size_t count = bn_lab_processes_find (self->options.processes, order->target, self->victims,
                                          BN_LAB_PIDS_MAX);
    if (!count)
        return s_nobody (says, order->target);
    s_undo_t *undo = s_entry (self, order, self->victims[0].host);
    bn_lab_victim_t *victims = undo ? malloc (count * sizeof *victims) : NULL;
    if (!victims) {
        if (undo)
            undo->set = false;
        return s_say (says, BATON_ERR_LIMIT, "too many troubles at once");
    }
    memcpy (victims, self->victims, count * sizeof *victims);
    undo->victims = victims;
    undo->victim_count = count;
    for (size_t i = 0; i < count; i++)
        bn_lab_victim_signal (&victims[i], SIGSTOP);
    char time[32];
    uint32_t host;
    if (bn_lab_processes_host (self->options.processes, order->target, &host))
        bn_lab_processes_freeze (self->options.processes, host, true);
    s_seconds (order->for_ms, time);
    return s_say (says, BATON_OK, "paused %s (%zu process%s) for %s", order->target, count,
                  count == 1 ? "" : "es", time);
}

/*  Those that an order paused; a name that is paused cannot be asked for its processes.  */
static baton_err_t s_resume (bn_lab_trouble_t *self, const bn_lab_order_t *order, char says[256])
{
    size_t resumed = 0;
    for (size_t i = 0; i < UNDO_MAX; i++) {
        s_undo_t *undo = &self->undos[i];
        bool meant = undo->set && undo->order.kind == BN_LAB_PAUSE &&
                     !strcmp (undo->order.target, order->target);
        for (size_t k = 0; undo->set && k < undo->victim_count; k++)
            meant = meant || !strcmp (undo->victims[k].name, order->target);
        if (!meant)
            continue;
        s_undo (self, undo, says);
        resumed++;
    }
    if (!resumed)
        return s_say (says, BATON_ERR_NOT_FOUND, "%s is not paused", order->target);
    return s_say (says, BATON_OK, "%s goes on", order->target);
}

static baton_err_t s_link (bn_lab_trouble_t *self, const bn_lab_order_t *order, char says[256])
{
    uint32_t host;
    if (!bn_lab_processes_host (self->options.processes, order->target, &host))
        return s_say (says, BATON_ERR_NOT_FOUND, "there is no host '%s': expected host1 to host%u",
                      order->target, bn_lab_hosts_count (self->options.hosts));
    if (!bn_lab_hosts_apart (self->options.hosts))
        return bn_lab_hosts_spoil (self->options.hosts, host, order->kind, order->way, says);
    s_undo_t *undo = s_entry (self, order, host);
    if (!undo)
        return s_say (says, BATON_ERR_LIMIT, "too many troubles at once");
    baton_err_t err = bn_lab_hosts_spoil (self->options.hosts, host, order->kind, order->way, says);
    size_t size = strlen (says);
    if (!err)
        snprintf (says + size, 256 - size, " for %g s", (double)order->for_ms / 1000);
    return err;
}

static baton_err_t s_heal (bn_lab_trouble_t *self, const bn_lab_order_t *order, char says[256])
{
    bool all = !strcmp (order->target, "all");
    uint32_t only = 0, count = bn_lab_hosts_count (self->options.hosts);
    if (!all && !bn_lab_processes_host (self->options.processes, order->target, &only))
        return s_say (says, BATON_ERR_NOT_FOUND, "there is no host '%s'", order->target);
    for (size_t i = 0; i < UNDO_MAX; i++) {
        s_undo_t *undo = &self->undos[i];
        bn_lab_kind_t kind = undo->order.kind;
        if (undo->set && (all || undo->host == only) &&
            (kind == BN_LAB_PARTITION || kind == BN_LAB_SLOW || kind == BN_LAB_LOSSY))
            s_undo (self, undo, says);
    }
    for (uint32_t host = 0; host < count; host++)
        if (all || host == only) {
            baton_err_t err = bn_lab_hosts_heal (self->options.hosts, host, says);
            if (err)
                return err;
        }
    if (all)
        s_say (says, BATON_OK, "all links are healed");
    return BATON_OK;
}

/*  Leaves half of what the orchestrator wants to keep: it must refuse, and has room to go on with
 *  what it has accepted.  */
static baton_err_t s_fill (bn_lab_trouble_t *self, const bn_lab_order_t *order, char says[256])
{
    char path[PATH_MAX];
    struct statvfs disk;
    if (!self->options.disk)
        return s_say (says, BATON_ERR_ARGUMENT,
                      "fill-disk is not possible: the lab has no disk of its own (--disk SIZE or "
                      "disk = SIZE, and namespaces)");
    s_undo_t *undo = s_entry (self, order, 0);
    if (!undo)
        return s_say (says, BATON_ERR_LIMIT, "too many troubles at once");
    snprintf (path, sizeof path, "%s/" BALLAST, self->options.disk);
    if (statvfs (self->options.disk, &disk))
        return s_say (says, BATON_ERR_SYSTEM, "%s: %s", self->options.disk, strerror (errno));
    uint64_t room = (uint64_t)disk.f_bavail * disk.f_frsize;
    uint64_t keep = self->options.plan->reserve_bytes / 2;
    int fd = open (path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    int error = fd < 0 ? errno : 0;
    if (fd >= 0 && room > keep)
        error = posix_fallocate (fd, 0, (off_t)(room - keep));
    if (fd >= 0)
        close (fd);
    if (error)
        return s_say (says, BATON_ERR_SYSTEM, "%s: %s", path, strerror (error));
    char time[32];
    s_seconds (order->for_ms, time);
    return s_say (says, BATON_OK, "the orchestrator's disk has %" PRIu64 " KiB left, for %s",
                  (room > keep ? keep : room) / 1024, time);
}

static baton_err_t s_provider (bn_lab_trouble_t *self, const bn_lab_order_t *order, char says[256])
{
    char path[PATH_MAX], time[32];
    if (strchr (order->target, '/'))
        return s_say (says, BATON_ERR_ARGUMENT, "'%s' is no name", order->target);
    s_provider_path (self, order->target, path);
    if (order->up) {
        for (size_t i = 0; i < UNDO_MAX; i++)
            if (self->undos[i].set && self->undos[i].order.kind == BN_LAB_PROVIDER &&
                !strcmp (self->undos[i].order.target, order->target))
                s_undo (self, &self->undos[i], says);
        return s_say (says, BATON_OK, "provider %s is up", order->target);
    }
    if (!s_entry (self, order, 0))
        return s_say (says, BATON_ERR_LIMIT, "too many troubles at once");
    int fd = open (path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        return s_say (says, BATON_ERR_SYSTEM, "%s: %s", path, strerror (errno));
    close (fd);
    s_seconds (order->for_ms, time);
    return s_say (says, BATON_OK, "provider %s is down for %s", order->target, time);
}

static baton_err_t s_poison (bn_lab_trouble_t *self, const bn_lab_order_t *order, char says[256])
{
    static const char poison[] = "\x81\xa6poison\xc3"; /* {"poison": true} in MessagePack */
    baton_err_t err =
        bn_lab_load_single (self->load, order->target, order->key, poison, sizeof poison - 1);
    if (err)
        return s_say (says, err, "poison %s: %s", order->target, baton_err_text (err));
    return s_say (says, BATON_OK, "poisoned %s%s%s", order->target, *order->key ? ", key " : "",
                  order->key);
}

static baton_err_t s_burst (bn_lab_trouble_t *self, const bn_lab_order_t *order, char says[256])
{
    char time[32];
    s_seconds (order->for_ms, time);
    if (order->number) {
        if (!s_entry (self, order, 0))
            return s_say (says, BATON_ERR_LIMIT, "too many troubles at once");
        bn_lab_load_factor (self->load, order->number);
        return s_say (says, BATON_OK, "%u times the load for %s", order->number, time);
    }
    bn_lab_stream_t stream = {
        .prefix = "k", .keys = BURST_KEYS, .rate = order->rate, .for_ms = order->for_ms};
    snprintf (stream.topic, sizeof stream.topic, "%s", order->target);
    baton_err_t err = bn_lab_load_add (self->load, &stream);
    if (err)
        return s_say (says, err, "burst %s: %s", order->target, baton_err_text (err));
    return s_say (says, BATON_OK, "%g events a second of %s for %s", order->rate, order->target,
                  time);
}

/*  In trouble until every instance has been replaced.  */
static baton_err_t s_restart (bn_lab_trouble_t *self, const bn_lab_order_t *order, char says[256])
{
    bn_lab_order_t bounded = *order;
    bounded.for_ms = ROLL_MS;
    baton_err_t err =
        bn_lab_processes_tell (self->options.processes, "restart", order->target, "", says);
    s_undo_t *undo = err ? NULL : s_entry (self, &bounded, 0);
    if (undo)
        undo->ask_ms = s_now_ms () + ASK_MS;
    return err;
}

/*  Whether an entry's time is over; a rolling restart's is when it is done.  */
static bool s_over (bn_lab_trouble_t *self, s_undo_t *undo, uint64_t now_ms)
{
    if (undo->order.kind == BN_LAB_RESTART && now_ms >= undo->ask_ms) {
        undo->ask_ms = now_ms + ASK_MS;
        if (!bn_lab_processes_rolling (self->options.processes, undo->order.target))
            return true;
    }
    return now_ms >= undo->due_ms;
}

/*  ---- at random ---- */

/*  Picks what the order leaves open: kind, target, how long. false: there is nobody now.  */
static bool s_pick (bn_lab_trouble_t *self, bn_prng_t *prng, bn_lab_order_t *order)
{
    /*  Links last: only where there are some.  */
    static const bn_lab_kind_t all[] = {BN_LAB_KILL,      BN_LAB_KILL, BN_LAB_KILL,  BN_LAB_KILL,
                                        BN_LAB_KILL,      BN_LAB_KILL, BN_LAB_PAUSE, BN_LAB_PAUSE,
                                        BN_LAB_PARTITION, BN_LAB_SLOW, BN_LAB_LOSSY};
    uint64_t kinds = bn_lab_hosts_apart (self->options.hosts) ? 11 : 8;
    uint32_t hosts = bn_lab_hosts_count (self->options.hosts);
    bool times = order->kind == BN_LAB_TROUBLE || !order->for_given || order->rate > 0;
    if (order->kind == BN_LAB_TROUBLE)
        order->kind = all[bn_prng_below (prng, kinds)];
    /*  Mostly short, sometimes longer than a session lasts.  */
    if (times)
        order->for_ms = 100 + bn_prng_below (prng, bn_prng_below (prng, 5) ? 1500 : 8000);
    order->for_given = false;
    if (order->target[0])
        return true;
    if (order->kind != BN_LAB_KILL && order->kind != BN_LAB_PAUSE) {
        snprintf (order->target, sizeof order->target, "host%" PRIu64,
                  1 + bn_prng_below (prng, hosts));
        return true;
    }
    size_t count = 0;
    for (uint32_t host = 0; host < hosts; host++) {
        char name[32];
        snprintf (name, sizeof name, "host%" PRIu32, host + 1);
        size_t found = bn_lab_processes_find (self->options.processes, name, self->victims + count,
                                              BN_LAB_PIDS_MAX - count);
        /*  The host itself comes first: its instances are meant.  */
        if (found)
            memmove (self->victims + count, self->victims + count + 1,
                     (found - 1) * sizeof *self->victims);
        count += found ? found - 1 : 0;
    }
    uint64_t chosen = count ? bn_prng_below (prng, count) : 0;
    if (count)
        snprintf (order->target, sizeof order->target, "%s", self->victims[chosen].name);
    return count > 0;
}

static baton_err_t s_at_random (bn_lab_trouble_t *self, const bn_lab_order_t *order, char says[256])
{
    bn_lab_order_t picked = *order;
    bn_prng_t own;
    bn_prng_init (&own, order->seed);
    if (order->rate > 0) {
        for (size_t i = 0; i < STORMS_MAX; i++) {
            s_storm_t *storm = &self->storms[i];
            if (storm->set)
                continue;
            *storm = (s_storm_t){.set = true, .order = *order, .due_ms = s_now_ms ()};
            storm->end_ms = storm->due_ms + order->for_ms;
            storm->prng = own;
            if (!order->seed_set)
                bn_prng_init (&storm->prng, bn_prng_next (&self->prng));
            return s_say (says, BATON_OK, "%s %s, %g a second, for %g s",
                          bn_lab_kind_text (order->kind),
                          order->random ? "at random" : order->target, order->rate,
                          (double)order->for_ms / 1000);
        }
        return s_say (says, BATON_ERR_LIMIT, "too many repeated troubles at once");
    }
    if (!s_pick (self, order->seed_set ? &own : &self->prng, &picked))
        return s_say (says, BATON_ERR_NOT_FOUND, "nobody runs");
    picked.random = false;
    return bn_lab_trouble_do (self, &picked, says);
}

/*  ---- */

baton_err_t bn_lab_trouble_do (bn_lab_trouble_t *self, const bn_lab_order_t *order, char says[256])
{
    char number[16];
    baton_err_t err;
    if (order->random || (order->rate > 0 && order->kind != BN_LAB_BURST))
        return s_at_random (self, order, says);
    uint64_t began_us = bn_clock_mono_ns () / 1000;
    switch (order->kind) {
    case BN_LAB_KILL:
        err = s_kill (self, order, says);
        break;
    case BN_LAB_PAUSE:
        err = s_pause (self, order, says);
        break;
    case BN_LAB_RESUME:
        return s_resume (self, order, says);
    case BN_LAB_RESTART:
        err = s_restart (self, order, says);
        break;
    case BN_LAB_SCALE:
        snprintf (number, sizeof number, "%" PRIu32, order->number);
        err = bn_lab_processes_tell (self->options.processes, "scale", order->target, number, says);
        break;
    case BN_LAB_HEAL:
        return s_heal (self, order, says);
    case BN_LAB_FILL_DISK:
        err = s_fill (self, order, says);
        break;
    case BN_LAB_PROVIDER:
        err = s_provider (self, order, says);
        break;
    case BN_LAB_POISON:
        err = s_poison (self, order, says);
        break;
    case BN_LAB_BURST:
        err = s_burst (self, order, says);
        break;
    default:
        err = s_link (self, order, says);
        break;
    }
    if (!err && !(order->kind == BN_LAB_PROVIDER && order->up)) {
        self->counts[order->kind]++;
        self->from_us = self->from_us ? self->from_us : began_us;
        self->to_us = bn_clock_mono_ns () / 1000;
    }
    return err;
}

static void s_storm (bn_lab_trouble_t *self, s_storm_t *storm, bn_lab_tell_fn *tell, void *arg)
{
    char says[256];
    bn_lab_order_t order = storm->order;
    double dice = (double)(1 + bn_prng_below (&storm->prng, 1000000)) / 1e6;
    storm->due_ms += (uint64_t)(-log (dice) * 1000 / storm->order.rate);
    bool found = s_pick (self, &storm->prng, &order);
    order.random = false;
    order.rate = 0;
    /*  Nobody of that name at the moment: it has been killed just now.  */
    if (found && !bn_lab_trouble_do (self, &order, says))
        tell (says, arg);
}

void bn_lab_trouble_poll (bn_lab_trouble_t *self, bn_lab_tell_fn *tell, void *arg)
{
    uint64_t now_ms = s_now_ms ();
    char says[256];
    for (size_t i = 0; i < UNDO_MAX; i++)
        if (self->undos[i].set && s_over (self, &self->undos[i], now_ms)) {
            s_undo (self, &self->undos[i], says);
            tell (says, arg);
        }
    for (size_t i = 0; i < STORMS_MAX; i++) {
        s_storm_t *storm = &self->storms[i];
        if (storm->set && now_ms >= storm->end_ms)
            storm->set = false;
        else if (storm->set && now_ms >= storm->due_ms)
            s_storm (self, storm, tell, arg);
    }
}

void bn_lab_trouble_heal (bn_lab_trouble_t *self, bn_lab_tell_fn *tell, void *arg)
{
    char says[256];
    for (size_t i = 0; i < STORMS_MAX; i++)
        self->storms[i].set = false;
    for (size_t i = 0; i < UNDO_MAX; i++)
        if (self->undos[i].set) {
            s_undo (self, &self->undos[i], says);
            tell (says, arg);
        }
}

bool bn_lab_trouble_quiet (const bn_lab_trouble_t *self)
{
    for (size_t i = 0; i < UNDO_MAX; i++)
        if (self->undos[i].set)
            return false;
    for (size_t i = 0; i < STORMS_MAX; i++)
        if (self->storms[i].set)
            return false;
    return true;
}

uint64_t bn_lab_trouble_count (const bn_lab_trouble_t *self, bn_lab_kind_t kind)
{
    return self->counts[kind];
}

void bn_lab_trouble_span (const bn_lab_trouble_t *self, uint64_t *from_us, uint64_t *to_us)
{
    *from_us = self->from_us;
    *to_us = self->to_us;
}
