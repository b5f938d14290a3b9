/* SPDX-License-Identifier: MPL-2.0 */

#include "supervisor/scaler.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#define TARGET_LAG   1000
#define COOLDOWN_MS  30000
#define GROW_SAMPLES 2     /* that ask for more before it grows */
#define GAP_MS       10000 /* between two samples: what was seen before is forgotten */
#define SETTLE_MS    5000  /* after a change, before what the instances do is measured */
#define SMOOTH_MS    3000  /* of the rates */
#define CALM_MAX     32    /* cooldowns */
#define USE          0.8   /* of its capacity, that an instance is to have to do */
#define SHARE        0.9   /* of ready / ready_most: a gain of less is none */
#define OPTIMISM     1.25
#define LESS         0.7 /* of the rate at which a shrink proved wrong: clearly less to do */
#define MORE         1.3 /* of the rate at a shrink: clearly more */

void bn_scaler_init (bn_scaler_t *self, const bn_scaler_options_t *options)
{
    *self = (bn_scaler_t){.options = *options, .calm = 1};
    if (!self->options.min)
        self->options.min = 1;
    if (self->options.max < self->options.min)
        self->options.max = self->options.min;
    if (!self->options.target_lag)
        self->options.target_lag = TARGET_LAG;
    if (!self->options.cooldown_ms)
        self->options.cooldown_ms = COOLDOWN_MS;
}

/*  n / d rounded up, at least 1, and no more than fits.  */
static uint32_t s_divide_up (uint64_t n, uint64_t d)
{
    uint64_t result = n / d + (n % d ? 1 : 0);
    return result < 1 ? 1 : result > UINT32_MAX ? UINT32_MAX : (uint32_t)result;
}

static uint32_t s_round_up (double value)
{
    if (value <= 1)
        return 1;
    if (value >= 1e9)
        return 1000000000;
    uint32_t whole = (uint32_t)value;
    return whole + (value > whole);
}

static uint32_t s_clamp (const bn_scaler_t *self, uint32_t wanted)
{
    return wanted < self->options.min   ? self->options.min
           : wanted > self->options.max ? self->options.max
                                        : wanted;
}

/*  How many instances have something to do at the same time.  */
static uint32_t s_share (const bn_scaler_sample_t *sample)
{
    uint32_t share = sample->partitions;
    if (sample->busy_partitions < share)
        share = sample->busy_partitions;
    if (sample->ready_most > 0) {
        uint32_t even = s_round_up (SHARE * (double)sample->ready / (double)sample->ready_most);
        share = even < share ? even : share;
    }
    return share > 0 ? share : 1;
}

/*  ---- what the samples tell ---- */

static void s_restart_window (bn_scaler_t *self, uint64_t now_ms)
{
    self->since_ms = now_ms;
    self->enough = 0;
    self->idle = true;
}

/*  What one instance can do, seen while there is a queue for all that can share it.  */
static void s_measure (bn_scaler_t *self, const bn_scaler_sample_t *sample, double weight)
{
    uint64_t queue = self->options.target_lag / 4;
    if (queue < 2ull * sample->instances)
        queue = 2ull * sample->instances;
    if (sample->ready < queue || self->last.ready < queue || sample->instances == 0 ||
        sample->now_ms - self->changed_ms < SETTLE_MS || self->rate_out <= 0)
        return;
    uint32_t share = s_share (sample);
    uint32_t working = share < sample->instances ? share : sample->instances;
    double seen = self->rate_out / working;
    self->capacity += self->capacity > 0 ? weight * (seen - self->capacity) : seen;
}

static void s_take (bn_scaler_t *self, const bn_scaler_sample_t *sample)
{
    const bn_scaler_sample_t *last = &self->last;
    uint64_t dt_ms = sample->now_ms - last->now_ms;
    bool torn = !self->seen || dt_ms > GAP_MS || sample->published < last->published ||
                sample->settled < last->settled;
    if (torn || sample->instances != last->instances) {
        self->over = 0;
        self->changed_ms = self->light_ms = sample->now_ms;
        s_restart_window (self, sample->now_ms);
    }
    if (torn) {
        self->rate_in = self->rate_out = 0;
        self->shrunk = false;
    } else if (dt_ms > 0) {
        double weight = (double)dt_ms / (double)(dt_ms + SMOOTH_MS);
        double in = (double)(sample->published - last->published) * 1000 / (double)dt_ms;
        double out = (double)(sample->settled - last->settled) * 1000 / (double)dt_ms;
        self->rate_in += weight * (in - self->rate_in);
        self->rate_out += weight * (out - self->rate_out);
        self->idle = self->idle && in <= 0;
        s_measure (self, sample, weight);
    }
    self->last = *sample;
    self->seen = true;
    if (self->calm > 1 && self->rate_in < LESS * self->calm_rate)
        self->calm = 1;
}

/*  ---- the decision ---- */

static void s_decide (bn_scaler_decision_t *decision, uint32_t wanted, bn_scaler_kind_t kind,
                      const char *format, ...) __attribute__ ((format (printf, 4, 5)));

static void s_decide (bn_scaler_decision_t *decision, uint32_t wanted, bn_scaler_kind_t kind,
                      const char *format, ...)
{
    va_list args;
    decision->wanted = wanted;
    decision->kind = kind;
    va_start (args, format);
    vsnprintf (decision->reason, sizeof (decision->reason), format, args);
    va_end (args);
}

/*  More is asked for than there is.  */
static void s_over (bn_scaler_t *self, const bn_scaler_sample_t *sample, uint32_t asked,
                    bn_scaler_decision_t *decision)
{
    uint32_t now = sample->instances, share = s_share (sample);
    uint32_t wanted = s_clamp (self, asked < share ? asked : share);
    if (wanted > now) {
        s_decide (decision, wanted, BN_SCALER_GROW,
                  "lag %" PRIu64 " is over %" PRIu32 " for each of %" PRIu32
                  " (in %.0f/s, out %.0f/s)",
                  sample->ready, self->options.target_lag, now, self->rate_in, self->rate_out);
        /*  The same load as when there was one more than now: that shrink was wrong.  */
        if (self->shrunk && self->rate_in <= MORE * self->shrunk_rate) {
            self->calm = self->calm < CALM_MAX ? self->calm * 2 : CALM_MAX;
            self->calm_rate = self->rate_in;
        }
        self->shrunk = false;
    } else if (share > now)
        s_decide (decision, now, BN_SCALER_AT_MAX,
                  "lag %" PRIu64 " is over %" PRIu32 " for each of %" PRIu32
                  ", and that is the most allowed",
                  sample->ready, self->options.target_lag, now);
    else if (sample->partitions <= now)
        s_decide (decision, now, BN_SCALER_NO_SHARE,
                  "lag %" PRIu64 ": there are %" PRIu32
                  " partitions only, more instances would idle",
                  sample->ready, sample->partitions);
    else if (sample->busy_partitions <= now)
        s_decide (decision, now, BN_SCALER_NO_SHARE,
                  "lag %" PRIu64 " is all in %" PRIu32 " of %" PRIu32
                  " partitions: more instances cannot help",
                  sample->ready, sample->busy_partitions, sample->partitions);
    else
        s_decide (decision, now, BN_SCALER_NO_SHARE,
                  "lag %" PRIu64 ", of which %" PRIu64 " in 1 of %" PRIu32
                  " partitions: more instances cannot help",
                  sample->ready, sample->ready_most, sample->partitions);
}

static void s_shrink (bn_scaler_t *self, const bn_scaler_sample_t *sample, uint64_t wait_ms,
                      bn_scaler_decision_t *decision)
{
    uint32_t now = sample->instances, wanted = self->enough;
    char measure[48] = "";
    if (self->capacity > 0)
        snprintf (measure, sizeof (measure), ", one instance does %.0f/s", self->capacity);
    else if (!self->idle)
        wanted = now - (now - wanted + 1) / 2;
    s_decide (decision, wanted, BN_SCALER_SHRINK,
              "lag %" PRIu64 ", and for %.0f s fewer would have done (in %.0f/s%s)", sample->ready,
              (double)wait_ms / 1000, self->rate_in, measure);
    self->shrunk = true;
    self->shrunk_rate = self->rate_in;
}

/*  As many as are needed, or fewer would do.  */
static void s_under (bn_scaler_t *self, const bn_scaler_sample_t *sample,
                     bn_scaler_decision_t *decision)
{
    uint64_t now_ms = sample->now_ms;
    uint64_t wait_ms = (uint64_t)self->calm * self->options.cooldown_ms;
    uint32_t half = self->options.target_lag / 2 ? self->options.target_lag / 2 : 1;
    uint32_t now = sample->instances, enough = s_clamp (self, s_divide_up (sample->ready, half));
    uint32_t needed = 1;
    if (self->capacity > 0)
        needed = s_clamp (self, s_round_up (self->rate_in / (USE * self->capacity)));

    if (enough >= now)
        self->light_ms = now_ms;
    else if (needed >= now && now_ms - self->light_ms >= wait_ms) {
        self->capacity *= OPTIMISM;
        self->light_ms = now_ms;
    }
    enough = needed > enough ? needed : enough;
    if (enough >= now)
        s_restart_window (self, now_ms);
    else if (now_ms - self->since_ms >= wait_ms / 2)
        /*  Not of all of the time, because a peak fades from the smoothed rates.  */
        self->enough = enough > self->enough ? enough : self->enough;
    if (self->enough && now_ms - self->since_ms >= wait_ms) {
        s_shrink (self, sample, wait_ms, decision);
        return;
    }
    if (sample->parked > (uint64_t)self->options.target_lag * now)
        s_decide (decision, now, BN_SCALER_PARKED,
                  "%" PRIu64 " events are parked: instances do not make their retries due",
                  sample->parked);
    else
        s_decide (decision, now, BN_SCALER_STEADY, "lag %" PRIu64 " suits %" PRIu32, sample->ready,
                  now);
}

static bool s_stuck (bn_scaler_kind_t kind)
{
    return kind == BN_SCALER_AT_MAX || kind == BN_SCALER_NO_SHARE || kind == BN_SCALER_PARKED;
}

/*  A reason why it cannot grow holds until the lag is well below the target again, so that one
 *  around the target is not said again and again.  */
static bool s_lingers (const bn_scaler_t *self, const bn_scaler_sample_t *sample)
{
    return s_stuck (self->kind) && sample->ready + sample->parked >
                                       (uint64_t)self->options.target_lag * sample->instances / 2;
}

void bn_scaler_step (bn_scaler_t *self, const bn_scaler_sample_t *sample,
                     bn_scaler_decision_t *decision)
{
    uint32_t now = sample->instances, allowed = s_clamp (self, now);
    uint32_t asked = s_divide_up (sample->ready, self->options.target_lag);

    *decision = (bn_scaler_decision_t){.wanted = now};
    s_take (self, sample);
    self->over = asked > now ? self->over + 1 : 0;
    if (allowed != now)
        s_decide (decision, allowed, allowed > now ? BN_SCALER_GROW : BN_SCALER_SHRINK,
                  "%" PRIu32 " to %" PRIu32 " are allowed", self->options.min, self->options.max);
    else if (self->over >= GROW_SAMPLES)
        s_over (self, sample, asked, decision);
    else
        s_under (self, sample, decision);

    if (decision->kind == BN_SCALER_STEADY && s_lingers (self, sample))
        decision->kind = self->kind;
    if (decision->wanted != now)
        decision->changed = decision->wanted != self->wanted;
    else if (decision->kind != self->kind)
        decision->changed = s_stuck (decision->kind) || s_stuck (self->kind);
    self->kind = decision->kind;
    self->wanted = decision->wanted;
}
