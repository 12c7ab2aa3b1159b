/* progress.c - the live line on a terminal. Shows where the copy stands while it runs.
 * Promises: the line never takes more columns than the terminal has, whatever a folder is called;
 * what does not fit goes in this order: rate, bytes, time left, counts. It is gone before anything
 * else is printed. Does not: draw where nobody looks (pipes, dumb terminals, background jobs). */
#include "cli/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/output.h"
#include "cli/show.h"

#define REDRAW_MS 100
#define FOLDER_LEAST 12 /* columns the folder's name should keep */
#define GAP 2

/* Parts behind the folder's name, in the order they stand. */
enum part { PART_ITEMS, PART_BYTES, PART_RATE, PART_LEFT, PART_COUNT };

struct parts {
	char text[PART_COUNT][64];
};

static void fill_parts(
    struct parts *parts, const struct copy_progress *now, uint64_t rate, int64_t left)
{
	char text[SHOW_MAX] = "unknown";

	*parts = (struct parts){0};
	snprintf(parts->text[PART_ITEMS], sizeof(parts->text[0]), "%llu/%llu msgs",
	    (unsigned long long)now->items_done, (unsigned long long)now->items_total);
	show_size_pair(parts->text[PART_BYTES], now->bytes_done, now->bytes_total);
	if (left >= 0)
		show_duration(text, (uint64_t)left);
	snprintf(parts->text[PART_LEFT], sizeof(parts->text[0]), "left %s", text);
	show_size(text, rate);
	snprintf(parts->text[PART_RATE], sizeof(parts->text[0]), "%s/s", text);
}

static size_t parts_width(const struct parts *parts)
{
	size_t width = 0;

	for (int i = 0; i < PART_COUNT; i++)
		if (parts->text[i][0])
			width += GAP + strlen(parts->text[i]);
	return width;
}

/* Take parts away until NAME columns are left for the folder. */
static void parts_shrink(struct parts *parts, size_t name, size_t width)
{
	static const enum part order[] = {PART_RATE, PART_BYTES, PART_LEFT, PART_ITEMS};

	for (size_t i = 0; i < COUNT_OF(order) && parts_width(parts) + name > width; i++)
		parts->text[order[i]][0] = '\0';
}

static void render_copying(
    struct buf *out, const struct copy_progress *now, uint64_t rate, int64_t left, size_t width)
{
	size_t name = show_columns(now->folder);
	struct parts parts;

	fill_parts(&parts, now, rate, left);
	parts_shrink(&parts, name < FOLDER_LEAST ? name : FOLDER_LEAST, width);
	show_fit(out, now->folder, width - parts_width(&parts));
	for (int i = 0; i < PART_COUNT; i++)
		if (parts.text[i][0])
			buf_printf(out, "%*s%s", GAP, "", parts.text[i]);
}

void progress_render(
    struct buf *out, const struct copy_progress *now, uint64_t rate, int64_t left, size_t width)
{
	char text[120] = "Connecting to source and destination";

	if (now->phase == COPY_COPYING) {
		render_copying(out, now, rate, left, width);
		return;
	}
	if (now->phase == COPY_LISTING && !now->folders_total)
		snprintf(text, sizeof(text), "Listing folders");
	else if (now->phase == COPY_LISTING)
		snprintf(text, sizeof(text), "Comparing folders: %llu of %llu",
		    (unsigned long long)now->folders_done, (unsigned long long)now->folders_total);
	else if (now->phase == COPY_CHECKING)
		snprintf(text, sizeof(text), "Checking the destination: %llu of %llu folders",
		    (unsigned long long)now->folders_done, (unsigned long long)now->folders_total);
	else if (now->phase == COPY_DONE)
		snprintf(text, sizeof(text), "Finishing");
	show_fit(out, text, width);
}

void progress_open(struct progress *p, int fd, bool wanted)
{
	const char *term = getenv("TERM");

	*p = (struct progress){.fd = fd};
	p->live = wanted && isatty(fd) && term && *term && strcmp(term, "dumb") != 0;
}

/* A background job must not scribble over its shell. Where it is not our terminal (a pty held by
 * somebody else) nobody can say, and we draw. */
static bool in_foreground(int fd)
{
	pid_t group = tcgetpgrp(fd);

	return group < 0 || group == getpgrp();
}

/* One column less than there are: a full line makes some terminals wrap. */
static size_t usable_width(int fd)
{
	struct winsize size = {0};

	if (ioctl(fd, TIOCGWINSZ, &size) < 0 || !size.ws_col)
		return 79;
	return size.ws_col - 1u;
}

void progress_draw(struct progress *p, const struct copy_progress *now, const struct pace *pace)
{
	int64_t ms = clock_ms();
	AUTO(buf_free) struct buf line = BUF_INIT(8192);

	if (!p->live || (p->shown && ms - p->drawn_ms < REDRAW_MS) || !in_foreground(p->fd))
		return;
	buf_add_text(&line, "\r");
	progress_render(&line, now, pace_rate(pace), pace_left_s(pace, now), usable_width(p->fd));
	buf_add_text(&line, "\033[K");
	p->shown = output_write(p->fd, buf_view(&line)) == 0;
	p->live = p->shown; /* the terminal is gone: let it be */
	p->drawn_ms = ms;
}

void progress_erase(struct progress *p)
{
	if (p->shown)
		output_write(p->fd, view_of("\r\033[K"));
	p->shown = false;
	p->drawn_ms = 0;
}
