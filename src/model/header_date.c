/* header_date.c - when a message came, as its own header tells. Beside identity.c; pure. Promises: any
 * bytes are read safely; what cannot be read is no date rather than a wrong one. Does not: judge whether
 * the date is a likely one. */
#include "model/header_date.h"

#include <string.h>
#include <time.h>

#define DATE_TEXT 100u /* longer than any date with its comments that is worth reading */

/* ---- fields ---- */

/* The line at the front of *AT, without its end; moves behind it. False = the header has ended. */
static bool next_line(struct view *at, struct view *line)
{
	const char *lf = at->len ? memchr(at->data, '\n', at->len) : NULL;
	size_t len = lf ? (size_t)(lf - at->data) : at->len;

	*line = view_make(at->data, len && at->data[len - 1] == '\r' ? len - 1 : len);
	*at = view_make(at->data + len + (lf != NULL), at->len - len - (lf != NULL));
	return line->len > 0;
}

/* The first field NAME ("Date:"), unfolded, from its last DELIMITER on; false = there is none, or it is
 * longer than OUT. */
static bool find_field(struct view message, const char *name, char delimiter, char out[DATE_TEXT])
{
	struct view line;
	size_t len = 0;
	bool found = false;

	while (next_line(&message, &line)) {
		bool folded = line.data[0] == ' ' || line.data[0] == '\t';

		if (found && !folded)
			break;
		if (!found && !view_starts_nocase(line, name))
			continue;
		if (!found)
			line = view_make(line.data + strlen(name), line.len - strlen(name));
		found = true;
		for (size_t i = 0; i < line.len; i++) {
			if (delimiter && line.data[i] == delimiter)
				len = 0;
			else if (len < DATE_TEXT - 1)
				out[len++] =
				    line.data[i] == '\t' || !line.data[i] ? ' ' : line.data[i];
		}
	}
	out[len] = '\0';
	return found && len < DATE_TEXT - 1;
}

/* ---- dates ---- */

static const char *skip_blanks(const char *at)
{
	return at + strspn(at, " ");
}

/* "-0700", or a name of RFC 5322 §4.3; others, and none, are UTC. */
static int zone_minutes(const char *at)
{
	static const struct {
		const char *name;
		int hours;
	} names[] = {{"EST", -5}, {"EDT", -4}, {"CST", -6}, {"CDT", -5}, {"MST", -7}, {"MDT", -6},
	    {"PST", -8}, {"PDT", -7}};
	int digits[4];

	for (size_t i = 0; i < COUNT_OF(names); i++)
		if (!strncmp(at, names[i].name, 3))
			return names[i].hours * 60;
	if (*at != '+' && *at != '-')
		return 0;
	for (size_t i = 0; i < 4; i++) {
		if (at[i + 1] < '0' || at[i + 1] > '9')
			return 0;
		digits[i] = at[i + 1] - '0';
	}
	if (digits[0] > 1 || digits[2] > 5)
		return 0;
	return (*at == '-' ? -1 : 1) *
	       ((digits[0] * 10 + digits[1]) * 60 + digits[2] * 10 + digits[3]);
}

/* "Mon, 17 Jul 1996 02:44:25 -0700 (MST)" */
static int parse(const char *text, struct date *out)
{
	struct tm tm = {0};
	const char *at = skip_blanks(text), *comma = strchr(at, ',');
	int year;

	at = comma ? comma + 1 : at;
	if (!(at = strptime(at, " %d %b %Y %H:%M", &tm)))
		return -1;
	if (*at == ':' && !(at = strptime(at, ":%S", &tm)))
		return -1;
	year = tm.tm_year + 1900;
	if (year < 1000) /* two digits of RFC 822, or three of a broken clock */
		tm.tm_year = year < 50 ? year + 100 : year;
	out->zone = (int16_t)zone_minutes(skip_blanks(at));
	out->instant = (int64_t)timegm(&tm) - out->zone * 60;
	out->known = true;
	return 0;
}

int header_date(struct view message, struct date *out)
{
	char text[DATE_TEXT];

	if (find_field(message, "Received:", ';', text) && !parse(text, out))
		return 0;
	return find_field(message, "Date:", '\0', text) ? parse(text, out) : -1;
}
