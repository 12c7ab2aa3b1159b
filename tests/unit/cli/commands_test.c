/* The command table, the help texts, and that help and man page keep up with the options. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/arguments.h"
#include "cli/commands.h"
#include "cli/show.h"

/* Nothing here copies. */
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
	(void)summary, (void)options, (void)secrets, (void)watcher, (void)stop_fd;
	return err_set(e, CAUSE_BUG, ERR_RUN, "called");
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

/* Run `godwit LINE`; both streams go to TEXT. */
static int run(const char *line, char *text, size_t size)
{
	char *copy = mem_strdup(line), *rest = copy, *words[10] = {copy};
	int count = 1, ends[2], status;
	pid_t pid;

	for (char *word; (word = strsep(&rest, " "));)
		if (*word)
			words[count++] = word;
	assert_int_equal(pipe(ends), 0);
	fflush(NULL);
	pid = fork();
	if (!pid) {
		dup2(ends[1], 1);
		dup2(ends[1], 2);
		close(ends[0]);
		close(ends[1]);
		_exit(commands_run(count, words));
	}
	close(ends[1]);
	free(copy);
	read_to_end(ends[0], text, size);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WEXITSTATUS(status);
}

static void test_words(void **state)
{
	static const struct {
		const char *line;
		int exit;
		const char *text;
	} cases[] = {{"", 2, "Commands:"}, {"--help", 0, "Commands:"}, {"-h", 0, "Commands:"},
	    {"help", 0, "Commands:"}, {"help copy", 0, "--source-password-file"},
	    {"help --help", 0, "Commands:"}, {"help cpoy", 2, "did you mean copy?"},
	    {"cpoy a b", 2, "there is no command 'cpoy'; did you mean copy?"},
	    {"frobnicate", 2, "there is no command 'frobnicate'\n  See godwit --help."},
	    {"\033[31m", 2, "'?[31m'"}, {"--quiet copy", 2, "the command comes first"},
	    {"version", 0, "godwit " GODWIT_VERSION "\n"},
	    {"--version", 0, "godwit " GODWIT_VERSION "\n"}, {"copy -h", 0, "SOURCE DESTINATION"}};
	char text[20000];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		assert_int_equal(run(cases[i].line, text, sizeof(text)), cases[i].exit);
		if (!strstr(text, cases[i].text))
			fail_msg("'%s' lacks '%s'", text, cases[i].text);
	}
}

static void test_help_fits(void **state)
{
	char text[20000], line[100];

	(void)state;
	for (size_t i = 0; commands_at(i); i++) {
		snprintf(line, sizeof(line), "help %s", commands_at(i)->name);
		assert_int_equal(run(line, text, sizeof(text)), 0);
		for (char *rest = text, *one; (one = strsep(&rest, "\n"));)
			if (show_columns(one) > 80)
				fail_msg("more than 80 columns: %s", one);
	}
	run("help", text, sizeof(text));
	for (char *rest = text, *one; (one = strsep(&rest, "\n"));)
		assert_true(show_columns(one) <= 80);
}

/* In the help of its command and in the man page. */
static void check_options(enum job_kind job, const char *command, const char *man)
{
	static char help[20000];
	char line[40], option[80];
	size_t n = 0;

	snprintf(line, sizeof(line), "help %s", command);
	run(line, help, sizeof(help));
	for (; arguments_job_option(job, n); n++) {
		snprintf(option, sizeof(option), "--%s", arguments_job_option(job, n));
		if (!strstr(help, option))
			fail_msg("%s is not in the help of %s", option, command);
		if (!strstr(man, option))
			fail_msg("%s is not in the man page", option);
	}
	assert_true(n > 10);
}

static void test_every_option_is_documented(void **state)
{
	static char man[60000];
	char option[80], path[4096];
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "%.*s/../../../docs/godwit.1.scd",
	    (int)(strrchr(__FILE__, '/') - __FILE__), __FILE__);
	fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	read_to_end(fd, man, sizeof(man));
	check_options(JOB_COPY, "copy", man);
	check_options(JOB_VERIFY, "verify", man);
	check_options(JOB_CHECK, "check", man);
	for (int i = 1; i < CAUSE_COUNT; i++) {
		snprintf(option, sizeof(option), "*%s*", cause_name((enum cause)i));
		if (!strstr(man, option))
			fail_msg("the cause %s is not in the man page", option);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_words),
	    cmocka_unit_test(test_help_fits), cmocka_unit_test(test_every_option_is_documented)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
