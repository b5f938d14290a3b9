/* SPDX-License-Identifier: MPL-2.0 */

#include "lab/hosts.h"
#include "shell/clock.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#define SCRIPT_BYTES  4096
#define SWITCH_NUMBER 254 /* last part of the switch's address */

extern char **environ;

typedef struct {
    int space; /* owned descriptor of the namespace; -1: none */
    char address[32];
    bool spoiled[3]; /* by bn_lab_way_t: the end for what comes IN, what goes OUT */
} s_host_t;

struct bn_lab_hosts {
    s_host_t hosts[BN_LAB_HOSTS_MAX];
    uint32_t count;
    int hub; /* owned descriptor of the switch's namespace; -1: loopback */
    bool netem;
    bool disk;
    char disk_path[PATH_MAX];
    char says[320];
};

/*  ---- ip and tc ---- */

/*  Runs `program -batch -` on a script in the namespace of the calling thread; false: it failed,
 *  and detail has the first line of what it said.  */
static bool s_batch (const char *program, const char *script, char *detail, size_t detail_size)
{
    const char *argv[] = {program, "-batch", "-", NULL};
    posix_spawn_file_actions_t actions;
    int in[2] = {-1, -1}, out[2] = {-1, -1}, status = -1;
    pid_t pid;
    size_t size = strlen (script);
    snprintf (detail, detail_size, "%s cannot be run", program);
    if (pipe2 (in, O_CLOEXEC) || pipe2 (out, O_CLOEXEC)) {
        close (in[0]);
        close (in[1]);
        return false;
    }
    posix_spawn_file_actions_init (&actions);
    posix_spawn_file_actions_adddup2 (&actions, in[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2 (&actions, out[1], STDERR_FILENO);
    posix_spawn_file_actions_addopen (&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    int error =
        posix_spawnp (&pid, program, &actions, NULL, (char *const *)(uintptr_t)argv, environ);
    posix_spawn_file_actions_destroy (&actions);
    close (in[0]);
    close (out[1]);
    /*  A pipe takes 64 KiB at once; the script is smaller.  */
    bool fed = !error && write (in[1], script, size) == (ssize_t)size;
    close (in[1]);
    if (!error) {
        char said[256];
        size_t got = 0;
        ssize_t more;
        while ((more = read (out[0], said + got, sizeof said - 1 - got)) > 0)
            got += (size_t)more;
        said[got] = 0;
        said[strcspn (said, "\n")] = 0;
        while (waitpid (pid, &status, 0) < 0 && errno == EINTR)
            ;
        snprintf (detail, detail_size, "%s: %.200s", program, got ? said : "failed");
    }
    close (out[0]);
    return fed && WIFEXITED (status) && WEXITSTATUS (status) == 0;
}

/*  ---- namespaces ---- */

static bool s_write_file (const char *path, const char *text)
{
    int fd = open (path, O_WRONLY | O_CLOEXEC);
    bool written = fd >= 0 && write (fd, text, strlen (text)) == (ssize_t)strlen (text);
    if (fd >= 0)
        close (fd);
    return written;
}

/*  Namespaces for the calling process: of mounts and, unless it is root, of users, in which it is
 *  root.  */
static bool s_unshare (char *detail, size_t detail_size)
{
    char map[64];
    uid_t uid = geteuid ();
    gid_t gid = getegid ();
    int flags = CLONE_NEWNET | CLONE_NEWNS | (uid ? CLONE_NEWUSER : 0);
    if (unshare (flags)) {
        snprintf (detail, detail_size, "%s",
                  uid ? "not root, and this kernel lets only root make namespaces"
                      : strerror (errno));
        return false;
    }
    if (uid) {
        snprintf (map, sizeof map, "0 %ju 1", (uintmax_t)uid);
        bool mapped = s_write_file ("/proc/self/setgroups", "deny") &&
                      s_write_file ("/proc/self/uid_map", map);
        snprintf (map, sizeof map, "0 %ju 1", (uintmax_t)gid);
        if (!mapped || !s_write_file ("/proc/self/gid_map", map)) {
            snprintf (detail, detail_size, "a user namespace: %s", strerror (errno));
            return false;
        }
    }
    return true;
}

/*  Tries it in a child first: a process that has left the machine's network without being able to
 *  make another one would have none at all.  */
static bool s_possible (char *detail, size_t detail_size)
{
    int report[2], status = -1;
    snprintf (detail, detail_size, "%s", strerror (EAGAIN));
    if (pipe2 (report, O_CLOEXEC))
        return false;
    pid_t pid = fork ();
    if (pid == 0) {
        char why[160] = "";
        bool fine = s_unshare (why, sizeof why) &&
                    s_batch ("ip", "link set lo up\nlink add br0 type bridge\n", why, sizeof why) &&
                    s_batch ("tc", "qdisc show\n", why, sizeof why);
        ssize_t told = fine ? 0 : write (report[1], why, strlen (why));
        _exit (fine && told == 0 ? 0 : 1);
    }
    close (report[1]);
    if (pid > 0) {
        ssize_t got = read (report[0], detail, detail_size - 1);
        detail[got > 0 ? got : 0] = 0;
        while (waitpid (pid, &status, 0) < 0 && errno == EINTR)
            ;
    }
    close (report[0]);
    return pid > 0 && WIFEXITED (status) && WEXITSTATUS (status) == 0;
}

static int s_space (void)
{
    return open ("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
}

/*  A namespace of its own for one host, and a cable to the switch.  */
static bool s_make_host (bn_lab_hosts_t *self, uint32_t index, char *detail, size_t detail_size)
{
    char script[SCRIPT_BYTES];
    s_host_t *host = &self->hosts[index];
    snprintf (host->address, sizeof host->address, "10.77.0.%" PRIu32, index + 1);
    if (unshare (CLONE_NEWNET) || (host->space = s_space ()) < 0) {
        snprintf (detail, detail_size, "a network namespace: %s", strerror (errno));
        return false;
    }
    snprintf (script, sizeof script,
              "link set lo up\n"
              "link add eth0 type veth peer name port%" PRIu32 " netns /proc/%d/fd/%d\n"
              "addr add %s/24 dev eth0\n"
              "link set eth0 up\n",
              index + 1, (int)getpid (), self->hub, host->address);
    bool fine = s_batch ("ip", script, detail, detail_size);
    if (setns (self->hub, CLONE_NEWNET)) {
        snprintf (detail, detail_size, "back to the switch: %s", strerror (errno));
        return false;
    }
    snprintf (script, sizeof script, "link set port%" PRIu32 " master br0 up\n", index + 1);
    return fine && s_batch ("ip", script, detail, detail_size);
}

static bool s_make_apart (bn_lab_hosts_t *self, uint32_t count, char *detail, size_t detail_size)
{
    char script[SCRIPT_BYTES];
    if (!s_unshare (detail, detail_size))
        return false;
    self->hub = s_space ();
    if (self->hub < 0) {
        snprintf (detail, detail_size, "%s", strerror (errno));
        return false;
    }
    snprintf (script, sizeof script,
              "link set lo up\n"
              "link add br0 type bridge\n"
              "addr add 10.77.0.%d/24 dev br0\n"
              "link set br0 up\n",
              SWITCH_NUMBER);
    if (!s_batch ("ip", script, detail, detail_size))
        return false;
    for (uint32_t i = 0; i < count; i++)
        if (!s_make_host (self, i, detail, detail_size))
            return false;
    char ignored[256];
    self->netem =
        s_batch ("tc", "qdisc add dev br0 root netem delay 1ms\n", ignored, sizeof ignored) &&
        s_batch ("tc", "qdisc del dev br0 root\n", ignored, sizeof ignored);
    return true;
}

/*  A disk that may be filled: it is in memory, and nobody else sees it.  */
static baton_err_t s_mount (bn_lab_hosts_t *self, const bn_lab_hosts_options_t *options,
                            char detail[512])
{
    char size[64];
    snprintf (size, sizeof size, "size=%" PRIu64 ",mode=0700", options->disk_bytes);
    if (mount (NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) ||
        mount ("tmpfs", options->disk, "tmpfs", MS_NOSUID | MS_NODEV, size)) {
        snprintf (detail, 512, "a small disk at %s: %s", options->disk, strerror (errno));
        return BATON_ERR_SYSTEM;
    }
    self->disk = true;
    snprintf (self->disk_path, sizeof self->disk_path, "%s", options->disk);
    return BATON_OK;
}

/*  An address of its own on loopback: labs do not meet.  */
static void s_make_loopback (bn_lab_hosts_t *self, uint32_t count, const char *why)
{
    uint64_t number = bn_random_u64 ();
    self->hub = -1;
    for (uint32_t i = 0; i < count; i++)
        snprintf (self->hosts[i].address, sizeof self->hosts[i].address,
                  "127.%" PRIu64 ".%" PRIu64 ".%" PRIu64, 1 + number % 250, 1 + number / 250 % 250,
                  1 + number / 62500 % 250);
    snprintf (self->says, sizeof self->says,
              "all hosts are on loopback (%s): no partition, slow, lossy or fill-disk", why);
}

baton_err_t bn_lab_hosts_new (bn_lab_hosts_t **hosts, const bn_lab_hosts_options_t *options,
                              char detail[512])
{
    char why[200] = "as asked for";
    bn_lab_hosts_t *self = calloc (1, sizeof *self);
    *hosts = NULL;
    if (!self) {
        snprintf (detail, 512, "%s", baton_err_text (BATON_ERR_MEMORY));
        return BATON_ERR_MEMORY;
    }
    self->hub = -1;
    self->count = options->count;
    for (uint32_t i = 0; i < options->count; i++)
        self->hosts[i].space = -1;
    baton_err_t err = BATON_OK;
    if (options->loopback || !s_possible (why, sizeof why))
        s_make_loopback (self, options->count, why);
    else if (!s_make_apart (self, options->count, why, sizeof why)) {
        snprintf (detail, 512, "the hosts cannot be made: %s", why);
        err = BATON_ERR_SYSTEM;
    } else {
        snprintf (self->says, sizeof self->says,
                  "hosts in network namespaces, 10.77.0.1 to 10.77.0.%" PRIu32 "%s", options->count,
                  self->netem ? "" : "; no netem in this kernel: slow and lossy are narrow links");
        if (options->disk)
            err = s_mount (self, options, detail);
    }
    if (err)
        bn_lab_hosts_destroy (&self);
    *hosts = self;
    return err;
}

void bn_lab_hosts_destroy (bn_lab_hosts_t **self_p)
{
    bn_lab_hosts_t *self = *self_p;
    if (!self)
        return;
    *self_p = NULL;
    if (self->disk)
        umount2 (self->disk_path, MNT_DETACH);
    for (uint32_t i = 0; i < self->count; i++)
        if (self->hosts[i].space >= 0)
            close (self->hosts[i].space);
    if (self->hub >= 0)
        close (self->hub);
    free (self);
}

uint32_t bn_lab_hosts_count (const bn_lab_hosts_t *self)
{
    return self->count;
}

const char *bn_lab_hosts_says (const bn_lab_hosts_t *self)
{
    return self->says;
}

bool bn_lab_hosts_apart (const bn_lab_hosts_t *self)
{
    return self->hub >= 0;
}

bool bn_lab_hosts_disk (const bn_lab_hosts_t *self)
{
    return self->disk;
}

const char *bn_lab_hosts_address (const bn_lab_hosts_t *self, uint32_t host)
{
    return self->hosts[host].address;
}

baton_err_t bn_lab_hosts_enter (bn_lab_hosts_t *self, uint32_t host)
{
    if (self->hub < 0)
        return BATON_OK;
    return setns (self->hosts[host].space, CLONE_NEWNET) ? BATON_ERR_SYSTEM : BATON_OK;
}

void bn_lab_hosts_leave (bn_lab_hosts_t *self)
{
    if (self->hub >= 0)
        setns (self->hub, CLONE_NEWNET);
}

/*  ---- troubles of links ---- */

static const char *s_discipline (const bn_lab_hosts_t *self, bn_lab_kind_t kind, const char **says)
{
    switch (kind) {
    case BN_LAB_SLOW:
        *says = self->netem ? "delays by 100 ms, +- 50 ms"
                            : "lets 80 kbit/s through and queues up to 500 ms";
        return self->netem ? "netem delay 100ms 50ms" : "tbf rate 80kbit burst 1600b latency 500ms";
    case BN_LAB_LOSSY:
        *says = self->netem ? "drops 5 % of all packets"
                            : "lets 120 kbit/s through and drops what is more";
        return self->netem ? "netem loss 5%" : "tbf rate 120kbit burst 1600b limit 2000b";
    default:
        *says = "lets nothing through";
        return "tbf rate 8bit burst 1b limit 1b"; /* no packet is that small */
    }
}

/*  Runs tc at one end of a host's cable: what comes in leaves the switch at its port.  */
static bool s_at_end (bn_lab_hosts_t *self, uint32_t host, bn_lab_way_t end, const char *verb,
                      const char *discipline, char *detail, size_t detail_size)
{
    char script[256], device[32] = "eth0";
    if (end == BN_LAB_IN)
        snprintf (device, sizeof device, "port%" PRIu32, host + 1);
    snprintf (script, sizeof script, "qdisc %s dev %s root %s\n", verb, device, discipline);
    if (end == BN_LAB_OUT && bn_lab_hosts_enter (self, host)) {
        snprintf (detail, detail_size, "host%" PRIu32 ": %s", host + 1, strerror (errno));
        return false;
    }
    bool fine = s_batch ("tc", script, detail, detail_size);
    if (end == BN_LAB_OUT)
        bn_lab_hosts_leave (self);
    return fine;
}

baton_err_t bn_lab_hosts_spoil (bn_lab_hosts_t *self, uint32_t host, bn_lab_kind_t kind,
                                bn_lab_way_t way, char says[256])
{
    static const char *const ways[] = {"both ways", "in", "out"};
    const char *what;
    const char *discipline = s_discipline (self, kind, &what);
    if (self->hub < 0) {
        snprintf (says, 256, "%s is not possible: the hosts have no links of their own",
                  bn_lab_kind_text (kind));
        return BATON_ERR_ARGUMENT;
    }
    for (bn_lab_way_t end = BN_LAB_IN; end <= BN_LAB_OUT; end++) {
        if (way != BN_LAB_BOTH_WAYS && way != end)
            continue;
        if (!s_at_end (self, host, end, "replace", discipline, says, 256))
            return BATON_ERR_SYSTEM;
        self->hosts[host].spoiled[end] = true;
    }
    snprintf (says, 256, "the link of host%" PRIu32 " %s (%s)", host + 1, what, ways[way]);
    return BATON_OK;
}

baton_err_t bn_lab_hosts_heal (bn_lab_hosts_t *self, uint32_t host, char says[256])
{
    bool was = false;
    for (bn_lab_way_t end = BN_LAB_IN; end <= BN_LAB_OUT; end++) {
        if (!self->hosts[host].spoiled[end])
            continue;
        if (!s_at_end (self, host, end, "del", "", says, 256))
            return BATON_ERR_SYSTEM;
        self->hosts[host].spoiled[end] = false;
        was = true;
    }
    snprintf (says, 256, "the link of host%" PRIu32 " %s", host + 1,
              was ? "is healed" : "had no trouble");
    return BATON_OK;
}
