/* SPDX-License-Identifier: MPL-2.0 */

/*  conductor_join.c - JOIN: who may come, with which patterns, and what becomes of the others.
 *
 *  DESIGN. Who joins with other patterns than the actor is registered with is a new build of it,
 *  and its REGISTER record cuts the actor's past (state.h). One change at a time: the instances are
 *  then of two kinds, and a partition is first drained by those that know what waits in it.
 *
 *      present   the patterns that count from the cut on
 *      former    those before: drains what is left from below the cut, and gets nothing above it
 *      older     still others, of a process that joined before: gets nothing
 *
 *  Which is the newer build of two nobody can tell but by who joins later. So that one which is
 *  started again does not take its successor's place, the former patterns come back only when
 *  nobody has the present ones: at once by a JOIN, or, when those stay away, by whoever still has
 *  the former ones.
 *  Rejected: a revision number in JOIN (whoever forgets to raise it loses events silently), and a
 *  list of cuts (each would need instances of its own to be drained).  */
#include "base/plant.h"
#include "core/conductor_internal.h"

/*  ---- what is refused ---- */

static bn_text_t text_of (const char *text)
{
    return (bn_text_t){text, strlen (text)};
}

static bool has_name (const char *name, const bn_text_t *text)
{
    return strlen (name) == text->size && memcmp (name, text->text, text->size) == 0;
}

/*  Is each of these patterns covered by one of the JOIN's?  */
static bool join_covers (const bn_join_t *join, char *const *patterns, uint32_t count)
{
    for (uint32_t inner = 0; inner < count; inner++) {
        bn_text_t pattern = text_of (patterns[inner]);
        uint32_t outer = 0;
        while (outer < join->pattern_count &&
               !bn_pattern_covers (join->patterns[outer].text, join->patterns[outer].size,
                                   pattern.text, pattern.size))
            outer++;
        if (outer == join->pattern_count)
            return false;
    }
    return true;
}

/*  Do the JOIN's patterns let the same topics through as these?  */
static bool join_equals (const bn_join_t *join, char *const *patterns, uint32_t count)
{
    for (uint32_t inner = 0; inner < join->pattern_count; inner++) {
        uint32_t outer = 0;
        while (outer < count &&
               !bn_pattern_covers (patterns[outer], strlen (patterns[outer]),
                                   join->patterns[inner].text, join->patterns[inner].size))
            outer++;
        if (outer == count)
            return false;
    }
    return join_covers (join, patterns, count);
}

static bool same_policy (const bn_policy_t *left, const bn_policy_t *right)
{
    return left->max_attempts == right->max_attempts &&
           left->backoff_min_ms == right->backoff_min_ms &&
           left->backoff_max_ms == right->backoff_max_ms &&
           left->handler_deadline_ms == right->handler_deadline_ms;
}

/*  Joined before another incarnation of the same name did: it is the older one.  */
static bool is_replaced (const bn_actor_live_t *live, const bn_join_t *join)
{
    bool newer = false;
    for (uint32_t back = 1; back <= BN_JOINS_REMEMBERED; back++) {
        const bn_joined_before_t *before =
            &live->joins[(live->join_next + BN_JOINS_REMEMBERED - back) % BN_JOINS_REMEMBERED];
        if (!has_name (before->name, &join->instance))
            continue;
        if (before->incarnation == join->incarnation)
            return newer;
        newer = true;
    }
    return false;
}

static void remember_join (bn_actor_live_t *live, const bn_instance_t *instance)
{
    const bn_joined_before_t *last =
        &live->joins[(live->join_next + BN_JOINS_REMEMBERED - 1) % BN_JOINS_REMEMBERED];
    if (strcmp (last->name, instance->name) == 0 && last->incarnation == instance->incarnation)
        return;
    bn_joined_before_t *next = &live->joins[live->join_next];
    memcpy (next->name, instance->name, sizeof next->name);
    next->incarnation = instance->incarnation;
    next->revision = instance->stale ? 0 : live->revision;
    live->join_next = (live->join_next + 1) % BN_JOINS_REMEMBERED;
}

/*  How a JOIN's patterns stand to those of the actor.  */
typedef enum {
    PATTERNS_PRESENT,
    PATTERNS_OTHER,  /* the actor is registered with them, or anew */
    PATTERNS_FORMER, /* and what they matched is not done yet, or the process is an older one */
    PATTERNS_OLDER   /* still others, of a process that is known from before */
} patterns_t;

uint64_t bn_conductor_left_to_drain (const bn_conductor_t *self, const bn_actor_state_t *actor)
{
    uint64_t count = 0;
    for (uint32_t index = 0; index < self->state->partitions; index++) {
        const bn_actor_partition_t *partition = &actor->partitions[index];
        uint64_t between = partition->former_end - partition->floor;
        if (bn_state_drains (partition))
            count +=
                partition->exact && partition->pending < between ? partition->pending : between;
    }
    return count;
}

/*  Events that wait and that the JOIN's patterns leave out, at most: of the topics in the main line
 *  those that reach past the floor; what is parked may be of any topic.  */
static uint64_t left_out (const bn_conductor_t *self, const bn_actor_state_t *actor,
                          const bn_join_t *join)
{
    uint64_t main_line[BN_PARTITIONS_MAX] = {0};
    if (join_covers (join, actor->patterns, actor->pattern_count))
        return 0;
    for (bn_map_node_t *node = bn_map_first (self->state->topics); node;
         node = bn_map_next (node)) {
        const bn_topic_state_t *topic = bn_map_value (node);
        bool kept = false;
        for (uint32_t index = 0; index < join->pattern_count && !kept; index++)
            kept = bn_pattern_matches (join->patterns[index].text, join->patterns[index].size,
                                       topic->name, strlen (topic->name));
        for (uint32_t reader = 0; reader < topic->reader_count && !kept; reader++)
            for (uint32_t index = 0;
                 topic->readers[reader] == actor && index < self->state->partitions; index++)
                if (topic->partitions[index].end > actor->partitions[index].floor)
                    main_line[index] += topic->partitions[index].count;
    }
    uint64_t count = 0;
    for (uint32_t index = 0; index < self->state->partitions; index++) {
        const bn_actor_partition_t *partition = &actor->partitions[index];
        uint64_t most = partition->exact ? partition->pending : partition->head - partition->floor;
        if (partition->floor >= partition->head)
            most = 0;
        count += main_line[index] < most ? main_line[index] : most;
        count += bn_map_count (partition->parked);
    }
    return count;
}

static uint64_t room_for_dead (const bn_conductor_t *self, const bn_actor_state_t *actor)
{
    uint64_t dead = bn_map_count (actor->dead);
    return dead < self->options.dead_max ? self->options.dead_max - dead : 0;
}

/*  Another instance that joined with the present patterns; connected: that can go on now.  */
static const bn_instance_t *other_present (const bn_actor_live_t *live, const bn_join_t *join,
                                           bool connected)
{
    bn_map_node_t *node = live ? bn_map_first (live->instances) : NULL;
    for (; node; node = bn_map_next (node)) {
        const bn_instance_t *other = bn_map_value (node);
        if (!other->stale && !has_name (other->name, &join->instance) &&
            (other->session || !connected))
            return other;
    }
    return NULL;
}

/*  Other patterns than the present ones. What waits is still owed, and instances that know it
 *  handle it; without one it comes to dead letters, for which there must be room (G7).  */
static bool check_change (bn_conductor_t *self, const bn_actor_state_t *actor,
                          const bn_actor_live_t *live, const bn_join_t *join)
{
    const bn_instance_t *present = other_present (live, join, false);
    if (present && join_equals (join, actor->former, actor->former_count))
        return bn_conductor_refuse (self, BATON_ERR_CONFLICT, 0,
                                    "actor %s has other patterns since offset %" PRIu64
                                    ", and instance %s runs with them: "
                                    "to go back to the former ones stop it first",
                                    actor->name, actor->former_until, present->name);
    uint64_t waiting = bn_conductor_left_to_drain (self, actor);
    if (waiting)
        return bn_conductor_refuse (
            self, BATON_ERR_CONFLICT, 0,
            "actor %s has other patterns since offset %" PRIu64 ", and %" PRIu64 " events from "
            "before wait for instances with the former ones: let them be handled first, or forget "
            "the actor",
            actor->name, actor->former_until, waiting);
    if (other_present (live, join, true))
        return true;
    waiting = left_out (self, actor, join);
    uint64_t room = room_for_dead (self, actor);
    if (waiting > room)
        return bn_conductor_refuse (
            self, BATON_ERR_CONFLICT, 0,
            "actor %s is registered for topics that these patterns leave out, up to %" PRIu64
            " events of them wait, no instance that knows them is there, and there is room for "
            "%" PRIu64 " more dead letters (dead_max): let it drain with the old patterns, or "
            "forget the actor",
            actor->name, waiting, room);
    return true;
}

/*  Has this very process joined before the present patterns were registered?  */
static bool is_older (const bn_actor_live_t *live, const bn_join_t *join)
{
    for (uint32_t index = 0; index < BN_JOINS_REMEMBERED; index++)
        if (live->joins[index].incarnation == join->incarnation &&
            has_name (live->joins[index].name, &join->instance) &&
            live->joins[index].revision != live->revision)
            return true;
    return false;
}

static bool check_patterns (bn_conductor_t *self, const bn_actor_state_t *actor,
                            const bn_actor_live_t *live, const bn_join_t *join,
                            patterns_t *patterns)
{
    if (!actor)
        return true;
    if (join_equals (join, actor->patterns, actor->pattern_count)) {
        *patterns = PATTERNS_PRESENT;
        return true;
    }
    bool older = live && is_older (live, join);
    if (join_equals (join, actor->former, actor->former_count) &&
        (older || bn_conductor_left_to_drain (self, actor) > 0)) {
        *patterns = PATTERNS_FORMER;
        return true;
    }
    if (older) {
        *patterns = PATTERNS_OLDER;
        return true;
    }
    return check_change (self, actor, live, join);
}

static bool check_join (bn_conductor_t *self, const bn_session_t *session,
                        const bn_actor_state_t *actor, const bn_actor_live_t *live,
                        const bn_join_t *join, patterns_t *patterns)
{
    const bn_instance_t *mine = session->instance;
    const bn_instance_t *named =
        live ? bn_map_get (live->instances, join->instance.text, join->instance.size) : NULL;
    if (mine && (mine != named || mine->incarnation != join->incarnation))
        return bn_conductor_refuse (self, BATON_ERR_ARGUMENT, 0,
                                    "this connection has joined as %s/%s; LEAVE first",
                                    mine->actor->state->name, mine->name);
    if (!actor && bn_map_count (self->state->actors) >= self->options.actors_max)
        return bn_conductor_refuse (self, BATON_ERR_LIMIT, 0,
                                    "there are %" PRIu32 " actors already (actors_max); %.*s would "
                                    "be a new one",
                                    self->options.actors_max, (int)join->actor.size,
                                    join->actor.text);
    if (!named && self->instances >= self->options.sessions_max)
        return bn_conductor_refuse (self, BATON_ERR_LIMIT, 0,
                                    "there are %" PRIu32 " instances already (sessions_max)",
                                    self->instances);
    if (live && is_replaced (live, join))
        return bn_conductor_refuse (self, BATON_ERR_FENCED, 0,
                                    "a newer process has taken the instance name %.*s",
                                    (int)join->instance.size, join->instance.text);
    return check_patterns (self, actor, live, join, patterns);
}

/*  ---- what is done ---- */

/*  Where a new actor starts: not below what retention lets go, so that all from there on is owed to
 *  it (G2), and nothing that it is counted for is gone before it comes.  */
static uint64_t start_of (bn_conductor_t *self, const bn_join_t *join)
{
    uint64_t tail = self->state->tail;
    uint64_t start = join->start == BN_START_OFFSET ? join->start_offset : 0;
    if (join->start == BN_START_TAIL || start > tail || BN_PLANT (start_ignored))
        return tail;
    uint64_t first = self->first < tail ? self->first : tail;
    if (start >= first)
        return start;
    bn_effects_log (self->effects, BN_LOG_INFO,
                    "actor %.*s starts at offset %" PRIu64 ": retention has let go of the %" PRIu64
                    " events before it, from %" PRIu64 " on",
                    (int)join->actor.size, join->actor.text, first, first - start, start);
    return first;
}

/*  Registers the actor, or its new patterns or policy. NULL: no memory.  */
static bn_actor_state_t *register_actor (bn_conductor_t *self, bn_actor_state_t *actor,
                                         const bn_join_t *join, bool patterns_change)
{
    bn_text_t patterns[BN_PATTERNS_MAX];
    if (actor && !patterns_change && same_policy (&actor->policy, &join->policy))
        return actor;
    bn_register_record_t registration = {.actor_id =
                                             actor ? actor->id : self->state->actor_id_last + 1,
                                         .name = join->actor,
                                         .patterns = patterns,
                                         .policy = join->policy};
    if (patterns_change) {
        registration.pattern_count = join->pattern_count;
        memcpy (patterns, join->patterns, join->pattern_count * sizeof *patterns);
    } else {
        registration.pattern_count = actor->pattern_count;
        for (uint32_t index = 0; index < actor->pattern_count; index++)
            patterns[index] = text_of (actor->patterns[index]);
    }
    if (!actor) {
        registration.start = start_of (self, join);
        registration.exact = registration.start == 0 || registration.start == self->state->tail;
    }
    bn_record_t record = {.type = BN_RECORD_REGISTER, .registration = registration};
    if (!bn_conductor_commit (self, &record))
        return NULL;
    bn_effects_log (self->effects, BN_LOG_INFO, "actor %.*s %s", (int)join->actor.size,
                    join->actor.text, actor ? "has new patterns or policy" : "is registered");
    return bn_map_get (self->state->actors, join->actor.text, join->actor.size);
}

/*  The patterns that it joined with have come back. A limit that it was told is lifted by a new
 *  generation.  */
static void make_present (bn_conductor_t *self, bn_instance_t *instance)
{
    instance->stale = instance->drains = false;
    for (uint32_t partition = 0; partition < self->state->partitions; partition++)
        if (bn_conductor_owns (instance, partition))
            bn_assignment_give (instance->actor, partition, instance);
}

/*  The others were started with other patterns: what they do not know they would step over. They
 *  go on up to the cut; from there on their partitions are for those that know.  */
static void make_stale (bn_conductor_t *self, bn_actor_live_t *live, bool back)
{
    live->revision++;
    for (bn_map_node_t *node = bn_map_first (live->instances); node; node = bn_map_next (node)) {
        bn_instance_t *instance = bn_map_value (node);
        instance->dirty = true;
        if (back && instance->stale && instance->drains) {
            make_present (self, instance);
            continue;
        }
        if (!instance->stale && instance->session)
            bn_effects_log (self->effects, BN_LOG_WARNING,
                            "%s/%s runs with older patterns and gets nothing from offset %" PRIu64
                            " on; restart it",
                            live->state->name, instance->name, self->state->tail);
        instance->drains = !instance->stale;
        if (!instance->stale)
            instance->floor_max = self->state->tail;
        instance->stale = true;
    }
}

/*  May it go on with what its name had before? What is to be drained is for those who can.  */
static bool goes_on_with (const bn_actor_live_t *live, const bn_instance_t *instance,
                          uint32_t partition)
{
    bool drains = bn_state_drains (&live->state->partitions[partition]);
    if (instance->stale)
        return drains && instance->drains;
    for (bn_map_node_t *node = bn_map_first (live->instances); node && drains;
         node = bn_map_next (node))
        if (bn_assignment_drainer (bn_map_value (node)))
            return false;
    return true;
}

static void set_patterns (bn_instance_t *instance, patterns_t patterns)
{
    instance->stale = patterns == PATTERNS_FORMER || patterns == PATTERNS_OLDER;
    instance->drains = patterns == PATTERNS_FORMER;
    instance->floor_max = instance->stale ? instance->actor->state->former_until : 0;
}

/*  The instance of that name: found (the same process, or one that takes its place), or new.  */
static bn_instance_t *take_name (bn_conductor_t *self, bn_actor_live_t *live, const bn_join_t *join,
                                 patterns_t patterns)
{
    bn_instance_t *instance =
        bn_map_get (live->instances, join->instance.text, join->instance.size);
    if (!instance) {
        instance = bn_conductor_instance_new (self, live, join->instance.text, join->instance.size,
                                              join->incarnation);
        if (instance)
            set_patterns (instance, patterns);
        return instance;
    }
    bool same = instance->incarnation == join->incarnation;
    if (instance->session && !same)
        instance->session->fenced = true;
    if (instance->session)
        bn_conductor_detach (self, instance->session, 0);
    if (!same) {
        bn_effects_log (self->effects, BN_LOG_WARNING, "%s/%s: a new process takes its place",
                        live->state->name, instance->name);
        if (!bn_conductor_suspect (self, instance))
            return NULL;
        remember_join (live, instance);
        instance->incarnation = join->incarnation;
    }
    set_patterns (instance, patterns);
    for (uint32_t partition = 0; partition < self->state->partitions; partition++)
        if (!bn_conductor_owns (instance, partition))
            continue;
        else if (goes_on_with (live, instance, partition))
            bn_assignment_give (live, partition, instance); /* in a new generation */
        else
            bn_assignment_free (live, partition, NULL);
    return instance;
}

void bn_conductor_join (bn_conductor_t *self, bn_session_t *session, const bn_join_t *join)
{
    bn_actor_state_t *actor = bn_map_get (self->state->actors, join->actor.text, join->actor.size);
    bn_actor_live_t *live = actor ? bn_map_get_u64 (self->live, actor->id) : NULL;
    patterns_t patterns = PATTERNS_OTHER;
    if (!check_join (self, session, actor, live, join, &patterns))
        return;
    bool back = actor && join_equals (join, actor->former, actor->former_count);
    if (patterns == PATTERNS_PRESENT || patterns == PATTERNS_OTHER)
        actor = register_actor (self, actor, join, patterns == PATTERNS_OTHER);
    live = actor ? bn_conductor_live (self, actor) : NULL;
    if (!live)
        return;
    if (patterns == PATTERNS_OTHER)
        make_stale (self, live, back);
    bn_instance_t *instance = take_name (self, live, join, patterns);
    if (!instance)
        return;
    instance->session = session;
    session->instance = instance;
    live->deserted = live->deserted && instance->stale;
    remember_join (live, instance);
    if (!bn_assignment_balance (self, live))
        return;
    instance->dirty = false;
    instance->version++;
    bn_conductor_send_beat (self, instance, BN_JOINED, self->request, true);
    bn_conductor_push (self, live);
    bn_effects_log (self->effects, BN_LOG_INFO, "%s/%s joined with %" PRIu32 " partitions%s",
                    actor->name, instance->name, instance->owned,
                    instance->stale ? " and older patterns: it gets nothing newer" : "");
}

/*  Instances with the former patterns came when they were needed, or were never stopped; now there
 *  is nothing left for them, and those with the present patterns have gone. A process that is
 *  started with the former patterns would bring them back. So do these, but not before the others
 *  had time to come again. What is left out by that needs room among the dead letters, as in JOIN.
 */
void bn_conductor_go_back (bn_conductor_t *self, const bn_instance_t *instance)
{
    bn_actor_live_t *live = instance->actor;
    bn_actor_state_t *actor = live->state;
    bn_text_t patterns[BN_PATTERNS_MAX];
    bn_join_t join = {.actor = text_of (actor->name),
                      .instance = text_of (instance->name),
                      .patterns = patterns,
                      .pattern_count = actor->former_count,
                      .policy = actor->policy};
    for (uint32_t index = 0; index < actor->former_count; index++)
        patterns[index] = text_of (actor->former[index]);
    bool deserted = !other_present (live, &join, false);
    if (deserted && !live->deserted)
        live->deserted_ms = self->now.mono_ms;
    live->deserted = deserted;
    if (!deserted || self->now.mono_ms - live->deserted_ms < self->options.session_timeout_ms ||
        bn_conductor_left_to_drain (self, actor) > 0 ||
        left_out (self, actor, &join) > room_for_dead (self, actor))
        return;
    bn_effects_log (self->effects, BN_LOG_WARNING,
                    "actor %s: no instance with its patterns has been there for %" PRIu32
                    " ms; it goes back to the former ones, which %s has",
                    actor->name, self->options.session_timeout_ms, instance->name);
    if (!register_actor (self, actor, &join, true))
        return;
    make_stale (self, live, true);
    if (bn_assignment_balance (self, live))
        bn_conductor_push (self, live);
}
