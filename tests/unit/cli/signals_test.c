/* The stop bell: the first signal asks, the second quits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/signals.h"

static bool rings(int fd)
{
	struct pollfd bell = {.fd = fd, .events = POLLIN};

	return poll(&bell, 1, 0) == 1;
}

static void sleep_ms(int ms)
{
	poll(NULL, 0, ms);
}

static void test_each_signal_rings(void **state)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
	struct err e;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(numbers); i++) {
		int fd = signals_open(&e);
		assert_true(fd >= 0);
		assert_false(rings(fd) || signals_came());
		raise(numbers[i]);
		assert_true(rings(fd) && signals_came());
		assert_true(rings(fd));
		signals_close();
	}
}

static void test_ring_from_inside(void **state)
{
	struct err e;
	int fd = signals_open(&e);

	(void)state;
	signals_ring();
	assert_true(rings(fd));
	assert_false(signals_came());
	raise(SIGPIPE); /* ignored */
	signals_close();
}

/* Send FIRST, wait, send SECOND to a child that would go on for ever; how did it end? */
static int end_of_child(int first, int wait_ms, int second)
{
	int status;
	struct err e;
	pid_t pid = fork();

	if (!pid) {
		signals_open(&e);
		raise(first);
		sleep_ms(wait_ms);
		raise(second);
		_exit(7); /* still there */
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void test_second_signal(void **state)
{
	(void)state;
	assert_int_equal(end_of_child(SIGINT, 400, SIGINT), 130);
	assert_int_equal(end_of_child(SIGHUP, 400, SIGTERM), 130);
	assert_int_equal(end_of_child(SIGTERM, 0, SIGTERM), 7); /* timeout(1) does that */
	assert_int_equal(end_of_child(SIGINT, 400, SIGHUP), 7); /* closing terminals do that */
}

static void test_nohup(void **state)
{
	struct err e;
	int fd;

	(void)state;
	signal(SIGHUP, SIG_IGN);
	fd = signals_open(&e);
	raise(SIGHUP);
	assert_false(rings(fd));
	signals_close();
	signal(SIGHUP, SIG_DFL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_signal_rings),
	    cmocka_unit_test(test_ring_from_inside), cmocka_unit_test(test_second_signal),
	    cmocka_unit_test(test_nohup)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
