/* wait_test.c - the wait set: who is moved, who is left alone, the bell, the deadline. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/wait.h"

/* A waiter on one end of a socketpair, which counts and swallows what comes. */
struct end {
	struct waiter waiter;
	int fd;
	short wanted;
	bool inside;
	int calls;
	short last;
};

static int end_fd(struct waiter *w)
{
	return ((struct end *)w)->fd;
}

static short end_wants(struct waiter *w)
{
	return ((struct end *)w)->wanted;
}

static void end_ready(struct waiter *w, short revents)
{
	struct end *end = (struct end *)w;
	char swallowed[64];
	end->calls++;
	end->last = revents;
	if (revents & POLLIN)
		assert_true(read(end->fd, swallowed, sizeof(swallowed)) >= 0);
	end->inside = false;
}

static bool end_pending(struct waiter *w)
{
	return ((struct end *)w)->inside;
}

struct table {
	struct waitset *ws;
	struct end ends[2];
	int peers[2];
	int bell;
};

static int64_t jumping_now;

/* Each look at the clock finds ten minutes gone. */
static int64_t jumping_clock(void)
{
	return jumping_now += 600000;
}

static int setup(void **state)
{
	static struct table t;
	t = (struct table){.bell = eventfd(0, EFD_NONBLOCK)};
	waitset_new(&t.ws, t.bell);
	for (int i = 0; i < 2; i++) {
		int pair[2];
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
		t.ends[i] = (struct end){
		    .waiter = {.fd = end_fd,
			.wants = end_wants,
			.ready = end_ready,
			.pending = end_pending},
		    .fd = pair[0],
		    .wanted = POLLIN,
		};
		t.peers[i] = pair[1];
		waitset_add(t.ws, &t.ends[i].waiter);
	}
	*state = &t;
	return 0;
}

static int teardown(void **state)
{
	struct table *t = *state;
	clock_fake(NULL);
	for (int i = 0; i < 2; i++) {
		waitset_remove(t->ws, &t->ends[i].waiter);
		close(t->ends[i].fd);
		close(t->peers[i]);
	}
	waitset_free(&t->ws);
	assert_null(t->ws);
	waitset_free(&t->ws);
	close(t->bell);
	return 0;
}

static void test_moves_everybody_who_can(void **state)
{
	struct table *t = *state;
	struct err e = {0};
	assert_int_equal(write(t->peers[0], "a", 1), 1);
	assert_int_equal(write(t->peers[1], "b", 1), 1);
	assert_int_equal(waitset_wait(t->ws, -1, &e), 1);
	assert_int_equal(t->ends[0].calls, 1);
	assert_int_equal(t->ends[1].calls, 1);
	assert_int_equal(waitset_pump(t->ws, &e), 0);
	assert_int_equal(t->ends[0].calls, 1);
	assert_int_equal(e.cause, CAUSE_NONE);
}

static void test_both_directions(void **state)
{
	struct table *t = *state;
	t->ends[0].wanted = POLLIN | POLLOUT;
	assert_int_equal(waitset_wait(t->ws, -1, NULL), 1);
	assert_int_equal(t->ends[0].last, POLLOUT);
	assert_int_equal(write(t->peers[0], "a", 1), 1);
	assert_int_equal(waitset_wait(t->ws, -1, NULL), 1);
	assert_int_equal(t->ends[0].last, POLLIN | POLLOUT);
}

static void test_who_wants_nothing_is_left_alone(void **state)
{
	struct table *t = *state;
	t->ends[0].wanted = 0;
	assert_int_equal(write(t->peers[0], "a", 1), 1);
	shutdown(t->peers[0], SHUT_RDWR);
	assert_int_equal(waitset_pump(t->ws, NULL), 0);
	assert_int_equal(t->ends[0].calls, 0);
	t->ends[0].wanted = POLLIN;
	assert_int_equal(waitset_pump(t->ws, NULL), 1);
	assert_int_equal(t->ends[0].calls, 1);
}

static void test_pending_is_not_slept_over(void **state)
{
	struct table *t = *state;
	t->ends[1].inside = true;
	assert_int_equal(waitset_wait(t->ws, -1, NULL), 1);
	assert_int_equal(t->ends[1].calls, 1);
	assert_int_equal(t->ends[1].last, 0);
	assert_int_equal(t->ends[0].calls, 0);
}

static void test_bell_wins_and_goes_on_ringing(void **state)
{
	struct table *t = *state;
	uint64_t one = 1;
	assert_int_equal(write(t->peers[0], "a", 1), 1);
	assert_int_equal(write(t->bell, &one, sizeof(one)), sizeof(one));
	for (int i = 0; i < 3; i++) {
		struct err e = {0};
		assert_int_equal(waitset_wait(t->ws, -1, &e), -1);
		assert_int_equal(e.cause, CAUSE_STOPPED);
		assert_int_equal(e.next, ERR_STOPPED);
		assert_int_equal(waitset_pump(t->ws, NULL), -1);
		assert_int_equal(waitset_sleep(t->ws, 60000, NULL), -1);
	}
	assert_int_equal(t->ends[0].calls, 0);
}

static void test_deadline(void **state)
{
	struct table *t = *state;
	struct err e = {0};
	assert_int_equal(waitset_wait(t->ws, clock_ms(), &e), 0);
	clock_fake(jumping_clock);
	assert_int_equal(waitset_wait(t->ws, jumping_now + 1000, &e), 0);
	assert_int_equal(waitset_sleep(t->ws, 1000, &e), 0);
	assert_int_equal(e.cause, CAUSE_NONE);
}

static void test_sleep_moves_bytes_meanwhile(void **state)
{
	struct table *t = *state;
	clock_fake(jumping_clock);
	t->ends[0].wanted = POLLOUT;
	assert_int_equal(waitset_sleep(t->ws, 3600000, NULL), 0);
	assert_true(t->ends[0].calls > 1);
}

static void test_cancelled(void **state)
{
	struct table *t = *state;
	struct err e;

	waitset_let_cancel(t->ws, true);
	assert_int_equal(waitset_pump(t->ws, &e), 0);
	waitset_cancel(t->ws);
	assert_int_equal(waitset_wait(t->ws, -1, &e), -1);
	assert_int_equal(e.cause, CAUSE_STOPPED);
	waitset_let_cancel(t->ws, false);
	assert_int_equal(waitset_pump(t->ws, &e), 0);
	waitset_let_cancel(t->ws, true); /* the old ringing is forgotten */
	assert_int_equal(waitset_pump(t->ws, &e), 0);
}

static void test_without_bell_and_with_many(void **state)
{
	(void)state;
	struct end many[20];
	struct waitset *ws = NULL;
	waitset_new(&ws, -1);
	int fd = eventfd(1, 0);
	for (size_t i = 0; i < COUNT_OF(many); i++) {
		many[i] = (struct end){.fd = fd,
		    .wanted = POLLOUT,
		    .waiter = {.fd = end_fd, .wants = end_wants, .ready = end_ready}};
		waitset_add(ws, &many[i].waiter);
	}
	assert_int_equal(waitset_wait(ws, -1, NULL), 1);
	for (size_t i = 0; i < COUNT_OF(many); i++)
		assert_int_equal(many[i].calls, 1);
	/* From the middle, the end and the start. */
	for (size_t i = 0; i < COUNT_OF(many); i++)
		waitset_remove(ws, &many[(i * 7 + 5) % COUNT_OF(many)].waiter);
	assert_int_equal(waitset_pump(ws, NULL), 0);
	waitset_free(&ws);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_moves_everybody_who_can, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_both_directions, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_who_wants_nothing_is_left_alone, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_pending_is_not_slept_over, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_bell_wins_and_goes_on_ringing, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_cancelled, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_deadline, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_sleep_moves_bytes_meanwhile, setup, teardown),
	    cmocka_unit_test(test_without_bell_and_with_many),
	};
	return cmocka_run_group_tests_name("net/wait", tests, NULL, NULL);
}
