/* SPDX-License-Identifier: MPL-2.0 */

#include "simulation/planted.h"

#define PLANT_NAME(name, text) #name,
#define PLANT_TEXT(name, text) text,

static const char *const s_names[] = {"none", BN_PLANTS (PLANT_NAME)};
static const char *const s_texts[] = {"", BN_PLANTS (PLANT_TEXT)};

bn_plant_t bn_planted = BN_PLANT_NONE;

const char *sim_plant_name (bn_plant_t plant)
{
    return s_names[plant];
}

const char *sim_plant_text (bn_plant_t plant)
{
    return s_texts[plant];
}
