/* SPDX-License-Identifier: MPL-2.0 */

#include "supervisor/placement.h"

uint32_t bn_placement_total (const bn_place_t *places, size_t count)
{
    uint32_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += places[i].wanted;
    return total;
}

/*  Where the next one goes to, or NULL.  */
static bn_place_t *s_emptiest (bn_place_t *places, size_t count, bool bounded, uint32_t most)
{
    bn_place_t *found = NULL;
    for (size_t i = 0; i < count; i++) {
        bn_place_t *place = &places[i];
        uint32_t limit = bounded ? place->max : most;
        if (place->present && place->wanted < limit && (!found || place->wanted < found->wanted))
            found = place; /* P1 */
    }
    return found;
}

/*  Where one is taken from, or NULL.  */
static bn_place_t *s_fullest (bn_place_t *places, size_t count, bool bounded)
{
    bn_place_t *found = NULL;
    for (size_t i = 0; i < count; i++) {
        bn_place_t *place = &places[i];
        uint32_t limit = bounded ? place->min : 0;
        if (place->wanted > limit && (!found || place->wanted >= found->wanted))
            found = place;
    }
    return found;
}

uint32_t bn_placement_scale (bn_place_t *places, size_t count, uint32_t total, bool bounded,
                             uint32_t most)
{
    uint32_t now = bn_placement_total (places, count);
    while (now != total) {
        bn_place_t *place = now < total ? s_emptiest (places, count, bounded, most)
                                        : s_fullest (places, count, bounded);
        if (!place)
            break;
        if (now < total) {
            place->wanted++;
            now++;
        } else {
            place->wanted--;
            now--;
        }
    }
    return now;
}
