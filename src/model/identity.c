/* identity.c - digests of messages that survive what servers are known to do to them.
 *
 * On the data's way: the engine feeds each body it carries, before its intent is written; the
 * connector feeds what it reads back at the destination when something is in doubt.
 * Promises: the result does not depend on how the bytes were cut; memory is one small reader,
 * whatever the size of message, field or line; ordinary bodies are hashed where they lie.
 * Does not: parse MIME, decode, judge dates, or decide who owns a match.
 *
 * One hash runs over the canonical bytes of the whole message. Where the header ends a copy of its
 * state is finished: that is the header's digest. The empty line belongs to the body, so a header
 * fetched alone gives the same digest with it and without it.
 *
 * A second hash takes only the differences between the bytes as carried and the canonical ones: what
 * was there, and where. Both together tell the very bytes, and hardly cost more than the first. */
#include "model/identity.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define DIGEST 16u
#define NAME_MAX_HELD 32u /* field names longer than this are not of interest */
#define MSGID_MAX 1000u
#define STATE_ALIGN 64u /* of libsodium's state */
#define DIFFERENCE 10u  /* bytes of a difference: kind, place, what was there */

static_assert(DIGEST == sizeof(((struct identity *)0)->header), "digest size");
static_assert(DIGEST >= crypto_generichash_BYTES_MIN, "digest size");

struct identity_reader {
	crypto_generichash_state hash;
	void *memory; /* what to free */
	uint64_t size, canonical_size;
	uint64_t hashed; /* canonical bytes so far */
	crypto_generichash_state differences;
	size_t staged;
	unsigned char stage[DIFFERENCE * 16]; /* differences not hashed yet */
	bool odd;                             /* 8-bit header, NUL, bare CR or LF */
	unsigned char last; /* the byte before the next one; at first a line end */
	bool in_body;
	/* the header's field: */
	bool decided; /* the name of this line's field is known (or it is a folded line) */
	bool skip;    /* it is volatile */
	bool is_msgid;
	size_t held;
	char name[NAME_MAX_HELD]; /* bytes of the line while not decided */
	bool finished;            /* identity_finish was asked: the header will do as it is */
	size_t msgid_len;
	char msgid[MSGID_MAX + 1];
	unsigned char header[DIGEST];
};

/* ---- hashing ---- */

static void hash_add(struct identity_reader *r, const void *data, size_t len)
{
	if (!len)
		return;
	crypto_generichash_update(&r->hash, data, len);
	r->hashed += len;
}

static void hash_digest(const crypto_generichash_state *hash, unsigned char out[DIGEST])
{
	crypto_generichash_state copy = *hash;

	crypto_generichash_final(&copy, out, DIGEST);
}

/* ---- differences ---- */

enum difference {
	WAS_BARE_LF = 'L', /* the line end at that place */
	WAS_BYTE = 'B',    /* another byte stood there */
	WAS_LINE = 'S',    /* a line is left out there; its bytes and a LF follow */
	WAS_OPEN = 'E',    /* no line end at the end */
};

static void stage_flush(struct identity_reader *r)
{
	if (r->staged)
		crypto_generichash_update(&r->differences, r->stage, r->staged);
	r->staged = 0;
}

static void differ_at(
    struct identity_reader *r, enum difference kind, uint64_t place, unsigned char byte)
{
	unsigned char *to;

	if (r->staged + DIFFERENCE > sizeof(r->stage))
		stage_flush(r);
	to = r->stage + r->staged;
	*to++ = (unsigned char)kind;
	for (unsigned shift = 0; shift < 64; shift += 8)
		*to++ = (unsigned char)(place >> shift);
	*to = byte;
	r->staged += DIFFERENCE;
}

static void differ_here(struct identity_reader *r, enum difference kind)
{
	differ_at(r, kind, r->hashed, 0);
}

/* Bytes of a line that is left out. */
static void differ_bytes(struct identity_reader *r, struct view v)
{
	if (!v.len)
		return;
	stage_flush(r);
	crypto_generichash_update(&r->differences, (const unsigned char *)v.data, v.len);
	for (size_t i = 0; i < v.len && !r->odd; i++)
		r->odd = !v.data[i] || (unsigned char)v.data[i] >= 0x80;
}

/* Is there a CR without LF behind it? FROM..TO ends at a LF or where the bytes at hand do. */
static void look_for_cr(struct identity_reader *r, const char *from, const char *to)
{
	if (!r->odd && to - from > 1 && memchr(from, '\r', (size_t)(to - from - 1)))
		r->odd = true;
}

/* ---- header ---- */

static void differ_masked(
    struct identity_reader *r, const char *was, const unsigned char *masked, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)was[i] != masked[i])
			differ_at(r, WAS_BYTE, r->hashed + i, (unsigned char)was[i]);
	r->odd = true;
}

/* Header bytes: what is not ASCII counts as 'X', and so does NUL. */
static void hash_masked(struct identity_reader *r, struct view v)
{
	unsigned char masked[512];
	size_t n;

	for (; v.len; v = view_make(v.data + n, v.len - n)) {
		unsigned different = 0;
		n = v.len < sizeof(masked) ? v.len : sizeof(masked);
		for (size_t i = 0; i < n; i++) {
			unsigned char c = (unsigned char)v.data[i];
			masked[i] = c == 0 || c >= 0x80 ? 'X' : c;
			different |= (unsigned)(masked[i] ^ c);
		}
		if (different)
			differ_masked(r, v.data, masked, n);
		hash_add(r, masked, n);
	}
}

static bool name_is_volatile(struct view name)
{
	static const char *const names[] = {"Status", "X-Status", "X-UID", "X-UIDL", "X-Keywords",
	    "X-IMAP", "X-IMAPbase", "Content-Length", "Return-Path", "Lines"};

	for (size_t i = 0; i < COUNT_OF(names); i++)
		if (view_is_nocase(name, names[i]))
			return true;
	return false;
}

/* The field of this line is known to be NAME (without the colon; empty = none of ours). */
static void field_decide(struct identity_reader *r, struct view name)
{
	while (name.len && (name.data[name.len - 1] == ' ' || name.data[name.len - 1] == '\t'))
		name.len--;
	r->decided = true;
	r->skip = name_is_volatile(name);
	r->is_msgid = !r->msgid_len && view_is_nocase(name, "Message-ID");
}

/* Bytes of a line whose field is decided. */
static void line_add(struct identity_reader *r, struct view v)
{
	if (r->skip)
		differ_bytes(r, v);
	else
		hash_masked(r, v);
}

/* The field is decided: take the bytes that were held back until then. */
static void held_release(struct identity_reader *r)
{
	if (r->skip)
		differ_here(r, WAS_LINE);
	line_add(r, view_make(r->name, r->held));
	r->held = 0;
}

static void msgid_add(struct identity_reader *r, struct view v)
{
	for (size_t i = 0; i < v.len && r->msgid_len < MSGID_MAX; i++) {
		unsigned char c = (unsigned char)v.data[i];
		if (c == ' ' || c == '\t' || c == '\r')
			continue;
		r->msgid[r->msgid_len++] = c == 0 || c >= 0x80 ? 'X' : (char)c;
	}
}

static void value_add(struct identity_reader *r, struct view v)
{
	line_add(r, v);
	if (r->is_msgid)
		msgid_add(r, v);
}

/* Hold bytes at the front of V back until they tell which field it is; the rest is its value. */
static struct view name_feed(struct identity_reader *r, struct view v)
{
	size_t at = 0;

	if (!r->held && (v.data[0] == ' ' || v.data[0] == '\t')) {
		r->decided = true; /* folded: the field goes on */
		held_release(r);
	}
	while (at < v.len && !r->decided) {
		char c = v.data[at++];
		if (c == ':')
			field_decide(r, view_make(r->name, r->held));
		r->name[r->held++] = c;
		if (!r->decided && r->held == NAME_MAX_HELD)
			field_decide(r, view_make(NULL, 0));
		if (r->decided)
			held_release(r);
	}
	return view_make(v.data + at, v.len - at);
}

static void header_bytes(struct identity_reader *r, struct view v)
{
	if (!v.len)
		return;
	r->odd |= r->last == '\r';
	look_for_cr(r, v.data, v.data + v.len);
	r->last = (unsigned char)v.data[v.len - 1];
	if (!r->decided)
		v = name_feed(r, v);
	if (r->decided)
		value_add(r, v);
}

/* A line that is nothing but its end closes the header; R->last is the byte before the LF. */
static bool line_is_empty(const struct identity_reader *r)
{
	return !r->decided && (r->held == 0 || (r->held == 1 && r->last == '\r'));
}

static void line_undecided(struct identity_reader *r)
{
	if (r->decided)
		return;
	field_decide(r, view_make(NULL, 0));
	held_release(r);
}

/* A line end, in canonical form. */
static void hash_line_end(struct identity_reader *r, bool bare)
{
	if (bare)
		differ_here(r, WAS_BARE_LF);
	hash_add(r, bare ? "\r\n" : "\n", bare ? 2 : 1);
}

static void line_end(struct identity_reader *r)
{
	bool bare = r->last != '\r', empty = line_is_empty(r);

	if (empty) {
		hash_digest(&r->hash, r->header);
		hash_add(r, "\r", !bare);
	} else {
		line_undecided(r);
	}
	if (r->skip && !empty)
		differ_bytes(r, view_of("\n"));
	else
		hash_line_end(r, bare);
	r->in_body = empty;
	r->odd |= bare;
	r->canonical_size += bare;
	r->decided = false;
	r->held = 0;
	r->last = '\n';
}

/* Takes lines off the front of V until the header has ended or V has. */
static struct view header_feed(struct identity_reader *r, struct view v)
{
	while (v.len && !r->in_body) {
		const char *lf = memchr(v.data, '\n', v.len);
		size_t len = lf ? (size_t)(lf - v.data) : v.len;
		header_bytes(r, view_make(v.data, len));
		if (lf) {
			line_end(r);
			len++;
		}
		v = view_make(v.data + len, v.len - len);
	}
	return v;
}

/* ---- body ---- */

/* Bytes without NUL, hashed in the longest runs that need no change. */
static void body_lines(struct identity_reader *r, struct view v)
{
	const char *from = v.data, *end = v.data + v.len, *lf;

	if (!v.len)
		return;
	r->odd |= r->last == '\r' && *from != '\n';
	for (const char *at = v.data; at < end; at = lf + 1) {
		lf = memchr(at, '\n', (size_t)(end - at));
		look_for_cr(r, at, lf ? lf : end);
		if (!lf)
			break;
		if ((lf == v.data ? r->last : (unsigned char)lf[-1]) == '\r')
			continue;
		hash_add(r, from, (size_t)(lf - from));
		hash_line_end(r, true);
		r->odd = true;
		r->canonical_size++;
		from = lf + 1;
	}
	hash_add(r, from, (size_t)(end - from));
	r->last = (unsigned char)end[-1];
}

static void body_feed(struct identity_reader *r, struct view v)
{
	const char *nul;

	while (v.len && (nul = memchr(v.data, '\0', v.len))) {
		size_t len = (size_t)(nul - v.data);
		body_lines(r, view_make(v.data, len));
		differ_at(r, WAS_BYTE, r->hashed, 0);
		hash_add(r, "\x80", 1);
		r->odd = true;
		r->last = 0;
		v = view_make(v.data + len + 1, v.len - len - 1);
	}
	body_lines(r, v);
}

/* ---- the reader ---- */

static void reader_init(struct identity_reader *r)
{
	memset(r, 0, sizeof(*r));
	crypto_generichash_init(&r->hash, NULL, 0, DIGEST);
	crypto_generichash_init(&r->differences, NULL, 0, DIGEST);
	r->last = '\n';
}

void identity_start(struct identity_reader **r)
{
	char *memory = mem_new(1, sizeof(**r) + STATE_ALIGN);
	size_t over = (uintptr_t)memory % STATE_ALIGN;
	struct identity_reader *reader = (void *)(memory + (over ? STATE_ALIGN - over : 0));

	reader_init(reader);
	reader->memory = memory;
	*r = reader;
}

void identity_feed(struct identity_reader *r, struct view bytes)
{
	r->size += bytes.len;
	r->canonical_size += bytes.len;
	if (!r->in_body)
		bytes = header_feed(r, bytes);
	if (bytes.len)
		body_feed(r, bytes);
}

/* The message ends here: the last line gets its end where it lacks one. */
static void reader_close(struct identity_reader *r)
{
	bool open = r->last != '\n';

	r->odd |= r->last == '\r';
	if (open && !r->in_body)
		line_undecided(r);
	if (open && !r->in_body && r->skip)
		differ_bytes(r, view_of("\n"));
	else if (open)
		hash_add(r, "\r\n", 2);
	if (open)
		differ_here(r, WAS_OPEN);
	if (!r->in_body)
		hash_digest(&r->hash, r->header);
}

/* What only the very same bytes have. */
static void exact_digest(
    struct identity_reader *r, const unsigned char body[DIGEST], unsigned char out[DIGEST])
{
	unsigned char both[2 * DIGEST];

	stage_flush(r);
	memcpy(both, body, DIGEST);
	hash_digest(&r->differences, both + DIGEST);
	crypto_generichash(out, DIGEST, both, sizeof(both), NULL, 0);
}

static void msgid_digest(const struct identity_reader *r, unsigned char out[8])
{
	unsigned char digest[DIGEST];

	if (!r->msgid_len)
		return;
	crypto_generichash(digest, DIGEST, (const unsigned char *)r->msgid, r->msgid_len, NULL, 0);
	memcpy(out, digest, 8);
}

void identity_finish(struct identity_reader *r, bool header_only, struct identity *out)
{
	struct identity_reader closed = *r; /* the caller may go on feeding */
	struct identity found = {0};

	reader_close(&closed);
	msgid_digest(&closed, found.msgid);
	memcpy(found.header, closed.header, DIGEST);
	if (!header_only) {
		found.size = closed.size;
		found.canonical_size = closed.canonical_size;
		hash_digest(&closed.hash, found.body);
		found.odd = closed.odd;
		if (found.odd)
			exact_digest(&closed, found.body, found.exact);
	}
	r->finished = true;
	*out = found;
}

void identity_free(struct identity_reader **r)
{
	if (*r)
		free((*r)->memory);
	*r = NULL;
}

bool identity_header_done(const struct identity_reader *r)
{
	return r->in_body;
}

const char *identity_msgid(const struct identity_reader *r)
{
	return r->in_body || r->finished ? r->msgid : "";
}

void identity_of(struct view message, struct identity *out, struct arena *a, const char **msgid)
{
	struct identity_reader r;
	char text[MSGID_MAX + 8];

	reader_init(&r);
	identity_feed(&r, message);
	identity_finish(&r, false, out);
	if (!msgid)
		return;
	text_printable(text, sizeof(text), r.msgid, r.msgid_len);
	*msgid = arena_strdup(a, text);
}

/* ---- comparing ---- */

static bool digest_known(const unsigned char digest[DIGEST])
{
	static const unsigned char unknown[DIGEST];

	return memcmp(digest, unknown, DIGEST) != 0;
}

static bool size_same(const struct identity *a, const struct identity *b)
{
	if ((!a->size && !a->canonical_size) || (!b->size && !b->canonical_size))
		return true; /* one was read by its header only */
	return (a->size && (a->size == b->size || a->size == b->canonical_size)) ||
	       (a->canonical_size &&
		   (a->canonical_size == b->size || a->canonical_size == b->canonical_size));
}

bool identity_has_msgid(const struct identity *i)
{
	static const unsigned char none[sizeof(i->msgid)];

	return memcmp(i->msgid, none, sizeof(none)) != 0;
}

bool identity_same(const struct identity *a, const struct identity *b)
{
	if (digest_known(a->body) && digest_known(b->body))
		return !memcmp(a->body, b->body, DIGEST); /* it covers all the rest */
	if (identity_has_msgid(a) && identity_has_msgid(b) &&
	    memcmp(a->msgid, b->msgid, sizeof(a->msgid)))
		return false;
	return digest_known(a->header) && !memcmp(a->header, b->header, DIGEST) && size_same(a, b);
}
