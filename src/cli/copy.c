/* copy.c - the commands `godwit copy` and `godwit ledger rebuild`: from the words of the user to one
 * pass and its report.
 * Promises: everything that can be refused is refused before the first connection; the exit code
 * says what happened (DESIGN §10). Does not: copy (the fleet does) or print (the face does). */
#include "base/log.h"
#include "cli/commands.h"
#include "cli/face.h"
#include "cli/record_file.h"
#include "cli/signals.h"

#include <unistd.h>

struct copying {
	struct face *face;
	struct secrets *secrets;
};

/* A password command may write on the terminal. */
static int get_secret(
    void *arg, enum err_side side, bool was_refused, struct buf *out, struct err *e)
{
	struct copying *c = arg;

	face_clear(c->face);
	return secrets_get(c->secrets, side, was_refused, out, e);
}

static void on_secrets_note(void *arg, const char *text)
{
	face_note(arg, text);
}

static int run_pass(struct face *face, const struct copy_arguments *args, int stop_fd)
{
	const struct copy_options *o = &args->options;
	const struct secrets_listener listener = {on_secrets_note, face};
	AUTO(secrets_free) struct secrets secrets = {0};
	struct copying c = {face, &secrets};
	const struct secret_source source = {get_secret, &c};
	const struct copy_watcher watcher = face_watcher(face);
	struct copy_summary summary = {0};
	struct err e;

	if (args->report && report_file_open(&face->file, args->report, &e) < 0)
		return face_finish(face, NULL, &e);
	face_begin(face);
	if (secrets_open(&secrets, &args->source_secret, &args->destination_secret, &o->source,
		&o->destination, stop_fd, &listener, &e) < 0)
		return face_finish(face, NULL, &e);
	if (copy_run(&summary, o, &source, &watcher, stop_fd, &e) < 0)
		return face_finish(face, &summary, &e);
	return face_finish(face, &summary, NULL);
}

static void close_signals(const bool *opened)
{
	if (*opened)
		signals_close();
}

static int command(int count, char **words, bool rebuild)
{
	AUTO(arena_free) struct arena arena = ARENA_INIT;
	struct copy_arguments args;
	AUTO(face_free) struct face face = {.file = REPORT_FILE_NONE};
	AUTO(close_signals) bool opened = false;
	struct err e;
	int parsed = arguments_parse(&args, &arena, count, words, &e), stop_fd;

	face_open(&face, &args);
	if (parsed < 0)
		return face_finish(&face, NULL, &e);
	if (args.help) {
		commands_print(STDOUT_FILENO, rebuild ? ledger_help : copy_help);
		return 0;
	}
	args.options.rebuild = rebuild;
	if (record_file_open(&args, JOB_COPY, rebuild ? "ledger rebuild" : "copy", &e) < 0)
		return face_finish(&face, NULL, &e);
	log_setup(STDERR_FILENO, args.debug ? LOG_DEBUG : LOG_NOTE, "godwit");
	stop_fd = signals_open(&e);
	if (stop_fd < 0)
		return face_finish(&face, NULL, &e);
	opened = true;
	return run_pass(&face, &args, stop_fd);
}

int copy_command(int count, char **words)
{
	return command(count, words, false);
}

int rebuild_command(int count, char **words)
{
	return command(count, words, true);
}
