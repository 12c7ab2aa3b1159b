/* `godwit copy` from its words to its exit code, in a process of its own, with a fleet of paper in
 * place of the real one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/commands.h"
#include "fleet/fleet.h"

#define A "imaps://anna@old.example"
#define B "imaps://anna@new.example"
#define SECRETS "--source-password-command", "echo s", "--destination-password-command", "echo d"

/* ---- the fleet of paper: what it does is set before the command is run ---- */

enum script { COPIES, EXCEPTS, UNCHECKED, FAILS, WAITS, TALKS, LOGS_IN };

static enum script script;
static enum cause failing;

static void add_exceptions(const struct copy_watcher *w)
{
	static const struct exception all[] = {
	    {CAUSE_TOO_BIG, "INBOX", "", "17", "<a@b>", "NO too big \033[31m\xff"},
	    {CAUSE_FOLDER_REFUSED, "A/\xff", "A.B", "", "", "NO"},
	    {CAUSE_ALTERED, "INBOX", "", "18", "", "header changed"},
	};

	for (size_t i = 0; i < COUNT_OF(all); i++)
		w->exception(w->arg, &all[i]);
}

static void talk(const struct copy_watcher *w, int ticks)
{
	struct copy_progress p = {.phase = COPY_COPYING,
	    .folder = "文書/請求書",
	    .items_total = 100,
	    .bytes_total = 1 << 20};

	for (int i = 0; i < ticks; i++) {
		p.items_done++;
		w->progress(w->arg, &p);
		w->tick(w->arg);
		poll(NULL, 0, 20);
	}
}

/* Both sides, and again after a refusal. */
static int log_in(const struct secret_source *secrets, struct err *e)
{
	AUTO(buf_free) struct buf source = BUF_INIT(100), destination = BUF_INIT(100);

	if (secrets->get(secrets->arg, ERR_SOURCE, false, &source, e) < 0 ||
	    secrets->get(secrets->arg, ERR_DESTINATION, false, &destination, e) < 0)
		return -1;
	assert(!strcmp(source.data, "source-secret"));
	assert(!strcmp(destination.data, "destination-secret"));
	return 0;
}

static int wait_for_stop(const struct copy_watcher *w, int stop_fd, struct err *e)
{
	struct pollfd bell = {.fd = stop_fd, .events = POLLIN};

	for (int i = 0; i < 500; i++) {
		if (poll(&bell, 1, 20) > 0) {
			w->tick(w->arg);
			return err_stopped(e);
		}
		w->note(w->arg, "waiting");
		w->tick(w->arg);
	}
	return err_set(e, CAUSE_BUG, ERR_RUN, "nobody rang");
}

int verify_run(struct verify_summary *summary, const struct copy_options *options,
    const struct secret_source *secrets, const struct copy_watcher *watcher, int stop_fd,
    struct err *e)
{
	(void)summary, (void)options, (void)secrets, (void)watcher, (void)stop_fd;
	return err_set(e, CAUSE_BUG, ERR_RUN, "not in this test");
}

int survey_run(struct survey_summary *summary, const struct copy_options *options,
    const struct secret_source *secrets, const struct copy_watcher *watcher, int stop_fd,
    struct err *e)
{
	(void)summary, (void)options, (void)secrets, (void)watcher, (void)stop_fd;
	return err_set(e, CAUSE_BUG, ERR_RUN, "not in this test");
}

int copy_run(struct copy_summary *summary, const struct copy_options *options,
    const struct secret_source *secrets, const struct copy_watcher *watcher, int stop_fd,
    struct err *e)
{
	(void)options;
	*summary = (struct copy_summary){.folders = 2,
	    .items_stored = 3,
	    .items_checked = 3,
	    .bytes_stored = 3000,
	    .elapsed_ms = 1000,
	    .checked = script != UNCHECKED};
	watcher->folder(watcher->arg, "INBOX", "INBOX", 3, 3);
	switch (script) {
	case EXCEPTS:
		add_exceptions(watcher);
		summary->not_copied = summary->folders_failed = summary->notes = 1;
		return 0;
	case FAILS:
		add_exceptions(watcher);
		summary->folders = 0;
		err_set(e, failing, ERR_MAILBOX, "it failed");
		err_detail(e, "the server said no");
		e->side = ERR_SOURCE;
		return -1;
	case WAITS:
		return wait_for_stop(watcher, stop_fd, e);
	case TALKS:
		talk(watcher, 80);
		return 0;
	case LOGS_IN:
		if (log_in(secrets, e) < 0)
			return -1;
		talk(watcher, 20);
		return 0;
	case COPIES:
	case UNCHECKED:
		break;
	}
	return 0;
}

/* ---- running the command ---- */

struct run {
	pid_t pid;
	int out, err; /* reading ends */
	char text[60000], errors[60000];
	int exit;
};

static int run_child(char **words)
{
	int count = 0;

	while (words[count])
		count++;
	return commands_run(count, words);
}

static void run_start(struct run *r, enum script what, char **words)
{
	int out[2], err[2];

	fflush(NULL);
	script = what;
	assert_int_equal(pipe2(out, O_CLOEXEC) | pipe2(err, O_CLOEXEC), 0);
	r->pid = fork();
	if (!r->pid) {
		int null = open("/dev/null", O_RDWR);
		dup2(null, 0);
		dup2(out[1], 1);
		dup2(err[1], 2);
		close(out[0]);
		close(err[0]);
		exit(run_child(words));
	}
	close(out[1]);
	close(err[1]);
	r->out = out[0];
	r->err = err[0];
}

static void read_to_end(int fd, char *text, size_t size)
{
	size_t len = 0;
	ssize_t n;

	while (len < size - 1 && (n = read(fd, text + len, size - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	close(fd);
}

static void run_end(struct run *r)
{
	int status;

	read_to_end(r->out, r->text, sizeof(r->text));
	read_to_end(r->err, r->errors, sizeof(r->errors));
	assert_int_equal(waitpid(r->pid, &status, 0), r->pid);
	r->exit = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
	for (const char *c = r->text; *c; c++)
		assert_true((unsigned char)*c >= ' ' || *c == '\n');
	for (const char *c = r->errors; *c; c++)
		assert_true((unsigned char)*c >= ' ' || *c == '\n');
}

/* Words as a list of texts; the lists here never exceed twenty. */
static void run(struct run *r, enum script what, ...)
{
	char *words[24] = {NULL};
	va_list args;
	int count = 0;

	words[count++] = mem_strdup("godwit");
	words[count++] = mem_strdup("copy");
	va_start(args, what);
	for (const char *word; (word = va_arg(args, const char *));)
		words[count++] = mem_strdup(word);
	va_end(args);
	run_start(r, what, words);
	run_end(r);
	for (int i = 0; i < count; i++)
		free(words[i]);
}

static void holds(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("'%s' lacks '%s'", text, part);
}

static void lacks(const char *text, const char *part)
{
	if (strstr(text, part))
		fail_msg("'%s' has '%s'", text, part);
}

/* ---- the flows ---- */

static void test_success(void **state)
{
	struct run r;

	(void)state;
	run(&r, COPIES, SECRETS, A, B, NULL);
	assert_int_equal(r.exit, 0);
	holds(r.text, "anna@old.example to anna@new.example: finished");
	holds(r.text, "Checked: all 3 messages of this pass are at the destination.");
	assert_string_equal(r.errors, "");
	run(&r, COPIES, SECRETS, "--quiet", A, B, NULL);
	assert_int_equal(r.exit, 0);
	assert_string_equal(r.text, "");
	assert_string_equal(r.errors, "");
}

static void test_exceptions(void **state)
{
	struct run r;

	(void)state;
	run(&r, EXCEPTS, SECRETS, "-q", A, B, NULL);
	assert_int_equal(r.exit, 1);
	holds(r.text, "INBOX, uid 17 <a@b>: NO too big ?[31m?\n");
	holds(r.text, "folder-refused: 1");
	holds(r.text, "add --report FILE");
}

static void test_unchecked_is_no_success(void **state)
{
	struct run r;

	(void)state;
	run(&r, UNCHECKED, SECRETS, A, B, NULL);
	assert_int_equal(r.exit, 1);
	holds(r.text, "NOT CHECKED");
	lacks(r.text, "Checked:");
}

static void test_every_cause(void **state)
{
	struct run r;

	(void)state;
	for (int i = 1; i < CAUSE_COUNT; i++) {
		failing = (enum cause)i;
		run(&r, FAILS, SECRETS, A, B, NULL);
		assert_int_equal(r.exit, cause_exit(failing) ? cause_exit(failing) : 70);
		holds(r.errors, "godwit: it failed\n  the server said no\n");
		holds(r.errors, cause_remedy(failing));
		assert_string_equal(r.text, ""); /* nothing was done */
	}
}

static void test_usage(void **state)
{
	struct run r;

	(void)state;
	run(&r, COPIES, A, NULL);
	assert_int_equal(r.exit, 2);
	holds(r.errors, "copy wants two URLs");
	holds(r.errors, "See godwit --help.");
	run(&r, COPIES, A, B, NULL);
	assert_int_equal(r.exit, 2);
	holds(r.errors, "--source-password-file FILE");
	run(&r, COPIES, SECRETS, "--report", "/nonexistent/r", A, B, NULL);
	assert_int_equal(r.exit, 2);
	holds(r.errors, "/nonexistent/r");
}

static void test_warnings(void **state)
{
	struct run r;

	(void)state;
	run(&r, COPIES, SECRETS, "-q", "--insecure", A, "imap://anna@new.example/?tls=none", NULL);
	assert_int_equal(r.exit, 0);
	holds(r.errors, "godwit: warning: --insecure: certificates are not checked");
	holds(r.errors, "godwit: warning: destination: tls=none");
	run(&r, COPIES, SECRETS, "--output", "json", "--insecure", A, B, NULL);
	holds(r.text, "\"insecure\":true");
	assert_string_equal(r.errors, "");
}

static void test_help(void **state)
{
	struct run r;

	(void)state;
	run(&r, COPIES, "--help", NULL);
	assert_int_equal(r.exit, 0);
	holds(r.text, "godwit copy SOURCE DESTINATION");
}

static void test_report_file(void **state)
{
	char path[] = "/tmp/godwit-copy-XXXXXX", text[4000];
	struct run r;

	(void)state;
	close(mkstemp(path));
	run(&r, EXCEPTS, SECRETS, "--report", path, A, B, NULL);
	read_to_end(open(path, O_RDONLY), text, sizeof(text));
	holds(text, "{\"folder\":\"INBOX\",\"uid\":17,\"msgid\":\"<a@b>\",\"cause\":\"too-big\",");
	holds(text, "{\"folder\":\"A/\xef\xbf\xbd\",\"uid\":null,");
	holds(r.text, path);
	/* what was known before it failed is kept as well */
	failing = CAUSE_CONNECT;
	assert_int_equal(truncate(path, 0), 0);
	run(&r, FAILS, SECRETS, "--report", path, A, B, NULL);
	read_to_end(open(path, O_RDONLY), text, sizeof(text));
	holds(text, "\"uid\":18,");
	unlink(path);
}

/* ---- JSON ---- */

/* Every line is an object whose every field stands in docs/events.md; returns the last. */
static json_t *check_events(char *text, const char *document)
{
	json_t *event = NULL;
	const char *key;
	json_t *value;
	char quoted[60];

	for (char *line; (line = strsep(&text, "\n")) && *line;) {
		json_decref(event);
		event = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
		assert_non_null(event);
		snprintf(quoted, sizeof(quoted), "## %s\n",
		    json_string_value(json_object_get(event, "event")));
		holds(document, quoted);
		json_object_foreach(event, key, value)
		{
			snprintf(quoted, sizeof(quoted), "`%s`", key);
			holds(document, quoted);
		}
	}
	return event;
}

static void read_document(const char *name, char *text, size_t size)
{
	char path[4096];
	const char *slash = strrchr(__FILE__, '/');
	int fd;

	snprintf(
	    path, sizeof(path), "%.*s/../../../docs/%s", (int)(slash - __FILE__), __FILE__, name);
	fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	read_to_end(fd, text, size);
}

static void test_json(void **state)
{
	static char document[60000];
	struct run r;
	json_t *result;

	(void)state;
	read_document("events.md", document, sizeof(document));
	run(&r, EXCEPTS, SECRETS, "--output=json", A, B, NULL);
	assert_int_equal(r.exit, 1);
	assert_int_equal(strncmp(r.text, "{\"event\":\"start\",\"time\":\"2", 25), 0);
	holds(r.text, "{\"event\":\"folder\"");
	holds(r.text, "\"reason\":\"NO too big \\u001B[31m\xef\xbf\xbd\"");
	result = check_events(r.text, document);
	assert_string_equal(json_string_value(json_object_get(result, "event")), "result");
	assert_int_equal(json_integer_value(json_object_get(result, "exit")), 1);
	assert_true(json_is_true(json_object_get(result, "checked")));
	assert_true(json_is_null(json_object_get(result, "error")));
	assert_int_equal(
	    json_integer_value(json_object_get(json_object_get(result, "causes"), "too-big")), 1);
	assert_int_equal(
	    json_integer_value(json_object_get(json_object_get(result, "summary"), "items_stored")),
	    3);
	json_decref(result);
}

static void test_json_progress(void **state)
{
	static char document[60000];
	struct run r;
	int count = 0;

	(void)state;
	read_document("events.md", document, sizeof(document));
	run(&r, TALKS, SECRETS, "--output=json", A, B, NULL);
	for (const char *at = r.text; (at = strstr(at, "\"event\":\"progress\"")); at++)
		count++;
	assert_in_range(count, 1, 3); /* of eighty in about two seconds */
	json_decref(check_events(r.text, document));
}

static void test_json_errors(void **state)
{
	static char document[60000];
	struct run r;
	json_t *result, *error;

	(void)state;
	read_document("events.md", document, sizeof(document));
	failing = CAUSE_LOGIN;
	run(&r, FAILS, SECRETS, "--output=json", A, B, NULL);
	assert_int_equal(r.exit, 12);
	result = check_events(r.text, document);
	error = json_object_get(result, "error");
	assert_string_equal(json_string_value(json_object_get(error, "cause")), "login");
	assert_string_equal(json_string_value(json_object_get(error, "side")), "source");
	assert_true(json_is_false(json_object_get(result, "checked")));
	json_decref(result);
	/* also what is refused before anything began ends in a result */
	run(&r, COPIES, "--nonsense", "--output=json", A, B, NULL);
	assert_int_equal(r.exit, 2);
	result = check_events(r.text, document);
	assert_true(json_is_null(json_object_get(result, "summary")));
	assert_int_equal(json_integer_value(json_object_get(result, "exit")), 2);
	json_decref(result);
}

/* ---- stopping ---- */

static void test_signals_stop(void **state)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
	struct run r;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(numbers); i++) {
		char *words[] = {(char[]){"godwit"}, (char[]){"copy"},
		    (char[]){"--source-password-command=echo s"},
		    (char[]){"--destination-password-command=echo d"}, (char[]){A}, (char[]){B},
		    NULL};
		char byte;
		run_start(&r, WAITS, words);
		assert_int_equal(read(r.err, &byte, 1), 1); /* it is under way */
		kill(r.pid, numbers[i]);
		run_end(&r);
		assert_int_equal(r.exit, 130);
		holds(r.errors, "stopping; what is under way will be finished or resumed");
		holds(r.errors, "godwit: stopped\n  Run the same command again");
		holds(r.text, "not finished after");
	}
}

/* Nobody reads the events any more: the pass is stopped in order. */
static void test_broken_pipe_stops(void **state)
{
	char *words[] = {(char[]){"godwit"}, (char[]){"copy"}, (char[]){"--output=json"},
	    (char[]){"--source-password-command=echo s"},
	    (char[]){"--destination-password-command=echo d"}, (char[]){A}, (char[]){B}, NULL};
	struct run r;

	(void)state;
	run_start(&r, WAITS, words);
	close(r.out);
	r.out = open("/dev/null", O_RDONLY);
	run_end(&r);
	assert_int_equal(r.exit, 130);
}

/* ---- on a terminal ---- */

struct screen {
	int master;
	char text[60000];
	size_t len;
};

/* Read until PART was shown (behind what was read before) or nothing more comes. */
static bool screen_wait(struct screen *s, const char *part)
{
	struct pollfd ready = {.fd = s->master, .events = POLLIN};
	size_t from = s->len;

	while (!part || !strstr(s->text + from, part)) {
		ssize_t n = poll(&ready, 1, 10000) > 0
				? read(s->master, s->text + s->len, sizeof(s->text) - 1 - s->len)
				: -1;
		if (n <= 0)
			return !part;
		s->len += (size_t)n;
		s->text[s->len] = '\0';
	}
	return true;
}

static void screen_type(struct screen *s, const char *text)
{
	assert_int_equal(write(s->master, text, strlen(text)), (ssize_t)strlen(text));
}

static void test_on_a_terminal(void **state)
{
	struct winsize size = {.ws_row = 24, .ws_col = 80};
	struct screen s = {0};
	char *last;
	int status;
	pid_t pid;

	(void)state;
	fflush(NULL);
	script = LOGS_IN;
	setenv("TERM", "xterm", 1);
	pid = forkpty(&s.master, NULL, NULL, &size);
	if (!pid) {
		char *words[] = {
		    (char[]){"godwit"}, (char[]){"copy"}, (char[]){A}, (char[]){B}, NULL};
		exit(run_child(words));
	}
	assert_true(screen_wait(&s, "Password of anna@old.example (source): "));
	screen_type(&s, "source-secret\n");
	assert_true(screen_wait(&s, "Password of anna@new.example (destination): "));
	screen_type(&s, "destination-secret\n");
	assert_true(screen_wait(&s, NULL));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(s.master);
	assert_int_equal(status, 0);
	lacks(s.text, "secret");
	holds(s.text, "\r文書/請求書  1/100 msgs  0.0/1.0 MiB  0 B/s  left unknown\033[K");
	/* the progress line is gone when the report begins */
	last = strstr(s.text, "\r\033[Kanna@old.example to anna@new.example: finished");
	assert_non_null(last);
	lacks(last + 4, "\033");
}

static void test_interrupted_question(void **state)
{
	struct winsize size = {.ws_row = 24, .ws_col = 80};
	struct screen s = {0};
	int status;
	pid_t pid;

	(void)state;
	fflush(NULL);
	pid = forkpty(&s.master, NULL, NULL, &size);
	if (!pid) {
		char *words[] = {
		    (char[]){"godwit"}, (char[]){"copy"}, (char[]){A}, (char[]){B}, NULL};
		exit(run_child(words));
	}
	assert_true(screen_wait(&s, "(source): "));
	screen_type(&s, "\003");
	assert_true(screen_wait(&s, NULL));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(s.master);
	assert_int_equal(WEXITSTATUS(status), 130);
	holds(s.text, "godwit: stopped");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_success),
	    cmocka_unit_test(test_exceptions), cmocka_unit_test(test_unchecked_is_no_success),
	    cmocka_unit_test(test_every_cause), cmocka_unit_test(test_usage),
	    cmocka_unit_test(test_warnings), cmocka_unit_test(test_help),
	    cmocka_unit_test(test_report_file), cmocka_unit_test(test_json),
	    cmocka_unit_test(test_json_progress), cmocka_unit_test(test_json_errors),
	    cmocka_unit_test(test_signals_stop), cmocka_unit_test(test_broken_pipe_stops),
	    cmocka_unit_test(test_on_a_terminal), cmocka_unit_test(test_interrupted_question)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
