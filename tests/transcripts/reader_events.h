/* reader_events.h - what the IMAP reader makes of some bytes, as text, one event a line:
 *
 *     status OK [CODE args] "text"            untagged status response
 *     tagged A1 OK [CODE args] "text"
 *     continue "text"
 *     data 12 FETCH (UID 5 BODY[] {0:11})     {which body:its length}
 *     literal BODY[] 11 uid 5                 before the data it belongs to
 *     bytes "hello<CR><LF>"                   all its pieces in one
 *     bad the reader's problem "the line, if it is no IMAP"
 *
 * Strings are in quotes, atoms bare; NIL is "NIL"; a number that was none is "?". Bytes that cannot
 * be seen are <NUL> <TAB> <CR> <LF> or <x1b>; 8-bit bytes are as they are. */
#pragma once

#include "base/buf.h"

/* Feeds INPUT cut at places that CUT tells: given what is left, how many bytes come next (1 to
 * left.len). NULL = all at once. Adds the events to OUT. 0, or -1 = a promise of the reader's was
 * broken (memory beyond its bounds, no progress); *broken says which. */
typedef size_t reader_cut(void *arg, struct view left);
int reader_events(struct buf *out, size_t line_max, struct view input, reader_cut *cut, void *arg,
    const char **broken);

/* Adds bytes with the unseen ones as <CR> and so on. */
void events_add_bytes(struct buf *out, struct view bytes);
