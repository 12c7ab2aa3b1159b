/* look_report.c - what verify and check found, for people. Last station of their summaries.
 * Promises: "the same" is said only of what was compared, and how; a prediction says what it leans on,
 * and what is not known is said to be so. Does not: name every exception (--report does). */
#include "cli/look_report.h"

#include <stdio.h>
#include <string.h>

#include "cli/report.h"
#include "cli/show.h"

#define NAME_WIDTH 30

static void add_size(struct buf *out, uint64_t bytes)
{
	char text[SHOW_MAX];

	show_size(text, bytes);
	buf_add_text(out, text);
}

static void add_number(struct buf *out, uint64_t n)
{
	char text[SHOW_MAX];

	show_count(text, n);
	buf_add_text(out, text);
}

static void print_head(struct buf *out, const struct face *f, const char *verb, uint64_t ms)
{
	char time[SHOW_MAX];

	show_clean(out, f->args->options.source.identity);
	buf_add_text(out, " to ");
	show_clean(out, f->args->options.destination.identity);
	show_duration(time, ms / 1000);
	buf_printf(out, ": %s in %s\n\n", verb, time);
}

/* ", 3 failed"; nothing of nothing. */
static void add_part(struct buf *out, uint64_t n, const char *what)
{
	if (!n)
		return;
	buf_add_text(out, ", ");
	add_number(out, n);
	buf_printf(out, " %s", what);
}

static void print_tail(struct buf *out, const struct face *f, uint64_t exceptions)
{
	if (exceptions)
		report_print_file(out, f->file.done ? f->file.path : NULL);
}

/* ---- verify ---- */

int verify_exit_code(const struct verify_summary *s, bool exact)
{
	const struct verdict *v = &s->all;

	if (s->folders_missing || s->folders_failed || v->missing || v->flags || v->dates ||
	    v->sizes || v->bytes || v->unread)
		return 1;
	return exact && (s->folders_extra || v->extra || v->altered);
}

static void print_means(struct buf *out, const struct verify_summary *s, bool digest)
{
	buf_add_text(out, "  Compared  sizes, arrival dates, flags, ");
	if (digest) {
		buf_add_text(out, "and every byte\n");
		return;
	}
	buf_add_text(out, "digests of the headers");
	if (s->seed) {
		buf_add_text(out, "; and every byte of ");
		report_add_count(out, s->all.read_whole, "message");
		buf_printf(out, " (--seed %llu)", (unsigned long long)s->seed);
	}
	buf_add_text(out, "\n");
}

static void print_counts(struct buf *out, const struct verify_summary *s)
{
	const struct verdict *v = &s->all;

	buf_add_text(out, "  Folders   ");
	add_number(out, s->folders);
	buf_add_text(out, " compared");
	add_part(out, s->folders_missing, "of them not at the destination");
	add_part(out, s->folders_failed, "failed");
	add_part(out, s->folders_extra, "only at the destination");
	buf_add_text(out, "\n  Messages  ");
	add_number(out, v->source_items);
	buf_add_text(out, " at the source, ");
	add_number(out, v->target_items);
	buf_add_text(out, " at the destination; ");
	add_number(out, v->same);
	buf_add_text(out, " the same\n");
}

static void print_verdict(
    struct buf *out, const struct face *f, const struct verify_summary *s, int code)
{
	AUTO(buf_free) struct buf parts = BUF_INIT(1000);
	const struct verdict *v = &s->all;

	if (!code) {
		buf_add_text(out, "\nThe same: all ");
		report_add_count(out, v->source_items, "message");
		buf_add_text(out, " of the source are at the destination");
		if (f->args->digest)
			buf_add_text(out, v->altered ? ", but for what its server altered"
						     : ", to the last byte");
		buf_add_text(out, ".\n");
		return;
	}
	add_part(&parts, v->missing, "missing");
	add_part(&parts, v->bytes, "with other bytes");
	add_part(&parts, v->sizes, "of another size");
	add_part(&parts, v->dates, "with another date");
	add_part(&parts, v->flags, "with other flags");
	add_part(&parts, v->unread, "that could not be read");
	add_part(&parts, f->args->exact ? v->extra : 0, "only at the destination");
	add_part(&parts, f->args->exact ? v->altered : 0, "altered by the destination's server");
	add_part(&parts, s->folders_missing, "folders not at the destination");
	add_part(&parts, s->folders_failed, "folders not compared");
	buf_printf(out, "\nNOT THE SAME:%s.\n", parts.len ? parts.data + 1 : "");
}

void verify_report_print(struct buf *out, const struct face *f, const void *summary, bool ended)
{
	const struct verify_summary *s = summary;
	uint64_t exceptions;

	(void)ended;
	print_head(out, f, "compared", s->elapsed_ms);
	print_counts(out, s);
	print_means(out, s, f->args->digest);
	exceptions =
	    report_print_groups(out, &f->tally, "Different:", "The same, but worth knowing:");
	print_verdict(out, f, s, verify_exit_code(s, f->args->exact));
	print_tail(out, f, exceptions);
}

/* ---- check ---- */

int check_exit_code(const struct survey_summary *s)
{
	return s->folders_refused || s->folders_failed || s->too_big || s->quota_short;
}

static void add_name(struct buf *out, const char *name, size_t width)
{
	AUTO(buf_free) struct buf text = BUF_INIT(4096);
	size_t columns;

	show_fit(&text, name, width);
	columns = text.data ? show_columns(text.data) : 0;
	buf_printf(out, "%s%*s", text.data ? text.data : "",
	    (int)(columns < width ? width - columns : 0), "");
}

void check_report_row(
    struct buf *out, const char *source, const char *target, const struct survey_folder *f)
{
	char count[SHOW_MAX], size[SHOW_MAX];

	show_count(count, f->items);
	show_size(size, f->bytes);
	buf_add_text(out, "  ");
	add_name(out, source, NAME_WIDTH);
	buf_printf(out, "%10s %10s  ", count, size);
	show_fit(out, target, NAME_WIDTH);
	if (!f->there) {
		buf_add_text(out, " (would be made)\n");
		return;
	}
	show_count(count, f->target_items);
	buf_printf(out, " (has %s)\n", count);
}

static void print_limit(struct buf *out, const struct survey_summary *s)
{
	buf_add_text(out, "  Largest   ");
	if (!s->max_size) {
		buf_add_text(out, "not known: the destination tells no limit\n");
		return;
	}
	add_size(out, s->max_size);
	buf_add_text(out, s->limit_told ? " a message" : " a message, by --max-size alone");
	buf_add_text(out, s->too_big ? ": too little for " : "; none is larger\n");
	if (s->too_big) {
		report_add_count(out, s->too_big, "message");
		buf_add_text(out, "\n");
	}
}

static void print_quota(struct buf *out, const struct survey_summary *s)
{
	buf_add_text(out, "  Room      ");
	if (!s->quota_told) {
		buf_add_text(out, "not known: the destination tells no quota\n");
		return;
	}
	add_size(out, s->quota_free);
	buf_add_text(out, " free, ");
	add_size(out, s->needed);
	if (s->needed != s->needed_at_most) {
		buf_add_text(out, " to ");
		add_size(out, s->needed_at_most);
	}
	buf_add_text(out, " to come\n");
}

static void print_keywords(struct buf *out, const struct survey_summary *s)
{
	static const char *const told[] = {
	    [SURVEY_KEYWORDS_UNKNOWN] = "not known whether the destination takes new ones",
	    [SURVEY_KEYWORDS_TAKEN] = "the destination takes new ones",
	    [SURVEY_KEYWORDS_REFUSED] = "the destination takes no new ones",
	};

	buf_add_text(out, "  Keywords  on ");
	report_add_count(out, s->with_keywords, "message");
	buf_printf(out, "; %s\n", told[s->keywords <= SURVEY_KEYWORDS_REFUSED ? s->keywords : 0]);
}

static void print_time(struct buf *out, const struct survey_summary *s)
{
	uint64_t ms = s->probe_ms ? s->probe_ms : 1, rate = s->probe_bytes * 1000 / ms;
	char time[SHOW_MAX];

	buf_add_text(out, "  Time      ");
	if (!rate) {
		buf_add_text(out, "not known: there was nothing to measure\n");
		return;
	}
	show_duration(time, s->needed_at_most / rate + 1);
	buf_printf(out, "at least %s, if all is to come: the source gave ", time);
	add_size(out, rate);
	buf_printf(out,
	    "/s\n            (round trips: %llu ms, and %llu ms at the destination). How fast the "
	    "destination\n            takes mail cannot be seen without writing there.\n",
	    (unsigned long long)s->source_round_ms, (unsigned long long)s->destination_round_ms);
}

static void print_folders(struct buf *out, const struct face *f, const struct survey_summary *s)
{
	buf_printf(out, "  %-*s%10s %10s  %s\n", NAME_WIDTH, "FOLDER", "MESSAGES", "SIZE",
	    "AT THE DESTINATION");
	buf_add_view(out, buf_view(&f->rows));
	buf_add_text(out, "\n  Folders   ");
	add_number(out, s->folders);
	add_part(out, s->folders_there, "there already");
	add_part(out, s->renamed, "under another name");
	add_part(out, s->folders_refused, "impossible");
	add_part(out, s->folders_failed, "failed");
	buf_add_text(out, "\n  Messages  ");
	add_number(out, s->items);
	buf_add_text(out, ", ");
	add_size(out, s->bytes);
	buf_add_text(out, "\n");
}

void check_report_print(struct buf *out, const struct face *f, const void *summary, bool ended)
{
	const struct survey_summary *s = summary;
	uint64_t exceptions;

	(void)ended;
	print_head(out, f, "looked at", s->elapsed_ms);
	print_folders(out, f, s);
	print_limit(out, s);
	print_quota(out, s);
	print_keywords(out, s);
	print_time(out, s);
	exceptions = report_print_groups(out, &f->tally, "Would not be copied:", "Worth knowing:");
	buf_add_text(out, check_exit_code(s)
			      ? "\nSOME WOULD BE REFUSED: see above. Nothing was changed.\n"
			      : "\nNothing would be refused, as far as the servers tell. Nothing "
				"was changed.\n");
	print_tail(out, f, exceptions);
}
