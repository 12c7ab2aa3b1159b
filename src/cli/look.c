/* look.c - the commands `godwit verify` and `godwit check`: from the words of the user to one look at
 * both sides and its report. As copy.c, but without state. Does not: look (the fleet does) or print
 * (the face does). */
#include "base/log.h"
#include "cli/commands.h"
#include "cli/face.h"
#include "cli/look_report.h"
#include "cli/record_file.h"
#include "cli/signals.h"

#include <unistd.h>

struct looking {
	enum job_kind job;
	struct face *face;
	const struct copy_arguments *args;
	struct secrets *secrets;
	int stop_fd;
};

/* A password command may write on the terminal. */
static int get_secret(
    void *arg, enum err_side side, bool was_refused, struct buf *out, struct err *e)
{
	struct looking *l = arg;

	face_clear(l->face);
	return secrets_get(l->secrets, side, was_refused, out, e);
}

static void on_secrets_note(void *arg, const char *text)
{
	face_note(arg, text);
}

static json_t *verify_json(const void *summary)
{
	return events_verify_summary(summary);
}

static json_t *check_json(const void *summary)
{
	return events_survey_summary(summary);
}

static int run_verify(struct looking *l, const struct secret_source *source)
{
	const struct copy_watcher watcher = face_watcher(l->face);
	struct verify_summary summary = {0};
	struct face_end end = {&summary, .json = verify_json, .print = verify_report_print};
	struct err e;
	int failed = verify_run(&summary, &l->args->options, source, &watcher, l->stop_fd, &e);

	end.code = verify_exit_code(&summary, l->args->exact);
	end.checked = !failed && !summary.folders_failed && !summary.all.unread;
	return face_close(l->face, &end, failed ? &e : NULL);
}

static int run_check(struct looking *l, const struct secret_source *source)
{
	const struct copy_watcher watcher = face_watcher(l->face);
	struct survey_summary summary = {0};
	struct face_end end = {&summary, .json = check_json, .print = check_report_print};
	struct err e;
	int failed = survey_run(&summary, &l->args->options, source, &watcher, l->stop_fd, &e);

	end.code = check_exit_code(&summary);
	end.checked = !failed && !summary.folders_failed;
	return face_close(l->face, &end, failed ? &e : NULL);
}

static int run(struct looking *l)
{
	const struct copy_options *o = &l->args->options;
	const struct secrets_listener listener = {on_secrets_note, l->face};
	const struct secret_source source = {get_secret, l};
	const struct face_end never = {0};
	struct err e;

	if (l->args->report && report_file_open(&l->face->file, l->args->report, &e) < 0)
		return face_close(l->face, &never, &e);
	face_begin(l->face);
	if (secrets_open(l->secrets, &l->args->source_secret, &l->args->destination_secret,
		&o->source, &o->destination, l->stop_fd, &listener, &e) < 0)
		return face_close(l->face, &never, &e);
	return l->job == JOB_VERIFY ? run_verify(l, &source) : run_check(l, &source);
}

static void close_signals(const bool *opened)
{
	if (*opened)
		signals_close();
}

static int look_command(
    enum job_kind job, const char *name, const char *const *help, int count, char **words)
{
	AUTO(arena_free) struct arena arena = ARENA_INIT;
	struct copy_arguments args;
	AUTO(face_free) struct face face = {.file = REPORT_FILE_NONE};
	AUTO(close_signals) bool opened = false;
	AUTO(secrets_free) struct secrets secrets = {0};
	struct looking l = {.job = job, .face = &face, .args = &args, .secrets = &secrets};
	const struct face_end never = {0};
	struct err e;
	int parsed = arguments_parse_job(&args, job, &arena, count, words, &e);

	face_open(&face, &args);
	face_command(&face, name);
	if (parsed < 0)
		return face_close(&face, &never, &e);
	if (args.help) {
		commands_print(STDOUT_FILENO, help);
		return 0;
	}
	if (record_file_open(&args, job, name, &e) < 0)
		return face_close(&face, &never, &e);
	log_setup(STDERR_FILENO, args.debug ? LOG_DEBUG : LOG_NOTE, "godwit");
	l.stop_fd = signals_open(&e);
	if (l.stop_fd < 0)
		return face_close(&face, &never, &e);
	opened = true;
	return run(&l);
}

int verify_command(int count, char **words)
{
	return look_command(JOB_VERIFY, "verify", verify_help, count, words);
}

int check_command(int count, char **words)
{
	return look_command(JOB_CHECK, "check", check_help, count, words);
}
