/* field.c - header fields mended. Between mend.c, which has the message, and coding.c, which writes words.
 * Which encoding is right depends on the field: free text (RFC 2047, 5(1)), display names and comments of
 * addresses (5(2), 5(3)), parameters (RFC 2231). In all others nothing can be encoded.
 * Promises: what cannot be said otherwise is refused; field_same reads both and compares what they say,
 * so that an error here is no changed message. */
#include "repair/field.h"

#include <ctype.h>
#include <string.h>

#include "repair/coding.h"
#include "repair/mime.h"

#define ENCODED_MAX 65536u /* a longer field is not encoded: that would take many times its room */
#define FOLD_AT 900u       /* well below FIELD_LINE_MAX */

enum field_kind { FREE_TEXT, ADDRESSES, PARAMETERS, RIGID };

static enum field_kind kind_of(struct view name)
{
	static const struct {
		const char *name;
		enum field_kind kind;
	} known[] = {{"From", ADDRESSES}, {"Sender", ADDRESSES}, {"Reply-To", ADDRESSES},
	    {"To", ADDRESSES}, {"Cc", ADDRESSES}, {"Bcc", ADDRESSES}, {"Resent-From", ADDRESSES},
	    {"Resent-Sender", ADDRESSES}, {"Resent-To", ADDRESSES}, {"Resent-Cc", ADDRESSES},
	    {"Resent-Bcc", ADDRESSES}, {"Disposition-Notification-To", ADDRESSES},
	    {"Content-Type", PARAMETERS}, {"Content-Disposition", PARAMETERS}, {"Date", RIGID},
	    {"Resent-Date", RIGID}, {"Message-ID", RIGID}, {"Resent-Message-ID", RIGID},
	    {"In-Reply-To", RIGID}, {"References", RIGID}, {"Received", RIGID},
	    {"Return-Path", RIGID}, {"MIME-Version", RIGID}, {"Content-ID", RIGID},
	    {"Content-Transfer-Encoding", RIGID}};

	for (size_t i = 0; i < COUNT_OF(known); i++)
		if (view_is_nocase(name, known[i].name))
			return known[i].kind;
	return FREE_TEXT;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool is_odd(char c)
{
	return !c || (unsigned char)c >= 0x80;
}

static bool has_odd(struct view v)
{
	for (size_t i = 0; i < v.len; i++)
		if (is_odd(v.data[i]))
			return true;
	return false;
}

static struct view rest_of(struct view v, size_t from)
{
	return view_make(v.data + from, v.len - from);
}

static struct view trim(struct view v)
{
	while (v.len && is_blank(v.data[0]))
		v = rest_of(v, 1);
	while (v.len && is_blank(v.data[v.len - 1]))
		v.len--;
	return v;
}

/* ---- free text ---- */

/* From the first word that must be encoded to the last, as one; all around stays as it is. */
static int encode_text(struct buf *out, struct view value, bool all)
{
	size_t first = 0, end = value.len;
	struct view tail;

	while (first < end && (all ? is_blank(value.data[first]) : !is_odd(value.data[first])))
		first++;
	while (end > first && (all ? is_blank(value.data[end - 1]) : !is_odd(value.data[end - 1])))
		end--;
	while (first && !is_blank(value.data[first - 1]))
		first--;
	while (end < value.len && !is_blank(value.data[end]))
		end++;
	tail = rest_of(value, end);
	if (first > 1 && buf_add(out, value.data, first - 1))
		return -1;
	if (first && trim(view_make(value.data, first)).len && buf_add_text(out, "\r\n"))
		return -1;
	if (first && buf_add_char(out, value.data[first - 1]))
		return -1;
	if (coding_words(out, view_make(value.data + first, end - first)))
		return -1;
	if (trim(tail).len && buf_add_text(out, "\r\n"))
		return -1;
	return buf_add_view(out, tail);
}

/* What it says: encoded words read, the blanks between two of them gone. */
static int say_text(struct buf *out, struct view value)
{
	for (size_t at = 0, len; at < value.len; at += len) {
		struct view rest = rest_of(value, at);
		size_t blanks = 0;

		if (!(len = coding_read_word(out, rest))) {
			len = 1;
			if (buf_add_char(out, value.data[at]))
				return -1;
			continue;
		}
		while (len + blanks < rest.len && is_blank(rest.data[len + blanks]))
			blanks++;
		if (view_starts_nocase(rest_of(rest, len + blanks), "=?"))
			len += blanks;
	}
	return 0;
}

/* ---- addresses ---- */

enum token_kind { BLANKS, ATOM, QUOTED, COMMENT, ANGLE, SPECIAL };

struct token {
	enum token_kind kind;
	struct view text; /* with its marks */
};

/* The length of what begins at the front of V with OPEN and ends with CLOSE, 0 = it does not end. Comments
 * in comments and the like are not looked into: 0 as well. */
static size_t enclosed(struct view v, char open, char close)
{
	for (size_t i = 1; i < v.len; i++) {
		if (v.data[i] == '\\')
			i++;
		else if (v.data[i] == close)
			return i + 1;
		else if (v.data[i] == open)
			return 0;
	}
	return 0;
}

/* The token at the front of V. -1: malformed. */
static int next_token(struct view v, struct token *t)
{
	size_t len = 0;
	char c = v.data[0];

	t->kind = is_blank(c)             ? BLANKS
		  : c == '"'              ? QUOTED
		  : c == '('              ? COMMENT
		  : c == '<'              ? ANGLE
		  : strchr(",:;", c) && c ? SPECIAL
					  : ATOM;
	if (t->kind == QUOTED || t->kind == COMMENT || t->kind == ANGLE)
		len = enclosed(v, c, c == '"' ? '"' : c == '(' ? ')' : '>');
	else if (t->kind == SPECIAL)
		len = 1;
	else if (t->kind == BLANKS)
		while (len < v.len && is_blank(v.data[len]))
			len++;
	else
		while (len < v.len && !(v.data[len] && strchr(" \t\"(<,:;", v.data[len])))
			len++;
	t->text = view_make(v.data, len);
	return len ? 0 : -1;
}

/* The bytes a token stands for: marks and backslashes off. */
static int add_content(struct buf *out, const struct token *t)
{
	struct view v = t->text;
	bool marked = t->kind == QUOTED || t->kind == COMMENT;

	if (marked)
		v = view_make(v.data + 1, v.len - 2);
	for (size_t i = 0; i < v.len; i++) {
		if (marked && v.data[i] == '\\' && i + 1 < v.len)
			i++;
		if (buf_add_char(out, v.data[i]))
			return -1;
	}
	return 0;
}

static bool is_word(const struct token *t)
{
	return (t->kind == ATOM && !memchr(t->text.data, '@', t->text.len)) || t->kind == QUOTED;
}

/* Does an address or a group follow in V, so that the words before it are a name? */
static bool is_name(struct view v)
{
	struct token t;

	for (; v.len && !next_token(v, &t); v = rest_of(v, t.text.len)) {
		if (t.kind == ANGLE || (t.kind == SPECIAL && t.text.data[0] == ':'))
			return true;
		if (t.kind == SPECIAL || (t.kind == ATOM && !is_word(&t)))
			return false;
	}
	return false;
}

/* Words of a display name that must be encoded, from the one at the front of V on, with the blanks
 * between them. Returns how much of V they were, 0 = it cannot be done. */
static size_t encode_phrase(struct buf *out, struct view v, struct arena *a)
{
	struct buf words = BUF_INIT(v.len + 1);
	size_t at = 0, used = 0;
	struct token t;
	int failed;

	while (at < v.len && !next_token(rest_of(v, at), &t) && is_word(&t) && has_odd(t.text)) {
		if (used && buf_add(&words, v.data + used, at - used))
			break;
		add_content(&words, &t);
		at = used = at + t.text.len;
		while (at < v.len && is_blank(v.data[at]))
			at++;
	}
	failed = !used || coding_words(out, arena_copy(a, buf_view(&words)));
	buf_free(&words);
	/* what follows is a blank, or may stand right behind an encoded word */
	if (failed || !is_name(rest_of(v, used)) || !strchr(" \t<:", v.data[used]))
		return 0;
	if (v.data[used] == '<' && buf_add_char(out, ' '))
		return 0;
	return used;
}

static int encode_comment(struct buf *out, const struct token *t, struct arena *a)
{
	struct buf content = BUF_INIT(t->text.len);
	struct view bytes;

	add_content(&content, t);
	bytes = arena_copy(a, buf_view(&content));
	buf_free(&content);
	return buf_add_char(out, '(') || coding_words(out, bytes) || buf_add_char(out, ')');
}

static int encode_addresses(struct buf *out, struct view value, struct arena *a)
{
	bool may_begin = true; /* an encoded word: behind a blank or a mark */

	for (size_t at = 0, len; at < value.len; at += len) {
		struct token t;

		if (next_token(rest_of(value, at), &t))
			return -1;
		len = t.text.len;
		if (!has_odd(t.text)) {
			if (buf_add_view(out, t.text))
				return -1;
		} else if (is_word(&t) && may_begin) {
			if (!(len = encode_phrase(out, rest_of(value, at), a)))
				return -1;
		} else if (t.kind != COMMENT || !may_begin || encode_comment(out, &t, a)) {
			return -1;
		}
		may_begin = t.kind == BLANKS || t.kind == SPECIAL;
	}
	return 0;
}

/* Names without their quotes, words read, one blank where there are some, none before an address. */
static int say_addresses(struct buf *out, struct view value)
{
	bool word = false, blank = false;

	for (size_t at = 0; at < value.len;) {
		struct token t;
		bool was_word = word;
		size_t len;

		if (next_token(rest_of(value, at), &t))
			return -1;
		at += t.text.len;
		if (t.kind == BLANKS) {
			blank = true;
			continue;
		}
		word = view_starts_nocase(t.text, "=?");
		if (blank && out->len && t.kind != ANGLE && !(word && was_word))
			buf_add_char(out, ' ');
		blank = false;
		len = out->len;
		if (t.kind == COMMENT && view_find_nocase(t.text, "=?") == 1) {
			if (say_text(out, view_make(t.text.data + 1, t.text.len - 2)))
				return -1;
		} else if (!word || !coding_read_word(out, t.text)) {
			out->len = len;
			if (add_content(out, &t))
				return -1;
		}
	}
	return 0;
}

/* ---- parameters ---- */

/* How long the parameter at the front of V is, up to the next semicolon outside of quotes. */
static size_t parameter_len(struct view v)
{
	bool quoted = false;
	size_t i = 0;

	for (; i < v.len && (quoted || v.data[i] != ';'); i++) {
		if (quoted && v.data[i] == '\\')
			i++;
		else if (v.data[i] == '"')
			quoted = !quoted;
	}
	return i < v.len ? i : v.len;
}

/* NAME=VALUE taken apart; *VALUE in A, its quotes off. -1: it is not one. */
static int read_parameter(struct view v, struct view *name, struct view *value, struct arena *a)
{
	const char *equals = memchr(v.data, '=', v.len);
	struct token t = {.kind = QUOTED};
	struct buf content = BUF_INIT(v.len + 1);

	if (!equals)
		return -1;
	*name = trim(view_make(v.data, (size_t)(equals - v.data)));
	*value = trim(rest_of(v, (size_t)(equals - v.data) + 1));
	if (!name->len || has_odd(*name) || !value->len || value->data[0] != '"')
		return name->len && !has_odd(*name) ? 0 : -1;
	t.text = *value;
	if (value->len < 2 || enclosed(*value, '\0', '"') != value->len)
		return -1;
	add_content(&content, &t);
	*value = arena_copy(a, buf_view(&content));
	buf_free(&content);
	return 0;
}

/* The names that all readers know a star behind. */
static bool is_plain(struct view name)
{
	for (size_t i = 0; i < name.len; i++)
		if (!isalnum((unsigned char)name.data[i]) && name.data[i] != '_')
			return false;
	return name.len > 0;
}

static int encode_parameter(struct buf *out, struct view v, struct arena *a)
{
	struct view name, value;
	size_t before = out->len;

	if (!has_odd(v))
		return buf_add_view(out, v);
	if (read_parameter(v, &name, &value, a) || !is_plain(name) || buf_add_text(out, "\r\n\t") ||
	    buf_add_view(out, name) || buf_add_text(out, "*=") || coding_parameter(out, value))
		return -1;
	return out->len - before > FOLD_AT ? -1 : 0;
}

static int encode_parameters(struct buf *out, struct view value, struct arena *a)
{
	size_t at = parameter_len(value);

	if (has_odd(view_make(value.data, at)) || buf_add(out, value.data, at))
		return -1;
	while (at < value.len) {
		size_t len = parameter_len(rest_of(value, at + 1));

		if (buf_add_char(out, ';') ||
		    encode_parameter(out, view_make(value.data + at + 1, len), a))
			return -1;
		at += 1 + len;
	}
	return 0;
}

static int say_parameter(struct buf *out, struct view v, struct arena *a)
{
	struct view name, value;

	if (!trim(v).len)
		return 0;
	if (read_parameter(v, &name, &value, a))
		return buf_add_view(out, trim(v));
	if (name.data[name.len - 1] == '*')
		return buf_add(out, name.data, name.len - 1) || buf_add_char(out, '=') ||
		       coding_read_parameter(out, value);
	return buf_add_view(out, name) || buf_add_char(out, '=') || buf_add_view(out, value);
}

static int say_parameters(struct buf *out, struct view value, struct arena *a)
{
	size_t at = parameter_len(value);

	if (buf_add_view(out, trim(view_make(value.data, at))))
		return -1;
	while (at < value.len) {
		size_t len = parameter_len(rest_of(value, at + 1));

		if (buf_add_char(out, ';') ||
		    say_parameter(out, view_make(value.data + at + 1, len), a))
			return -1;
		at += 1 + len;
	}
	return 0;
}

/* ---- the field ---- */

static int encode(struct buf *out, enum field_kind kind, struct view value, struct arena *a)
{
	if (view_find_nocase(value, "=?") >= 0) /* words that are there already */
		return -1;
	switch (kind) {
	case FREE_TEXT:
		return encode_text(out, value, !has_odd(value));
	case ADDRESSES:
		return encode_addresses(out, value, a);
	case PARAMETERS:
		return encode_parameters(out, value, a);
	case RIGID:
		break;
	}
	return -1;
}

/* Where in LINE, which is too long, it may be broken: at the last blank before FOLD_AT that has no other
 * beside it. 0 = nowhere. */
static size_t fold_place(struct view line)
{
	for (size_t at = FOLD_AT; at > 1; at--)
		if (is_blank(line.data[at]) && !is_blank(line.data[at - 1]) &&
		    !is_blank(line.data[at + 1]) && line.data[at - 1] != ':')
			return at;
	return 0;
}

/* The lines of V, those too long broken at blanks, CRLF at the end of each. */
static int add_lines(struct buf *out, struct view v, unsigned *changes)
{
	size_t len, place;

	while (v.len) {
		struct view line = mime_line(v, &len);

		v = rest_of(v, line.len);
		for (line.len = len; line.len > FIELD_LINE_MAX; line = rest_of(line, place)) {
			*changes |= FIELD_FOLDED;
			if (!(place = fold_place(line)) || buf_add(out, line.data, place) ||
			    buf_add_text(out, "\r\n"))
				return -1;
		}
		if (buf_add_view(out, line) || buf_add_text(out, "\r\n"))
			return -1;
	}
	return 0;
}

/* The field with its value encoded, to OUT. */
static int add_encoded(struct buf *out, struct view field, struct view name, unsigned *changes)
{
	struct arena a AUTO(arena_free) = ARENA_INIT;
	struct buf text AUTO(buf_free) = BUF_INIT(4 * field.len + 4096);

	*changes |= FIELD_ENCODED;
	if (field.len > ENCODED_MAX || buf_add_view(&text, name) || buf_add_char(&text, ':') ||
	    encode(&text, kind_of(name), mime_field_value(field, &a), &a))
		return -1;
	return add_lines(out, buf_view(&text), changes);
}

static bool has_bare_cr(struct view v)
{
	for (size_t i = 0; i < v.len; i++)
		if (v.data[i] == '\r' && (i + 1 == v.len || v.data[i + 1] != '\n'))
			return true;
	return false;
}

int field_mend(struct buf *out, struct view field, unsigned *changes)
{
	size_t blanks, before = out->len;
	struct view name = {field.data, mime_field_name(field, &blanks)};

	*changes = 0;
	if (has_bare_cr(field)) /* some see a line end there */
		return -1;
	if (has_odd(field))
		return add_encoded(out, field, name, changes);
	*changes = blanks ? FIELD_TIGHTENED : 0;
	if (buf_add_view(out, name))
		return -1;
	if (!add_lines(out, rest_of(field, name.len + blanks), changes))
		return 0;
	out->len = before;
	*changes = 0;
	return kind_of(name) == FREE_TEXT ? add_encoded(out, field, name, changes) : -1;
}

static int say(struct buf *out, struct view field, struct arena *a)
{
	struct view name = {field.data, mime_field_name(field, NULL)};
	struct view value = mime_field_value(field, a);

	if (buf_add_view(out, name) || buf_add_char(out, ':'))
		return -1;
	switch (kind_of(name)) {
	case FREE_TEXT:
		return say_text(out, value);
	case ADDRESSES:
		return say_addresses(out, value);
	case PARAMETERS:
		return say_parameters(out, value, a);
	case RIGID:
		break;
	}
	return buf_add_view(out, value);
}

static struct view name_of(struct view field)
{
	return view_make(field.data, mime_field_name(field, NULL));
}

bool field_same(struct view field, struct view mended)
{
	struct arena a AUTO(arena_free) = ARENA_INIT;
	struct buf one AUTO(buf_free) = BUF_INIT(4 * field.len + 4096);
	struct buf other AUTO(buf_free) = BUF_INIT(4 * mended.len + 4096);

	if (!view_eq(name_of(field), name_of(mended)))
		return false;
	return view_eq(mime_field_value(field, &a), mime_field_value(mended, &a)) ||
	       (!say(&one, field, &a) && !say(&other, mended, &a) &&
		   view_eq(buf_view(&one), buf_view(&other)));
}
