/* reader_events.c - feeds the IMAP reader and writes down what it says, for the transcript runner,
 * the unit tests and the fuzzer. Stands beside the reader as its only scribe: two renderings that
 * are equal mean that all events were. */
#include "transcripts/reader_events.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "wire/imap_reader.h"

struct scribe {
	struct buf *out;
	bool in_bytes; /* the line of a body's bytes is still open */
};

void events_add_bytes(struct buf *out, struct view bytes)
{
	for (size_t i = 0; i < bytes.len; i++) {
		unsigned char c = (unsigned char)bytes.data[i];
		if (c == '\0')
			buf_add_text(out, "<NUL>");
		else if (c == '\t')
			buf_add_text(out, "<TAB>");
		else if (c == '\r')
			buf_add_text(out, "<CR>");
		else if (c == '\n')
			buf_add_text(out, "<LF>");
		else if (c < 0x20 || c == 0x7f)
			buf_printf(out, "<x%02x>", c);
		else
			buf_add_char(out, (char)c);
	}
}

static void add_quoted(struct buf *out, struct view text)
{
	buf_add_char(out, '"');
	events_add_bytes(out, text);
	buf_add_char(out, '"');
}

static void add_node(struct buf *out, const struct imap_node *n);

static void add_nodes(struct buf *out, const struct imap_node *first)
{
	for (const struct imap_node *n = first; n; n = n->next) {
		if (n != first)
			buf_add_char(out, ' ');
		add_node(out, n);
	}
}

static void add_node(struct buf *out, const struct imap_node *n)
{
	switch (n->kind) {
	case IMAP_NODE_NIL:
		buf_add_text(out, "NIL");
		break;
	case IMAP_NODE_ATOM:
		events_add_bytes(out, n->text);
		break;
	case IMAP_NODE_STRING:
		add_quoted(out, n->text);
		break;
	case IMAP_NODE_LIST:
		buf_add_char(out, '(');
		add_nodes(out, n->child);
		buf_add_char(out, ')');
		break;
	case IMAP_NODE_BODY:
		buf_printf(out, "{%u:%" PRIu64 "}", n->body_index, n->body_len);
		break;
	}
}

static const char *status_name(enum imap_status status)
{
	static const char *const names[] = {"NONE", "OK", "NO", "BAD", "BYE", "PREAUTH"};

	return names[status];
}

static void add_status(struct buf *out, const struct imap_response *r)
{
	buf_add_text(out, status_name(r->status));
	if (r->code.len > 0) {
		buf_add_text(out, " [");
		events_add_bytes(out, r->code);
		if (r->code_args)
			buf_add_char(out, ' ');
		add_nodes(out, r->code_args);
		buf_add_char(out, ']');
	}
	buf_add_char(out, ' ');
	add_quoted(out, r->text);
}

static void add_data(struct buf *out, const struct imap_response *r)
{
	buf_add_text(out, "data");
	if (r->has_number && !r->odd_number)
		buf_printf(out, " %" PRIu64, r->number);
	else if (r->has_number)
		buf_add_text(out, " ?");
	if (r->name.len > 0)
		buf_add_char(out, ' ');
	events_add_bytes(out, r->name);
	if (r->args)
		buf_add_char(out, ' ');
	add_nodes(out, r->args);
}

static void add_response(struct buf *out, const struct imap_response *r)
{
	switch (r->kind) {
	case IMAP_TAGGED:
		buf_add_text(out, "tagged ");
		events_add_bytes(out, r->tag);
		buf_add_char(out, ' ');
		add_status(out, r);
		break;
	case IMAP_CONTINUE:
		buf_add_text(out, "continue ");
		add_quoted(out, r->text);
		break;
	case IMAP_UNTAGGED:
		if (r->status == IMAP_NONE) {
			add_data(out, r);
			break;
		}
		buf_add_text(out, "status ");
		add_status(out, r);
	}
	buf_add_char(out, '\n');
}

static void add_literal(struct buf *out, const struct imap_reader *r)
{
	buf_add_text(out, "literal ");
	events_add_bytes(out, r->literal_name);
	buf_printf(out, " %" PRIu64, r->literal_len);
	if (r->literal_uid)
		buf_printf(out, " uid %" PRIu32, r->literal_uid);
	buf_add_char(out, '\n');
}

static void add_bad(struct buf *out, const struct imap_reader *r)
{
	buf_printf(out, "bad %s", r->problem);
	if (r->response.text.len > 0) {
		buf_add_char(out, ' ');
		add_quoted(out, r->response.text);
	}
	buf_add_char(out, '\n');
}

static void scribe_close_bytes(struct scribe *s)
{
	if (s->in_bytes)
		buf_add_text(s->out, "\"\n");
	s->in_bytes = false;
}

static void scribe_write(struct scribe *s, const struct imap_reader *r, enum imap_event event)
{
	if (event == IMAP_EVENT_MORE)
		return;
	if (event == IMAP_EVENT_DATA) {
		buf_add_text(s->out, s->in_bytes ? "" : "bytes \"");
		s->in_bytes = true;
		events_add_bytes(s->out, r->data);
		return;
	}
	scribe_close_bytes(s);
	if (event == IMAP_EVENT_RESPONSE)
		add_response(s->out, &r->response);
	else if (event == IMAP_EVENT_LITERAL)
		add_literal(s->out, r);
	else
		add_bad(s->out, r);
}

/* The helpers on trees against the tree. NULL = all is well. */
static const char *helper_wrong(const struct imap_reader *r, const struct imap_node *first)
{
	size_t index = 0;
	uint64_t number;

	for (const struct imap_node *n = first; n; n = n->next) {
		struct view text = imap_node_text(n), rest = imap_reader_rest(r, n);
		if (imap_node_at(first, index++) != n)
			return "imap_node_at finds another node";
		if (rest.len < text.len || !view_eq(view_make(rest.data, text.len), text))
			return "the rest of the line does not begin with the node";
		if (imap_node_number(n, &number) == 0 && n->kind != IMAP_NODE_LIST &&
		    (text.data[0] < '0' || text.data[0] > '9'))
			return "a number without a digit";
		if (n->kind == IMAP_NODE_LIST && helper_wrong(r, n->child))
			return helper_wrong(r, n->child);
	}
	return imap_node_value(first, "") ? "a value behind no name" : NULL;
}

/* What imap_reader.h promises about memory and progress; NULL = all is well. */
static const char *promise_broken(const struct imap_reader *r, size_t line_max, struct view given,
    size_t taken, enum imap_event event)
{
	if (r->line.len > line_max || r->arena.used > 34 * line_max + 4096)
		return "memory beyond the ceiling";
	if (taken > given.len)
		return "more taken than given";
	if (event == IMAP_EVENT_MORE && taken < given.len)
		return "bytes left behind";
	if (event == IMAP_EVENT_DATA && (r->data.len == 0 || r->data.data < given.data ||
					    r->data.data + r->data.len > given.data + taken))
		return "data that is not of the bytes given";
	if (event == IMAP_EVENT_RESPONSE)
		return helper_wrong(r, r->response.args);
	return NULL;
}

/* One piece, until the reader wants more. 1 = BAD was said, 0, -1 = a promise was broken. */
static int feed_piece(struct scribe *s, struct imap_reader *r, size_t line_max, struct view piece,
    const char **broken)
{
	enum imap_event event;

	do {
		size_t taken = 0;
		event = imap_reader_feed(r, piece, &taken);
		*broken = promise_broken(r, line_max, piece, taken, event);
		if (*broken)
			return -1;
		scribe_write(s, r, event);
		piece = view_make(piece.data + taken, piece.len - taken);
	} while (event != IMAP_EVENT_MORE && event != IMAP_EVENT_BAD);
	return event == IMAP_EVENT_BAD;
}

int reader_events(struct buf *out, size_t line_max, struct view input, reader_cut *cut, void *arg,
    const char **broken)
{
	AUTO(imap_reader_free) struct imap_reader r;
	struct scribe s = {.out = out};
	int result = 0;

	imap_reader_init(&r, line_max);
	while (input.len > 0 && result == 0) {
		size_t len = cut ? cut(arg, input) : input.len;
		assert(len > 0 && len <= input.len);
		/* On its own, so that the sanitizer sees who looks beyond it, or later. */
		char *piece = memcpy(mem_new(len, 1), input.data, len);
		result = feed_piece(&s, &r, line_max, view_make(piece, len), broken);
		free(piece);
		input = view_make(input.data + len, input.len - len);
	}
	scribe_close_bytes(&s);
	return result < 0 ? -1 : 0;
}
