/* mend.c - how patient we are with lost links. Pure. Below flow.c and pair.c. Promises: never sooner than
 * the server asked for, never without end, and a server that throttles is never asked again at once. */
#include "flow/mend.h"

#include <stdio.h>

int mend_delay(const struct err *e, bool connected_once, unsigned *tries)
{
	bool asked = e->next == ERR_WAIT;

	if (e->scope != ERR_LINK || (e->next != ERR_RETRY && !asked))
		return -1;
	if ((!connected_once && !asked) || ++*tries >= LINK_TRIES)
		return -1;
	if (e->wait_s > 0)
		return e->wait_s;
	/* at once, then after 1, 2, 4 ... seconds */
	return *tries == 1 ? asked : 1 << (*tries - 2 + asked);
}

void mend_note(char out[static MEND_NOTE_SIZE], const struct err *e, int delay_s)
{
	if (delay_s)
		snprintf(out, MEND_NOTE_SIZE, "%s; connecting again in %d s", e->text, delay_s);
	else
		snprintf(out, MEND_NOTE_SIZE, "%s; connecting again", e->text);
}
