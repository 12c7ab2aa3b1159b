/* imap_text.c - the small grammars of IMAP: modified UTF-7, dates, quoted strings, UID sets.
 *
 * Stands beside imap_reader: connect/imap uses it to understand what the reader's nodes say and to
 * write its own commands.
 *
 * Promises: what a server sends is never trusted to be well formed, and no input makes a function
 * do more work than a constant times its length. A name that decodes is encoded again to the very
 * same bytes, so that two raw names never look like one. No locale, no time zone of the process.
 *
 * Does not: decide what to do with a name or a date that cannot be read. */
#include "wire/imap_text.h"

#include <stdio.h>
#include <string.h>

/* ---- modified UTF-7 ---- */

static const char utf7_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

/* The worst: one control character becomes "&AAk-". */
enum { UTF7_PER_BYTE = 5 };

/* Bits on their way into or out of base64. */
struct bits {
	uint32_t value;
	unsigned count;
};

static bool utf7_is_plain(unsigned char c)
{
	return c >= 0x20 && c <= 0x7e;
}

static char *utf8_put(char *out, uint32_t c)
{
	if (c < 0x80) {
		*out++ = (char)c;
		return out;
	}
	if (c < 0x800) {
		*out++ = (char)(0xc0 | c >> 6);
	} else {
		if (c < 0x10000) {
			*out++ = (char)(0xe0 | c >> 12);
		} else {
			*out++ = (char)(0xf0 | c >> 18);
			*out++ = (char)(0x80 | (c >> 12 & 0x3f));
		}
		*out++ = (char)(0x80 | (c >> 6 & 0x3f));
	}
	*out++ = (char)(0x80 | (c & 0x3f));
	return out;
}

/* The character at *TEXT, which moves on; -1 = not UTF-8 (RFC 3629: nothing overlong, no
 * surrogates, none above 10FFFF). The NUL at the end stops every sequence. */
static int32_t utf8_take(const char **text)
{
	const unsigned char *p = (const unsigned char *)*text;
	static const int32_t least[] = {0, 0x80, 0x800, 0x10000};
	int more = *p < 0x80 ? 0 : *p >= 0xf0 ? 3 : *p >= 0xe0 ? 2 : 1;
	int32_t c = more == 0 ? *p : *p & (0x3f >> more);

	if (*p >= 0xf8 || (*p >= 0x80 && *p < 0xc0))
		return -1;
	for (int i = 1; i <= more; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return -1;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (c < least[more] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return -1;
	*text += more + 1;
	return c;
}

static char *utf7_put_unit(char *out, struct bits *bits, uint32_t unit)
{
	bits->value = bits->value << 16 | unit;
	for (bits->count += 16; bits->count >= 6; bits->count -= 6)
		*out++ = utf7_digits[bits->value >> (bits->count - 6) & 0x3f];
	return out;
}

/* A run of characters that are not plain; *TEXT moves behind it. NULL = not UTF-8. */
static char *utf7_put_run(char *out, const char **text)
{
	struct bits bits = {0};

	*out++ = '&';
	while (**text && !utf7_is_plain((unsigned char)**text)) {
		int32_t c = utf8_take(text);
		if (c < 0)
			return NULL;
		if (c >= 0x10000) {
			out = utf7_put_unit(out, &bits, 0xd800 + ((uint32_t)(c - 0x10000) >> 10));
			c = 0xdc00 + ((c - 0x10000) & 0x3ff);
		}
		out = utf7_put_unit(out, &bits, (uint32_t)c);
	}
	if (bits.count > 0)
		*out++ = utf7_digits[bits.value << (6 - bits.count) & 0x3f];
	*out++ = '-';
	return out;
}

int imap_utf7_encode(char **out, struct arena *a, const char *utf8)
{
	char *text = arena_new(a, strlen(utf8) * UTF7_PER_BYTE + 1, 1);
	char *end = text;

	while (*utf8) {
		if (utf7_is_plain((unsigned char)*utf8)) {
			*end++ = *utf8;
			if (*utf8++ == '&')
				*end++ = '-';
		} else if (!(end = utf7_put_run(end, &utf8))) {
			return -1;
		}
	}
	*out = text;
	return 0;
}

/* One UTF-16 unit of a run; HIGH remembers the first half of a pair, 0 = none. -1 = not valid. */
static int utf7_take_unit(char **out, uint32_t unit, uint32_t *high)
{
	bool is_low = unit >= 0xdc00 && unit <= 0xdfff;

	if (is_low != (*high != 0) || unit == 0)
		return -1;
	if (unit >= 0xd800 && unit <= 0xdbff) {
		*high = unit;
		return 0;
	}
	if (is_low)
		unit = 0x10000 + ((*high - 0xd800) << 10) + (unit - 0xdc00);
	*high = 0;
	*out = utf8_put(*out, unit);
	return 0;
}

/* The base64 between "&" and "-". -1 = not valid. Left-over bits are the caller's to compare. */
static int utf7_take_run(char **out, struct view run)
{
	struct bits bits = {0};
	uint32_t high = 0;

	for (size_t i = 0; i < run.len; i++) {
		const char *digit = run.data[i] ? strchr(utf7_digits, run.data[i]) : NULL;
		if (!digit)
			return -1;
		bits.value = bits.value << 6 | (uint32_t)(digit - utf7_digits);
		bits.count += 6;
		if (bits.count < 16)
			continue;
		bits.count -= 16;
		if (utf7_take_unit(out, bits.value >> bits.count & 0xffff, &high) < 0)
			return -1;
	}
	return high == 0 ? 0 : -1;
}

/* Reads what is plausible; the caller compares with what would have been written. */
static int utf7_take_all(char *out, struct view raw)
{
	const char *at = raw.data, *end = raw.data + raw.len;

	while (at < end) {
		if (!utf7_is_plain((unsigned char)*at))
			return -1;
		if (*at != '&') {
			*out++ = *at++;
			continue;
		}
		const char *close = memchr(at, '-', (size_t)(end - at));
		if (!close)
			return -1;
		struct view run = view_make(at + 1, (size_t)(close - at - 1));
		if (run.len == 0)
			*out++ = '&';
		else if (utf7_take_run(&out, run) < 0)
			return -1;
		at = close + 1;
	}
	return 0;
}

int imap_utf7_decode(char **out, struct arena *a, struct view raw)
{
	/* Three bytes of UTF-8 for every 16 bits of base64, which are at least two digits. */
	char *text = arena_new(a, raw.len * 2 + 1, 1);
	char *again;

	if (utf7_take_all(text, raw) < 0 || imap_utf7_encode(&again, a, text) < 0)
		return -1;
	/* "&AGE-" (an encoded "a"), "&Jjo-&Jjo-" (one run in two), bits left over: readable, but
	 * not what we would write; the server would not find the folder by our spelling. */
	if (!view_eq(view_of(again), raw))
		return -1;
	*out = text;
	return 0;
}

/* ---- dates ---- */

static const char month_names[12][4] = {
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

enum { DAY_SECONDS = 86400, DAYS_TO_1970 = 719162, YEAR_MAX = 9999, ZONE_MAX = 24 * 60 - 1 };

static bool year_is_leap(int year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int month_length(int year, int month)
{
	static const int lengths[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	return lengths[month] + (month == 1 && year_is_leap(year));
}

/* Days from the first day of year 1 to that of YEAR. */
static int days_before_year(int year)
{
	int past = year - 1;

	return past * 365 + past / 4 - past / 100 + past / 400;
}

/* *AT moves behind at most MOST digits; -1 = there is none. */
static int take_digits(struct view *at, size_t most)
{
	int n = 0;
	size_t i = 0;

	for (; i < most && i < at->len && at->data[i] >= '0' && at->data[i] <= '9'; i++)
		n = n * 10 + (at->data[i] - '0');
	if (i == 0)
		return -1;
	*at = view_make(at->data + i, at->len - i);
	return n;
}

static bool take_char(struct view *at, char c)
{
	if (at->len == 0 || at->data[0] != c)
		return false;
	*at = view_make(at->data + 1, at->len - 1);
	return true;
}

static void take_spaces(struct view *at)
{
	while (take_char(at, ' '))
		;
}

/* 0 = January; -1 = none. */
static int take_month(struct view *at)
{
	for (int month = 0; month < 12; month++) {
		if (view_starts_nocase(*at, month_names[month])) {
			*at = view_make(at->data + 3, at->len - 3);
			return month;
		}
	}
	return -1;
}

/* "17-Jul-1996" as days since 1970. */
static int take_day(struct view *at, int64_t *days)
{
	int day = take_digits(at, 2);
	if (day < 1 || !take_char(at, '-'))
		return -1;
	int month = take_month(at);
	if (month < 0 || !take_char(at, '-'))
		return -1;
	size_t before = at->len;
	int year = take_digits(at, 4);
	if (before - at->len == 2) /* the years of RFC 822, read as RFC 5322 §4.3 says */
		year += year < 50 ? 2000 : 1900;
	if (year < 1 || day > month_length(year, month))
		return -1;
	*days = days_before_year(year) - DAYS_TO_1970 + day - 1;
	for (int m = 0; m < month; m++)
		*days += month_length(year, m);
	return 0;
}

/* "02:44:25" as seconds; a leap second counts as the next one's beginning. */
static int take_time(struct view *at, int64_t *seconds)
{
	static const int limits[3] = {23, 59, 60};
	int part[3];

	for (int i = 0; i < 3; i++) {
		if (i > 0 && !take_char(at, ':'))
			return -1;
		part[i] = take_digits(at, 2);
		if (part[i] < 0 || part[i] > limits[i])
			return -1;
	}
	*seconds = part[0] * 3600 + part[1] * 60 + part[2];
	return 0;
}

/* "-0700" as minutes; nothing, or a name of it, is UTC. */
static int take_zone(struct view *at, int *minutes)
{
	*minutes = 0;
	if (at->len == 0 || view_is_nocase(*at, "UTC") || view_is_nocase(*at, "GMT") ||
	    view_is_nocase(*at, "UT") || view_is_nocase(*at, "Z")) {
		*at = (struct view){0};
		return 0;
	}
	bool west = take_char(at, '-');
	if (!west && !take_char(at, '+'))
		return -1;
	int hours = take_digits(at, 2), rest = take_digits(at, 2);
	if (hours < 0 || hours > 23 || rest < 0 || rest > 59)
		return -1;
	*minutes = (hours * 60 + rest) * (west ? -1 : 1);
	return 0;
}

int imap_date_parse(struct view text, int64_t *instant, int16_t *zone)
{
	int64_t days, seconds;
	int minutes;

	take_spaces(&text);
	if (take_day(&text, &days) < 0 || !take_char(&text, ' '))
		return -1;
	take_spaces(&text);
	if (take_time(&text, &seconds) < 0)
		return -1;
	take_spaces(&text);
	if (take_zone(&text, &minutes) < 0)
		return -1;
	take_spaces(&text);
	if (text.len > 0)
		return -1;
	*instant = days * DAY_SECONDS + seconds - minutes * 60;
	*zone = (int16_t)minutes;
	return 0;
}

/* DAYS since the first day of year 1, not negative, become a date. */
static void split_days(int days, int *year, int *month, int *day)
{
	/* A year has at most 366 days, so the guess is never too late, and is soon corrected. */
	*year = days / 366 + 1;
	while (days_before_year(*year + 1) <= days)
		++*year;
	days -= days_before_year(*year);
	*month = 0;
	while (days >= month_length(*year, *month))
		days -= month_length(*year, (*month)++);
	*day = days + 1;
}

/* VALUE as exactly COUNT digits. */
static char *put_digits(char *out, int value, int count)
{
	for (int i = count - 1; i >= 0; i--, value /= 10)
		out[i] = (char)('0' + value % 10);
	return out + count;
}

static char *put_day(char *out, int days)
{
	int year, month, day;

	split_days(days, &year, &month, &day);
	out = put_digits(out, day, 2);
	*out++ = '-';
	memcpy(out, month_names[month], 3);
	out[3] = '-';
	return put_digits(out + 4, year, 4);
}

static char *put_time(char *out, int seconds)
{
	out = put_digits(out, seconds / 3600, 2);
	*out++ = ':';
	out = put_digits(out, seconds / 60 % 60, 2);
	*out++ = ':';
	return put_digits(out, seconds % 60, 2);
}

int imap_date_format(char out[static IMAP_DATE_SIZE], int64_t instant, int16_t zone)
{
	const int64_t first = (int64_t)-DAYS_TO_1970 * DAY_SECONDS;
	const int64_t end = (days_before_year(YEAR_MAX + 1) - DAYS_TO_1970) * (int64_t)DAY_SECONDS;
	int minutes = zone < 0 ? -zone : zone;

	if (minutes > ZONE_MAX || instant < first - zone * 60 || instant >= end - zone * 60)
		return -1;
	int64_t local = instant + zone * 60 - first;
	*out++ = '"';
	out = put_day(out, (int)(local / DAY_SECONDS));
	*out++ = ' ';
	out = put_time(out, (int)(local % DAY_SECONDS));
	*out++ = ' ';
	*out++ = zone < 0 ? '-' : '+';
	out = put_digits(out, minutes / 60 * 100 + minutes % 60, 4);
	memcpy(out, "\"", 2);
	return 0;
}

/* ---- strings ---- */

bool imap_needs_literal(struct view v)
{
	for (size_t i = 0; i < v.len; i++) {
		unsigned char c = (unsigned char)v.data[i];
		if (c == '\0' || c == '\r' || c == '\n' || c >= 0x80)
			return true;
	}
	return false;
}

static bool quoted_needs_escape(char c)
{
	return c == '"' || c == '\\';
}

int imap_add_quoted(struct buf *b, struct view v)
{
	size_t len = v.len + 2;

	assert(!imap_needs_literal(v));
	for (size_t i = 0; i < v.len; i++)
		len += quoted_needs_escape(v.data[i]);
	char *out = buf_room(b, len);
	if (!out)
		return -1;
	*out++ = '"';
	for (size_t i = 0; i < v.len; i++) {
		if (quoted_needs_escape(v.data[i]))
			*out++ = '\\';
		*out++ = v.data[i];
	}
	*out = '"';
	buf_grown(b, len);
	return 0;
}

/* ---- UID sets ---- */

enum { SET_ELEMENT_SIZE = 24 };

/* The text of a run, with a comma before it if the set has others already. */
static size_t set_element(
    char out[static SET_ELEMENT_SIZE], bool comma, uint32_t first, uint32_t last)
{
	int len = snprintf(out, SET_ELEMENT_SIZE, "%s%u", comma ? "," : "", first);

	if (last > first)
		len += snprintf(out + len, SET_ELEMENT_SIZE - (size_t)len, ":%u", last);
	return (size_t)len;
}

static bool set_has_room(const struct imap_set *s, size_t len)
{
	return len <= s->out->max - s->out->len;
}

void imap_set_start(struct imap_set *s, struct buf *out)
{
	*s = (struct imap_set){.out = out};
}

int imap_set_add(struct imap_set *s, uint32_t uid)
{
	char run[SET_ELEMENT_SIZE], next[SET_ELEMENT_SIZE];

	assert(uid > 0);
	if (s->any && uid == s->last)
		return 0;
	bool joins = s->any && uid - 1 == s->last;
	size_t len = s->any ? set_element(run, s->written, s->first, joins ? uid : s->last) : 0;
	size_t next_len = joins ? 0 : set_element(next, s->any, uid, uid);
	if (!set_has_room(s, len + next_len))
		return -1;
	if (!joins) {
		buf_add(s->out, run, len); /* fits, as just asked */
		s->written = s->any;
		s->first = uid;
	}
	s->last = uid;
	s->any = true;
	return 0;
}

int imap_set_finish(struct imap_set *s)
{
	char run[SET_ELEMENT_SIZE];

	if (!s->any)
		return 0;
	s->any = false;
	return buf_add(s->out, run, set_element(run, s->written, s->first, s->last));
}

/* A number of a set: 1 to 2^32-1. */
static int set_take_number(struct view *at, uint32_t *out)
{
	uint64_t n;
	size_t len = 0;

	while (len < at->len && at->data[len] != ':' && at->data[len] != ',')
		len++;
	if (view_number(view_make(at->data, len), &n) < 0 || n == 0 || n > UINT32_MAX)
		return -1;
	*at = view_make(at->data + len, at->len - len);
	*out = (uint32_t)n;
	return 0;
}

struct imap_set_walk imap_set_walk(struct view text)
{
	return (struct imap_set_walk){.rest = text};
}

/* "7:9" or "5" at the head of what is left: 1, 0 = nothing is left, -1. */
static int set_take_element(struct imap_set_walk *w, uint32_t *from, uint32_t *to)
{
	struct view at = w->rest;

	if (at.len == 0)
		return 0;
	if (set_take_number(&at, from) < 0)
		return -1;
	*to = *from;
	if (take_char(&at, ':') && set_take_number(&at, to) < 0)
		return -1;
	if (at.len > 0 && (!take_char(&at, ',') || at.len == 0))
		return -1;
	w->rest = at;
	return 1;
}

int imap_set_range(struct imap_set_walk *w, uint32_t *from, uint32_t *to)
{
	uint32_t first, last;
	int found = 1;

	if (w->step != 0) {
		first = (uint32_t)w->at;
		last = (uint32_t)w->to;
	} else {
		found = set_take_element(w, &first, &last);
	}
	if (found != 1)
		return found;
	w->step = 0;
	*from = first;
	*to = last;
	return 1;
}

int imap_set_next(struct imap_set_walk *w, uint32_t *uid)
{
	uint32_t from, to;
	int found = imap_set_range(w, &from, &to);

	if (found != 1)
		return found;
	*uid = from;
	w->step = from == to ? 0 : from < to ? 1 : -1;
	w->at = (uint64_t)((int64_t)from + w->step);
	w->to = to;
	return 1;
}
