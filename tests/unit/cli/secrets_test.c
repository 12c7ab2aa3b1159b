/* Secrets: files, variables, commands, and a question on a terminal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "cli/prompt.h"
#include "cli/secret_command.h"
#include "cli/secrets.h"

static const struct endpoint from = {.identity = "anna@old.example"};
static const struct endpoint to = {.identity = "anna@new.example"};

struct fixture {
	char path[40];
	int stop_fd;
	char noted[400];
};

static int setup(void **state)
{
	struct fixture *f = NEW(struct fixture);
	int fd;

	strcpy(f->path, "/tmp/godwit-secret-XXXXXX");
	fd = mkstemp(f->path);
	f->stop_fd = eventfd(0, EFD_CLOEXEC);
	close(fd);
	*state = f;
	return fd < 0 || f->stop_fd < 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	unlink(f->path);
	close(f->stop_fd);
	free(f);
	return 0;
}

static void write_file(const char *path, const char *text, size_t len, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_TRUNC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), (ssize_t)len);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void on_note(void *arg, const char *text)
{
	struct fixture *f = arg;

	snprintf(f->noted, sizeof(f->noted), "%s", text);
}

static int open_both(struct fixture *f, struct secrets *s, struct secret_origin source,
    struct secret_origin destination, struct err *e)
{
	const struct secrets_listener listener = {on_note, f};

	return secrets_open(s, &source, &destination, &from, &to, f->stop_fd, &listener, e);
}

static void check_get(struct secrets *s, enum err_side side, const char *secret)
{
	AUTO(buf_free) struct buf out = BUF_INIT(100000);
	struct err e;

	assert_int_equal(secrets_get(s, side, false, &out, &e), 0);
	assert_string_equal(out.data, secret);
}

static void test_file(void **state)
{
	static const struct {
		const char *content;
		size_t len;
		const char *secret; /* NULL = refused */
	} cases[] = {{"hunter2\n", 8, "hunter2"}, {"hunter2", 7, "hunter2"},
	    {"hunter2\r\nmore\n", 14, "hunter2"}, {" two words \n", 12, " two words "},
	    {"", 0, NULL}, {"\nhunter2\n", 9, NULL}, {"\r\n", 2, NULL}, {"a\0b\n", 4, NULL}};
	struct fixture *f = *state;
	struct err e;

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		AUTO(secrets_free) struct secrets s = {0};
		write_file(f->path, cases[i].content, cases[i].len, 0600);
		int result = open_both(f, &s, (struct secret_origin){.file = f->path},
		    (struct secret_origin){.command = "false"}, &e);
		assert_int_equal(result, cases[i].secret ? 0 : -1);
		if (cases[i].secret) {
			check_get(&s, ERR_SOURCE, cases[i].secret);
			check_get(&s, ERR_SOURCE, cases[i].secret);
			continue;
		}
		assert_int_equal(e.cause, CAUSE_USAGE);
		assert_int_equal(e.side, ERR_SOURCE);
		assert_non_null(strstr(e.text, f->path));
	}
	assert_string_equal(f->noted, "");
}

static void test_file_too_long(void **state)
{
	struct fixture *f = *state;
	AUTO(secrets_free) struct secrets s = {0};
	char *text = mem_new(VAULT_SIZE + 10, 1);
	struct err e;

	memset(text, 'x', VAULT_SIZE + 10);
	write_file(f->path, text, VAULT_SIZE - 1, 0600);
	assert_int_equal(open_both(f, &s, (struct secret_origin){.file = f->path},
			     (struct secret_origin){.command = "false"}, &e),
	    0);
	secrets_free(&s);
	write_file(f->path, text, VAULT_SIZE + 10, 0600);
	assert_int_equal(open_both(f, &s, (struct secret_origin){.file = f->path},
			     (struct secret_origin){.command = "false"}, &e),
	    -1);
	free(text);
}

static void test_file_missing(void **state)
{
	AUTO(secrets_free) struct secrets s = {0};
	struct err e;

	assert_int_equal(open_both(*state, &s, (struct secret_origin){.command = "false"},
			     (struct secret_origin){.file = "/nonexistent"}, &e),
	    -1);
	assert_int_equal(e.cause, CAUSE_USAGE);
	assert_int_equal(e.side, ERR_DESTINATION);
	assert_non_null(strstr(e.text, "destination's password file /nonexistent"));
}

static void test_public_file_is_noted(void **state)
{
	struct fixture *f = *state;
	AUTO(secrets_free) struct secrets s = {0};
	struct err e;

	write_file(f->path, "x\n", 2, 0644);
	assert_int_equal(open_both(f, &s, (struct secret_origin){.file = f->path},
			     (struct secret_origin){.command = "false"}, &e),
	    0);
	assert_non_null(strstr(f->noted, f->path));
}

static void test_refused_once(void **state)
{
	struct fixture *f = *state;
	AUTO(secrets_free) struct secrets s = {0};
	AUTO(buf_free) struct buf out = BUF_INIT(100);
	struct err e;

	write_file(f->path, "x\n", 2, 0600);
	assert_int_equal(open_both(f, &s, (struct secret_origin){.file = f->path},
			     (struct secret_origin){.command = "echo token"}, &e),
	    0);
	assert_int_equal(secrets_get(&s, ERR_SOURCE, true, &out, &e), -1);
	assert_int_equal(e.cause, CAUSE_LOGIN);
	assert_int_equal(e.side, ERR_SOURCE);
	assert_int_equal(out.len, 0);
	assert_int_equal(secrets_get(&s, ERR_DESTINATION, true, &out, &e), 0);
	assert_string_equal(out.data, "token");
}

/* One variable may serve both sides; afterwards it is nowhere, not even as bytes. */
static void test_env(void **state)
{
	AUTO(secrets_free) struct secrets s = {0};
	char *variable = mem_strdup("GODWIT_TEST=hunter2"), empty[20] = "";
	struct err e;

	assert_int_equal(putenv(variable), 0);
	assert_int_equal(open_both(*state, &s, (struct secret_origin){.env = "GODWIT_TEST"},
			     (struct secret_origin){.env = "GODWIT_TEST"}, &e),
	    0);
	assert_null(getenv("GODWIT_TEST"));
	assert_memory_equal(variable + 12, empty, 7);
	check_get(&s, ERR_SOURCE, "hunter2");
	check_get(&s, ERR_DESTINATION, "hunter2");
	free(variable);
}

static void test_env_missing(void **state)
{
	static const char *const values[] = {NULL, ""};
	AUTO(secrets_free) struct secrets s = {0};
	struct err e;

	for (size_t i = 0; i < COUNT_OF(values); i++) {
		if (values[i])
			setenv("GODWIT_TEST", values[i], 1);
		else
			unsetenv("GODWIT_TEST");
		assert_int_equal(open_both(*state, &s, (struct secret_origin){.env = "GODWIT_TEST"},
				     (struct secret_origin){.command = "false"}, &e),
		    -1);
		assert_int_equal(e.cause, CAUSE_USAGE);
		assert_non_null(strstr(e.text, "GODWIT_TEST"));
	}
}

/* A forked worker must not find what the controller keeps. */
static void test_forked_children_hold_nothing(void **state)
{
	struct fixture *f = *state;
	AUTO(secrets_free) struct secrets s = {0};
	struct err e;
	int status;
	pid_t pid;

	write_file(f->path, "hunter2\n", 8, 0600);
	assert_int_equal(open_both(f, &s, (struct secret_origin){.file = f->path},
			     (struct secret_origin){.command = "false"}, &e),
	    0);
	pid = fork();
	if (!pid)
		_exit(s.source.vault.data[0] != 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	check_get(&s, ERR_SOURCE, "hunter2");
}

static void test_command(void **state)
{
	static const struct {
		const char *command, *secret; /* NULL = refused, with: */
		const char *text;
	} cases[] = {{"echo hunter2", "hunter2", NULL}, {"printf 'a b\\r\\nsecond'", "a b", NULL},
	    {"cat; echo x", "x", NULL}, /* no input */
	    {"echo a; sleep 20 2>/dev/null & exit 0", "a",
		NULL}, /* a helper that stays and keeps the pipe */
	    {"yes x | head -c 300000; echo y", "x", NULL}, {"true", NULL, "empty"},
	    {"echo x; exit 3", NULL, "exit status 3"}, {"/nonexistent", NULL, "exit status 127"},
	    {"kill -9 $$", NULL, "signal 9"}, {"ls /proc/self/fd | wc -l", "4", NULL}};
	struct fixture *f = *state;
	AUTO(vault_free) struct vault v = {0};
	struct err e;

	assert_int_equal(vault_open(&v, &e), 0);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		int result = secret_command_run(cases[i].command, f->stop_fd, 20000, &v, &e);
		assert_int_equal(result, cases[i].secret ? 0 : -1);
		if (cases[i].secret) {
			assert_string_equal(v.data, cases[i].secret);
			continue;
		}
		assert_int_equal(e.cause, CAUSE_LOGIN);
		assert_int_equal(e.scope, ERR_MAILBOX);
		assert_non_null(strstr(e.text, cases[i].text));
	}
}

static void test_command_is_run_each_time(void **state)
{
	struct fixture *f = *state;
	AUTO(secrets_free) struct secrets s = {0};
	char command[200];
	struct err e;

	snprintf(command, sizeof(command), "echo x >>%s; wc -l <%s", f->path, f->path);
	assert_int_equal(open_both(f, &s, (struct secret_origin){.command = command},
			     (struct secret_origin){.command = "false"}, &e),
	    0);
	check_get(&s, ERR_SOURCE, "1");
	check_get(&s, ERR_SOURCE, "2");
}

/* Both ways of ending a command that would not end: also what it started is gone. */
static void test_command_killed(void **state)
{
	struct fixture *f = *state;
	AUTO(vault_free) struct vault v = {0};
	char command[200];
	struct err e;

	snprintf(command, sizeof(command), "sleep 1000 & echo $! >%s; wait", f->path);
	assert_int_equal(vault_open(&v, &e), 0);
	assert_int_equal(secret_command_run(command, f->stop_fd, 300, &v, &e), -1);
	assert_int_equal(e.cause, CAUSE_LOGIN);
	assert_non_null(strstr(e.text, "did not end in time"));
	snprintf(command, sizeof(command),
	    "for i in 1 2 3 4 5 6 7 8 9 10; do kill -0 $(cat %s) || "
	    "exit 0; sleep 1; done; exit 1",
	    f->path);
	assert_int_equal(system(command), 0);
	assert_int_equal(eventfd_write(f->stop_fd, 1), 0);
	assert_int_equal(secret_command_run("sleep 1000", f->stop_fd, 60000, &v, &e), -1);
	assert_int_equal(e.cause, CAUSE_STOPPED);
}

struct terminal {
	int master, slave;
};

static void terminal_close(struct terminal *t)
{
	close(t->master);
	close(t->slave);
}

static void terminal_read(struct terminal *t, char *out, size_t size)
{
	struct pollfd ready = {.fd = t->master, .events = POLLIN};
	size_t len = 0;

	while (poll(&ready, 1, 100) > 0) {
		ssize_t n = read(t->master, out + len, size - 1 - len);
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	out[len] = '\0';
}

static bool echoes(int tty)
{
	struct termios t;

	assert_int_equal(tcgetattr(tty, &t), 0);
	return t.c_lflag & ECHO;
}

/* Somebody at the terminal: waits for the question, sees that echo is off, answers. */
static pid_t answer(struct terminal *t, const char *text, int stop_fd)
{
	pid_t pid = fork();
	char byte;

	if (pid)
		return pid;
	do {
		if (read(t->master, &byte, 1) != 1)
			_exit(1);
	} while (byte != '?');
	if (echoes(t->slave))
		_exit(2);
	if (text && write(t->master, text, strlen(text)) < 0)
		_exit(3);
	if (!text)
		eventfd_write(stop_fd, 1);
	_exit(0);
}

static void test_prompt(void **state)
{
	static const struct {
		const char *typed; /* NULL = the bell rings */
		const char *secret;
		enum cause cause;
	} cases[] = {{"hunter2\n", "hunter2", CAUSE_NONE}, {"\n", NULL, CAUSE_USAGE},
	    {"\004", NULL, CAUSE_USAGE}, {NULL, NULL, CAUSE_STOPPED}};
	struct fixture *f = *state;

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		AUTO(terminal_close) struct terminal t;
		AUTO(vault_free) struct vault v = {0};
		char shown[200];
		struct err e;
		int status;
		pid_t pid;
		assert_int_equal(openpty(&t.master, &t.slave, NULL, NULL, NULL), 0);
		assert_int_equal(vault_open(&v, &e), 0);
		assert_true(echoes(t.slave));
		pid = answer(&t, cases[i].typed, f->stop_fd);
		int result = prompt_ask(t.slave, f->stop_fd, "Password?", &v, &e);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
		assert_int_equal(result, cases[i].secret ? 0 : -1);
		if (cases[i].secret)
			assert_string_equal(v.data, cases[i].secret);
		else
			assert_int_equal(e.cause, cases[i].cause);
		assert_true(echoes(t.slave));
		terminal_read(&t, shown, sizeof(shown));
		assert_string_equal(shown, "\r\n");
	}
}

/* Without a terminal the error names the options. (The test's input is no terminal.) */
static void test_no_terminal(void **state)
{
	AUTO(secrets_free) struct secrets s = {0};
	int saved = dup(0), null = open("/dev/null", O_RDONLY);
	struct err e;
	int result;

	dup2(null, 0);
	result = open_both(
	    *state, &s, (struct secret_origin){.command = "true"}, (struct secret_origin){0}, &e);
	dup2(saved, 0);
	close(saved);
	close(null);
	assert_int_equal(result, -1);
	assert_int_equal(e.cause, CAUSE_USAGE);
	assert_non_null(strstr(e.text, "--destination-password-file FILE"));
	assert_non_null(strstr(e.text, "--destination-password-env NAME"));
	assert_non_null(strstr(e.text, "--destination-password-command COMMAND"));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(test_file), TEST(test_file_too_long),
	    TEST(test_file_missing), TEST(test_public_file_is_noted), TEST(test_refused_once),
	    TEST(test_env), TEST(test_env_missing), TEST(test_forked_children_hold_nothing),
	    TEST(test_command), TEST(test_command_is_run_each_time), TEST(test_command_killed),
	    TEST(test_prompt), TEST(test_no_terminal)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
