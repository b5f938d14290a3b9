/* SPDX-License-Identifier: MPL-2.0 */

#include "shell/standard.h"
#include <fcntl.h>
#include <unistd.h>

/*  The wrong way round on purpose: read(2) and write(2) fail with EBADF, as on what is closed.  */
void bn_standard_hold (void)
{
    static const struct {
        int fd;
        int flags;
    } streams[] = {{STDIN_FILENO, O_WRONLY}, {STDOUT_FILENO, O_RDONLY}, {STDERR_FILENO, O_RDONLY}};
    for (int i = 0; i < 3; i++)
        if (fcntl (streams[i].fd, F_GETFD) < 0 &&
            open ("/dev/null", streams[i].flags) != streams[i].fd)
            _exit (1); /* not even that: nothing that could be said, and nowhere to say it */
}
