/* SPDX-License-Identifier: MPL-2.0 */

/*  config.h - the orchestrator's properties: one table drives the configuration file, --help,
 *  --check and the checking of options given in code.  */
#ifndef BN_CONFIG_H
#define BN_CONFIG_H

#include "orchestrator/zpl.h"
#include <baton/orchestrator.h>
#include <stdio.h>

/*  Options and the texts that they point to. */
typedef struct {
    baton_orchestrator_options_t options;
    char *texts[3]; /* owned: data_dir, endpoint, fanout_endpoint; NULL: not set */
} bn_orchestrator_config_t;

void bn_orchestrator_config_init (bn_orchestrator_config_t *self); /* nothing set: the defaults */
void bn_orchestrator_config_fini (bn_orchestrator_config_t *self);

/*  Reads the properties below `section`. `detail` (512 bytes) gets FILE:LINE, what is wrong and
 * what was expected. Errors: CONFIG, MEMORY.  */
baton_err_t bn_orchestrator_config_section (bn_orchestrator_config_t *self, bn_zpl_t *zpl,
                                            zconfig_t *section, char detail[512]);
/*  Reads the section `orchestrator` of a file; other sections are refused.  */
baton_err_t bn_orchestrator_config_load (bn_orchestrator_config_t *self, const char *path,
                                         char detail[512]);

/*  Copies options with defaults in the place of zeros and NULLs, and checks every range. Texts stay
 *  those of `given` (may be NULL) or static. Errors: CONFIG.  */
baton_err_t bn_orchestrator_options_fill (baton_orchestrator_options_t *filled,
                                          const baton_orchestrator_options_t *given,
                                          char detail[512]);

/*  A commented file with every property at its default.  */
void bn_orchestrator_config_print (FILE *out);

/*  Sizes "64MiB", "1GiB", "4096"; times in milliseconds "500", "500ms", "2s", "7d". false: neither.
 */
bool bn_config_bytes (const char *text, uint64_t *bytes);
bool bn_config_ms (const char *text, uint64_t *ms);

#endif
