/* SPDX-License-Identifier: MPL-2.0 */

/*  memory.c - the tests of the core once more, with memory running out at each place in turn.
 *
 *  DESIGN. Linked into a test of the core with -Wl,--wrap= (tests/unit/core/CMakeLists.txt), it
 *  stands in front of the allocator and of each step that a test makes. Before a step is really
 *  made, a forked child makes it and notes the places (call stacks) that allocate. For each place
 *  not seen before, two more children make the same step: in one that allocation fails, in the
 *  other that one and all later ones. What must hold there:
 *
 *    - the step says so: it returns the error or sets `failed`, so that the shell stops and nobody
 *      is told what is not true (a request may also be refused for it); or it did without, as with
 *      a cache or a text: then its effects are those that it has with memory;
 *    - what it worked on can be released.
 *
 *  So each path on which memory can run out is walked from a state that a test made on purpose.
 *  Rejected: failing the n-th allocation of a whole test: the test itself would have to cope.  */
#include "base/crc32c.h"
#include "core/conductor.h"
#include "core/mailbox.h"
#include "core/outbox.h"
#include <execinfo.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    SITES_MAX = 4096, /* allocations of one step that are told apart */
    SEEN_MAX = 1 << 16,
    STACK_FRAMES = 16, /* that tell one place from another */
    TOLD = 0,          /* exit statuses of a child */
    NOT_TOLD = 1,
    NOT_REACHED = 2 /* the allocation that was to fail did not happen */
};

typedef struct {
    uint32_t count;
    uint64_t sites[SITES_MAX];
    uint64_t effects;          /* what they come to with memory; 0: nothing may be done without */
    void *stack[STACK_FRAMES]; /* of the allocation that failed first */
    int stack_depth;
} record_t;

static record_t *s_record;        /* shared with the children */
static uint64_t s_seen[SEEN_MAX]; /* set of sites */
static bool s_busy;               /* inside a step: no further tries, and in a child count */
static bool s_child;
static bool s_recording;
static uint32_t s_allocation; /* of the child */
static uint32_t s_fail_at;
static bool s_fail_on;
static bool s_failed;

void *__real_malloc (size_t size);
void *__real_calloc (size_t count, size_t size);
void *__real_realloc (void *old, size_t size);
char *__real_strdup (const char *text);
void *__wrap_malloc (size_t size);
void *__wrap_calloc (size_t count, size_t size);
void *__wrap_realloc (void *old, size_t size);
char *__wrap_strdup (const char *text);
char *__real_strndup (const char *text, size_t size);
char *__wrap_strndup (const char *text, size_t size);

/*  FNV-1a, by the number.  */
static uint64_t mix (uint64_t sum, uint64_t number)
{
    return ((sum ? sum : 1469598103934665603u) ^ number) * 1099511628211u;
}

static uint64_t site (void)
{
    void *stack[STACK_FRAMES];
    int depth = backtrace (stack, STACK_FRAMES);
    uint64_t hash = 0;
    for (int i = 2; i < depth; i++)
        hash = mix (hash, (uintptr_t)stack[i]);
    return hash | 1;
}

static bool fails (void)
{
    if (!s_child)
        return false;
    uint32_t number = s_allocation++;
    if (s_recording) {
        if (number < SITES_MAX) {
            s_record->sites[number] = site ();
            s_record->count = number + 1;
        }
        return false;
    }
    bool now = number == s_fail_at || (s_fail_on && number > s_fail_at);
    if (now && !s_failed) {
        s_record->stack_depth = backtrace (s_record->stack, STACK_FRAMES);
        s_failed = true;
    }
    return now;
}

void *__wrap_malloc (size_t size)
{
    return fails () ? NULL : __real_malloc (size);
}

void *__wrap_calloc (size_t count, size_t size)
{
    return fails () ? NULL : __real_calloc (count, size);
}

/*  Making a block smaller is not taken to fail: no allocator in use here does that.  */
void *__wrap_realloc (void *old, size_t size)
{
    bool smaller = old && malloc_usable_size (old) >= size;
    return !smaller && fails () ? NULL : __real_realloc (old, size);
}

char *__wrap_strdup (const char *text)
{
    return fails () ? NULL : __real_strdup (text);
}

char *__wrap_strndup (const char *text, size_t size)
{
    return fails () ? NULL : __real_strndup (text, size);
}

/*  A step, made in a child; returns whether it said that memory ran out, and releases what it
 *  worked on. *effects: what it wants done, as a number; stays 0 where that is not asked.  */
typedef bool (attempt_fn) (void *args, uint64_t *effects);

/*  Coverage counts what a child does, although it does not return from main.  */
extern void __gcov_dump (void) __attribute__ ((weak));

static int in_child (attempt_fn *attempt, void *args)
{
    fflush (NULL);
    pid_t pid = fork ();
    if (pid == 0) {
        s_child = true;
        uint64_t effects = 0;
        bool told = attempt (args, &effects);
        s_child = false;
        if (s_recording)
            s_record->effects = effects;
        told = told || (effects != 0 && effects == s_record->effects);
        if (__gcov_dump)
            __gcov_dump ();
        _exit (s_recording || (s_failed && told) ? TOLD : s_failed ? NOT_TOLD : NOT_REACHED);
    }
    int status = -1;
    if (pid < 0 || waitpid (pid, &status, 0) != pid) {
        perror ("memory.c: fork");
        abort ();
    }
    return status;
}

static bool seen (uint64_t hash)
{
    for (uint32_t at = (uint32_t)(hash % SEEN_MAX);; at = (at + 1) % SEEN_MAX) {
        if (s_seen[at] == hash)
            return true;
        if (s_seen[at] == 0) {
            s_seen[at] = hash;
            return false;
        }
    }
}

static void fail_here (const char *what, attempt_fn *attempt, void *args, uint32_t number, bool on)
{
    s_fail_at = number;
    s_fail_on = on;
    int status = in_child (attempt, args);
    if (WIFEXITED (status) && WEXITSTATUS (status) == TOLD)
        return;
    fprintf (stderr, "%s, allocation %u fails%s: %s (status %#x)\n", what, number,
             on ? " and all later ones" : "",
             WIFEXITED (status) && WEXITSTATUS (status) == NOT_TOLD ? "nobody was told" : "it died",
             (unsigned)status);
    backtrace_symbols_fd (s_record->stack, s_record->stack_depth, STDERR_FILENO);
    abort ();
}

/*  Tests of bounds make the same step thousands of times: where nothing new comes up for long, only
 *  some of the steps of that kind are looked into.  */
static uint32_t *fruitless_of (const char *what)
{
    enum { KINDS_MAX = 32 };
    static struct {
        const char *what;
        uint32_t fruitless;
    } kinds[KINDS_MAX];
    for (size_t i = 0; i < KINDS_MAX; i++)
        if (!kinds[i].what || strcmp (kinds[i].what, what) == 0) {
            kinds[i].what = what;
            return &kinds[i].fruitless;
        }
    abort ();
}

static bool worth_trying (uint32_t *fruitless)
{
    enum { PATIENCE = 200, SOME = 50 };
    ++*fruitless;
    return *fruitless < PATIENCE || *fruitless % SOME == 0;
}

static void try_all (const char *what, attempt_fn *attempt, void *args)
{
    uint32_t *fruitless = fruitless_of (what);
    if (!worth_trying (fruitless))
        return;
    if (!s_record) {
        void *stack[1];
        (void)backtrace (stack, 1); /* the first call allocates */
        s_record = mmap (NULL, sizeof *s_record, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                         -1, 0);
        if (s_record == MAP_FAILED)
            abort ();
    }
    s_record->count = 0;
    s_recording = true;
    (void)in_child (attempt, args);
    s_recording = false;
    for (uint32_t number = 0; number < s_record->count; number++) {
        if (seen (s_record->sites[number]))
            continue;
        *fruitless = 0;
        fail_here (what, attempt, args, number, false);
        fail_here (what, attempt, args, number, true);
    }
}

/*  Before the outermost step only: what it calls in turn is part of it.  */
static void try_before (const char *what, attempt_fn *attempt, void *args)
{
    if (s_busy)
        return;
    s_busy = true;
    try_all (what, attempt, args);
    s_busy = false;
}

/*  ---- machines: `failed` is how they say it ---- */

typedef struct {
    void *machine;
    const void *event;
    void *effects;
} step_t;

void __real_bn_conductor_step (bn_conductor_t *self, const bn_conductor_event_t *event,
                               bn_effects_t *effects);
void __wrap_bn_conductor_step (bn_conductor_t *self, const bn_conductor_event_t *event,
                               bn_effects_t *effects);
void __real_bn_mailbox_step (bn_mailbox_t *self, const bn_mailbox_event_t *event,
                             bn_mailbox_effects_t *effects);
void __wrap_bn_mailbox_step (bn_mailbox_t *self, const bn_mailbox_event_t *event,
                             bn_mailbox_effects_t *effects);
void __real_bn_outbox_step (bn_outbox_t *self, const bn_outbox_event_t *event,
                            bn_outbox_effects_t *effects);
void __wrap_bn_outbox_step (bn_outbox_t *self, const bn_outbox_event_t *event,
                            bn_outbox_effects_t *effects);

/*  A request that there was no memory to read is refused and changes nothing.  */
static bool refused (const bn_effects_t *effects)
{
    if (effects->count != 1 || effects->items[0].kind != BN_EFFECT_SEND)
        return false;
    bn_frame_t frame = {effects->items[0].head->data, effects->items[0].head->size};
    bn_message_t message;
    char what[256];
    if (bn_message_decode (&message, &frame, 1, what))
        return false;
    bool memory = message.type == BN_ERROR && message.error.code == BATON_ERR_MEMORY;
    bn_message_fini (&message);
    return memory;
}

static bool try_conductor (void *args, uint64_t *effects_sum)
{
    step_t *step = args;
    bn_conductor_t *conductor = step->machine;
    bn_effects_t *effects = step->effects;
    __real_bn_conductor_step (conductor, step->event, effects);
    s_child = false;
    bool told = effects->failed || refused (effects);
    for (size_t i = 0; i < effects->count; i++) {
        const bn_effect_t *effect = &effects->items[i];
        *effects_sum = mix (mix (*effects_sum, effect->kind), effect->route);
        if (effect->kind == BN_EFFECT_PERSIST)
            *effects_sum =
                mix (*effects_sum, bn_crc32c (0, effect->body->data, effect->body->size));
    }
    bn_effects_fini (effects);
    bn_conductor_destroy (&conductor);
    return told;
}

void __wrap_bn_conductor_step (bn_conductor_t *self, const bn_conductor_event_t *event,
                               bn_effects_t *effects)
{
    step_t step = {self, event, effects};
    try_before ("a step of the conductor", try_conductor, &step);
    bool outermost = !s_busy;
    s_busy = true;
    __real_bn_conductor_step (self, event, effects);
    s_busy = !outermost;
}

static bool try_mailbox (void *args, uint64_t *effects_sum)
{
    step_t *step = args;
    bn_mailbox_t *mailbox = step->machine;
    bn_mailbox_effects_t *effects = step->effects;
    __real_bn_mailbox_step (mailbox, step->event, effects);
    s_child = false;
    bool told = effects->failed;
    for (size_t i = 0; i < effects->count; i++)
        *effects_sum = mix (*effects_sum, effects->items[i].kind);
    bn_mailbox_effects_fini (effects);
    bn_mailbox_destroy (&mailbox);
    return told;
}

void __wrap_bn_mailbox_step (bn_mailbox_t *self, const bn_mailbox_event_t *event,
                             bn_mailbox_effects_t *effects)
{
    step_t step = {self, event, effects};
    try_before ("a step of the mailbox", try_mailbox, &step);
    __real_bn_mailbox_step (self, event, effects);
}

static bool try_outbox (void *args, uint64_t *effects_sum)
{
    step_t *step = args;
    bn_outbox_t *outbox = step->machine;
    bn_outbox_effects_t *effects = step->effects;
    __real_bn_outbox_step (outbox, step->event, effects);
    s_child = false;
    bool told = effects->failed;
    for (size_t i = 0; i < effects->count; i++)
        *effects_sum = mix (*effects_sum, effects->items[i].kind);
    bn_outbox_effects_fini (effects);
    bn_outbox_destroy (&outbox);
    return told;
}

void __wrap_bn_outbox_step (bn_outbox_t *self, const bn_outbox_event_t *event,
                            bn_outbox_effects_t *effects)
{
    step_t step = {self, event, effects};
    try_before ("a step of the outbox", try_outbox, &step);
    __real_bn_outbox_step (self, event, effects);
}

/*  ---- the gate: by refusing, all or nothing ---- */

typedef struct {
    bn_gate_t *gate;
    bn_effects_t *effects;
    uint64_t sequence;
} push_t;

bool __real_bn_gate_push (bn_gate_t *self, bn_effects_t *effects, bn_gate_persist_fn *persist,
                          void *arg);
bool __wrap_bn_gate_push (bn_gate_t *self, bn_effects_t *effects, bn_gate_persist_fn *persist,
                          void *arg);

static uint64_t persist_in_child (bn_effect_t *effect, void *arg)
{
    push_t *push = arg;
    bn_blob_unref (&effect->body);
    return ++push->sequence;
}

static bool try_push (void *args, uint64_t *effects_sum)
{
    (void)effects_sum;
    push_t *push = args;
    size_t count = push->effects->count;
    bool pushed = __real_bn_gate_push (push->gate, push->effects, persist_in_child, push);
    s_child = false;
    bool nothing = push->sequence == UINT64_MAX / 2 && push->effects->count == count;
    bn_effects_fini (push->effects);
    bn_gate_destroy (&push->gate);
    return !pushed && nothing;
}

bool __wrap_bn_gate_push (bn_gate_t *self, bn_effects_t *effects, bn_gate_persist_fn *persist,
                          void *arg)
{
    push_t push = {self, effects, UINT64_MAX / 2};
    try_before ("effects pushed into the gate", try_push, &push);
    return __real_bn_gate_push (self, effects, persist, arg);
}

/*  ---- the state: by the error ---- */

typedef struct {
    bn_state_t *state;
    const bn_record_t *record;
    uint64_t sequence, base, time_us;
    uint32_t count;
    const void *key, *value;
    size_t key_size, value_size;
} change_t;

baton_err_t __real_bn_state_apply (bn_state_t *self, const bn_record_t *record, uint64_t sequence,
                                   uint64_t base, uint32_t count, uint64_t time_us,
                                   char detail[256]);
baton_err_t __wrap_bn_state_apply (bn_state_t *self, const bn_record_t *record, uint64_t sequence,
                                   uint64_t base, uint32_t count, uint64_t time_us,
                                   char detail[256]);
baton_err_t __real_bn_state_bridge (bn_state_t *self, const bn_record_t *record);
baton_err_t __wrap_bn_state_bridge (bn_state_t *self, const bn_record_t *record);
baton_err_t __real_bn_state_restore (bn_state_t *self, const void *key, size_t key_size,
                                     const void *value, size_t value_size);
baton_err_t __wrap_bn_state_restore (bn_state_t *self, const void *key, size_t key_size,
                                     const void *value, size_t value_size);
baton_err_t __real_bn_state_restored (bn_state_t *self);
baton_err_t __wrap_bn_state_restored (bn_state_t *self);

static bool told_by (bn_state_t *state, baton_err_t err)
{
    s_child = false;
    bn_state_destroy (&state);
    return err == BATON_ERR_MEMORY;
}

static bool try_apply (void *args, uint64_t *effects_sum)
{
    (void)effects_sum;
    change_t *c = args;
    char detail[256];
    return told_by (c->state, __real_bn_state_apply (c->state, c->record, c->sequence, c->base,
                                                     c->count, c->time_us, detail));
}

baton_err_t __wrap_bn_state_apply (bn_state_t *self, const bn_record_t *record, uint64_t sequence,
                                   uint64_t base, uint32_t count, uint64_t time_us,
                                   char detail[256])
{
    change_t change = {.state = self,
                       .record = record,
                       .sequence = sequence,
                       .base = base,
                       .time_us = time_us,
                       .count = count};
    try_before ("a record applied", try_apply, &change);
    return __real_bn_state_apply (self, record, sequence, base, count, time_us, detail);
}

static bool try_bridge (void *args, uint64_t *effects_sum)
{
    (void)effects_sum;
    change_t *c = args;
    return told_by (c->state, __real_bn_state_bridge (c->state, c->record));
}

baton_err_t __wrap_bn_state_bridge (bn_state_t *self, const bn_record_t *record)
{
    change_t change = {.state = self, .record = record};
    try_before ("a record bridged", try_bridge, &change);
    return __real_bn_state_bridge (self, record);
}

static bool try_restore (void *args, uint64_t *effects_sum)
{
    (void)effects_sum;
    change_t *c = args;
    return told_by (
        c->state, __real_bn_state_restore (c->state, c->key, c->key_size, c->value, c->value_size));
}

baton_err_t __wrap_bn_state_restore (bn_state_t *self, const void *key, size_t key_size,
                                     const void *value, size_t value_size)
{
    change_t change = {
        .state = self, .key = key, .value = value, .key_size = key_size, .value_size = value_size};
    try_before ("an item restored", try_restore, &change);
    return __real_bn_state_restore (self, key, key_size, value, value_size);
}

static bool add_item (const void *key, size_t key_size, const void *value, size_t value_size,
                      void *arg)
{
    uint64_t *sum = arg;
    *sum = mix (mix (*sum, bn_crc32c (0, key, key_size)), bn_crc32c (0, value, value_size));
    return true;
}

/*  It may do without giving memory back: then it must be the same state.  */
static bool try_restored (void *args, uint64_t *effects_sum)
{
    bn_state_t *state = args;
    char broken[256];
    baton_err_t err = __real_bn_state_restored (state);
    s_child = false;
    if (!err && bn_state_check (state, broken))
        (void)bn_state_save (state, add_item, effects_sum);
    return told_by (state, err);
}

baton_err_t __wrap_bn_state_restored (bn_state_t *self)
{
    try_before ("a state restored", try_restored, self);
    return __real_bn_state_restored (self);
}

/*  ---- constructors: by NULL ---- */

typedef struct {
    const void *options;
    bn_state_t *state;
    uint32_t producers_max;
} making_t;

bn_state_t *__real_bn_state_new (uint32_t producers_max);
bn_state_t *__wrap_bn_state_new (uint32_t producers_max);
bn_conductor_t *__real_bn_conductor_new (const bn_conductor_options_t *options,
                                         bn_state_t **state_p);
bn_conductor_t *__wrap_bn_conductor_new (const bn_conductor_options_t *options,
                                         bn_state_t **state_p);
bn_mailbox_t *__real_bn_mailbox_new (const bn_mailbox_options_t *options);
bn_mailbox_t *__wrap_bn_mailbox_new (const bn_mailbox_options_t *options);
bn_outbox_t *__real_bn_outbox_new (const bn_outbox_options_t *options);
bn_outbox_t *__wrap_bn_outbox_new (const bn_outbox_options_t *options);

static bool try_new_state (void *args, uint64_t *effects_sum)
{
    (void)effects_sum;
    return !__real_bn_state_new (((making_t *)args)->producers_max);
}

bn_state_t *__wrap_bn_state_new (uint32_t producers_max)
{
    making_t making = {.producers_max = producers_max};
    try_before ("a new state", try_new_state, &making);
    return __real_bn_state_new (producers_max);
}

/*  The state stays the caller's if there is no conductor.  */
static bool try_new_conductor (void *args, uint64_t *effects_sum)
{
    (void)effects_sum;
    making_t *making = args;
    bn_state_t *state = making->state;
    return !__real_bn_conductor_new (making->options, &state) && state == making->state;
}

bn_conductor_t *__wrap_bn_conductor_new (const bn_conductor_options_t *options,
                                         bn_state_t **state_p)
{
    making_t making = {.options = options, .state = *state_p};
    try_before ("a new conductor", try_new_conductor, &making);
    return __real_bn_conductor_new (options, state_p);
}

static bool try_new_mailbox (void *args, uint64_t *effects_sum)
{
    (void)effects_sum;
    return !__real_bn_mailbox_new (((making_t *)args)->options);
}

bn_mailbox_t *__wrap_bn_mailbox_new (const bn_mailbox_options_t *options)
{
    making_t making = {.options = options};
    try_before ("a new mailbox", try_new_mailbox, &making);
    return __real_bn_mailbox_new (options);
}

static bool try_new_outbox (void *args, uint64_t *effects_sum)
{
    (void)effects_sum;
    return !__real_bn_outbox_new (((making_t *)args)->options);
}

bn_outbox_t *__wrap_bn_outbox_new (const bn_outbox_options_t *options)
{
    making_t making = {.options = options};
    try_before ("a new outbox", try_new_outbox, &making);
    return __real_bn_outbox_new (options);
}
