/* mend.h - after a lost link: may it be tried again, and when? One rule for the pass and for those who
 * only look. Nobody outside flow/ includes it. */
#pragma once

#include "base/error.h"

#define LINK_TRIES 6u /* in a row without getting on */

/* Seconds to wait before connecting again, -1 = not again. TRIES counts the links lost in a row, *E the
 * last of them. A server that was never reached, and asked for no patience, is not tried again. */
int mend_delay(const struct err *e, bool connected_once, unsigned *tries);

#define MEND_NOTE_SIZE 480
/* "... ; connecting again in 8 s": what is told meanwhile. */
void mend_note(char out[static MEND_NOTE_SIZE], const struct err *e, int delay_s);
