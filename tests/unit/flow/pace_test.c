/* pace_test.c - how much may be under way, by what a line was seen to hold. */
#include "flow/pace.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define LEAST 1000u
#define MOST 100000u
#define AHEAD (25 * (40 + 40 + 400))

static int64_t now;

static int64_t clock_now(void)
{
	return now;
}

/* COUNT windows of BYTES, each MS after the one before it, and asked for DELAY before it came. */
static void take(struct pace *p, unsigned count, uint64_t bytes, int64_t ms, int64_t delay)
{
	pace_begin(p);
	while (count--) {
		now += ms;
		pace_take(p, bytes, now - delay);
	}
}

static int setup(void **state)
{
	(void)state;
	now = 5000;
	clock_fake(clock_now);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	clock_fake(NULL);
	return 0;
}

static void test_nothing_known(void **state)
{
	struct pace p = {0};

	(void)state;
	assert_int_equal(pace_ahead(&p, LEAST, MOST), MOST);
	take(&p, 4, 500, 20, 40); /* not a span yet */
	assert_int_equal(pace_ahead(&p, LEAST, MOST), MOST);
}

/* 25 bytes a ms, 40 ms away: twice 40 ms and the stock. */
static void test_bandwidth_and_delay(void **state)
{
	struct pace p = {0};

	(void)state;
	take(&p, 10, 500, 20, 40);
	assert_int_equal(pace_ahead(&p, LEAST, MOST), AHEAD);
}

static void test_bounds(void **state)
{
	struct pace slow = {0}, fast = {0};

	(void)state;
	take(&slow, 10, 10, 20, 40);
	assert_int_equal(pace_ahead(&slow, LEAST, MOST), LEAST);
	take(&fast, 10, 50000, 20, 40);
	assert_int_equal(pace_ahead(&fast, LEAST, MOST), MOST);
}

/* Queues make the delay longer; that is no reason to put more into them. */
static void test_least_delay(void **state)
{
	struct pace p = {0};

	(void)state;
	take(&p, 10, 500, 20, 40);
	take(&p, 10, 500, 20, 900);
	assert_int_equal(pace_ahead(&p, LEAST, MOST), AHEAD);
}

/* A pause of the other side is no slower line at once; a slower line is one in the end. */
static void test_best_of_some(void **state)
{
	struct pace p = {0};

	(void)state;
	take(&p, 10, 500, 20, 40);
	take(&p, 5, 500, 100, 40);
	assert_int_equal(pace_ahead(&p, LEAST, MOST), AHEAD / 5);
	take(&p, 10, 500, 20, 40);
	take(&p, 2, 500, 100, 40);
	assert_int_equal(pace_ahead(&p, LEAST, MOST), AHEAD);
}

/* Time in which nothing was asked for does not count. */
static void test_idle(void **state)
{
	struct pace p = {0};

	(void)state;
	take(&p, 10, 500, 20, 40);
	now += 60000;
	take(&p, 10, 500, 20, 40);
	assert_int_equal(pace_ahead(&p, LEAST, MOST), AHEAD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_nothing_known, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_bandwidth_and_delay, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_bounds, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_least_delay, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_best_of_some, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_idle, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
