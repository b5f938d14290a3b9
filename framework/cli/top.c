/* SPDX-License-Identifier: MPL-2.0 */

/*  top.c - `baton top`: the tables of top_table.h on a terminal, live; or in rounds with --batch.
 *
 *  DESIGN. ncurses has the terminal: it knows its kind, sends only what has changed, follows its
 *  size, and gives it back as it was on SIGINT, SIGTERM and SIGTSTP as on return. A thread asks the
 *  orchestrator, which can take as long as it likes: keys are answered meanwhile. The two share one
 *  struct under one lock; a sample that was handed over is the screen's alone.  */

#include "cli/cli.h"
#include "cli/connect.h"
#include "cli/options.h"
#include "cli/sample.h"
#include "cli/top_table.h"
#include <curses.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define KEY_WAIT_MS 100          /* the screen looks for a new sample that often */
#define KEY_REDRAW  ('L' & 0x1f) /* Ctrl-L, as everywhere */
#define JOIN_MS     200          /* at the end: longer than that no answer is waited for */

static const char s_about[] =
    "Shows what flows, as a table that keeps itself up to date: actors with their instances, what\n"
    "comes in and goes out per second, lag, events in flight, parked and dead, the age of the\n"
    "oldest one that is not settled; and topics. A line that begins with ! needs somebody to "
    "look:\n"
    "no instance, dead letters, a lag that grows, a partition that waits at parked_max.\n"
    "\n"
    "  q        quit                      left right   sort by another column\n"
    "  s        sort by the next column   r            the other way round\n"
    "  i        instances, too            t            actors, topics, or both\n"
    "  up down  scroll, also page up, page down, home, end\n"
    "  h        help                      space        look again at once";

static const char s_details[] =
    "NO_COLOR=1 leaves colours out. With --batch: plain text, one picture after the other, for\n"
    "files and pipes; needed where standard output is no terminal.\n"
    "\n"
    "Exit codes: 0 ok, 1 something failed, or a signal ended it, 2 wrong usage, 69 no answer from\n"
    "the orchestrator (--batch; on a terminal it goes on asking).";

static const char *const s_help_lines[] = {
    " q            quit",
    " s            sort by the next column",
    " left right   sort by another column",
    " r            the other way round",
    " i            instances, too",
    " t            actors, topics, or both",
    " up down      scroll; page up, page down, home, end",
    " space        look again at once",
    "",
    " IN/S OUT/S   per second: events for the actor, and those it is through with",
    " LAG          not settled: ready, in flight or parked",
    " FLIGHT       received by instances and not settled",
    " PARKED       waiting for a retry, or behind one of the same key",
    " DEAD         given up: baton dead list ACTOR",
    " !            somebody should look: no instance, dead letters, a lag that grows,",
    "              a partition that waits at parked_max, a full disk",
};

typedef struct {
    bn_connect_options_t connect;
    uint64_t interval_s;
    uint64_t rounds; /* 0: until the end */
    uint64_t width;
    const char *sort;
    bool batch;
    bool as_json;
    bn_admin_t *admin; /* owned; the sampling thread's while it runs */
    bn_top_t top;
    bn_top_view_t view;

    /*  Of the screen alone.  */
    size_t scroll;
    size_t page; /* lines of the tables on the screen */
    bool help;
    bool colours;

    /*  Shared; `lock` is held.  */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    json_t *fresh; /* owned; a sample that the screen has not taken */
    char error[512];
    bool hurry;
    bool stop;
} s_top_t;

/*  ---- sampling ---- */

/*  Owned; NULL: `error` says why.  */
static json_t *s_sample (bn_admin_t *admin, const json_t *before, char error[512], baton_err_t *err)
{
    json_t *sample = bn_sample_take (admin, err);
    if (sample) {
        bn_sample_add_rates (sample, before);
        bn_sample_add_ages (sample, admin);
    } else
        snprintf (error, 512, "%s", bn_sample_error_text (admin, *err));
    return sample;
}

/*  Waits for the interval to pass, or for hurry or stop. The lock is held.  */
static void s_pause (s_top_t *self)
{
    struct timespec until;
    clock_gettime (CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)self->interval_s;
    while (!self->stop && !self->hurry)
        if (pthread_cond_clockwait (&self->wake, &self->lock, CLOCK_MONOTONIC, &until))
            break;
    self->hurry = false;
}

static void *s_sampling (void *arg)
{
    s_top_t *self = arg;
    json_t *before = NULL;
    pthread_mutex_lock (&self->lock);
    while (!self->stop) {
        char error[512] = "";
        baton_err_t err;
        pthread_mutex_unlock (&self->lock);
        json_t *sample = s_sample (self->admin, before, error, &err);
        pthread_mutex_lock (&self->lock);
        strcpy (self->error, error);
        if (sample) {
            json_decref (before);
            before = json_deep_copy (sample); /* reference counts are not for two threads */
            json_decref (self->fresh);
            self->fresh = sample;
        }
        s_pause (self);
    }
    pthread_mutex_unlock (&self->lock);
    json_decref (before);
    return NULL;
}

/*  ---- the screen ---- */

static void s_show_mark (const s_top_t *self, int row, size_t at, size_t size, bn_top_mark_t mark)
{
    static const attr_t attributes[] = {A_BOLD, A_UNDERLINE, A_BOLD, A_BOLD | A_REVERSE};
    short pair = self->colours && mark >= BN_TOP_WARNING ? (short)mark : 0;
    attr_t attribute = pair ? A_BOLD : attributes[mark];
    mvchgat (row, (int)at, (int)size, attribute, pair, NULL);
}

static void s_show_line (const s_top_t *self, int row, const bn_top_line_t *line)
{
    mvaddnstr (row, 0, line->text, COLS);
    for (size_t i = 0; i < line->mark_count; i++)
        s_show_mark (self, row, line->marks[i].at, line->marks[i].size, line->marks[i].mark);
}

static void s_show_bottom (const s_top_t *self, const char *error)
{
    if (error[0]) {
        mvaddnstr (LINES - 1, 0, error, COLS);
        s_show_mark (self, LINES - 1, 0, strlen (error), BN_TOP_ALARM);
    } else
        mvprintw (LINES - 1, 0, " q quit  h help  s sort (%s)  r reverse  i instances  t tables",
                  bn_top_column_name (self->view.sort));
}

static void s_show (s_top_t *self, const char *error)
{
    int row = 0;
    erase ();
    bn_top_draw_head (&self->top, self->connect.endpoint, (size_t)COLS);
    for (size_t i = 0; i < self->top.line_count; i++)
        s_show_line (self, row++, &self->top.lines[i]);
    row++;
    self->page = LINES - 1 > row ? (size_t)(LINES - 1 - row) : 0;
    if (self->help)
        for (size_t i = 0; i < sizeof (s_help_lines) / sizeof (*s_help_lines); i++)
            mvaddnstr (row++, 0, s_help_lines[i], COLS);
    else {
        bn_top_draw (&self->top, &self->view, (size_t)COLS);
        size_t most = self->top.line_count > self->page ? self->top.line_count - self->page : 0;
        if (self->scroll > most)
            self->scroll = most;
        for (size_t i = self->scroll; i < self->top.line_count && row < LINES - 1; i++)
            s_show_line (self, row++, &self->top.lines[i]);
        if (!self->top.samples[0] && !error[0])
            mvaddnstr (row, 0, " waiting for the orchestrator", COLS);
    }
    move (LINES - 1, 0);
    clrtoeol ();
    s_show_bottom (self, error);
    refresh ();
}

/*  false: quit.  */
static bool s_key (s_top_t *self, int key)
{
    bn_top_view_t *view = &self->view;
    if (self->help && key != 'q' && key != KEY_RESIZE && key != KEY_REDRAW) {
        self->help = false;
        return true;
    }
    switch (key) {
    case 'q':
        return false;
    case 's':
    case KEY_RIGHT:
        view->sort = (view->sort + 1) % BN_TOP_COLUMNS;
        break;
    case KEY_LEFT:
        view->sort = (view->sort + BN_TOP_COLUMNS - 1) % BN_TOP_COLUMNS;
        break;
    case 'r':
        view->reverse = !view->reverse;
        break;
    case 'i':
        view->instances = !view->instances;
        break;
    case 't': { /* both, actors, topics */
        bool both = !view->no_topics && !view->no_actors, actors = view->no_topics;
        view->no_topics = both;
        view->no_actors = actors;
        break;
    }
    case KEY_UP:
        self->scroll -= self->scroll > 0 ? 1 : 0;
        break;
    case KEY_DOWN:
        self->scroll++;
        break;
    case KEY_PPAGE:
        self->scroll -= self->scroll < self->page ? self->scroll : self->page;
        break;
    case KEY_NPAGE:
        self->scroll += self->page;
        break;
    case KEY_HOME:
        self->scroll = 0;
        break;
    case KEY_END:
        self->scroll = self->top.line_count;
        break;
    case 'h':
    case '?':
        self->help = true;
        break;
    case KEY_REDRAW:
        clearok (stdscr, TRUE);
        break;
    case ' ':
        pthread_mutex_lock (&self->lock);
        self->hurry = true;
        pthread_cond_signal (&self->wake);
        pthread_mutex_unlock (&self->lock);
        break;
    }
    return true;
}

static void s_screen_begin (s_top_t *self)
{
    const char *no_color = getenv ("NO_COLOR");
    initscr ();
    cbreak ();
    noecho ();
    curs_set (0);
    keypad (stdscr, TRUE);
    set_escdelay (25);
    timeout (KEY_WAIT_MS);
    self->colours = has_colors () && !(no_color && no_color[0]);
    if (self->colours) {
        start_color ();
        use_default_colors ();
        init_pair (BN_TOP_WARNING, COLOR_YELLOW, -1);
        init_pair (BN_TOP_ALARM, COLOR_RED, -1);
    }
}

/*  Until q; the picture is drawn anew for a key, a sample, an error or another size.  */
static void s_screen (s_top_t *self)
{
    char shown[512] = "?";
    uint64_t samples = 0;
    bool changed = true, goes_on = true;
    s_screen_begin (self);
    while (goes_on && (!self->rounds || samples < self->rounds)) {
        char error[512];
        pthread_mutex_lock (&self->lock);
        json_t *fresh = self->fresh;
        self->fresh = NULL;
        strcpy (error, self->error);
        pthread_mutex_unlock (&self->lock);
        if (fresh) {
            bn_top_add (&self->top, fresh);
            samples++;
        }
        if (changed || fresh || strcmp (error, shown) != 0)
            s_show (self, error);
        strcpy (shown, error);
        int key = getch ();
        changed = key != ERR;
        if (changed)
            goes_on = s_key (self, key);
    }
    endwin ();
}

/*  ncurses takes SIGINT, SIGTERM and SIGTSTP in the main thread, and nobody else does.  */
static int s_start_sampling (s_top_t *self, pthread_t *thread)
{
    sigset_t all, before;
    sigfillset (&all);
    pthread_sigmask (SIG_SETMASK, &all, &before);
    int error = pthread_create (thread, NULL, s_sampling, self);
    pthread_sigmask (SIG_SETMASK, &before, NULL);
    return error;
}

static int s_interactive (s_top_t *self)
{
    pthread_t thread;
    struct timespec until;
    int error = s_start_sampling (self, &thread);
    if (error)
        return bn_failure ("top", BATON_ERR_SYSTEM, "no thread: %s", strerror (error));
    s_screen (self);
    pthread_mutex_lock (&self->lock);
    self->stop = true;
    pthread_cond_signal (&self->wake);
    pthread_mutex_unlock (&self->lock);
    clock_gettime (CLOCK_REALTIME, &until);
    until.tv_nsec += JOIN_MS * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    if (pthread_timedjoin_np (thread, NULL, &until))
        _exit (BN_EXIT_OK); /* it waits for an answer that nobody will read */
    return BN_EXIT_OK;
}

/*  ---- rounds ---- */

static void s_print (s_top_t *self)
{
    char *text = self->as_json
                     ? json_dumps (self->top.samples[0], JSON_COMPACT | JSON_REAL_PRECISION (9))
                     : NULL;
    if (text) {
        puts (text);
        fflush (stdout);
        free (text);
        return;
    }
    bn_top_draw_head (&self->top, self->connect.endpoint, (size_t)self->width);
    for (size_t i = 0; i < self->top.line_count; i++)
        puts (self->top.lines[i].text);
    puts ("");
    bn_top_draw (&self->top, &self->view, (size_t)self->width);
    for (size_t i = 0; i < self->top.line_count; i++)
        puts (self->top.lines[i].text);
    puts ("");
    fflush (stdout);
}

static int s_batch (s_top_t *self)
{
    struct timespec pause = {.tv_sec = (time_t)self->interval_s};
    char error[512];
    baton_err_t err = BATON_OK;
    for (uint64_t round = 0; !self->rounds || round < self->rounds; round++) {
        if (round)
            nanosleep (&pause, NULL);
        json_t *sample = s_sample (self->admin, self->top.samples[0], error, &err);
        if (!sample)
            return bn_failure ("top", err, "%s", error);
        bn_top_add (&self->top, sample);
        s_print (self);
        if (ferror (stdout))
            break;
    }
    return BN_EXIT_OK;
}

/*  ---- the command ---- */

static int s_check (s_top_t *self, int count, char **words)
{
    if (count)
        return bn_usage_error ("top", "what is '%s'?", words[0]);
    if (self->sort) {
        while (self->view.sort < BN_TOP_COLUMNS &&
               strcmp (bn_top_column_name (self->view.sort), self->sort) != 0)
            self->view.sort++;
        if (self->view.sort == BN_TOP_COLUMNS)
            return bn_usage_error ("top",
                                   "--sort takes name, instances, in, out, lag, flight, parked, "
                                   "dead or oldest, not '%s'",
                                   self->sort);
    } else
        self->view.sort = BN_TOP_LAG;
    if (!self->batch && !(isatty (STDOUT_FILENO) && isatty (STDIN_FILENO)))
        return bn_usage_error ("top", "this is no terminal; --batch prints rounds");
    const char *terminal = getenv ("TERM");
    if (!self->batch && (!terminal || !terminal[0] || !strcmp (terminal, "dumb")))
        return bn_usage_error ("top", "TERM names no terminal that can be drawn on; --batch "
                                      "prints rounds");
    return -1;
}

int bn_cli_top (int argc, char **argv)
{
    s_top_t self = {.interval_s = 1,
                    .width = 100,
                    .lock = PTHREAD_MUTEX_INITIALIZER,
                    .wake = PTHREAD_COND_INITIALIZER};
    const bn_option_t table[] = {
        {"interval", 's', BN_OPTION_UINT, &self.interval_s, "SECONDS",
         "between two looks (default: 1)", 1, 3600},
        {"sort", 'o', BN_OPTION_TEXT, &self.sort, "COLUMN",
         "name, instances, in, out, lag (default), flight, parked, dead or oldest", 0, 0},
        {"reverse", 'r', BN_OPTION_FLAG, &self.view.reverse, NULL, "smallest first", 0, 0},
        {"instances", 'i', BN_OPTION_FLAG, &self.view.instances, NULL, "a line for each, too", 0,
         0},
        {"rounds", 'n', BN_OPTION_UINT, &self.rounds, "N", "end after N looks", 1, 0},
        {"batch", 'b', BN_OPTION_FLAG, &self.batch, NULL, "plain text, one look below the other", 0,
         0},
        {"width", 'w', BN_OPTION_UINT, &self.width, "COLUMNS", "of --batch (default: 100)",
         BN_TOP_WIDTH_MIN, BN_TOP_WIDTH_MAX},
        BN_CONNECT_OPTIONS (&self.connect),
        {"json", 0, BN_OPTION_FLAG, &self.as_json, NULL,
         "JSON lines, as of 'baton status --watch'; implies --batch", 0, 0},
    };
    const bn_command_t command = {.usage = "top [OPTION]...",
                                  .about = s_about,
                                  .details = s_details,
                                  .options = table,
                                  .option_count = sizeof (table) / sizeof (table[0])};
    int first;
    bn_connect_options_init (&self.connect);
    int code = bn_options_parse (&command, argc, argv, &first);
    self.batch = self.batch || self.as_json;
    if (code < 0)
        code = s_check (&self, argc - first, argv + first);
    if (code >= 0)
        return code;
    code = bn_connect (&self.admin, "top", &self.connect);
    if (code >= 0)
        return code;
    code = self.batch ? s_batch (&self) : s_interactive (&self);
    json_decref (self.fresh);
    bn_top_fini (&self.top);
    bn_admin_destroy (&self.admin);
    return code;
}
