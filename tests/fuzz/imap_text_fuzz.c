/* imap_text_fuzz.c - names, dates, strings and sets: what can be read is written and read again, and
 * must be the same; what can be written is read again, and must be the same. */
#include "fuzz.h"
#include "wire/imap_reader.h"
#include "wire/imap_text.h"

enum { STEPS_MAX = 2000 };

static void check_utf7(struct view input)
{
	AUTO(arena_free) struct arena a = ARENA_INIT;
	char *text, *raw;

	if (imap_utf7_decode(&text, &a, input) == 0) {
		must(imap_utf7_encode(&raw, &a, text) == 0, "what decodes encodes");
		must(view_is(input, raw), "a name decoded and encoded is the same");
	}
	char *utf8 = arena_text(&a, input); /* up to a NUL, if there is one */
	if (imap_utf7_encode(&raw, &a, utf8) == 0) {
		must(imap_utf7_decode(&text, &a, view_of(raw)) == 0, "what was encoded decodes");
		must(!strcmp(text, utf8), "a name encoded and decoded is the same");
	}
}

static void check_date(struct view input)
{
	char out[IMAP_DATE_SIZE];
	int64_t instant, again;
	int16_t zone, zone_again;

	if (imap_date_parse(input, &instant, &zone) < 0)
		return;
	/* Near the ends of time the zone may reach into a year that cannot be written. */
	if (imap_date_format(out, instant, zone) < 0)
		must(instant > 253402000000 || instant < -62135000000, "a date can be written");
	else
		must(imap_date_parse(view_make(out + 1, strlen(out) - 2), &again, &zone_again) ==
			     0 &&
			 again == instant && zone_again == zone,
		    "a date written and read is the same");
}

/* Any instant in any zone: what can be written is read as it was. */
static void check_instant(struct view input)
{
	struct dice dice = dice_of(input);
	int64_t instant = (int64_t)dice.state >> dice_roll(&dice, 40), again;
	int16_t zone = (int16_t)((int)dice_roll(&dice, 4000) - 2000), zone_again;
	char out[IMAP_DATE_SIZE];

	if (imap_date_format(out, instant, zone) < 0)
		return;
	must(strlen(out) == strlen("\"17-Jul-1996 02:44:25 -0700\""), "a date has its length");
	must(imap_date_parse(view_make(out + 1, strlen(out) - 2), &again, &zone_again) == 0 &&
		 again == instant && zone_again == zone,
	    "an instant written and read is the same");
}

static void check_quoted(struct view input)
{
	AUTO(buf_free) struct buf line = BUF_INIT(1 << 20);
	AUTO(imap_reader_free) struct imap_reader r;
	size_t taken;

	imap_reader_init(&r, line.max);
	if (imap_needs_literal(input))
		return;
	buf_add_text(&line, "* X ");
	must(imap_add_quoted(&line, input) == 0, "a string can be quoted");
	buf_add_text(&line, "\r\n");
	must(imap_reader_feed(&r, buf_view(&line), &taken) == IMAP_EVENT_RESPONSE, "it is read");
	must(view_eq(imap_node_text(r.response.args), input),
	    "a string quoted and read is the same");
}

static void check_set(struct view input)
{
	AUTO(buf_free) struct buf out = BUF_INIT(1 << 20);
	struct imap_set_walk w = imap_set_walk(input);
	struct imap_set s;
	uint32_t uid, again, uids[STEPS_MAX];
	size_t count = 0;

	imap_set_start(&s, &out);
	while (count < STEPS_MAX && imap_set_next(&w, &uid) == 1) {
		must(uid > 0, "0 is in no set");
		must(imap_set_add(&s, uid) == 0, "there is room");
		if (count == 0 || uids[count - 1] != uid)
			uids[count++] = uid;
	}
	must(imap_set_finish(&s) == 0, "the end fits");
	w = imap_set_walk(buf_view(&out));
	for (size_t i = 0; i < count; i++)
		must(imap_set_next(&w, &again) == 1 && again == uids[i], "the set is the same");
	must(imap_set_next(&w, &again) == 0, "and has no more");
}

/* Element by element it is the set that is walked number by number. */
static void check_ranges(struct view input)
{
	struct imap_set_walk w = imap_set_walk(input), ranges = w;
	uint32_t uid, from, to;
	int one = 1, many;

	for (size_t steps = 0; one > 0 && steps < STEPS_MAX;) {
		many = imap_set_range(&ranges, &from, &to);
		for (uint32_t n = from; many > 0 && steps < STEPS_MAX; n += from < to ? 1 : -1u) {
			one = imap_set_next(&w, &uid);
			must(one > 0 && uid == n, "a range is its numbers");
			steps++;
			if (n == to)
				break;
		}
		if (many > 0)
			continue;
		must(imap_set_next(&w, &uid) == many, "both end alike");
		return;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view input = view_make(data, size);

	check_utf7(input);
	check_date(input);
	check_instant(input);
	check_quoted(input);
	check_set(input);
	check_ranges(input);
	return 0;
}
