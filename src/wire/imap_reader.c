/* imap_reader.c - where the bytes of an IMAP server become responses.
 *
 * Stands between net/conn (bytes off the wire) and connect/imap (what they mean). A line is
 * collected until its LF, copied once into the response's arena and parsed there at once; a literal
 * at its end either flows through to the caller (message bodies) or is kept as a string, and then
 * the line goes on. So each byte of a line is looked at twice (LF, tokens), a body's never.
 *
 * Promises: the same events however the bytes are cut; memory bounded by the ceiling of a response,
 * whatever is sent; what real servers get wrong and is harmless is read as it was meant. Where the
 * length of a body turns out to be a lie it says BAD rather than to hand over a wrong message.
 *
 * Does not: know commands, tags or folders, decode names or dates, look into a body. Quirk numbers
 * are those of docs/quirks.md. */
#include "wire/imap_reader.h"

#include <string.h>

enum reader_state {
	READER_BETWEEN, /* between responses: padding is skipped */
	READER_LINE,    /* in a line, or in what follows a literal */
	READER_BODY,    /* in a literal that flows */
	READER_STRING,  /* in a literal that is kept */
	READER_BROKEN,
};

/* What is still to be parsed of a line, and the literal header it ends in. */
struct cursor {
	const char *at;
	const char *end; /* where the literal's header begins, else line_end */
	const char *line_end;
	bool has_literal;
	bool literal_is_huge;
	uint64_t literal_len;
};

void imap_reader_init(struct imap_reader *r, size_t line_max)
{
	*r = (struct imap_reader){.state = READER_BETWEEN, .line = BUF_INIT(line_max)};
}

void imap_reader_free(struct imap_reader *r)
{
	arena_free(&r->arena);
	buf_free(&r->line);
	*r = (struct imap_reader){.state = READER_BROKEN, .problem = "the reader was closed"};
}

static enum imap_event reader_break(struct imap_reader *r, const char *problem)
{
	r->state = READER_BROKEN;
	r->problem = problem;
	return IMAP_EVENT_BAD;
}

static void reader_forget_response(struct imap_reader *r)
{
	arena_clear(&r->arena);
	r->response = (struct imap_response){0};
	r->levels[0] = (struct imap_level){0};
	r->literal_name = r->last_line = (struct view){0};
	r->depth = r->body_count = 0;
	r->used = 0;
	r->begun = r->behind_body = r->clear_next = false;
}

static bool response_is_fetch(const struct imap_response *response)
{
	return response->has_number && (view_is_nocase(response->name, "FETCH") ||
					   view_is_nocase(response->name, "UIDFETCH"));
}

/* ---- the tree ---- */

static struct imap_node *reader_add_node(
    struct imap_reader *r, enum imap_node_kind kind, struct view text)
{
	struct imap_node *n = ARENA_NEW(&r->arena, struct imap_node);
	struct imap_level *level = &r->levels[r->depth];

	n->kind = kind;
	n->text = text;
	if (level->last)
		level->last->next = n;
	else
		level->first = n;
	if (!level->last && r->depth > 0)
		r->levels[r->depth - 1].last->child = n;
	level->last = n;
	return n;
}

static int reader_open_list(struct imap_reader *r)
{
	if (r->depth == IMAP_DEPTH_MAX) {
		reader_break(r, "the server's response is nested too deeply");
		return -1;
	}
	reader_add_node(r, IMAP_NODE_LIST, (struct view){0});
	r->depth++;
	r->levels[r->depth] = (struct imap_level){0};
	return 0;
}

/* ---- tokens ---- */

static void cursor_skip_spaces(struct cursor *c)
{
	while (c->at < c->end && *c->at == ' ')
		c->at++;
}

static struct view cursor_rest(const struct cursor *c)
{
	return view_make(c->at, (size_t)(c->end - c->at));
}

/* Text up to one of STOPS (NUL among them has no effect: servers pad with it). */
static struct view cursor_take_word(struct cursor *c, const char *stops)
{
	const char *start = c->at;

	while (c->at < c->end && (*c->at == '\0' || !strchr(stops, *c->at)))
		c->at++;
	return view_make(start, (size_t)(c->at - start));
}

/* The end of a quoted string whose content starts at AT, NULL = it has none. */
static const char *quoted_end(const char *at, const char *end, bool *escapes)
{
	*escapes = false;
	for (; at < end && *at != '"'; at++) {
		if (*at == '\\' && at + 1 < end) {
			*escapes = true;
			at++;
		}
	}
	return at < end ? at : NULL;
}

/* Only \" and \\ are escapes: some servers send the backslashes of a name as they are. */
static struct view quoted_unescape(struct arena *a, struct view raw)
{
	char *out = arena_new(a, raw.len, 1);
	size_t len = 0;

	for (size_t i = 0; i < raw.len; i++) {
		if (raw.data[i] == '\\' && i + 1 < raw.len && strchr("\"\\", raw.data[i + 1]) &&
		    raw.data[i + 1] != '\0')
			i++;
		out[len++] = raw.data[i];
	}
	return view_make(out, len);
}

/* The quote that opens at C never closes: all up to the end of the line is text, also what looked
 * like a literal. But in a FETCH that may be a message, and whoever takes a message for responses
 * obeys its sender. */
static int reader_take_unclosed(struct imap_reader *r, struct cursor *c)
{
	const char *start = c->at + 1;

	if (c->has_literal && response_is_fetch(&r->response)) {
		reader_break(r, "the server's FETCH response has a quote that never closes");
		return -1;
	}
	c->end = c->at = c->line_end;
	c->has_literal = false;
	reader_add_node(r, IMAP_NODE_STRING, view_make(start, (size_t)(c->end - start)));
	return 0;
}

static int reader_take_quoted(struct imap_reader *r, struct cursor *c)
{
	bool escapes;
	const char *start = c->at + 1;
	const char *close = quoted_end(start, c->end, &escapes);

	if (!close)
		return reader_take_unclosed(r, c);
	struct view raw = view_make(start, (size_t)(close - start));
	reader_add_node(r, IMAP_NODE_STRING, escapes ? quoted_unescape(&r->arena, raw) : raw);
	c->at = close + 1;
	return 0;
}

static bool atom_is_section(struct view name)
{
	static const char *const names[] = {"BODY", "BODY.PEEK", "BINARY", "BINARY.SIZE"};

	for (size_t i = 0; i < COUNT_OF(names); i++)
		if (view_is_nocase(name, names[i]))
			return true;
	return false;
}

/* BODY[HEADER.FIELDS (A B)]<0> is one atom, but a keyword or folder may have a lone bracket. */
static int reader_take_atom(struct imap_reader *r, struct cursor *c)
{
	const char *start = c->at;

	for (; c->at < c->end && *c->at != ' ' && *c->at != '(' && *c->at != ')'; c->at++) {
		if (*c->at != '[' || !atom_is_section(view_make(start, (size_t)(c->at - start))))
			continue;
		const char *close = memchr(c->at, ']', (size_t)(c->end - c->at));
		if (close) {
			c->at = close;
		} else if (c->has_literal) {
			reader_break(r, "the server sent a literal inside the name of a body part");
			return -1;
		}
	}
	struct view text = view_make(start, (size_t)(c->at - start));
	reader_add_node(r, view_is_nocase(text, "NIL") ? IMAP_NODE_NIL : IMAP_NODE_ATOM, text);
	return 0;
}

/* Nodes up to the end of C. A ")" too many is ignored: it can do no harm. */
static int reader_take_nodes(struct imap_reader *r, struct cursor *c)
{
	int result = 0;

	while (c->at < c->end && result == 0) {
		switch (*c->at) {
		case ' ':
			c->at++;
			break;
		case '(':
			c->at++;
			result = reader_open_list(r);
			break;
		case ')':
			c->at++;
			r->depth -= r->depth > 0;
			break;
		case '"':
			result = reader_take_quoted(r, c);
			break;
		default:
			result = reader_take_atom(r, c);
		}
	}
	return result;
}

/* ---- the head of a response ---- */

static enum imap_status status_by_name(struct view name)
{
	static const char *const names[] = {
	    [IMAP_OK] = "OK",
	    [IMAP_NO] = "NO",
	    [IMAP_BAD] = "BAD",
	    [IMAP_BYE] = "BYE",
	    [IMAP_PREAUTH] = "PREAUTH",
	};

	for (size_t i = IMAP_OK; i < COUNT_OF(names); i++)
		if (view_is_nocase(name, names[i]))
			return (enum imap_status)i;
	return IMAP_NONE;
}

/* The "]" of a response code that starts at AT: a keyword in PERMANENTFLAGS may hold one, so not
 * in a list or in quotes, unless those are broken and never close. NULL = none. */
static const char *code_end(const char *at, const char *end)
{
	int depth = 0;
	bool quoted = false;

	for (const char *p = at; p < end; p++) {
		if (quoted && *p == '\\' && p + 1 < end)
			p++;
		else if (*p == '"')
			quoted = !quoted;
		else if (!quoted && (*p == '(' || *p == ')'))
			depth += *p == '(' ? 1 : -1;
		else if (*p == ']' && !quoted && depth <= 0)
			return p;
	}
	return memchr(at, ']', (size_t)(end - at));
}

/* "[CODE args] text", "[CODE args]" (Gmail), "text", "". C is behind the status word. */
static int reader_take_status(struct imap_reader *r, struct cursor *c)
{
	struct imap_response *response = &r->response;
	const char *close = NULL;

	cursor_skip_spaces(c);
	if (c->at < c->end && *c->at == '[')
		close = code_end(c->at, c->end);
	if (close) {
		struct cursor code = {.at = c->at + 1, .end = close, .line_end = close};

		response->code = cursor_take_word(&code, " (");
		if (reader_take_nodes(r, &code) < 0)
			return -1;
		response->code_args = r->levels[0].first;
		c->at = close + 1;
		cursor_skip_spaces(c);
	}
	response->text = cursor_rest(c);
	return 0;
}

/* Also -1 and 9.3736e+06, which servers send (quirks 52, 57). */
static bool word_is_numeric(struct view word)
{
	bool digits = false;

	for (size_t i = 0; i < word.len; i++) {
		if (word.data[i] >= '0' && word.data[i] <= '9')
			digits = true;
		else if (word.data[i] == '\0' || !strchr("+-.eE", word.data[i]))
			return false;
	}
	return digits && ascii_lower(word.data[0]) != 'e';
}

/* Behind the "*". 1 = complete, 0 = nodes follow, -1 = broken. */
static int reader_take_untagged(struct imap_reader *r, struct cursor *c)
{
	struct imap_response *response = &r->response;

	cursor_skip_spaces(c);
	if (c->at < c->end && *c->at == '[') {
		response->status = IMAP_OK; /* home.pl: "* [COPYUID ...]" (quirk 24) */
		return reader_take_status(r, c) < 0 ? -1 : 1;
	}
	struct view word = cursor_take_word(c, " ([");
	response->status = status_by_name(word);
	if (response->status != IMAP_NONE)
		return reader_take_status(r, c) < 0 ? -1 : 1;
	if (word_is_numeric(word)) {
		response->has_number = true;
		response->odd_number = view_number(word, &response->number) < 0;
		if (response->odd_number)
			response->number = 0;
		cursor_skip_spaces(c);
		word = cursor_take_word(c, " (");
	}
	response->name = word;
	return 0;
}

static int reader_take_tagged(struct imap_reader *r, struct cursor *c)
{
	struct imap_response *response = &r->response;
	struct view line = cursor_rest(c);
	struct view tag = cursor_take_word(c, " ");

	cursor_skip_spaces(c);
	enum imap_status status = status_by_name(cursor_take_word(c, " ["));
	if (status != IMAP_OK && status != IMAP_NO && status != IMAP_BAD) {
		/* Exchange: "Server Unavailable. 15" (quirk 25). */
		response->text = line;
		reader_break(r, "the server sent a line that is not an IMAP response");
		return -1;
	}
	response->kind = IMAP_TAGGED;
	response->tag = tag;
	response->status = status;
	return reader_take_status(r, c) < 0 ? -1 : 1;
}

/* 1 = the response is complete, 0 = nodes follow (and maybe a literal), -1 = broken. */
static int reader_take_head(struct imap_reader *r, struct cursor *c)
{
	switch (*c->at) {
	case '*':
		c->at++;
		return reader_take_untagged(r, c);
	case '+':
		c->at++;
		r->response.kind = IMAP_CONTINUE;
		cursor_skip_spaces(c);
		r->response.text = cursor_rest(c);
		return 1;
	case '[': /* Exchange: "[COPYUID 124 10 233]" with nothing in front (quirk 24) */
		r->response.status = IMAP_OK;
		return reader_take_status(r, c) < 0 ? -1 : 1;
	default:
		return reader_take_tagged(r, c);
	}
}

/* ---- literals ---- */

/* The digits of {n} {n+} {-1}: free.fr says -1 for an empty body (quirk 70). -1 = no number. */
static int literal_number(struct view digits, uint64_t *len, bool *is_huge)
{
	bool negative = digits.len > 1 && digits.data[0] == '-';

	if (negative)
		digits = view_make(digits.data + 1, digits.len - 1);
	if (digits.len == 0)
		return -1;
	for (size_t i = 0; i < digits.len; i++)
		if (digits.data[i] < '0' || digits.data[i] > '9')
			return -1;
	*is_huge = view_number(digits, len) < 0 || *len > INT64_MAX;
	if (negative) {
		*is_huge = false;
		*len = 0;
	}
	return 0;
}

/* If the line ends in a literal's header, note it and let C end before it. Whether it stands in
 * quotes is known only when all before it was parsed. */
static void cursor_find_literal(struct cursor *c, bool in_fetch)
{
	const char *close = c->end;
	const char *stops = in_fetch ? " (]>" : " (";

	while (close > c->at && close[-1] == ' ') /* Domino (quirk 70) */
		close--;
	if (close == c->at || *--close != '}')
		return;
	const char *open = memrchr(c->at, '{', (size_t)(close - c->at));
	if (!open)
		return;
	const char *digits_end = close[-1] == '+' ? close - 1 : close;
	struct view digits = view_make(open + 1, (size_t)(digits_end - open - 1));
	if (literal_number(digits, &c->literal_len, &c->literal_is_huge) < 0)
		return;
	if (open > c->at && open[-1] == '~') /* literal8 (RFC 9051) */
		open--;
	if (open > c->at && (open[-1] == '\0' || !strchr(stops, open[-1])))
		return;
	c->end = open;
	c->has_literal = true;
}

/* Is the value that comes next a message body, or a part of one? */
static bool reader_body_follows(const struct imap_reader *r)
{
	static const char *const names[] = {"RFC822", "RFC822.TEXT", "RFC822.HEADER"};
	static const char *const sections[] = {"BODY[", "BODY.PEEK[", "BINARY[", "BINARY.PEEK["};
	const struct imap_node *name = r->levels[r->depth].last;

	if (!response_is_fetch(&r->response) || r->depth > 1 || !name ||
	    name->kind != IMAP_NODE_ATOM)
		return false;
	for (size_t i = 0; i < COUNT_OF(names); i++)
		if (view_is_nocase(name->text, names[i]))
			return true;
	for (size_t i = 0; i < COUNT_OF(sections); i++)
		if (view_starts_nocase(name->text, sections[i]))
			return true;
	return false;
}

/* The UID of the message whose body is about to flow, 0 = not told yet. */
static uint32_t reader_known_uid(const struct imap_reader *r)
{
	uint64_t uid = 0;

	if (view_is_nocase(r->response.name, "UIDFETCH")) /* RFC 9586 */
		uid = r->response.number;
	else if (imap_node_number(imap_node_value(r->levels[r->depth].first, "UID"), &uid) < 0)
		return 0;
	return uid <= UINT32_MAX ? (uint32_t)uid : 0;
}

static enum imap_event reader_start_body(struct imap_reader *r, uint64_t len)
{
	struct view name = r->levels[r->depth].last->text;
	uint32_t uid = reader_known_uid(r);
	struct imap_node *n = reader_add_node(r, IMAP_NODE_BODY, (struct view){0});

	n->body_index = r->body_count++;
	n->body_len = len;
	r->literal_len = r->literal_left = len;
	r->literal_name = name;
	r->literal_uid = uid;
	r->behind_body = true;
	r->state = len > 0 ? READER_BODY : READER_LINE;
	return IMAP_EVENT_LITERAL;
}

static enum imap_event reader_start_string(struct imap_reader *r, uint64_t len)
{
	if (len > r->line.max - r->used)
		return reader_break(
		    r, "the server sent a longer string than we are willing to hold");
	r->used += (size_t)len;
	r->literal_left = len;
	r->literal_to = arena_new(&r->arena, (size_t)len + 1, 1);
	reader_add_node(r, IMAP_NODE_STRING, view_make(r->literal_to, (size_t)len));
	r->state = READER_STRING;
	return IMAP_EVENT_MORE;
}

/* ---- lines ---- */

static enum imap_event reader_finish(struct imap_reader *r)
{
	if (r->body_count > 0 && r->depth > 0)
		return reader_break(r, "the server's FETCH response ended in the middle");
	if (r->response.status == IMAP_NONE)
		r->response.args = r->levels[0].first;
	r->clear_next = true;
	r->state = READER_BETWEEN;
	return IMAP_EVENT_RESPONSE;
}

/* LINE: to its end, without CR and LF, in the arena. */
static enum imap_event reader_parse_line(struct imap_reader *r, struct view line)
{
	struct cursor c = {.at = line.data, .end = line.data + line.len};

	c.line_end = c.end;
	r->last_line = line;
	if (!r->begun) {
		r->begun = true;
		int complete = reader_take_head(r, &c);
		if (complete != 0)
			return complete < 0 ? IMAP_EVENT_BAD : reader_finish(r);
	}
	/* A proxy that edits what passes through (iCloud, quirk 8) or a wrong count (quirk 69). */
	if (r->behind_body && c.at < c.end && *c.at != ')' && *c.at != ' ')
		return reader_break(
		    r, "the length of a message that the server announced was wrong");
	r->behind_body = false;
	cursor_find_literal(&c, response_is_fetch(&r->response));
	if (reader_take_nodes(r, &c) < 0)
		return IMAP_EVENT_BAD;
	if (!c.has_literal)
		return reader_finish(r);
	if (c.literal_is_huge)
		return reader_break(r, "the server announced a literal of impossible length");
	if (reader_body_follows(r))
		return reader_start_body(r, c.literal_len);
	return reader_start_string(r, c.literal_len);
}

static struct view view_take(struct view *v, size_t len)
{
	struct view head = view_make(v->data, len);

	v->data += len;
	v->len -= len;
	return head;
}

/* What was collected before plus PIECE, in the arena, without the line end. */
static struct view reader_join_line(struct imap_reader *r, struct view piece)
{
	size_t len = r->line.len + piece.len;
	char *text = arena_new(&r->arena, len + 1, 1);

	if (r->line.len > 0)
		memcpy(text, r->line.data, r->line.len);
	memcpy(text + r->line.len, piece.data, piece.len);
	buf_clear(&r->line);
	while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
		len--;
	return view_make(text, len);
}

static enum imap_event reader_read_line(struct imap_reader *r, struct view *bytes)
{
	const char *lf = memchr(bytes->data, '\n', bytes->len);
	struct view piece = view_take(bytes, lf ? (size_t)(lf - bytes->data) + 1 : bytes->len);

	if (piece.len > r->line.max - r->used)
		return reader_break(
		    r, "the server sent a longer response than we are willing to hold");
	r->used += piece.len;
	if (lf)
		return reader_parse_line(r, reader_join_line(r, piece));
	buf_add_view(&r->line, piece); /* fits: r->used says so */
	return IMAP_EVENT_MORE;
}

static enum imap_event reader_read_body(struct imap_reader *r, struct view *bytes)
{
	size_t len = r->literal_left < bytes->len ? (size_t)r->literal_left : bytes->len;

	r->data = view_take(bytes, len);
	r->literal_left -= len;
	if (r->literal_left == 0)
		r->state = READER_LINE;
	return IMAP_EVENT_DATA;
}

static enum imap_event reader_read_string(struct imap_reader *r, struct view *bytes)
{
	size_t len = r->literal_left < bytes->len ? (size_t)r->literal_left : bytes->len;

	memcpy(r->literal_to, view_take(bytes, len).data, len);
	r->literal_to += len;
	r->literal_left -= len;
	if (r->literal_left == 0)
		r->state = READER_LINE;
	return IMAP_EVENT_MORE;
}

/* Servers pad lines with NULs and send blank ones (quirk 23). */
static enum imap_event reader_skip_padding(struct imap_reader *r, struct view *bytes)
{
	size_t n = 0;

	while (n < bytes->len && (bytes->data[n] == '\0' || strchr(" \r\n", bytes->data[n])))
		n++;
	view_take(bytes, n);
	if (bytes->len > 0)
		r->state = READER_LINE;
	return IMAP_EVENT_MORE;
}

static enum imap_event reader_step(struct imap_reader *r, struct view *bytes)
{
	switch ((enum reader_state)r->state) {
	case READER_BETWEEN:
		return reader_skip_padding(r, bytes);
	case READER_LINE:
		return reader_read_line(r, bytes);
	case READER_BODY:
		return reader_read_body(r, bytes);
	case READER_STRING:
		return reader_read_string(r, bytes);
	case READER_BROKEN:
		break;
	}
	return IMAP_EVENT_BAD;
}

enum imap_event imap_reader_feed(struct imap_reader *r, struct view bytes, size_t *taken)
{
	struct view left = bytes;
	enum imap_event event = r->state == READER_BROKEN ? IMAP_EVENT_BAD : IMAP_EVENT_MORE;

	if (r->clear_next)
		reader_forget_response(r);
	while (event == IMAP_EVENT_MORE && left.len > 0)
		event = reader_step(r, &left);
	*taken = bytes.len - left.len;
	return event;
}

/* ---- helpers on trees ---- */

const struct imap_node *imap_node_at(const struct imap_node *list_first, size_t index)
{
	while (list_first && index-- > 0)
		list_first = list_first->next;
	return list_first;
}

struct view imap_node_text(const struct imap_node *n)
{
	if (n && (n->kind == IMAP_NODE_ATOM || n->kind == IMAP_NODE_STRING))
		return n->text;
	return (struct view){0};
}

/* "BODY[]<0>" is called "BODY[]" too: the origin is no part of the name. */
static bool item_has_name(struct view item, const char *name)
{
	const char *origin = item.len > 0 ? memrchr(item.data, '<', item.len) : NULL;

	if (view_is_nocase(item, name))
		return true;
	if (!origin || origin == item.data || origin[-1] != ']')
		return false;
	return view_is_nocase(view_make(item.data, (size_t)(origin - item.data)), name);
}

const struct imap_node *imap_node_value(const struct imap_node *first, const char *name)
{
	for (; first; first = first->next)
		if (first->kind == IMAP_NODE_ATOM && item_has_name(first->text, name))
			return first->next;
	return NULL;
}

int imap_node_number(const struct imap_node *n, uint64_t *out)
{
	if (n && n->kind == IMAP_NODE_LIST)
		n = n->child;
	struct view text = imap_node_text(n);
	return text.len > 0 ? view_number(text, out) : -1;
}

struct view imap_reader_rest(const struct imap_reader *r, const struct imap_node *from)
{
	struct view line = r->last_line;

	if (!from || (from->kind != IMAP_NODE_ATOM && from->kind != IMAP_NODE_NIL))
		return imap_node_text(from);
	uintptr_t at = (uintptr_t)from->text.data, start = (uintptr_t)line.data;
	if (at < start || at >= start + line.len)
		return from->text;
	return view_make(from->text.data, line.len - (size_t)(at - start));
}
