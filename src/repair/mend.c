/* mend.c - a message whose faults are mended, and the proof that it says what it said. Above mime.c, field.c
 * and coding.c. The message is cut into pieces, each is written as it is or mended, and the result is
 * cut and read again and held against the original.
 * Promises: what is not proven is not given. Does not: change what is signed or encrypted, but for line
 * ends of a message that has no CRLF at all: those are how it was kept, not what was signed (RFC 1847
 * signs CRLF). */
#include "repair/repair.h"

#include <stdio.h>
#include <string.h>

#include "repair/coding.h"
#include "repair/field.h"
#include "repair/mime.h"

/* ---- faults ---- */

struct faults {
	bool nul, eight, bare_cr, bare_lf, open, crlf;
	bool
	    split; /* a bare CR, and then what may be a delimiter to those who see a line end in it */
	bool long_line; /* longer than FIELD_LINE_MAX */
};

static void look_at(struct faults *f, unsigned char c, unsigned char next, bool last)
{
	f->nul |= !c;
	f->eight |= c >= 0x80;
	f->bare_cr |= c == '\r' && (last || next != '\n');
	f->split |= c == '\r' && !last && next == '-';
}

static struct faults faults_of(struct view v)
{
	struct faults f = {.open = v.len && v.data[v.len - 1] != '\n'};

	while (v.len) {
		size_t len;
		struct view line = mime_line(v, &len);

		for (size_t i = 0; i < line.len; i++)
			look_at(&f, (unsigned char)line.data[i],
			    i + 1 < line.len ? (unsigned char)line.data[i + 1] : 0,
			    i + 1 == line.len);
		f.long_line |= len > FIELD_LINE_MAX;
		f.split |= len > 2 && !memcmp(line.data, "--", 2) && memchr(line.data, '\r', len);
		f.crlf |= line.len == len + 2;
		f.bare_lf |= line.len == len + 1;
		v = view_make(v.data + line.len, v.len - line.len);
	}
	return f;
}

/* ---- writing ---- */

struct mender {
	struct mime_tree tree;
	struct buf *out;
	bool unix_form; /* no CRLF in it: LF is how it was kept */
	unsigned changes;
};

/* V with every line end as CRLF. */
static int add_lines(struct buf *out, struct view v)
{
	size_t len;

	while (v.len) {
		struct view line = mime_line(v, &len);
		bool bare = line.len == len + 1;

		if (buf_add(out, line.data, bare ? len : line.len) ||
		    (bare && buf_add_text(out, "\r\n")))
			return -1;
		v = view_make(v.data + line.len, v.len - line.len);
	}
	return 0;
}

/* Are line ends in it no content? */
static bool has_lines(const struct mime_part *p, bool unix_form)
{
	return unix_form || mime_is_text(p) || p->coding == MIME_BASE64 ||
	       view_starts_nocase(p->type, "message/") || view_starts_nocase(p->type, "multipart/");
}

/* What the leaf decodes to, text with CRLF. */
static int read_leaf(struct buf *out, const struct mime_part *p, struct view leaf, bool unix_form)
{
	if (p->coding == MIME_QUOTED)
		return coding_read_quoted(out, leaf);
	if (p->coding == MIME_BASE64)
		return coding_read_base64(out, leaf);
	return has_lines(p, unix_form) ? add_lines(out, leaf) : buf_add_view(out, leaf);
}

static bool is_encodable(const struct mime_part *p)
{
	return !p->body_sealed && p->coding != MIME_UNKNOWN &&
	       !view_starts_nocase(p->type, "message/") &&
	       !view_starts_nocase(p->type, "multipart/");
}

/* Which coding is the shorter one: quoted-printable takes three bytes for each it cannot take as it is. */
static enum mime_coding coding_for(const struct mime_part *p, struct view leaf)
{
	size_t odd = 0;

	if (!mime_is_text(p) || p->coding == MIME_BASE64)
		return MIME_BASE64;
	for (size_t i = 0; i < leaf.len; i++)
		odd += !leaf.data[i] || (unsigned char)leaf.data[i] >= 0x80;
	return odd > leaf.len / 6 ? MIME_BASE64 : MIME_QUOTED;
}

/* The message ends with it, and so with a line end. */
static bool is_end(const struct mender *m, const struct mime_piece *piece)
{
	return piece == &m->tree.pieces[m->tree.piece_count - 1];
}

/* Must it be encoded anew, and how? -1: it must and may not. */
static int judge_leaf(struct mender *m, const struct mime_piece *piece)
{
	struct mime_part *p = m->tree.parts[piece->part];
	struct faults f = faults_of(piece->bytes);
	bool lines = has_lines(p, m->unix_form), end = is_end(m, piece);

	if (!f.nul && !f.bare_cr && !f.long_line && (lines || (!f.bare_lf && !(f.open && end))))
		return f.bare_lf && p->body_sealed && !m->unix_form ? -1 : 0;
	if (!is_encodable(p) || f.split || (p->cut && !lines) ||
	    (f.bare_lf && p->coding == MIME_QUOTED && !lines))
		return -1;
	p->wanted = coding_for(p, piece->bytes);
	while (p->parent && !p->message)
		p = p->parent;
	p->wants_version = !p->versioned;
	return 0;
}

static int judge_frame(struct mender *m, const struct mime_piece *piece)
{
	const struct mime_part *p = m->tree.parts[piece->part];
	struct faults f = faults_of(piece->bytes);

	return f.nul || f.bare_cr || f.long_line || (f.bare_lf && p->body_sealed && !m->unix_form)
		   ? -1
		   : 0;
}

static int judge(struct mender *m)
{
	for (size_t i = 0; i < m->tree.piece_count; i++) {
		const struct mime_piece *piece = &m->tree.pieces[i];

		if ((piece->kind == MIME_LEAF && judge_leaf(m, piece)) ||
		    (piece->kind == MIME_FRAME && judge_frame(m, piece)))
			return -1;
	}
	return 0;
}

static const char *coding_name(enum mime_coding coding)
{
	return coding == MIME_QUOTED ? "quoted-printable" : "base64";
}

static int add_coding(struct buf *out, const struct mime_part *p)
{
	return buf_printf(out, "Content-Transfer-Encoding: %s\r\n", coding_name(p->wanted));
}

static int write_field(struct mender *m, size_t index)
{
	const struct mime_piece *piece = &m->tree.pieces[index];
	const struct mime_part *p = m->tree.parts[piece->part];
	struct faults f = faults_of(piece->bytes);
	size_t blanks;
	unsigned changes;

	if (p->wanted && p->coding_field == index + 1)
		return f.bare_cr ? -1 : add_coding(m->out, p);
	mime_field_name(piece->bytes, &blanks);
	if (!f.nul && !f.eight && !f.bare_cr && !f.long_line && !blanks) {
		if (f.bare_lf && p->header_sealed && !m->unix_form)
			return -1;
		return add_lines(m->out, piece->bytes);
	}
	if (p->header_sealed || field_mend(m->out, piece->bytes, &changes))
		return -1;
	if (f.open)
		m->out->len -= 2; /* its end is the delimiter's, or comes below */
	m->changes |= (changes & FIELD_ENCODED ? REPAIR_HEADER : 0) |
		      (changes & FIELD_FOLDED ? REPAIR_FOLDED : 0) |
		      (changes & FIELD_TIGHTENED ? REPAIR_COLON : 0);
	return 0;
}

static bool is_open(const struct buf *out)
{
	return out->len && out->data[out->len - 1] != '\n';
}

/* The end of a header: what its part wants said there, and the empty line. */
static int write_blank(struct mender *m, const struct mime_piece *piece)
{
	const struct mime_part *p = m->tree.parts[piece->part];

	if (p->unclosed && p->header_sealed)
		return -1;
	if (p->unclosed && is_open(m->out) && buf_add_text(m->out, "\r\n"))
		return -1;
	if (p->wants_version && buf_add_text(m->out, "MIME-Version: 1.0\r\n"))
		return -1;
	if (p->wanted && !p->coding_field && add_coding(m->out, p))
		return -1;
	m->changes |= p->unclosed ? REPAIR_SEPARATOR : 0;
	return p->unclosed ? buf_add_text(m->out, "\r\n") : add_lines(m->out, piece->bytes);
}

static int write_leaf(struct mender *m, const struct mime_piece *piece)
{
	struct mime_part *p = m->tree.parts[piece->part];
	struct buf content AUTO(buf_free) = BUF_INIT(2 * piece->bytes.len + 16);

	if (!p->wanted)
		return add_lines(m->out, piece->bytes);
	m->changes |= REPAIR_BODY;
	if (read_leaf(&content, p, piece->bytes, m->unix_form))
		return -1;
	return p->wanted == MIME_QUOTED ? coding_quoted(m->out, buf_view(&content))
					: coding_base64(m->out, buf_view(&content));
}

static int write_piece(struct mender *m, size_t index)
{
	const struct mime_piece *piece = &m->tree.pieces[index];

	switch (piece->kind) {
	case MIME_MBOX:
		m->changes |= REPAIR_MBOX;
		return 0;
	case MIME_FIELD:
		return write_field(m, index);
	case MIME_BLANK:
		return write_blank(m, piece);
	case MIME_FRAME:
		return add_lines(m->out, piece->bytes);
	case MIME_LEAF:
		return write_leaf(m, piece);
	}
	return -1;
}

/* ---- proof ---- */

/* The next piece of one of KINDS from *AT on, NULL = none. */
static const struct mime_piece *next_piece(const struct mime_tree *t, size_t *at, unsigned kinds)
{
	while (*at < t->piece_count)
		if (kinds & 1u << t->pieces[(*at)++].kind)
			return &t->pieces[*at - 1];
	return NULL;
}

/* Fields that encoding a part brought. */
static bool is_brought(const struct mime_tree *t, const struct mime_tree *old, size_t index)
{
	const struct mime_piece *piece = &t->pieces[index];
	const struct mime_part *p = old->parts[piece->part];
	struct view name = {piece->bytes.data, mime_field_name(piece->bytes, NULL)};

	return (p->wanted && view_is_nocase(name, "Content-Transfer-Encoding")) ||
	       (p->wants_version && view_is_nocase(name, "MIME-Version"));
}

static bool same_fields(const struct mime_tree *old, const struct mime_tree *new)
{
	size_t i = 0, k = 0;
	const struct mime_piece *a, *b;

	do {
		while ((a = next_piece(old, &i, 1u << MIME_FIELD)) && is_brought(old, old, i - 1))
			;
		while ((b = next_piece(new, &k, 1u << MIME_FIELD)) && is_brought(new, old, k - 1))
			;
		if (!a != !b || (a && (a->part != b->part || !field_same(a->bytes, b->bytes))))
			return false;
	} while (a);
	return true;
}

/* END: its last line may have got an end. */
static bool same_content(struct view a, struct view b, bool end)
{
	if (end && b.len == a.len + 2 && !memcmp(b.data + a.len, "\r\n", 2))
		b.len = a.len;
	return view_eq(a, b);
}

static bool same_piece(const struct mender *m, const struct mime_tree *new,
    const struct mime_piece *a, const struct mime_piece *b)
{
	struct buf one AUTO(buf_free) = BUF_INIT(2 * a->bytes.len + 16);
	struct buf other AUTO(buf_free) = BUF_INIT(2 * b->bytes.len + 16);
	const struct mime_part *p = m->tree.parts[a->part];
	bool end = is_end(m, a) && (a->kind == MIME_FRAME || has_lines(p, m->unix_form));

	if (a->kind != b->kind || a->part != b->part)
		return false;
	if (a->kind == MIME_FRAME || !p->wanted) /* as it was: no need to decode */
		return !add_lines(&one, a->bytes) && same_content(buf_view(&one), b->bytes, end);
	return !read_leaf(&one, p, a->bytes, m->unix_form) &&
	       !read_leaf(&other, new->parts[b->part], b->bytes, false) &&
	       same_content(buf_view(&one), buf_view(&other), end);
}

static size_t number_of(const struct mime_tree *t, const struct mime_part *p)
{
	size_t i = 0;

	while (i < t->part_count && t->parts[i] != p)
		i++;
	return i;
}

static bool same_parts(const struct mime_tree *old, const struct mime_tree *new)
{
	if (new->garbled || old->part_count != new->part_count)
		return false;
	for (size_t i = 0; i < old->part_count; i++)
		if (number_of(old, old->parts[i]->parent) !=
			number_of(new, new->parts[i]->parent) ||
		    !view_eq(old->parts[i]->type, new->parts[i]->type) ||
		    (!old->parts[i]->wanted && old->parts[i]->coding != new->parts[i]->coding))
			return false;
	return true;
}

static bool same_bodies(const struct mender *m, const struct mime_tree *new)
{
	const unsigned kinds = 1u << MIME_FRAME | 1u << MIME_LEAF;
	const struct mime_piece *a, *b;
	size_t i = 0, k = 0;

	do {
		a = next_piece(&m->tree, &i, kinds);
		b = next_piece(new, &k, kinds);
		if (!a != !b || (a && !same_piece(m, new, a, b)))
			return false;
	} while (a);
	return true;
}

static bool is_clean_tree(const struct mime_tree *t, struct view message)
{
	struct faults all = faults_of(message);

	if (all.nul || all.bare_cr || all.bare_lf || all.long_line || all.open || !message.len)
		return false;
	for (size_t i = 0; i < t->piece_count; i++) {
		const struct mime_piece *piece = &t->pieces[i];
		size_t blanks = 0;

		if (piece->kind == MIME_FIELD)
			mime_field_name(piece->bytes, &blanks);
		if (blanks || piece->kind == MIME_MBOX ||
		    (piece->kind == MIME_FIELD && faults_of(piece->bytes).eight) ||
		    (piece->kind == MIME_BLANK && t->parts[piece->part]->unclosed))
			return false;
	}
	return !t->garbled;
}

static bool is_proven(const struct mender *m)
{
	struct mime_tree new;
	bool proven;

	mime_parse(&new, buf_view(m->out));
	proven = is_clean_tree(&new, buf_view(m->out)) && same_parts(&m->tree, &new) &&
		 same_fields(&m->tree, &new) && same_bodies(m, &new);
	mime_free(&new);
	return proven;
}

/* ---- all of it ---- */

static int mend(struct mender *m, struct view original)
{
	struct faults f = faults_of(original);

	m->unix_form = f.bare_lf && !f.crlf;
	if (m->tree.garbled || is_clean_tree(&m->tree, original) || judge(m))
		return -1;
	m->changes = (f.bare_lf ? REPAIR_LINE_ENDS : 0) | (f.open ? REPAIR_LAST_LINE : 0);
	for (size_t i = 0; i < m->tree.piece_count; i++)
		if (write_piece(m, i))
			return -1;
	if (is_open(m->out) && buf_add_text(m->out, "\r\n"))
		return -1;
	return is_proven(m) ? 0 : -1;
}

int repair_mend(struct view original, struct buf *out, unsigned *changes)
{
	struct mender m = {.out = out};
	int failed;

	mime_parse(&m.tree, original);
	failed = original.len ? mend(&m, original) : -1;
	if (!failed)
		*changes = m.changes;
	mime_free(&m.tree);
	return failed;
}

bool repair_is_clean(struct view message)
{
	struct mime_tree tree;
	bool clean;

	mime_parse(&tree, message);
	clean = is_clean_tree(&tree, message);
	mime_free(&tree);
	return clean;
}

void repair_describe(char text[static REPAIR_TEXT], unsigned changes)
{
	static const char *const words[] = {"line ends made CRLF", "last line ended",
	    "mbox line taken off", "empty line put behind the header", "header encoded",
	    "header folded", "blanks before a colon taken out", "parts encoded"};
	size_t len = 0;

	text[0] = '\0';
	for (size_t i = 0; i < COUNT_OF(words); i++)
		if (changes & 1u << i)
			len += (size_t)snprintf(
			    text + len, REPAIR_TEXT - len, "%s%s", len ? ", " : "", words[i]);
}
