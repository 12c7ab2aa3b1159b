/* tcp_test.c - the race for a connection (RFC 8305) and the bottom pipe's ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/tcp.h"

static int64_t jumping_now;

static int64_t jumping_clock(void)
{
	return jumping_now += 600000;
}

static int listen_on_loopback(struct address *where, int backlog)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&where->addr;
	*where = (struct address){.len = sizeof(*in)};
	in->sin_family = AF_INET;
	in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)in, sizeof(*in)), 0);
	assert_int_equal(listen(fd, backlog), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)in, &where->len), 0);
	return fd;
}

/* An address where connecting hangs: its queue of unaccepted connections is full. NULL-like (count
 * 0) where this kernel behaves otherwise. */
struct black_hole {
	struct address at;
	int listener;
	int fillers[64];
	size_t count;
	bool hangs;
};

static void black_hole_dig(struct black_hole *hole)
{
	*hole = (struct black_hole){0};
	hole->listener = listen_on_loopback(&hole->at, 0);
	while (hole->count < COUNT_OF(hole->fillers) && !hole->hangs) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		hole->fillers[hole->count++] = fd;
		if (connect(fd, (struct sockaddr *)&hole->at.addr, hole->at.len) == 0)
			continue;
		struct pollfd p = {.fd = fd, .events = POLLOUT};
		hole->hangs = poll(&p, 1, 300) == 0;
	}
}

static void black_hole_fill(struct black_hole *hole)
{
	for (size_t i = 0; i < hole->count; i++)
		close(hole->fillers[i]);
	close(hole->listener);
}

static uint16_t port_of(int fd)
{
	struct sockaddr_in in;
	socklen_t len = sizeof(in);
	assert_int_equal(getpeername(fd, (struct sockaddr *)&in, &len), 0);
	return in.sin_port;
}

static void expect_connection(struct layer **l, const struct address *to)
{
	assert_non_null(*l);
	assert_int_equal(
	    port_of((*l)->ops->fd(*l)), ((const struct sockaddr_in *)&to->addr)->sin_port);
	(*l)->ops->close(*l);
	*l = NULL;
}

static void refused_address(struct address *out)
{
	close(listen_on_loopback(out, 1));
}

static void test_second_address_after_a_refusal(void **state)
{
	(void)state;
	struct waitset *ws = NULL;
	struct layer *l = NULL;
	struct address list[3];
	struct err e = {0};
	refused_address(&list[0]);
	list[1] = (struct address){.len = sizeof(struct sockaddr_in)}; /* no family at all */
	int listener = listen_on_loopback(&list[2], 5);
	waitset_new(&ws, -1);
	assert_int_equal(tcp_connect(&l, ws, list, 3, -1, &e), 0);
	expect_connection(&l, &list[2]);
	assert_int_equal(e.cause, CAUSE_NONE);
	waitset_free(&ws);
	close(listener);
}

static void test_second_address_beside_a_hanging_one(void **state)
{
	(void)state;
	struct black_hole hole;
	black_hole_dig(&hole);
	if (hole.hangs) {
		struct waitset *ws = NULL;
		struct layer *l = NULL;
		struct address list[2] = {hole.at};
		int listener = listen_on_loopback(&list[1], 5);
		waitset_new(&ws, -1);
		assert_int_equal(tcp_connect(&l, ws, list, 2, -1, NULL), 0);
		expect_connection(&l, &list[1]);
		waitset_free(&ws);
		close(listener);
	}
	black_hole_fill(&hole);
	if (!hole.hangs)
		skip();
}

static void test_deadline_and_stop(void **state)
{
	(void)state;
	struct black_hole hole;
	black_hole_dig(&hole);
	if (hole.hangs) {
		struct waitset *ws = NULL;
		struct layer *l = NULL;
		struct err e = {0};
		int bell = eventfd(0, 0);
		uint64_t one = 1;
		waitset_new(&ws, bell);
		clock_fake(jumping_clock);
		assert_int_equal(tcp_connect(&l, ws, &hole.at, 1, jumping_now + 1, &e), -1);
		clock_fake(NULL);
		assert_null(l);
		assert_int_equal(e.cause, CAUSE_CONNECT);
		assert_int_equal(e.next, ERR_RETRY);
		assert_string_equal(e.text, "cannot be reached: no answer in time");
		assert_string_equal(e.detail, "127.0.0.1: no answer");
		assert_int_equal(write(bell, &one, sizeof(one)), sizeof(one));
		assert_int_equal(tcp_connect(&l, ws, &hole.at, 1, -1, &e), -1);
		assert_int_equal(e.cause, CAUSE_STOPPED);
		waitset_free(&ws);
		close(bell);
	}
	black_hole_fill(&hole);
	if (!hole.hangs)
		skip();
}

static void test_all_refuse(void **state)
{
	(void)state;
	struct waitset *ws = NULL;
	struct layer *l = NULL;
	struct address list[2];
	struct err e = {0};
	refused_address(&list[0]);
	refused_address(&list[1]);
	waitset_new(&ws, -1);
	assert_int_equal(tcp_connect(&l, ws, list, 2, -1, &e), -1);
	assert_null(l);
	assert_int_equal(e.cause, CAUSE_CONNECT);
	assert_int_equal(e.scope, ERR_LINK);
	assert_string_equal(e.text, "refuses the connection: no server there");
	assert_string_equal(
	    e.detail, "127.0.0.1: Connection refused; 127.0.0.1: Connection refused");
	waitset_free(&ws);
}

static void test_no_address(void **state)
{
	(void)state;
	struct waitset *ws = NULL;
	struct layer *l = NULL;
	struct address none;
	struct err e = {0};
	waitset_new(&ws, -1);
	assert_int_equal(tcp_connect(&l, ws, &none, 0, -1, &e), -1);
	assert_int_equal(e.cause, CAUSE_CONNECT);
	waitset_free(&ws);
}

static void raised(int signal)
{
	(void)signal;
	abort();
}

static void test_reads_and_writes(void **state)
{
	(void)state;
	struct layer *l = NULL;
	struct err e = {0};
	char got[16];
	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	tcp_over(&l, pair[0]);
	assert_int_equal(l->ops->fd(l), pair[0]);
	assert_int_equal(l->ops->read(l, got, sizeof(got), &e), LAYER_AGAIN);
	assert_int_equal(write(pair[1], "abc", 3), 3);
	assert_int_equal(l->ops->read(l, got, sizeof(got), &e), 3);
	assert_int_equal(l->ops->write(l, "defg", 4, &e), 4);
	assert_int_equal(read(pair[1], got, sizeof(got)), 4);
	/* It had been read empty: no further look before somebody has waited. */
	assert_int_equal(write(pair[1], "hi", 2), 2);
	assert_int_equal(l->ops->read(l, got, sizeof(got), &e), LAYER_AGAIN);
	assert_int_equal(l->ops->wants(l, true), POLLIN);
	assert_int_equal(l->ops->read(l, got, sizeof(got), &e), 2);
	/* But the last words of a peer that is gone are looked for at once. */
	assert_int_equal(write(pair[1], "bye", 3), 3);
	close(pair[1]);
	/* No SIGPIPE, although nobody ignores it here. */
	signal(SIGPIPE, raised);
	assert_int_equal(l->ops->write(l, "x", 1, &e), LAYER_FAILED);
	signal(SIGPIPE, SIG_DFL);
	assert_int_equal(e.cause, CAUSE_CONNECT);
	assert_string_equal(e.text, "hung up: Broken pipe");
	assert_int_equal(l->ops->read(l, got, sizeof(got), &e), 3);
	assert_int_equal(l->ops->wants(l, true), POLLIN);
	assert_int_equal(l->ops->read(l, got, sizeof(got), &e), 0);
	l->ops->close(l);
}

static void test_a_full_pipe_says_again(void **state)
{
	(void)state;
	static char much[1 << 16];
	struct layer *l = NULL;
	int pair[2];
	ptrdiff_t n = 1;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	tcp_over(&l, pair[0]);
	for (int i = 0; i < 10000 && n > 0; i++)
		n = l->ops->write(l, much, sizeof(much), NULL);
	assert_int_equal(n, LAYER_AGAIN);
	l->ops->close(l);
	close(pair[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_second_address_after_a_refusal),
	    cmocka_unit_test(test_second_address_beside_a_hanging_one),
	    cmocka_unit_test(test_deadline_and_stop),
	    cmocka_unit_test(test_all_refuse),
	    cmocka_unit_test(test_no_address),
	    cmocka_unit_test(test_reads_and_writes),
	    cmocka_unit_test(test_a_full_pipe_says_again),
	};
	return cmocka_run_group_tests_name("net/tcp", tests, NULL, NULL);
}
