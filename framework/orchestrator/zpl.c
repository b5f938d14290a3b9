/* SPDX-License-Identifier: MPL-2.0 */

#include "orchestrator/zpl.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#define SPACES_PER_LEVEL 4
#define LEVELS_MAX       16

struct bn_zpl {
    zconfig_t *root;     /* owned */
    char *path;          /* owned; for messages */
    unsigned int *lines; /* owned; line of the k-th item in document order */
    size_t count;        /* items */
};

static baton_err_t fail (char detail[512], baton_err_t err, const char *path, unsigned int line,
                         const char *what)
{
    if (line)
        snprintf (detail, 512, "%s:%u: %s", path, line, what);
    else
        snprintf (detail, 512, "%s: %s", path, what);
    return err;
}

static bool is_name_char (char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr ("$-_@.&+/", c));
}

static const char *skip_blanks (const char *at)
{
    while (*at == ' ' || *at == '\t' || *at == '\r')
        at++;
    return at;
}

/*  Checks one line. NULL: fine, and *named tells whether it makes an item; else what is wrong.  */
static const char *check_line (const char *line, unsigned int *level, bool *named)
{
    *named = false;
    const char *at = line;
    while (*at == ' ')
        at++;
    size_t indent = (size_t)(at - line);
    if (*skip_blanks (at) == '\0' || *at == '#')
        return NULL;
    if (*at == '\t')
        return "a tab: indent with four spaces";
    if (indent % SPACES_PER_LEVEL != 0)
        return "indent with four spaces for each level";
    if (indent / SPACES_PER_LEVEL > *level)
        return "indented deeper than the line above allows";
    if (indent / SPACES_PER_LEVEL >= LEVELS_MAX)
        return "nested too deeply";
    const char *name = at;
    while (is_name_char (*at))
        at++;
    if (at == name)
        return "expected a name of letters, digits and $-_@.&+/";
    if (*name == '/' || at[-1] == '/')
        return "a name neither starts nor ends with '/'";
    *named = true;
    *level = (unsigned int)(indent / SPACES_PER_LEVEL) + 1;
    at = skip_blanks (at);
    if (*at != '=')
        return *at == '\0' || *at == '#' ? NULL : "expected '=' after the name";
    at = skip_blanks (at + 1);
    if (*at == '"' || *at == '\'') {
        const char *close = strchr (at + 1, *at);
        if (!close)
            return "the closing quote is missing";
        at = skip_blanks (close + 1);
        return *at == '\0' || *at == '#' ? NULL : "text after the closing quote";
    }
    return NULL;
}

/*  Checks all lines of `text` (which is cut into lines) and notes those that make an item.  */
static baton_err_t scan (bn_zpl_t *self, char *text, char detail[512])
{
    unsigned int number = 0, level = 0;
    for (char *line = text; line;) {
        char *next = strchr (line, '\n');
        if (next)
            *next++ = '\0';
        number++;
        bool named;
        const char *what = check_line (line, &level, &named);
        if (what)
            return fail (detail, BATON_ERR_CONFIG, self->path, number, what);
        if (named)
            self->lines[self->count++] = number;
        line = next;
    }
    return BATON_OK;
}

static int count_item (zconfig_t *item, void *arg, int level)
{
    (void)item;
    *(size_t *)arg += level > 0;
    return 0;
}

baton_err_t bn_zpl_parse (bn_zpl_t **zpl, const char *text, const char *path, char detail[512])
{
    *zpl = NULL;
    bn_zpl_t *self = calloc (1, sizeof *self);
    char *copy = strdup (text);
    size_t lines = 1;
    for (const char *at = text; *at; at++)
        lines += *at == '\n';
    baton_err_t err = BATON_ERR_MEMORY;
    if (self) {
        self->path = strdup (path);
        self->lines = calloc (lines, sizeof *self->lines);
    }
    if (!self || !copy || !self->path || !self->lines)
        fail (detail, err, path, 0, baton_err_text (err));
    else
        err = scan (self, copy, detail);
    free (copy);
    if (!err) {
        size_t items = 0;
        self->root = zconfig_str_load (text);
        if (self->root)
            zconfig_execute (self->root, count_item, &items);
        /*  zconfig makes nothing at all of a text without items.  */
        if (!self->root && self->count == 0)
            self->root = zconfig_new ("root", NULL);
        if (!self->root || items != self->count)
            err = fail (detail, BATON_ERR_CONFIG, path, 0, "not a valid ZPL file");
    }
    if (err)
        bn_zpl_destroy (&self);
    *zpl = self;
    return err;
}

baton_err_t bn_zpl_load (bn_zpl_t **zpl, const char *path, char detail[512])
{
    *zpl = NULL;
    FILE *file = fopen (path, "re");
    if (!file) {
        baton_err_t err = errno == ENOENT   ? BATON_ERR_NOT_FOUND
                          : errno == EACCES ? BATON_ERR_PERMISSION
                                            : BATON_ERR_SYSTEM;
        return fail (detail, err, path, 0, strerror (errno));
    }
    char *text = malloc (BN_ZPL_BYTES_MAX + 1);
    size_t size = text ? fread (text, 1, BN_ZPL_BYTES_MAX + 1, file) : 0;
    bool failed = ferror (file);
    int saved = errno;
    fclose (file);
    baton_err_t err;
    if (!text)
        err = fail (detail, BATON_ERR_MEMORY, path, 0, baton_err_text (BATON_ERR_MEMORY));
    else if (failed)
        err = fail (detail, saved == EISDIR ? BATON_ERR_CONFIG : BATON_ERR_SYSTEM, path, 0,
                    strerror (saved));
    else if (size > BN_ZPL_BYTES_MAX)
        err = fail (detail, BATON_ERR_CONFIG, path, 0, "larger than 1 MiB");
    else if (memchr (text, '\0', size))
        err = fail (detail, BATON_ERR_CONFIG, path, 0, "not a text file");
    else {
        text[size] = '\0';
        err = bn_zpl_parse (zpl, text, path, detail);
    }
    free (text);
    return err;
}

void bn_zpl_destroy (bn_zpl_t **self_p)
{
    bn_zpl_t *self = *self_p;
    if (!self)
        return;
    zconfig_destroy (&self->root);
    free (self->path);
    free (self->lines);
    free (self);
    *self_p = NULL;
}

zconfig_t *bn_zpl_root (bn_zpl_t *self)
{
    return self->root;
}

const char *bn_zpl_path (const bn_zpl_t *self)
{
    return self->path;
}

typedef struct {
    zconfig_t *wanted;
    size_t before; /* items before it in document order */
    bool found;
} search_t;

static int search_item (zconfig_t *item, void *arg, int level)
{
    search_t *search = arg;
    search->found = search->found || item == search->wanted;
    if (!search->found)
        search->before += level > 0;
    return 0;
}

unsigned int bn_zpl_line (bn_zpl_t *self, zconfig_t *item)
{
    search_t search = {.wanted = item};
    zconfig_execute (self->root, search_item, &search);
    return item != self->root && search.found ? self->lines[search.before] : 0;
}

baton_err_t bn_zpl_refuse (bn_zpl_t *self, zconfig_t *item, char detail[512], const char *format,
                           ...)
{
    char what[384];
    va_list args;
    va_start (args, format);
    vsnprintf (what, sizeof what, format, args);
    va_end (args);
    return fail (detail, BATON_ERR_CONFIG, self->path, bn_zpl_line (self, item), what);
}
