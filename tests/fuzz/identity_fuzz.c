/* identity_fuzz.c - any message's identity: the same however it is cut, of its header alone as of the
 * whole, whatever its line ends are and whatever volatile fields it has; and another when a letter of
 * it is another. */
#include "fuzz.h"
#include "model/identity.h"

enum { OUT_MAX = 1 << 20 };

static bool same_digest(const unsigned char *a, const unsigned char *b, size_t len)
{
	return !memcmp(a, b, len);
}

static bool same_content(const struct identity *a, const struct identity *b)
{
	return same_digest(a->msgid, b->msgid, sizeof(a->msgid)) &&
	       same_digest(a->header, b->header, sizeof(a->header)) &&
	       same_digest(a->body, b->body, sizeof(a->body));
}

static bool same_all(const struct identity *a, const struct identity *b)
{
	return same_content(a, b) && a->size == b->size && a->canonical_size == b->canonical_size &&
	       a->odd == b->odd && same_digest(a->exact, b->exact, sizeof(a->exact));
}

static struct identity whole_of(struct view message)
{
	struct identity i;

	identity_of(message, &i, NULL, NULL);
	return i;
}

/* In pieces, and asked in between, as the check and a stream do it. */
static void check_cuts(struct view message, const struct identity *whole, size_t most)
{
	struct dice dice = dice_of(message);
	AUTO(identity_free) struct identity_reader *r = NULL;
	struct identity cut, early;
	struct view rest = message;

	identity_start(&r);
	while (rest.len) {
		identity_feed(r, dice_cut(&dice, &rest, most));
		if (!dice_roll(&dice, 4))
			identity_finish(r, dice_roll(&dice, 2), &early);
	}
	identity_finish(r, false, &cut);
	must(same_all(&cut, whole), "the cuts do not matter");
}

static void check_header(struct view message, const struct identity *whole)
{
	AUTO(identity_free) struct identity_reader *r = NULL;
	struct identity header;

	identity_start(&r);
	for (size_t at = 0; at < message.len && !identity_header_done(r); at++)
		identity_feed(r, view_make(message.data + at, 1));
	identity_finish(r, true, &header);
	must(!header.size && !header.odd, "of a header no size is told");
	must(same_digest(header.header, whole->header, sizeof(header.header)) &&
		 same_digest(header.msgid, whole->msgid, sizeof(header.msgid)),
	    "the header alone is known by its digests");
	must(identity_same(&header, whole) && identity_same(whole, &header), "and is the same");
}

/* Every LF with a CR before it, as a server may store it. */
static void check_line_ends(struct view message, const struct identity *whole)
{
	AUTO(buf_free) struct buf out = BUF_INIT(OUT_MAX);
	struct identity other;

	for (size_t i = 0; i < message.len; i++) {
		if (message.data[i] == '\n' && (i == 0 || message.data[i - 1] != '\r'))
			buf_add_char(&out, '\r');
		buf_add_char(&out, message.data[i]);
	}
	other = whole_of(buf_view(&out));
	must(same_content(&other, whole) && identity_same(&other, whole), "line ends are the same");
	must(whole->canonical_size == out.len, "the canonical size is that with CR LF");
	must(out.len == message.len || !same_digest(other.exact, whole->exact, sizeof(other.exact)),
	    "but the bytes are not");
}

static void check_volatile(struct view message, const struct identity *whole)
{
	AUTO(buf_free) struct buf out = BUF_INIT(OUT_MAX);
	struct identity other;

	if (message.len && (message.data[0] == ' ' || message.data[0] == '\t'))
		return; /* it would go on with our field */
	buf_add_text(&out, "x-uid: 5\r\n\t7\r\nLines : 12\r\n");
	buf_add_view(&out, message);
	other = whole_of(buf_view(&out));
	must(same_content(&other, whole), "volatile fields are left out");
}

/* Another letter in the body is another message. */
static void check_change(struct view message, const struct identity *whole)
{
	struct dice dice = dice_of(message);
	AUTO(buf_free) struct buf out = BUF_INIT(OUT_MAX);
	const char *body = message.len ? memmem(message.data, message.len, "\n\n", 2) : NULL;
	struct identity other;
	size_t at;

	if (!body || body + 2 == message.data + message.len)
		return;
	at = (size_t)(body + 2 - message.data);
	at += dice_roll(&dice, message.len - at);
	if (message.data[at] < 'a' || message.data[at] > 'y')
		return;
	buf_add_view(&out, message);
	out.data[at]++;
	other = whole_of(buf_view(&out));
	must(!identity_same(&other, whole), "another letter is another message");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t mosts[] = {1, 3, 100};
	struct view message = view_make(data, size);
	struct arena a AUTO(arena_free) = ARENA_INIT;
	const char *msgid;
	struct identity whole;

	identity_of(message, &whole, &a, &msgid);
	must(identity_has_msgid(&whole) == (*msgid != '\0'), "a Message-ID is there or not");
	for (size_t i = 0; i < COUNT_OF(mosts); i++)
		check_cuts(message, &whole, mosts[i]);
	check_header(message, &whole);
	check_line_ends(message, &whole);
	check_volatile(message, &whole);
	check_change(message, &whole);
	return 0;
}
