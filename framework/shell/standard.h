/* SPDX-License-Identifier: MPL-2.0 */

/*  standard.h - standard input, output and error are there, and nothing else is in their place.  */
#ifndef BN_STANDARD_H
#define BN_STANDARD_H

/*  Who starts a program may have closed them (`>&-`). The next file that is opened would get the
 *  number, a segment of the journal, say, and the next line that is printed would go into it. So
 *  what is closed is opened on something that refuses: reading and writing fail as they would have.
 *  For a whole process: first thing in main.  */
void bn_standard_hold (void);

#endif
