/* face.c - all that `godwit copy` shows, in the form the user chose: text for people (progress and
 * notes on standard error, the report on standard output) or JSON events for programs.
 * Promises: standard output holds nothing but the report or the events; when nobody reads them any
 * more, the pass is stopped in order. Does not: change what is copied. */
#include "cli/face.h"

#include <string.h>
#include <unistd.h>

#include "cli/look_report.h"
#include "cli/output.h"
#include "cli/record_file.h"
#include "cli/report.h"
#include "cli/show.h"
#include "cli/signals.h"

#define REPORT_MAX (1u << 20)

static bool is_json(const struct face *f)
{
	return f->args->output == OUTPUT_JSON;
}

void face_open(struct face *f, const struct copy_arguments *args)
{
	*f = (struct face){.args = args,
	    .command = "copy",
	    .rows = BUF_INIT(REPORT_MAX / 2),
	    .events = {.fd = STDOUT_FILENO},
	    .file = REPORT_FILE_NONE};
	/* debug lines of two processes and a line drawn in place do not go together */
	progress_open(&f->progress, STDERR_FILENO, !is_json(f) && !args->quiet && !args->debug);
}

void face_command(struct face *f, const char *command)
{
	f->command = command;
}

void face_clear(struct face *f)
{
	progress_erase(&f->progress);
}

/* A line on standard error; what strangers said in it is cleaned. */
static void say(struct face *f, const char *head, const char *text)
{
	AUTO(buf_free) struct buf clean = BUF_INIT(3000);
	AUTO(buf_free) struct buf line = BUF_INIT(4096);

	face_clear(f);
	show_clean(&clean, text);
	buf_printf(&line, "%s%s\n", head, clean.data ? clean.data : "");
	output_write(STDERR_FILENO, buf_view(&line));
}

/* Nobody reads our events any more: whoever started us is gone. */
static void stop_if_broken(struct face *f)
{
	if (f->events.broken)
		signals_ring();
}

static void warn(struct face *f, const char *text)
{
	if (is_json(f))
		events_note(&f->events, text);
	else
		say(f, "godwit: warning: ", text);
}

void face_note(struct face *f, const char *text)
{
	if (is_json(f))
		events_note(&f->events, text);
	else if (!f->args->quiet)
		say(f, "godwit: ", text);
	stop_if_broken(f);
}

void face_begin(struct face *f)
{
	const struct copy_options *o = &f->args->options;

	if (is_json(f))
		events_start(&f->events, f->command, o, f->args->insecure);
	if (f->args->insecure)
		warn(f, "--insecure: certificates are not checked; whoever stands between can read "
			"and change mail and passwords");
	if (o->source.tls == ENDPOINT_CLEAR)
		warn(f, "source: tls=none: mail and password travel unencrypted");
	if (o->destination.tls == ENDPOINT_CLEAR)
		warn(f, "destination: tls=none: mail and password travel unencrypted");
	stop_if_broken(f);
}

static void on_progress(void *arg, const struct copy_progress *p)
{
	struct face *f = arg;

	f->now = *p;
	f->moved = true;
}

static void on_folder(
    void *arg, const char *source, const char *target, uint64_t items, uint64_t stored)
{
	struct face *f = arg;

	if (is_json(f))
		events_folder(&f->events, source, target, items, stored);
	stop_if_broken(f);
}

static void on_exception(void *arg, const struct exception *x)
{
	struct face *f = arg;

	tally_add(&f->tally, x);
	report_file_add(&f->file, x);
	if (is_json(f))
		events_exception(&f->events, x);
	stop_if_broken(f);
}

static void on_report(
    void *arg, const char *source, const char *target, const struct folder_report *r)
{
	struct face *f = arg;

	if (is_json(f))
		events_report(&f->events, source, target, r);
	else if (r->kind == JOB_CHECK)
		check_report_row(&f->rows, source, target, &r->survey);
	stop_if_broken(f);
}

static void on_note(void *arg, const char *text)
{
	face_note(arg, text);
}

static void on_tick(void *arg)
{
	struct face *f = arg;

	if (signals_came() && !f->stop_said) {
		f->stop_said = true;
		face_note(f, strcmp(f->command, "copy")
				 ? "stopping (press again to quit at once)"
				 : "stopping; what is under way will be finished or resumed next "
				   "time (press again to quit at once)");
	}
	pace_feed(&f->pace, &f->now, clock_ms());
	progress_draw(&f->progress, &f->now, &f->pace);
	if (is_json(f) && f->moved)
		f->moved = !events_progress(&f->events, &f->now, &f->pace);
	stop_if_broken(f);
}

struct copy_watcher face_watcher(struct face *f)
{
	return (struct copy_watcher){.progress = on_progress,
	    .folder = on_folder,
	    .exception = on_exception,
	    .note = on_note,
	    .report = on_report,
	    .tick = on_tick,
	    .arg = f};
}

int face_exit_code(const struct copy_summary *summary, const struct err *e)
{
	if (e)
		return cause_exit(e->cause) ? cause_exit(e->cause) : cause_exit(CAUSE_BUG);
	assert(summary);
	return summary->not_copied || summary->folders_failed || summary->deletions_held ||
	       !summary->checked;
}

static void print_report(struct face *f, const struct copy_summary *summary, bool ended)
{
	AUTO(buf_free) struct buf text = BUF_INIT(REPORT_MAX);
	struct report r = {.options = &f->args->options,
	    .summary = summary,
	    .tally = &f->tally,
	    .ended = ended,
	    .file = f->file.done ? f->file.path : NULL};

	report_print(&text, &r);
	output_write(STDOUT_FILENO, buf_view(&text));
}

static void print_error(struct face *f, const struct err *e)
{
	say(f, "godwit: ", e->text);
	if (*e->detail)
		say(f, "  ", e->detail);
	if (*cause_remedy(e->cause))
		say(f, "  ", cause_remedy(e->cause));
}

int face_finish(struct face *f, const struct copy_summary *summary, const struct err *e)
{
	int code = face_exit_code(summary, e);
	bool worth_telling = summary && (!e || summary->folders);
	struct err trouble;

	face_clear(f);
	if (summary && report_file_finish(&f->file, &trouble) < 0)
		warn(f, trouble.text);
	if (is_json(f))
		events_result(&f->events, code, summary, &f->tally, e);
	else if (worth_telling && (!f->args->quiet || code == 1))
		print_report(f, summary, !e);
	if (e)
		print_error(f, e);
	record_file_end(f->args, code, summary ? events_copy_summary(summary) : NULL, &f->tally, e);
	return code;
}

static void print_end(struct face *f, const struct face_end *end, bool ended)
{
	AUTO(buf_free) struct buf text = BUF_INIT(REPORT_MAX);

	end->print(&text, f, end->summary, ended);
	output_write(STDOUT_FILENO, buf_view(&text));
}

int face_close(struct face *f, const struct face_end *end, const struct err *e)
{
	int code = e ? face_exit_code(NULL, e) : end->code;
	struct err trouble;

	face_clear(f);
	if (end->summary && report_file_finish(&f->file, &trouble) < 0)
		warn(f, trouble.text);
	if (is_json(f))
		events_end(&f->events, code, end->checked,
		    end->summary ? end->json(end->summary) : NULL, NULL, &f->tally, e);
	else if (end->summary && !e && (!f->args->quiet || code == 1))
		print_end(f, end, !e);
	if (e)
		print_error(f, e);
	record_file_end(f->args, code, end->summary ? end->json(end->summary) : NULL, &f->tally, e);
	return code;
}

void face_free(struct face *f)
{
	face_clear(f);
	buf_free(&f->rows);
	report_file_free(&f->file);
	tally_free(&f->tally);
}
