/* Rate and time left, with a clock of paper. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/pace.h"

static struct copy_progress at(uint64_t items, uint64_t bytes)
{
	return (struct copy_progress){.phase = COPY_COPYING,
	    .items_done = items,
	    .items_total = 1000,
	    .bytes_done = bytes,
	    .bytes_total = 1000000};
}

static void test_steady(void **state)
{
	struct pace pace = {0};
	struct copy_progress now;

	(void)state;
	for (int64_t ms = 0; ms <= 10000; ms += 100) {
		now = at((uint64_t)ms / 100, (uint64_t)ms * 10);
		pace_feed(&pace, &now, 5000 + ms);
		if (ms < 3000)
			assert_int_equal(pace_left_s(&pace, &now), -1);
	}
	assert_in_range(pace_rate(&pace), 9990, 10010);
	assert_in_range(pace_left_s(&pace, &now), 89, 91);
}

static void test_nothing_before_copying(void **state)
{
	struct pace pace = {0};
	struct copy_progress now = {.phase = COPY_LISTING, .items_total = 5};

	(void)state;
	for (int64_t ms = 0; ms < 60000; ms += 1000)
		pace_feed(&pace, &now, ms);
	assert_int_equal(pace_left_s(&pace, &now), -1);
	assert_int_equal(pace_rate(&pace), 0);
	now = at(0, 0);
	pace_feed(&pace, &now, 60000);
	assert_int_equal(pace_left_s(&pace, &now), -1);
}

static void test_stall_shows(void **state)
{
	struct pace pace = {0};
	struct copy_progress now = at(0, 0);

	(void)state;
	for (int64_t ms = 0; ms <= 10000; ms += 500) {
		now = at((uint64_t)ms / 100, (uint64_t)ms * 10);
		pace_feed(&pace, &now, ms);
	}
	for (int64_t ms = 10500; ms <= 40000; ms += 500)
		pace_feed(&pace, &now, ms);
	assert_true(pace_rate(&pace) < 500);
	for (int64_t ms = 40500; ms <= 900000; ms += 500)
		pace_feed(&pace, &now, ms);
	assert_int_equal(pace_left_s(&pace, &now), -1);
}

static void test_done(void **state)
{
	struct pace pace = {0};
	struct copy_progress now = at(0, 0);

	(void)state;
	pace_feed(&pace, &now, 0);
	now = at(1000, 1000000);
	pace_feed(&pace, &now, 4000);
	assert_int_equal(pace_left_s(&pace, &now), 0);
}

/* What cannot be must not break anything: counts that fall, counts beyond belief. */
static void test_nonsense(void **state)
{
	struct pace pace = {0};
	struct copy_progress now = at(500, 500);

	(void)state;
	pace_feed(&pace, &now, 0);
	now = at(0, 0);
	pace_feed(&pace, &now, 4000);
	assert_int_equal(pace_rate(&pace), 0);
	now = at(UINT64_MAX, UINT64_MAX);
	pace_feed(&pace, &now, 4500);
	pace_rate(&pace);
	assert_int_equal(pace_left_s(&pace, &now), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_steady),
	    cmocka_unit_test(test_nothing_before_copying), cmocka_unit_test(test_stall_shows),
	    cmocka_unit_test(test_done), cmocka_unit_test(test_nonsense)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
