/* SPDX-License-Identifier: MPL-2.0 */

/*  replay.c - a fuzz target without libFuzzer: runs each input of the given files and folders once,
 *  so that the corpus is checked by every compiler in every run of the tests.  */
#include "fuzz.h"
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static unsigned long s_inputs;

static void fail (const char *path)
{
    perror (path);
    exit (1);
}

static void replay_file (const char *path, size_t size)
{
    FILE *file = fopen (path, "rb");
    /*  Exactly as large as the input, so that a sanitizer sees a read past its end.  */
    uint8_t *bytes = malloc (size ? size : 1);
    if (!file || !bytes || fread (bytes, 1, size, file) != size)
        fail (path);
    fclose (file);
    printf ("%s\n", path);
    fflush (stdout); /* the last line names the input that ended the run */
    LLVMFuzzerTestOneInput (bytes, size);
    free (bytes);
    s_inputs++;
}

static void replay (const char *path)
{
    struct stat about;
    if (stat (path, &about))
        fail (path);
    if (!S_ISDIR (about.st_mode)) {
        replay_file (path, (size_t)about.st_size);
        return;
    }
    struct dirent **entries;
    int count = scandir (path, &entries, NULL, alphasort);
    if (count < 0)
        fail (path);
    for (int i = 0; i < count; i++) {
        char inside[4096];
        snprintf (inside, sizeof (inside), "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.')
            replay (inside);
        free (entries[i]);
    }
    free (entries);
}

int main (int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        replay (argv[i]);
    printf ("%lu inputs\n", s_inputs);
    return s_inputs == 0;
}
