/* SPDX-License-Identifier: MPL-2.0 */

/*  version.h - the version of the library, of the wire protocol and of the journal format.  */
#ifndef BATON_VERSION_H
#define BATON_VERSION_H

#define BATON_VERSION_MAJOR 0
#define BATON_VERSION_MINOR 1
#define BATON_VERSION_PATCH 0
#define BATON_VERSION_TEXT "0.1.0"

#define BATON_PROTOCOL_VERSION 1
#define BATON_JOURNAL_VERSION 1

#endif
