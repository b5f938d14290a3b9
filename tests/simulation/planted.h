/* SPDX-License-Identifier: MPL-2.0 */

/*  planted.h - which bug is planted; there is none to choose in baton-simulate.  */
#ifndef BN_SIM_PLANTED_H
#define BN_SIM_PLANTED_H

#ifdef BN_PLANTED

#include "base/plant.h"

const char *sim_plant_name (bn_plant_t plant);
const char *sim_plant_text (bn_plant_t plant);

#endif
#endif
