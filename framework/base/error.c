/* SPDX-License-Identifier: MPL-2.0 */
#include <baton/error.h>

#define NAME_CASE(name, number, retriable, text)                                                   \
    case BATON_ERR_##name:                                                                         \
        return #name;
#define TEXT_CASE(name, number, retriable, text)                                                   \
    case BATON_ERR_##name:                                                                         \
        return text;
#define RETRIABLE_CASE(name, number, retriable, text)                                              \
    case BATON_ERR_##name:                                                                         \
        return retriable;

const char *baton_err_name (baton_err_t err)
{
    switch (err) {
    case BATON_OK:
        return "OK";
        BATON_ERRORS (NAME_CASE)
    }
    return "UNKNOWN"; /* a number from a peer that knows more codes */
}

const char *baton_err_text (baton_err_t err)
{
    switch (err) {
    case BATON_OK:
        return "no error";
        BATON_ERRORS (TEXT_CASE)
    }
    return "an error that this version does not know";
}

bool baton_err_retriable (baton_err_t err)
{
    switch (err) {
    case BATON_OK:
        return false;
        BATON_ERRORS (RETRIABLE_CASE)
    }
    return false;
}
