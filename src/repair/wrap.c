/* wrap.c - a letter that carries a message which cannot stand by itself. Beside mend.c; the last rung.
 * Promises: the same original gives the same letter, so that a resumed run knows it again; the original
 * is in it byte for byte. Does not: judge whether that was needed. */
#include "repair/repair.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "repair/coding.h"
#include "repair/field.h"
#include "repair/mime.h"

#define VALUE_MAX 2000u

static const char text_part[] =
    "The mail server here does not take this message as it is: it is attached, unchanged.\r\n";

/* The first field of that name in the message's own header, with its line end; empty = none. */
static struct view find_field(const struct mime_tree *t, const char *name)
{
	for (size_t i = 0; i < t->piece_count && !t->pieces[i].part; i++) {
		struct view v = t->pieces[i].bytes;

		if (t->pieces[i].kind == MIME_FIELD &&
		    view_is_nocase(view_make(v.data, mime_field_name(v, NULL)), name))
			return v;
	}
	return (struct view){0};
}

static bool is_printable(struct view v)
{
	for (size_t i = 0; i < v.len; i++)
		if ((v.data[i] < ' ' && v.data[i] != '\t') || v.data[i] > '~')
			return false;
	return true;
}

/* Does it look like what such a field should hold, so that no server objects to it? */
static bool is_plausible(struct view value, const char *wanted)
{
	for (; *wanted; wanted++)
		if (!value.len || !memchr(value.data, *wanted, value.len))
			return false;
	return value.len <= VALUE_MAX;
}

/* The original's field, mended where it must be, or ELSE; "" = then there is none. */
static int add_field(struct buf *out, const struct mime_tree *t, const char *name,
    const char *wanted, const char *otherwise)
{
	struct arena a AUTO(arena_free) = ARENA_INIT;
	struct view field = find_field(t, name);
	struct view value = field.len ? mime_field_value(field, &a) : field;
	size_t before = out->len;
	unsigned changes;

	if (field.len && is_plausible(value, wanted) && !field_mend(out, field, &changes) &&
	    is_printable(mime_field_value(view_make(out->data + before, out->len - before), &a)))
		return 0;
	out->len = before;
	return *otherwise ? buf_printf(out, "%s: %s\r\n", name, otherwise) : 0;
}

/* RFC 5322, 3.3, in UTC. */
static void format_date(char *out, size_t size, int64_t date)
{
	static const char *const days[] = {"Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"};
	static const char *const months[] = {
	    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	int64_t day = date / 86400, second = date % 86400;
	/* days since 1 March 0000, in 400-year cycles */
	int64_t all = day + 719468, cycle = all / 146097, left = all % 146097;
	int64_t year = (left - left / 1460 + left / 36524 - left / 146096) / 365;
	int64_t of_year = left - (365 * year + year / 4 - year / 100);
	int64_t month = (5 * of_year + 2) / 153;

	snprintf(out, size, "%s, %lld %s %04lld %02lld:%02lld:%02lld +0000", days[day % 7],
	    (long long)(of_year - (153 * month + 2) / 5 + 1), months[(month + 2) % 12],
	    (long long)(cycle * 400 + year + (month >= 10)), (long long)(second / 3600),
	    (long long)(second / 60 % 60), (long long)(second % 60));
}

static int add_header(struct buf *out, const struct mime_tree *t, const char *digest, int64_t date)
{
	char when[60], id[100];

	format_date(when, sizeof(when), date > 0 && date < INT64_C(253402300800) ? date : 0);
	snprintf(id, sizeof(id), "<%s@wrapped.invalid>", digest);
	return add_field(out, t, "From", "@", "unknown sender <unknown@sender.invalid>") ||
	       add_field(out, t, "To", "@", "") || add_field(out, t, "Subject", "", "(none)") ||
	       add_field(out, t, "Date", " :", when) || add_field(out, t, "Message-ID", "<@>", id);
}

static int add_original(struct buf *out, struct view original)
{
	if (repair_is_clean(original))
		return buf_printf(out, "Content-Type: message/rfc822\r\n"
				       "Content-Disposition: attachment\r\n") ||
		       buf_add_text(out, "Content-Transfer-Encoding: 8bit\r\n\r\n") ||
		       buf_add_view(out, original);
	return buf_add_text(out, "Content-Type: application/octet-stream; "
				 "name=\"original.eml\"\r\n"
				 "Content-Disposition: attachment; filename=\"original.eml\"\r\n"
				 "Content-Transfer-Encoding: base64\r\n\r\n") ||
	       coding_base64(out, original);
}

static int wrap(struct buf *out, const struct mime_tree *t, struct view original, int64_t date)
{
	unsigned char bytes[16];
	char digest[33];

	crypto_generichash(
	    bytes, sizeof(bytes), (const unsigned char *)original.data, original.len, NULL, 0);
	hex_encode(digest, bytes, sizeof(bytes));
	return add_header(out, t, digest, date) ||
	       buf_printf(out,
		   "MIME-Version: 1.0\r\n"
		   "Content-Type: multipart/mixed; boundary=\"%s\"\r\n"
		   "Content-Transfer-Encoding: 8bit\r\n"
		   "\r\n"
		   "--%s\r\n"
		   "Content-Type: text/plain; charset=us-ascii\r\n"
		   "\r\n"
		   "%s\r\n"
		   "--%s\r\n",
		   digest, digest, text_part, digest) ||
	       add_original(out, original) || buf_printf(out, "\r\n--%s--\r\n", digest);
}

int repair_wrap(struct view original, int64_t date, struct buf *out)
{
	struct mime_tree tree;
	int failed;

	mime_parse(&tree, original);
	failed = wrap(out, &tree, original, date);
	mime_free(&tree);
	return failed ? -1 : 0;
}
