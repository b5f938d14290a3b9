/* SPDX-License-Identifier: MPL-2.0 */

/*  disk.c - what the disk alone takes: for each event an overwrite of 4 KiB, and fdatasync. It is
 *  the producer of a system that has nobody else in it. The latency of an event is that of the two
 *  calls: what any system adds that syncs before an event is seen.  */
#include "peer.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define PAGE_BYTES 4096u
#define PAGES      4096u /* of the file: then from the start again */

static bool disk_failed (const char *what)
{
    return peer_failed ("%s: %s", what, strerror (errno));
}

/*  A file that was written before, so that a sync has no metadata to write.  */
static int open_written (const char *page)
{
    int fd = open ("disk.bin", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    for (unsigned i = 0; fd >= 0 && i < PAGES; i++)
        if (pwrite (fd, page, PAGE_BYTES, (off_t)i * PAGE_BYTES) != PAGE_BYTES)
            return -1;
    return fd >= 0 && fdatasync (fd) == 0 ? fd : -1;
}

bool peer_disk_producer (peer_load_t *load)
{
    char page[PAGE_BYTES] = {0};
    if (load->size > sizeof page)
        return peer_failed ("size: at most %u bytes", PAGE_BYTES);
    int fd = open_written (page);
    if (fd < 0)
        return disk_failed ("disk.bin");
    load->first_ns = peer_now_ns ();
    for (uint64_t k = 0; k < load->events; k++) {
        uint64_t from_ns = peer_await_turn (load, peer_due_ns (load, load->first_ns, k));
        peer_fill (load, page, from_ns);
        if (pwrite (fd, page, PAGE_BYTES, (off_t)(k % PAGES) * PAGE_BYTES) != PAGE_BYTES ||
            fdatasync (fd) != 0)
            return disk_failed ("disk.bin");
        if (!peer_handle (load, page, load->size))
            return false;
    }
    close (fd);
    return true;
}
