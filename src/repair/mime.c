/* mime.c - a message cut into pieces. Below mend.c, which changes some of them and puts them together again.
 * Promises: the pieces are the message, byte for byte; what is ambiguous is garbled, never guessed.
 * Lines end with LF; a CR elsewhere is a byte like others. Does not: decode bodies. */
#include "repair/mime.h"

#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 30u
#define PARTS_MAX 2000u
#define PIECES_MAX 50000u /* honest mail has hundreds; both bound memory */
#define BOUNDARY_MAX 200u

struct view mime_line(struct view v, size_t *len)
{
	const char *lf = v.len ? memchr(v.data, '\n', v.len) : NULL;
	struct view line = {v.data, lf ? (size_t)(lf - v.data) + 1 : v.len};

	*len = line.len - (lf != NULL);
	if (lf && *len && line.data[*len - 1] == '\r')
		--*len;
	return line;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

size_t mime_field_name(struct view line, size_t *blanks)
{
	size_t len = 0, at;

	while (
	    len < line.len && line.data[len] > ' ' && line.data[len] < 127 && line.data[len] != ':')
		len++;
	for (at = len; at < line.len && is_blank(line.data[at]);)
		at++;
	if (blanks)
		*blanks = at - len;
	return at < line.len && line.data[at] == ':' ? len : 0;
}

struct view mime_field_value(struct view field, struct arena *a)
{
	size_t blanks, from = mime_field_name(field, &blanks);
	char *text = arena_new(a, field.len + 1, 1), *to = text;

	for (from += blanks + 1; from < field.len; from++)
		if (field.data[from] != '\r' && field.data[from] != '\n')
			*to++ = field.data[from];
	return view_make(text, (size_t)(to - text));
}

static struct view rest_of(struct view v, size_t from)
{
	return view_make(v.data + from, v.len - from);
}

static struct view trim_front(struct view v)
{
	while (v.len && is_blank(v.data[0]))
		v = rest_of(v, 1);
	return v;
}

static struct view trim(struct view v)
{
	v = trim_front(v);
	while (v.len && is_blank(v.data[v.len - 1]))
		v.len--;
	return v;
}

static void add_piece(struct mime_tree *t, enum mime_kind kind, struct view bytes)
{
	t->pieces = mem_room(t->pieces, t->piece_count, &t->piece_size, sizeof(*t->pieces));
	t->pieces[t->piece_count++] = (struct mime_piece){kind, bytes, t->part_count - 1};
}

static struct mime_part *add_part(struct mime_tree *t, struct mime_part *parent, bool message)
{
	struct mime_part *p = ARENA_NEW(&t->arena, struct mime_part);

	*p = (struct mime_part){.parent = parent,
	    .message = message,
	    .header_sealed = parent && parent->body_sealed,
	    .type = view_of("text/plain")};
	if (parent && view_is_nocase(parent->type, "multipart/digest"))
		p->type = view_of("message/rfc822");
	t->parts = mem_room(t->parts, t->part_count, &t->part_size, sizeof(*t->parts));
	t->parts[t->part_count++] = p;
	return p;
}

/* ---- the header ---- */

static enum mime_coding coding_of(struct view value)
{
	static const struct {
		const char *name;
		enum mime_coding coding;
	} known[] = {{"7bit", MIME_PLAIN}, {"8bit", MIME_PLAIN}, {"binary", MIME_PLAIN},
	    {"quoted-printable", MIME_QUOTED}, {"base64", MIME_BASE64}};

	for (size_t i = 0; i < COUNT_OF(known); i++) /* a blank behind it is part of it to some */
		if (view_is_nocase(known[i].coding ? value : trim(value), known[i].name))
			return known[i].coding;
	return MIME_UNKNOWN;
}

static bool begins(struct view v, const char *text)
{
	return v.len >= strlen(text) && !memcmp(v.data, text, strlen(text));
}

/* The boundary out of a Content-Type; empty = none. */
static struct view boundary_of(struct mime_tree *t, struct view type)
{
	ptrdiff_t at = view_find_nocase(type, "boundary=");
	size_t len = 0;

	if (at < 0)
		return (struct view){0};
	while (at > (ptrdiff_t)len && is_blank(type.data[(size_t)at - len - 1]))
		len++;
	t->garbled = t->garbled || at == (ptrdiff_t)len || type.data[(size_t)at - len - 1] != ';';
	len = 0;
	type = rest_of(type, (size_t)at + strlen("boundary="));
	if (type.len && type.data[0] == '"') {
		type = rest_of(type, 1);
		while (len < type.len && type.data[len] != '"')
			len++;
		t->garbled = t->garbled || (len + 1 < type.len && type.data[len + 1] != ';' &&
					       !is_blank(type.data[len + 1]));
	} else {
		while (len < type.len && type.data[len] != ';' && !is_blank(type.data[len]))
			len++;
	}
	while (len && is_blank(type.data[len - 1]))
		len--;
	return view_make(type.data, len);
}

struct header {
	struct view boundary;
	bool typed, coded;
};

static void note_type(struct mime_tree *t, struct mime_part *p, struct header *h, struct view value)
{
	size_t len = 0;

	if (h->typed)
		return;
	h->typed = true;
	while (len < value.len && value.data[len] != ';' && !is_blank(value.data[len])) {
		char c = value.data[len++];
		t->garbled = t->garbled || !c || strchr("()<>@,:\\\"[]?=", c);
	}
	t->garbled = t->garbled || !len;
	if (len)
		p->type = view_make(value.data, len);
	h->boundary = boundary_of(t, value);
}

/* What the field in hand, the next piece, tells of its part. */
static void note_field(
    struct mime_tree *t, struct mime_part *p, struct header *h, struct view field)
{
	struct view name = {field.data, mime_field_name(field, NULL)};

	if (view_is_nocase(name, "Content-Type"))
		note_type(t, p, h, trim(mime_field_value(field, &t->arena)));
	else if (view_is_nocase(name, "MIME-Version"))
		p->versioned = true;
	else if (view_is_nocase(name, "Content-Transfer-Encoding") && h->coded)
		t->garbled = true; /* two of them */
	else if (view_is_nocase(name, "Content-Transfer-Encoding")) {
		h->coded = true;
		p->coding = coding_of(trim_front(mime_field_value(field, &t->arena)));
		p->coding_field = t->piece_count + 1;
	}
}

/* Does anything like a field stand before the next empty line? */
static bool fields_follow(struct view v)
{
	size_t len;

	while (v.len) {
		struct view line = mime_line(v, &len);

		if (!len)
			return false;
		if (memchr(line.data, '\r', len)) /* a line end to some */
			return true;
		if (mime_field_name(line, NULL))
			return true;
		v = rest_of(v, line.len);
	}
	return false;
}

/* Take the header off V. A line that is no field ends it, as an empty line that got lost would; where
 * fields follow it, nobody knows. */
static struct view parse_header(
    struct mime_tree *t, struct mime_part *p, struct header *h, struct view v)
{
	size_t len;

	if (!p->parent && begins(v, "From ")) {
		struct view line = mime_line(v, &len);

		add_piece(t, MIME_MBOX, line);
		v = rest_of(v, line.len);
	}
	while (v.len && t->piece_count < PIECES_MAX) {
		struct view field = mime_line(v, &len), line;

		if (!len) {
			add_piece(t, MIME_BLANK, field);
			return rest_of(v, field.len);
		}
		if (!mime_field_name(field, NULL)) {
			t->garbled = t->garbled || is_blank(field.data[0]) ||
				     field.data[0] == ':' || begins(v, "From ") || fields_follow(v);
			p->unclosed = true;
			break;
		}
		while (field.len < v.len && is_blank(v.data[field.len])) {
			line = mime_line(rest_of(v, field.len), &len);
			field.len += line.len;
		}
		note_field(t, p, h, field);
		add_piece(t, MIME_FIELD, field);
		v = rest_of(v, field.len);
	}
	t->garbled = t->garbled || t->piece_count >= PIECES_MAX;
	p->unclosed = p->unclosed || !p->parent;
	add_piece(t, MIME_BLANK, view_make(v.data, 0));
	return v;
}

/* ---- the body ---- */

enum delimiter { NO_DELIMITER, DELIMITER, LAST_DELIMITER };

static enum delimiter is_delimiter(struct view line, size_t len, struct view boundary)
{
	struct view rest;
	enum delimiter found = DELIMITER;

	if (len < boundary.len + 2 || memcmp(line.data, "--", 2) ||
	    memcmp(line.data + 2, boundary.data, boundary.len))
		return NO_DELIMITER;
	rest = view_make(line.data + 2 + boundary.len, len - 2 - boundary.len);
	if (begins(rest, "--")) {
		found = LAST_DELIMITER;
		rest = rest_of(rest, 2);
	}
	return trim(rest).len ? NO_DELIMITER : found;
}

/* The next delimiter in V from AT on: where its line begins and ends. */
static enum delimiter find_delimiter(
    struct view v, size_t at, struct view boundary, size_t *begin, size_t *end)
{
	while (at < v.len) {
		size_t len;
		struct view line = mime_line(rest_of(v, at), &len);
		enum delimiter found = is_delimiter(line, len, boundary);

		*begin = at;
		*end = at += line.len;
		if (found)
			return found;
	}
	*begin = *end = v.len;
	return NO_DELIMITER;
}

/* The line end before a delimiter is the delimiter's (RFC 2046, 5.1.1). */
static size_t before_line_end(struct view v, size_t from, size_t begin)
{
	if (begin > from && v.data[begin - 1] == '\n')
		begin--;
	if (begin > from && v.data[begin - 1] == '\r')
		begin--;
	return begin;
}

/* A part that holds others, on the way through them. */
struct level {
	struct mime_part *part;
	size_t index;         /* of the part */
	struct view boundary; /* empty: it holds one message */
	struct view v;        /* its content */
	size_t from;          /* what of it is not a piece yet */
	size_t begin, end;    /* the next delimiter's line */
	enum delimiter found;
	bool inside; /* of one of its parts */
};

struct way {
	struct level levels[DEPTH_MAX + 1];
	unsigned depth;
};

static void add_frame(struct mime_tree *t, const struct level *l, size_t end)
{
	add_piece(t, MIME_FRAME, view_make(l->v.data + l->from, end - l->from));
	t->pieces[t->piece_count - 1].part = l->index;
}

/* The next part within L; false = there is none. */
static bool next_part(struct mime_tree *t, struct level *l, struct view *part)
{
	size_t at = l->end;

	if (l->inside)
		t->parts[t->part_count - 1]->cut = !l->found;
	l->inside = l->found == DELIMITER && t->part_count < PARTS_MAX;
	if (!l->inside)
		return false;
	add_frame(t, l, at);
	l->found = find_delimiter(l->v, at, l->boundary, &l->begin, &l->end);
	l->from = l->found ? before_line_end(l->v, at, l->begin) : l->begin;
	*part = view_make(l->v.data + at, l->from - at);
	return true;
}

static void leave(struct mime_tree *t, struct way *w)
{
	const struct level *l = &w->levels[--w->depth];

	if (l->from < l->v.len)
		add_frame(t, l, l->v.len);
}

static void enter(const struct mime_tree *t, struct way *w, struct mime_part *p,
    struct view boundary, struct view v)
{
	struct level *l = &w->levels[w->depth++];

	*l = (struct level){.part = p, .index = t->part_count - 1, .boundary = boundary};
	if (!boundary.len)
		return;
	l->v = v;
	l->found = find_delimiter(v, 0, boundary, &l->begin, &l->end);
}

static bool is_type(const struct mime_part *p, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (view_is_nocase(p->type, names[i]))
			return true;
	return false;
}

static bool is_sealed(const struct mime_part *p)
{
	static const char *const names[] = {"multipart/signed", "multipart/encrypted",
	    "application/pkcs7-mime", "application/x-pkcs7-mime"};

	return is_type(p, names, COUNT_OF(names));
}

static bool holds_message(const struct mime_part *p)
{
	static const char *const names[] = {"message/rfc822", "message/global"};

	return is_type(p, names, COUNT_OF(names));
}

/* Some read every other message/... as a message, too. */
static bool is_strange(const struct mime_part *p)
{
	static const char *const names[] = {"message/delivery-status",
	    "message/disposition-notification", "message/partial", "message/external-body",
	    "message/feedback-report"};

	return view_starts_nocase(p->type, "message/") && !holds_message(p) &&
	       !is_type(p, names, COUNT_OF(names));
}

/* Not one of those around it: readers would not agree whose it is. */
static bool is_new(struct view boundary, const struct way *w)
{
	for (unsigned i = 0; i < w->depth; i++)
		if (w->levels[i].boundary.len && view_eq(w->levels[i].boundary, boundary))
			return false;
	return true;
}

/* A part begins: a leaf becomes a piece, one that holds others another level. */
static void parse_part(
    struct mime_tree *t, struct way *w, struct mime_part *parent, bool message, struct view v)
{
	for (;; message = true) {
		struct mime_part *p = add_part(t, parent, message);
		struct header h = {0};
		bool many, holds;

		v = parse_header(t, p, &h, v);
		many = view_starts_nocase(p->type, "multipart/");
		holds = holds_message(p) && p->coding == MIME_PLAIN && w->depth < DEPTH_MAX;
		p->body_sealed = p->header_sealed || is_sealed(p);
		t->garbled = t->garbled || is_strange(p);
		if (w->depth >= DEPTH_MAX || t->part_count >= PARTS_MAX ||
		    h.boundary.len > BOUNDARY_MAX) {
			t->garbled = true;
			many = false;
		}
		if (many && h.boundary.len && p->coding == MIME_PLAIN) {
			t->garbled = t->garbled || !is_new(h.boundary, w);
			enter(t, w, p, h.boundary, v);
			return;
		}
		if (many || !holds) {
			add_piece(t, many ? MIME_FRAME : MIME_LEAF, v);
			return;
		}
		enter(t, w, p, (struct view){0}, v);
		parent = p;
	}
}

void mime_parse(struct mime_tree *tree, struct view message)
{
	struct way way = {.depth = 0};
	struct view part;

	*tree = (struct mime_tree){.arena = ARENA_INIT};
	parse_part(tree, &way, NULL, true, message);
	while (way.depth) {
		struct level *l = &way.levels[way.depth - 1];

		if (next_part(tree, l, &part))
			parse_part(tree, &way, l->part, false, part);
		else
			leave(tree, &way);
	}
}

void mime_free(struct mime_tree *tree)
{
	free(tree->pieces);
	free(tree->parts);
	arena_free(&tree->arena);
	*tree = (struct mime_tree){0};
}

bool mime_is_text(const struct mime_part *p)
{
	return view_starts_nocase(p->type, "text/");
}
