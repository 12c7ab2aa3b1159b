/* lines.c - line ends between disk and wire, in pieces cut anywhere. Pure. */
#include <string.h>

#include "connect/maildir/maildir.h"

void maildir_lines_feed(struct maildir_lines *l, struct view piece)
{
	const char *at = piece.data, *end = piece.data + piece.len;

	while (at < end && (at = memchr(at, '\n', (size_t)(end - at)))) {
		size_t before = (size_t)(at - piece.data);
		bool cr = before > 0 ? at[-1] == '\r' : l->cr;
		bool cr_cr = before > 1 ? at[-2] == '\r' : before == 1 ? l->cr : l->cr_cr;

		l->line_feeds++;
		l->bare += !cr;
		l->doubled = l->doubled || (cr && cr_cr);
		at++;
	}
	l->bytes += piece.len;
	if (!piece.len)
		return;
	l->cr_cr = end[-1] == '\r' && (piece.len > 1 ? end[-2] == '\r' : l->cr);
	l->cr = end[-1] == '\r';
}

bool maildir_lines_plain(const struct maildir_lines *l)
{
	return !l->bare && !l->doubled;
}

int maildir_lines_to_disk(struct buf *out, struct view piece, bool *cr)
{
	const char *at = piece.data, *end = piece.data + piece.len;

	if (*cr && at < end) {
		if (*at != '\n' && buf_add_char(out, '\r'))
			return -1;
		*cr = false;
	}
	while (at < end) {
		const char *stop = memchr(at, '\r', (size_t)(end - at));
		size_t len = (size_t)((stop ? stop : end) - at);

		if (buf_add(out, at, len))
			return -1;
		at += len;
		if (!stop)
			break;
		if (stop + 1 == end)
			*cr = true;
		else if (stop[1] != '\n' && buf_add_char(out, '\r'))
			return -1;
		at++;
	}
	return 0;
}

int maildir_lines_to_wire(struct buf *out, struct view piece, bool *cr)
{
	const char *at = piece.data, *end = piece.data + piece.len;

	while (at < end) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));
		size_t len = (size_t)((stop ? stop : end) - at);
		bool has = len ? at[len - 1] == '\r' : *cr;

		if (buf_add(out, at, len) || (stop && buf_add_text(out, has ? "\n" : "\r\n")))
			return -1;
		*cr = !stop && has;
		at += len + (stop != NULL);
	}
	return 0;
}
