/* record.c - the transcript's file (see record.h). Beside the wire: connect/imap/command.c tells it what
 * goes by, scrub.c takes out the content, and lines go to a file the controller opened.
 * Promises: secrets never come here (a login is its head); a failure to write is said once and
 * changes nothing else. Does not: open files, know commands. */
#include "connect/record.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "connect/scrub.h"

#define PENDING_MAX (1u << 16)
#define LINE_MAX_BYTES (2u << 20) /* one response without its messages */
#define PIECE 160u                /* bytes in one S+ line */

struct record {
	int fd;
	bool failed;
	void (*warn)(void *arg, const char *text);
	void *warn_arg;
	struct scrub *scrub;
	struct buf out;
	const struct record_link *current; /* whose lines were written last */
	unsigned counts[ERR_DESTINATION + 1];
};

struct record_link {
	struct record *record;
	enum err_side side;
	unsigned number;
	struct buf line; /* of a response whose kind is not known yet */
	bool begun;      /* a part of the response was written already */
	bool secret;     /* a login is under way */
	bool in_body;
	struct scrub_message body;
};

void record_new(
    struct record **out, int fd, void (*warn)(void *arg, const char *text), void *warn_arg)
{
	struct record *r = NEW(struct record);

	r->fd = fd;
	r->warn = warn;
	r->warn_arg = warn_arg;
	scrub_new(&r->scrub);
	buf_init(&r->out, (size_t)16 << 20);
	*out = r;
}

/* ---- the file ---- */

static void fail(struct record *r)
{
	char text[200];

	r->failed = true;
	snprintf(text, sizeof(text), "the record ends here, because it cannot be written: %s",
	    strerror(errno));
	r->warn(r->warn_arg, text);
}

static void flush(struct record *r)
{
	size_t done = 0;

	while (done < r->out.len && !r->failed) {
		ssize_t n = write(r->fd, r->out.data + done, r->out.len - done);

		if (n > 0)
			done += (size_t)n;
		else if (n == 0 || errno != EINTR)
			fail(r);
	}
	buf_clear(&r->out);
}

void record_free(struct record **record)
{
	struct record *r = *record;

	if (!r)
		return;
	flush(r);
	scrub_free(&r->scrub);
	buf_free(&r->out);
	free(r);
	*record = NULL;
}

/* Room for the next lines of L: its name before them where another's came between. */
static struct buf *begin(struct record_link *l)
{
	struct record *r = l->record;

	if (r->out.len > PENDING_MAX)
		flush(r);
	if (r->current != l)
		buf_printf(&r->out, "connection %s %u\n",
		    l->side == ERR_SOURCE ? "source" : "destination", l->number);
	r->current = l;
	return &r->out;
}

void record_flush(struct record_link *l)
{
	if (l)
		flush(l->record);
}

/* ---- as text ---- */

static bool is_plain(struct view v)
{
	for (size_t i = 0; i < v.len; i++)
		if (v.data[i] < ' ' || v.data[i] > '~')
			return false;
	return true;
}

static void add_escaped(struct buf *out, struct view v)
{
	for (size_t i = 0; i < v.len; i++) {
		unsigned char c = (unsigned char)v.data[i];

		if (c == '\r' || c == '\n')
			buf_add_text(out, c == '\r' ? "\\r" : "\\n");
		else if (c == '"' || c == '\\')
			buf_printf(out, "\\%c", c);
		else if (c < ' ' || c > '~')
			buf_printf(out, "\\x%02x", c);
		else
			buf_add_char(out, (char)c);
	}
}

/* Bytes as they are, a line of the message a line here. */
static void write_bytes(struct record_link *l, struct view v)
{
	while (v.len) {
		const char *end = memchr(v.data, '\n', v.len);
		size_t len = end ? (size_t)(end - v.data) + 1 : v.len;
		struct buf *out = begin(l);

		len = len < PIECE ? len : PIECE;
		buf_add_text(out, "S+: \"");
		add_escaped(out, view_make(v.data, len));
		buf_add_text(out, "\"\n");
		v = view_make(v.data + len, v.len - len);
	}
}

static void write_line(struct record_link *l, struct view v)
{
	bool whole = v.len >= 2 && !memcmp(v.data + v.len - 2, "\r\n", 2);
	struct buf *out;

	if (!whole || !is_plain(view_make(v.data, v.len - 2))) {
		write_bytes(l, v);
		return;
	}
	out = begin(l);
	buf_printf(out, "S: %.*s\n", (int)v.len - 2, v.data);
}

/* ---- connections ---- */

void record_link_new(struct record_link **out, struct record *r, enum err_side side,
    const char *user, const char *authzid, const char *host)
{
	struct record_link *l;

	*out = NULL;
	if (!r)
		return;
	scrub_learn(r->scrub, user);
	scrub_learn(r->scrub, authzid);
	scrub_learn(r->scrub, host);
	l = NEW(struct record_link);
	l->record = r;
	l->side = side;
	l->number = ++r->counts[side];
	buf_init(&l->line, LINE_MAX_BYTES);
	*out = l;
}

static void end_body(struct record_link *l)
{
	struct buf out AUTO(buf_free) = BUF_INIT(64);
	char rest[17];

	if (!l->in_body)
		return;
	l->in_body = false;
	scrub_message_end(l->record->scrub, &l->body, &out);
	write_bytes(l, buf_view(&out));
	if (!l->body.rest_len)
		return;
	scrub_message_rest(&l->body, rest);
	buf_printf(begin(l), "S*: %" PRIu64 " %s\n", l->body.rest_len, rest);
}

void record_link_end(struct record_link **link, enum record_end how)
{
	static const char *const words[] = {[RECORD_LEFT] = "leave",
	    [RECORD_CLOSED] = "close",
	    [RECORD_RESET] = "reset",
	    [RECORD_SILENT] = "silent",
	    [RECORD_REFUSED] = "refused",
	    [RECORD_UNTRUSTED] = "untrusted"};
	struct record_link *l = *link;

	if (!l)
		return;
	end_body(l);
	if (l->line.len)
		record_received(l, RECORD_STRANGE, 0);
	buf_printf(begin(l), "%s\n", words[how]);
	flush(l->record);
	l->record->current = NULL;
	buf_free(&l->line);
	free(l);
	*link = NULL;
}

/* ---- to the server ---- */

void record_sent(struct record_link *l, struct view lines)
{
	struct buf copy AUTO(buf_free) = BUF_INIT(lines.len);

	if (!l)
		return;
	buf_add_view(&copy, lines);
	scrub_names(l->record->scrub, copy.data, copy.len);
	for (size_t at = 0; at < copy.len;) {
		char *line = copy.data + at, *end = memchr(line, '\n', copy.len - at);
		size_t len = end ? (size_t)(end - line) : copy.len - at;
		size_t text = len && line[len - 1] == '\r' ? len - 1 : len;

		for (size_t i = 0; i < text; i++)
			if (line[i] < ' ' || line[i] > '~')
				line[i] = '*'; /* the player takes anything there */
		buf_printf(begin(l), "C: %.*s\n", (int)text, line);
		at += len + 1;
	}
}

void record_sent_body(struct record_link *l, uint64_t len)
{
	if (l)
		buf_printf(begin(l), "C+: %" PRIu64 "\n", len);
}

void record_sent_secret(struct record_link *l, struct view head)
{
	if (!l)
		return;
	l->secret = true;
	buf_printf(begin(l), "C: %.*s *\n", (int)head.len, head.data);
}

void record_tls(struct record_link *l)
{
	if (l)
		buf_add_text(begin(l), "starttls\n");
}

/* ---- from the server ---- */

void record_add(struct record_link *l, struct view bytes)
{
	if (!l)
		return;
	end_body(l);
	if (buf_add_view(&l->line, bytes))
		record_received(l, RECORD_STRANGE, 0);
}

static size_t span(struct view v, size_t at, const char *stops)
{
	while (at < v.len && (!v.data[at] || !strchr(stops, v.data[at])))
		at++;
	return at;
}

/* "* LIST", "* 12 FETCH", "g5 OK [CODE", "* OK": what a response is called. */
static size_t head_len(struct view v)
{
	size_t at = span(v, 0, " "), word;

	while (at < v.len && v.data[at] == ' ')
		at++;
	word = span(v, at, " ([\r\n");
	if (at < word && v.data[at] >= '0' && v.data[at] <= '9')
		word = span(v, word + (word < v.len), " ([\r\n");
	if (word + 1 < v.len && v.data[word] == ' ' && v.data[word + 1] == '[')
		word = span(v, word + 2, " ]\r\n");
	return word;
}

static void scrub_response(struct record_link *l, enum record_kind kind, size_t text_len)
{
	struct scrub *s = l->record->scrub;
	size_t len = l->line.len, end = len, text;
	size_t head = l->begun || kind == RECORD_STRANGE ? 0 : head_len(buf_view(&l->line));
	char *data = l->line.data;

	while (end && (data[end - 1] == '\r' || data[end - 1] == '\n'))
		end--;
	text = text_len < end ? end - text_len : 0;
	head = head < text ? head : text;
	if (kind == RECORD_DATA || kind == RECORD_STRANGE)
		scrub_names(s, data + head, len - head);
	else if (kind == RECORD_SOFTWARE)
		scrub_sentence(s, data + head, end - head);
	else if (kind != RECORD_PLAIN) {
		if (view_find_nocase(view_make(data, head), "[CAPABILITY") < 0)
			scrub_names(s, data + head, text - head);
		scrub_sentence(s, data + text, end - text);
	}
}

void record_received(struct record_link *l, enum record_kind kind, size_t text_len)
{
	if (!l)
		return;
	end_body(l);
	if (l->line.len && !(kind == RECORD_CONTINUE && l->secret)) {
		scrub_response(l, kind, kind == RECORD_DATA ? l->line.len : text_len);
		write_line(l, buf_view(&l->line));
	}
	if (kind == RECORD_TAGGED)
		l->secret = false;
	l->begun = false;
	buf_clear(&l->line);
}

void record_body_begin(struct record_link *l)
{
	if (!l)
		return;
	record_received(l, RECORD_DATA, 0);
	l->begun = l->in_body = true;
	scrub_message_begin(l->record->scrub, &l->body);
}

void record_body(struct record_link *l, struct view piece)
{
	struct buf out AUTO(buf_free) = BUF_INIT((size_t)piece.len + 64);

	if (!l || !l->in_body)
		return;
	scrub_message_add(l->record->scrub, &l->body, piece, &out);
	write_bytes(l, buf_view(&out));
}
