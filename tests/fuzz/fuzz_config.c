/* SPDX-License-Identifier: MPL-2.0 */

/*  fuzz_config.c - configuration files of the orchestrator. Oracles: what is refused is named;
 *  what is accepted names a line for each item and passes the check of options or is refused.  */
#include "fuzz.h"
#include "orchestrator/config.h"
#include <string.h>

static void check_lines (bn_zpl_t *zpl, zconfig_t *parent, unsigned int lines)
{
    for (zconfig_t *item = zconfig_child (parent); item; item = zconfig_next (item)) {
        unsigned int line = bn_zpl_line (zpl, item);
        FUZZ_CHECK (line > bn_zpl_line (zpl, parent) && line <= lines);
        check_lines (zpl, item, lines);
    }
}

int LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t size)
{
    char *text = malloc (size + 1);
    FUZZ_CHECK (text);
    memcpy (text, bytes, size);
    text[size] = '\0';
    unsigned int lines = 1;
    for (const char *c = text; *c; c++)
        lines += *c == '\n';
    bn_zpl_t *zpl;
    char detail[512] = "";
    baton_err_t err = bn_zpl_parse (&zpl, text, "x.conf", detail);
    free (text);
    if (err) {
        FUZZ_CHECK (*detail && memchr (detail, 0, sizeof (detail)));
        return 0;
    }
    check_lines (zpl, bn_zpl_root (zpl), lines);
    zconfig_t *section = zconfig_child (bn_zpl_root (zpl));
    if (section) {
        bn_orchestrator_config_t config;
        bn_orchestrator_config_init (&config);
        err = bn_orchestrator_config_section (&config, zpl, section, detail);
        if (!err) {
            baton_orchestrator_options_t filled;
            err = bn_orchestrator_options_fill (&filled, &config.options, detail);
        }
        FUZZ_CHECK (!err || *detail);
        bn_orchestrator_config_fini (&config);
    }
    bn_zpl_destroy (&zpl);
    return 0;
}
