/* Command lines read by a table, and what `godwit copy` makes of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "cli/arguments.h"
#include "cli/options.h"

#define A "imaps://anna@old.example"
#define B "imaps://anna@new.example"

static int parse(struct copy_arguments *args, struct arena *a, const char *line, struct err *e)
{
	char *words[40], *rest = arena_strdup(a, line), *word;
	int count = 0;

	while ((word = strsep(&rest, " ")))
		words[count++] = *word == '_' ? arena_strdup(a, "") : word;
	return arguments_parse(args, a, count, words, e);
}

static void test_all(void **state)
{
	AUTO(arena_free) struct arena a = ARENA_INIT;
	struct copy_arguments args;
	struct err e;

	(void)state;
	assert_int_equal(parse(&args, &a,
			     "--source-password-file s --destination-password-env=D " A
			     " --state /s --timeout 7 --settle 0.25 --max-size 3M --retry-refused "
			     "--namespace all --report r --output=json --debug -q --insecure -- " B,
			     &e),
	    0);
	assert_string_equal(args.source_secret.file, "s");
	assert_string_equal(args.destination_secret.env, "D");
	assert_string_equal(args.options.source.url, A);
	assert_string_equal(args.options.destination.url, B);
	assert_string_equal(args.options.state_dir, "/s");
	assert_int_equal(args.options.source.timeout_ms, 7000);
	assert_int_equal(args.options.destination.timeout_ms, 7000);
	assert_int_equal(args.options.settle_ms, 250);
	assert_int_equal(args.options.max_size, 3 << 20);
	assert_true(args.options.retry_refused && args.options.all_namespaces);
	assert_true(args.debug && args.quiet);
	assert_true(args.options.source.insecure && args.options.destination.insecure);
	assert_int_equal(args.output, OUTPUT_JSON);
	assert_string_equal(args.report, "r");
}

/* The lowest of --lanes and what either end bears. */
static void test_connections(void **state)
{
	static const struct {
		const char *line;
		unsigned lanes;
	} rows[] = {{A " " B, 4}, {A "/?connections=2 " B, 2}, {A " " B "/?connections=3", 3},
	    {A "/?connections=2 " B "/?connections=3", 2}, {A "/?connections=9 " B, 4},
	    {"--lanes 12 " A "/?connections=9 " B, 9}, {"--lanes 1 " A "/?connections=9 " B, 1}};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		AUTO(arena_free) struct arena a = ARENA_INIT;
		struct copy_arguments args;
		struct err e;

		assert_int_equal(parse(&args, &a, rows[i].line, &e), 0);
		assert_int_equal(args.options.lanes, rows[i].lanes);
	}
}

static void test_defaults(void **state)
{
	AUTO(arena_free) struct arena a = ARENA_INIT;
	struct copy_arguments args;
	struct err e;

	(void)state;
	setenv("XDG_STATE_HOME", "/xdg", 1);
	assert_int_equal(parse(&args, &a, A " " B, &e), 0);
	assert_string_equal(args.options.state_dir, "/xdg/godwit");
	assert_int_equal(args.options.source.timeout_ms, 60000);
	assert_int_equal(args.options.settle_ms, 5000);
	assert_int_equal(args.options.max_size, 0);
	assert_false(args.options.all_namespaces || args.options.retry_refused || args.insecure);
	setenv("XDG_STATE_HOME", "relative", 1);
	setenv("HOME", "/home/anna", 1);
	assert_int_equal(parse(&args, &a, A " " B, &e), 0);
	assert_string_equal(args.options.state_dir, "/home/anna/.local/state/godwit");
	unsetenv("HOME");
	assert_int_equal(parse(&args, &a, A " " B, &e), 0);
	assert_int_equal(*args.options.state_dir, '/');
}

static void test_ca_files(void **state)
{
	AUTO(arena_free) struct arena a = ARENA_INIT;
	struct copy_arguments args;
	struct err e;

	(void)state;
	assert_int_equal(
	    parse(&args, &a, "--ca-file /dev/null --source-ca-file /dev/zero " A " " B, &e), 0);
	assert_string_equal(args.options.source.ca_file, "/dev/zero");
	assert_string_equal(args.options.destination.ca_file, "/dev/null");
}

static void test_seconds_and_sizes(void **state)
{
	static const struct {
		const char *words;
		int settle_ms; /* -1 = refused */
	} seconds[] = {{"--settle 5", 5000}, {"--settle 0", 0}, {"--settle 0.5", 500},
	    {"--settle 1.", -1}, {"--settle 1.2345", -1}, {"--settle .5", -1}, {"--settle -1", -1},
	    {"--settle 1e3", -1}, {"--settle 3601", -1}, {"--settle 99999999999999999999", -1},
	    {"--timeout 0", -1}};
	static const struct {
		const char *words;
		uint64_t bytes; /* 0 = refused */
	} sizes[] = {{"--max-size 500", 500}, {"--max-size 10k", 10240},
	    {"--max-size 2G", (uint64_t)2 << 30}, {"--max-size 1MiB", 1048576}, {"--max-size 0", 0},
	    {"--max-size K", 0}, {"--max-size 1.5M", 0}, {"--max-size 5iB", 0},
	    {"--max-size 99999999999999G", 0}, {"--max-size -1", 0}};
	AUTO(arena_free) struct arena a = ARENA_INIT;
	struct copy_arguments args;
	struct err e;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(seconds); i++) {
		char *line = arena_printf(&a, "%s " A " " B, seconds[i].words);
		int result = parse(&args, &a, line, &e);
		assert_int_equal(result, seconds[i].settle_ms < 0 ? -1 : 0);
		if (!result && strstr(line, "settle"))
			assert_int_equal(args.options.settle_ms, seconds[i].settle_ms);
	}
	for (size_t i = 0; i < COUNT_OF(sizes); i++) {
		char *line = arena_printf(&a, "%s " A " " B, sizes[i].words);
		assert_int_equal(parse(&args, &a, line, &e), sizes[i].bytes ? 0 : -1);
		if (sizes[i].bytes)
			assert_int_equal(args.options.max_size, sizes[i].bytes);
	}
}

/* Each is refused with cause usage, in words that hold TEXT and never the word "hunter2". */
static void test_refused(void **state)
{
	static const struct {
		const char *line, *text;
	} cases[] = {{"", "two URLs"}, {A, "1 was given"}, {A " " B " hunter2", "3 were given"},
	    {"--timout 5 " A " " B, "did you mean --timeout?"},
	    {"--zzzzzz=hunter2 " A " " B, "no option --zzzzzz; see godwit copy --help"},
	    {"-x " A " " B, "no option -x"}, {"--quiet=yes " A " " B, "--quiet takes no value"},
	    {A " " B " --state", "--state needs a value"}, {"--state _ " A " " B, "an empty one"},
	    {"--output xml " A " " B, "text or json, not 'xml'"},
	    {"--namespace some " A " " B, "personal or all"},
	    {"--source-password hunter2 " A " " B, "--source-password-file"},
	    {"--password=hunter2 " A " " B, "--source-password-file"},
	    {"--source-password-file f --source-password-env E " A " " B, "only one of --source"},
	    {"--destination-password-file f --destination-password-command c " A " " B,
		"only one of --destination"},
	    {"imaps://anna:hunter2@old.example " B, "source"},
	    {A " imap://anna@OLD.example/", "same mailbox"}, {A " nonsense", "destination"},
	    {"--ca-file /nonexistent " A " " B, "CA file /nonexistent"}};
	AUTO(arena_free) struct arena a = ARENA_INIT;
	struct copy_arguments args;
	struct err e;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		assert_int_equal(parse(&args, &a, *cases[i].line ? cases[i].line : "--", &e), -1);
		assert_int_equal(e.cause, CAUSE_USAGE);
		if (!strstr(e.text, cases[i].text))
			fail_msg("'%s' lacks '%s'", e.text, cases[i].text);
		assert_null(strstr(e.text, "hunter2"));
		assert_null(strstr(e.detail, "hunter2"));
	}
}

/* How the error is to be printed is known whatever stands before. */
static void test_form_survives_errors(void **state)
{
	AUTO(arena_free) struct arena a = ARENA_INIT;
	struct copy_arguments args;
	struct err e;

	(void)state;
	assert_int_equal(parse(&args, &a, "--nonsense " A " --output json --quiet", &e), -1);
	assert_non_null(strstr(e.text, "nonsense"));
	assert_int_equal(args.output, OUTPUT_JSON);
	assert_true(args.quiet);
}

static void test_help_wins(void **state)
{
	AUTO(arena_free) struct arena a = ARENA_INIT;
	struct copy_arguments args;
	struct err e;

	(void)state;
	assert_int_equal(parse(&args, &a, "-qh", &e), 0);
	assert_true(args.help && args.quiet);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_all),
	    cmocka_unit_test(test_connections), cmocka_unit_test(test_defaults),
	    cmocka_unit_test(test_ca_files), cmocka_unit_test(test_seconds_and_sizes),
	    cmocka_unit_test(test_refused), cmocka_unit_test(test_form_survives_errors),
	    cmocka_unit_test(test_help_wins)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
