/* progress.h - the live line on a terminal: folder, messages, bytes, rate, time left. */
#pragma once

#include "cli/pace.h"

/* Add to OUT one line of text, no newline, at most WIDTH columns for any input. RATE in bytes a
 * second, LEFT in seconds (-1 = unknown). Pure. */
void progress_render(
    struct buf *out, const struct copy_progress *now, uint64_t rate, int64_t left, size_t width);

struct progress {
	int fd;
	bool live;        /* fd is a terminal that can be drawn on */
	bool shown;       /* our line stands there now */
	int64_t drawn_ms; /* when it was drawn last */
};

/* WANTED false, no terminal, or a dumb one: every call below does nothing. */
void progress_open(struct progress *p, int fd, bool wanted);
/* Draw the line afresh, unless that was done less than a tenth of a second ago. The terminal's
 * width is asked for each time. */
void progress_draw(struct progress *p, const struct copy_progress *now, const struct pace *pace);
/* Take the line away, so that something else can be printed. */
void progress_erase(struct progress *p);
