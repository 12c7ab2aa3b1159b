/* report.c - the report at the end of a pass, for people: what was done, what was not and why, and
 * what to do about it. Last station of the summary.
 * Promises: "Checked" is said only of what was checked; nothing from a server reaches the terminal
 * uncleaned. Does not: name every exception (--report does). */
#include "cli/report.h"

#include <stdio.h>
#include <string.h>

#include "cli/show.h"

static const char *plural(uint64_t n)
{
	return n == 1 ? "" : "s";
}

void report_add_count(struct buf *out, uint64_t n, const char *noun)
{
	char text[SHOW_MAX];

	show_count(text, n);
	buf_printf(out, "%s %s%s", text, noun, plural(n));
}

static void print_head(struct buf *out, const struct report *r)
{
	char time[SHOW_MAX];

	show_clean(out, r->options->source.identity);
	buf_add_text(out, " to ");
	show_clean(out, r->options->destination.identity);
	show_duration(time, r->summary->elapsed_ms / 1000);
	buf_printf(out, ": %s after %s\n\n", r->ended ? "finished" : "not finished", time);
}

static void print_folders(struct buf *out, const struct copy_summary *s)
{
	char text[SHOW_MAX];

	show_count(text, s->folders);
	buf_printf(out, "  Folders   %s", text);
	show_count(text, s->folders_made);
	if (s->folders_made)
		buf_printf(out, ", %s of them made at the destination", text);
	show_count(text, s->folders_renamed);
	if (s->folders_renamed)
		buf_printf(out, ", %s renamed there", text);
	show_count(text, s->folders_failed);
	if (s->folders_failed)
		buf_printf(out, ", %s failed", text);
	buf_add_text(out, "\n");
}

static void print_messages(struct buf *out, const struct copy_summary *s)
{
	char count[SHOW_MAX], size[SHOW_MAX], rate[SHOW_MAX];
	uint64_t ms = s->elapsed_ms ? s->elapsed_ms : 1;

	show_count(count, s->items_stored);
	show_size(size, s->bytes_stored);
	buf_printf(out, "  Messages  %s copied", count);
	if (s->items_stored) {
		show_size(rate, s->bytes_stored / ms * 1000 + s->bytes_stored % ms * 1000 / ms);
		buf_printf(out, ", %s, %s/s", size, rate);
	}
	show_count(count, s->items_before);
	if (s->items_before)
		buf_printf(out, "; %s there from before", count);
	show_count(count, s->items_found);
	if (s->items_found)
		buf_printf(out, "; %s recognised there", count);
	buf_add_text(out, "\n");
}

/* "  Moved     12 messages" where there are any. */
static void print_line(struct buf *out, const char *head, uint64_t n, const char *tail)
{
	if (!n)
		return;
	buf_printf(out, "  %-9s ", head);
	report_add_count(out, n, "message");
	buf_printf(out, "%s\n", tail);
}

static void print_changes(struct buf *out, const struct copy_summary *s)
{
	print_line(
	    out, "Repaired", s->items_repaired, " that the destination does not take as they are");
	print_line(out, "Moved", s->items_moved, " within the destination, as at the source");
	print_line(
	    out, "Gone", s->items_gone - s->items_removed, " from the source; their copies stay");
	print_line(out, "Removed", s->items_removed, " that went at the source");
	print_line(out, "Left", s->items_left, " as the destination's user moved or deleted them");
}

static void print_plan(struct buf *out, const struct copy_summary *s)
{
	char size[SHOW_MAX];

	show_size(size, s->planned_bytes);
	buf_add_text(out, "\nWould be done (nothing of it was):\n");
	if (s->planned_folders)
		buf_printf(out, "  Folders   make %llu\n", (unsigned long long)s->planned_folders);
	buf_add_text(out, "  Copy      ");
	report_add_count(out, s->planned_items, "message");
	buf_printf(out, ", %s\n", size);
	print_line(out, "Flags", s->planned_marks, " to be changed");
	print_line(out, "Move", s->planned_moves, " within the destination");
	print_line(out, "Remove", s->planned_removals, " at the destination, unless touched there");
}

static void print_rest(struct buf *out, const struct copy_summary *s)
{
	if (s->marks) {
		buf_add_text(out, "  Flags     changed on ");
		report_add_count(out, s->marks, "message");
		buf_add_text(out, "\n");
	}
	if (s->reconnects) {
		buf_add_text(out, "  Links     connected again ");
		report_add_count(out, s->reconnects, "time");
		if (s->items_resolved) {
			buf_add_text(out, "; found at the destination after that: ");
			report_add_count(out, s->items_resolved, "message");
		}
		buf_add_text(out, "\n");
	}
}

static void print_sample(struct buf *out, const struct exception *x)
{
	buf_add_text(out, "    ");
	show_clean(out, *x->folder ? x->folder : "(no folder)");
	if (*x->target) {
		buf_add_text(out, " (here ");
		show_clean(out, x->target);
		buf_add_text(out, ")");
	}
	if (*x->id) {
		buf_add_text(out, ", uid ");
		show_clean(out, x->id);
	}
	if (*x->msgid) {
		buf_add_text(out, " ");
		show_clean(out, x->msgid);
	}
	if (*x->reason) {
		buf_add_text(out, ": ");
		show_clean(out, x->reason);
	}
	buf_add_text(out, "\n");
}

static void print_group(struct buf *out, enum cause cause, const struct tally_group *group)
{
	char count[SHOW_MAX];
	uint64_t shown = group->count < TALLY_SAMPLES ? group->count : TALLY_SAMPLES;

	show_count(count, group->count);
	buf_printf(out, "  %s: %s\n", cause_name(cause), count);
	for (uint64_t i = 0; i < shown; i++)
		print_sample(out, &group->samples[i]);
	show_count(count, group->count - shown);
	if (shown < group->count)
		buf_printf(out, "    ... and %s more\n", count);
	if (*cause_remedy(cause))
		buf_printf(out, "    > %s\n", cause_remedy(cause));
}

/* Those that lead to exit code 1 (SERIOUS), or the notes. Returns how many there were. */
static uint64_t print_groups(
    struct buf *out, const struct tally *t, bool serious, const char *heading)
{
	uint64_t all = 0;

	for (int i = 1; i < CAUSE_COUNT; i++) {
		enum cause cause = (enum cause)i;
		const struct tally_group *group = &t->groups[i];
		if (!group->count || !!cause_exit(cause) != serious)
			continue;
		if (!all)
			buf_printf(out, "\n%s\n", heading);
		print_group(out, cause, group);
		all += group->count;
	}
	return all;
}

uint64_t report_print_groups(
    struct buf *out, const struct tally *t, const char *serious_heading, const char *notes_heading)
{
	uint64_t serious = print_groups(out, t, true, serious_heading);

	return serious + print_groups(out, t, false, notes_heading);
}

void report_print_file(struct buf *out, const char *file)
{
	buf_add_text(out, file ? "The whole list, one JSON object a line: "
			       : "For the whole list as JSON lines, add --report FILE.");
	if (file)
		show_clean(out, file);
	buf_add_text(out, "\n");
}

static void print_checked(struct buf *out, const struct report *r)
{
	const struct copy_summary *s = r->summary;
	char checked[SHOW_MAX], stored[SHOW_MAX];

	show_count(checked, s->items_checked);
	show_count(stored, s->items_stored);
	buf_add_text(out, "\n");
	if (s->dry_run) {
		buf_add_text(out, "This was a dry run: nothing was changed at either end.\n");
		return;
	}
	if (r->ended && r->options->rebuild) {
		buf_add_text(out, "The ledger is rebuilt; godwit copy goes on from there.\n");
		return;
	}
	if (!r->ended)
		buf_add_text(
		    out, "What was copied is remembered; the next pass goes on from there.\n");
	else if (!s->checked)
		buf_printf(out,
		    "NOT CHECKED: %s of the %s messages copied in this pass were seen at the "
		    "destination.\nRun the same command again.\n",
		    checked, stored);
	else if (s->items_stored)
		buf_printf(
		    out, "Checked: all %s messages of this pass are at the destination.\n", stored);
	else if (s->not_copied || s->folders_failed)
		buf_add_text(out, "Nothing was copied in this pass.\n");
	else
		buf_add_text(out, "There was nothing new to copy.\n");
}

void report_print(struct buf *out, const struct report *r)
{
	uint64_t exceptions;

	print_head(out, r);
	print_folders(out, r->summary);
	print_messages(out, r->summary);
	print_changes(out, r->summary);
	print_rest(out, r->summary);
	if (r->summary->dry_run)
		print_plan(out, r->summary);
	exceptions = report_print_groups(
	    out, r->tally, "Not copied, or in doubt:", "Copied, but worth knowing:");
	print_checked(out, r);
	if (exceptions)
		report_print_file(out, r->file);
}
