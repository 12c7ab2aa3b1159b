/* conn_test.c - the buffered connection over layers that break, and over real sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/breaking_layer.h"
#include "net/conn.h"
#include "net/tcp.h"

static const char GREETING[] = "* OK ready\r\n";
static const char COMMAND[] = "a NOOP\r\n";
static const char ANSWER[] = "* 1 EXISTS\r\na OK done\r\n";
static const char SERVER_SAYS[] = "* OK ready\r\n* 1 EXISTS\r\na OK done\r\n";

static int64_t jumping_now;

static int64_t jumping_clock(void)
{
	return jumping_now += 600000;
}

static struct conn_target target_plain(void)
{
	return (struct conn_target){
	    .host = "mail.example.org",
	    .port = 143,
	    .tls = CONN_TLS_NONE,
	    .timeout_ms = 60000,
	    .side = ERR_SOURCE,
	};
}

static void conn_over_script(struct conn **c, struct waitset *ws, const struct breaking_script *s,
    const struct conn_target *target)
{
	struct layer *layer = NULL;
	breaking_layer_new(&layer, s);
	conn_over(c, ws, layer, target);
}

/* Collect until TOTAL bytes came, taking them as they come. */
static int collect(struct conn *c, struct buf *got, size_t total, struct err *e)
{
	while (got->len < total) {
		struct view v = conn_peek(c);
		if (v.len == 0) {
			if (conn_need(c, e))
				return -1;
			continue;
		}
		size_t n = v.len < total - got->len ? v.len : total - got->len;
		buf_add(got, v.data, n);
		conn_take(c, n);
	}
	return 0;
}

/* What a connector does: greeting, command, answer. */
static int exchange(struct conn *c, struct buf *got, struct err *e)
{
	if (collect(c, got, strlen(GREETING), e))
		return -1;
	if (conn_write(c, view_of(COMMAND), e) || conn_flush(c, e))
		return -1;
	return collect(c, got, strlen(GREETING) + strlen(ANSWER), e);
}

static void expect_trouble(const struct err *e, const char *text)
{
	assert_int_equal(e->cause, CAUSE_CONNECT);
	assert_int_equal(e->scope, ERR_LINK);
	assert_int_equal(e->next, ERR_RETRY);
	assert_int_equal(e->side, ERR_SOURCE);
	assert_string_equal(e->text, text);
}

static void exchange_with_read_break(size_t at, size_t piece, bool pauses, enum break_kind kind)
{
	struct waitset *ws = NULL;
	struct conn *c = NULL;
	struct err e = {0};
	AUTO(buf_free) struct buf got = BUF_INIT(1000);
	struct conn_target target = target_plain();
	struct breaking_script script = {
	    .input = view_make(SERVER_SAYS, at), .piece = piece, .pauses = pauses, .end = kind};
	waitset_new(&ws, -1);
	conn_over_script(&c, ws, &script, &target);
	if (kind != BREAK_SILENT) {
		assert_int_equal(exchange(c, &got, &e), -1);
		expect_trouble(&e, kind == BREAK_END ? "mail.example.org:143 hung up"
						     : "mail.example.org:143 broke");
		struct err again = {0};
		assert_int_equal(conn_check(c, &again), -1);
		assert_string_equal(again.text, e.text);
		assert_int_equal(conn_write(c, view_of("x"), NULL), -1);
	} else {
		assert_int_equal(exchange(c, &got, &e), 0);
		assert_true(conn_stats(c).bytes_out == strlen(COMMAND));
	}
	/* Not one byte that came before the break is lost. When it was noticed while the command
	 * went out, the rest is still to be peeked. */
	struct view rest = conn_peek(c);
	buf_add_view(&got, rest);
	assert_int_equal(got.len, at);
	assert_memory_equal(got.data ? got.data : "", SERVER_SAYS, at);
	assert_true(conn_stats(c).bytes_in == at);
	conn_close(&c);
	assert_null(c);
	waitset_free(&ws);
}

static void test_reads_break_at_every_byte(void **state)
{
	(void)state;
	static const size_t pieces[] = {0, 1, 3, 7};
	for (size_t at = 0; at < strlen(SERVER_SAYS); at++)
		for (size_t p = 0; p < COUNT_OF(pieces); p++)
			for (int how = 0; how < 4; how++)
				exchange_with_read_break(
				    at, pieces[p], how & 1, how & 2 ? BREAK_END : BREAK_FAIL);
}

static void test_writes_break_at_every_byte(void **state)
{
	(void)state;
	for (size_t at = 0; at <= strlen(COMMAND); at++) {
		struct waitset *ws = NULL;
		struct conn *c = NULL;
		struct err e = {0};
		AUTO(buf_free) struct buf got = BUF_INIT(1000);
		AUTO(buf_free) struct buf written = BUF_INIT(1000);
		struct conn_target target = target_plain();
		struct breaking_script script = {.input = view_of(SERVER_SAYS),
		    .piece = 4,
		    .pauses = at & 1,
		    .write_breaks = true,
		    .write_limit = at,
		    .written = &written};
		waitset_new(&ws, -1);
		conn_over_script(&c, ws, &script, &target);
		int failed = exchange(c, &got, &e);
		assert_int_equal(failed, at < strlen(COMMAND) ? -1 : 0);
		if (failed)
			expect_trouble(&e, "mail.example.org:143 broke");
		assert_int_equal(written.len, at);
		assert_memory_equal(written.data ? written.data : "", COMMAND, at);
		conn_close(&c);
		waitset_free(&ws);
	}
}

/* A and B share a wait set; A's bytes come while the lane waits for B. */
static void test_bytes_that_came_meanwhile(void **state)
{
	(void)state;
	struct waitset *ws = NULL;
	struct conn *a = NULL, *b = NULL;
	struct err e = {0};
	struct conn_target target = target_plain();
	struct breaking_script first = {
	    .input = view_of("one two three"), .piece = 4, .pauses = true, .end = BREAK_END};
	struct breaking_script second = {.input = view_of("x"), .pauses = true};
	waitset_new(&ws, -1);
	conn_over_script(&a, ws, &first, &target);
	conn_over_script(&b, ws, &second, &target);
	assert_int_equal(conn_need(a, &e), 0);
	struct view seen = conn_peek(a);
	assert_true(view_is(seen, "one "));
	for (int i = 0; i < 10; i++)
		assert_true(waitset_pump(ws, &e) >= 0);
	/* The view is still true, the news need no wait, the hang-up comes last. */
	assert_true(view_is(seen, "one "));
	assert_int_equal(conn_check(a, &e), -1);
	uint64_t waits = conn_stats(a).waits;
	assert_int_equal(conn_need(a, &e), 0);
	assert_int_equal(conn_stats(a).waits, waits);
	assert_true(view_is(conn_peek(a), "one two three"));
	assert_int_equal(conn_need(a, &e), -1);
	expect_trouble(&e, "mail.example.org:143 hung up");
	assert_string_equal(e.detail, "after 13 bytes received and 0 sent");
	assert_true(view_is(conn_peek(a), "one two three"));
	conn_close(&a);
	conn_close(&b);
	waitset_free(&ws);
}

/* An ordinary stop, and what was true before stays true. */
static void test_stop(void **state)
{
	(void)state;
	struct waitset *ws = NULL;
	struct conn *c = NULL;
	struct err e = {0};
	struct conn_target target = target_plain();
	struct breaking_script script = {.input = view_of("")};
	int bell = eventfd(1, 0);
	waitset_new(&ws, bell);
	conn_over_script(&c, ws, &script, &target);
	assert_int_equal(conn_need(c, &e), -1);
	assert_int_equal(e.cause, CAUSE_STOPPED);
	assert_string_equal(e.text, "stopped");
	assert_int_equal(conn_check(c, &e), 0);
	conn_close(&c);
	waitset_free(&ws);
	close(bell);
}

static void test_silence(void **state)
{
	(void)state;
	struct waitset *ws = NULL;
	struct conn *c = NULL;
	struct err e = {0};
	struct conn_target target = target_plain();
	struct breaking_script script = {.input = view_of("half")};
	waitset_new(&ws, -1);
	conn_over_script(&c, ws, &script, &target);
	assert_int_equal(conn_need(c, &e), 0);
	conn_peek(c);
	jumping_now = clock_ms(); /* it goes on from here, however long the machine has been up */
	clock_fake(jumping_clock);
	assert_int_equal(conn_need(c, &e), -1);
	expect_trouble(&e, "mail.example.org:143 has not answered for 60 seconds");
	clock_fake(NULL);
	conn_close(&c);
	waitset_free(&ws);
}

static void test_ipv6_literal_in_errors(void **state)
{
	(void)state;
	struct waitset *ws = NULL;
	struct conn *c = NULL;
	struct err e = {0};
	struct conn_target target = target_plain();
	struct breaking_script script = {.end = BREAK_END};
	target.host = "2001:db8::1";
	waitset_new(&ws, -1);
	conn_over_script(&c, ws, &script, &target);
	assert_int_equal(conn_need(c, &e), -1);
	expect_trouble(&e, "[2001:db8::1]:143 hung up");
	conn_close(&c);
	waitset_free(&ws);
}

static void test_longer_than_the_ceiling(void **state)
{
	(void)state;
	struct waitset *ws = NULL;
	struct conn *c = NULL;
	struct err e = {0};
	struct conn_target target = target_plain();
	struct breaking_script script = {.input = view_of("0123456789abcdef"), .piece = 3};
	target.in_max = 10;
	waitset_new(&ws, -1);
	conn_over_script(&c, ws, &script, &target);
	while (conn_need(c, &e) == 0)
		assert_true(conn_peek(c).len <= 10);
	assert_int_equal(e.cause, CAUSE_PROTOCOL);
	assert_int_equal(e.side, ERR_SOURCE);
	assert_true(view_is(conn_peek(c), "0123456789"));
	conn_close(&c);
	waitset_free(&ws);
}

/* Bytes inside a layer come without the descriptor's help, also when room appears only later. */
static void test_bytes_inside_the_layer(void **state)
{
	(void)state;
	struct waitset *ws = NULL;
	struct conn *c = NULL;
	struct conn_target target = target_plain();
	struct breaking_script script = {.input = view_of(SERVER_SAYS), .piece = 5, .inside = true};
	AUTO(buf_free) struct buf got = BUF_INIT(1000);
	target.in_max = 8;
	waitset_new(&ws, -1);
	conn_over_script(&c, ws, &script, &target);
	assert_int_equal(collect(c, &got, strlen(SERVER_SAYS), NULL), 0);
	assert_string_equal(got.data, SERVER_SAYS);
	conn_close(&c);
	waitset_free(&ws);
}

static unsigned next_number(unsigned *seed)
{
	return (*seed = *seed * 1103515245u + 12345u) >> 16;
}

/* Needs and takes of every size, in a small queue that moves its bytes often. */
static void test_takes_of_every_size(void **state)
{
	(void)state;
	enum { TOTAL = 20000 };
	static char stream[TOTAL];
	for (size_t i = 0; i < TOTAL; i++)
		stream[i] = (char)(i * i + i / 256);
	for (unsigned round = 1; round <= 40; round++) {
		unsigned seed = round;
		struct waitset *ws = NULL;
		struct conn *c = NULL;
		struct conn_target target = target_plain();
		struct breaking_script script = {.input = view_make(stream, TOTAL),
		    .piece = 1 + next_number(&seed) % 90,
		    .pauses = round & 1};
		target.in_max = 100 + round;
		waitset_new(&ws, -1);
		conn_over_script(&c, ws, &script, &target);
		size_t at = 0;
		while (at < TOTAL) {
			size_t want = 1 + next_number(&seed) % 100;
			want = want < TOTAL - at ? want : TOTAL - at;
			while (conn_peek(c).len < want)
				assert_int_equal(conn_need(c, NULL), 0);
			assert_memory_equal(conn_peek(c).data, stream + at, want);
			size_t took = 1 + next_number(&seed) % want;
			conn_take(c, took);
			at += took;
		}
		conn_close(&c);
		waitset_free(&ws);
	}
}

static void conns_over_pair(struct conn *c[2], struct waitset *ws, size_t in_max)
{
	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	for (int i = 0; i < 2; i++) {
		struct layer *layer = NULL;
		struct conn_target target = target_plain();
		target.in_max = in_max;
		tcp_over(&layer, pair[i]);
		conn_over(&c[i], ws, layer, &target);
	}
}

#define MUCH (10u << 20)

static struct view much_of(unsigned seed)
{
	char *data = mem_new(MUCH, 1);
	for (size_t i = 0; i < MUCH; i++)
		data[i] = (char)(next_number(&seed) & 0xff);
	return view_make(data, MUCH);
}

/* Both write before either reads: the wait set keeps the bytes moving. */
static void test_two_peers_that_both_write_first(void **state)
{
	(void)state;
	struct waitset *ws = NULL;
	struct conn *c[2];
	struct view said[2] = {much_of(1), much_of(2)};
	waitset_new(&ws, -1);
	conns_over_pair(c, ws, MUCH);
	for (int i = 0; i < 2; i++)
		assert_int_equal(conn_write(c[i], said[i], NULL), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(conn_flush(c[i], NULL), 0);
	for (int i = 0; i < 2; i++) {
		while (conn_peek(c[i]).len < MUCH)
			assert_int_equal(conn_need(c[i], NULL), 0);
		assert_memory_equal(conn_peek(c[i]).data, said[1 - i].data, MUCH);
	}
	for (int i = 0; i < 2; i++) {
		free((char *)said[i].data);
		conn_close(&c[i]);
	}
	waitset_free(&ws);
}

/* A peer in another thread that writes everything before it reads anything. */
static void *write_then_read(void *arg)
{
	int fd = *(int *)arg;
	struct view v = much_of(3);
	for (size_t at = 0; at < v.len;) {
		ssize_t n = write(fd, v.data + at, v.len - at);
		if (n <= 0)
			abort();
		at += (size_t)n;
	}
	free((char *)v.data);
	size_t got = 0;
	char some[4096];
	for (ssize_t n = 1; n > 0 && got < MUCH; got += (size_t)n)
		n = read(fd, some, sizeof(some));
	close(fd);
	return NULL;
}

static void test_a_peer_that_writes_first(void **state)
{
	(void)state;
	struct waitset *ws = NULL;
	struct conn *c = NULL;
	struct layer *layer = NULL;
	struct conn_target target = target_plain();
	struct view mine = much_of(4), theirs = much_of(3);
	pthread_t thread;
	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(pthread_create(&thread, NULL, write_then_read, &pair[1]), 0);
	waitset_new(&ws, -1);
	target.in_max = MUCH;
	tcp_over(&layer, pair[0]);
	conn_over(&c, ws, layer, &target);
	assert_int_equal(conn_write(c, mine, NULL), 0);
	assert_int_equal(conn_flush(c, NULL), 0);
	while (conn_peek(c).len < MUCH)
		assert_int_equal(conn_need(c, NULL), 0);
	assert_memory_equal(conn_peek(c).data, theirs.data, MUCH);
	pthread_join(thread, NULL);
	free((char *)mine.data);
	free((char *)theirs.data);
	conn_close(&c);
	waitset_free(&ws);
}

/* A full in queue is left unread and costs nothing while others go on; a hang-up behind it waits. */
static void test_full_queue_is_left_unread(void **state)
{
	(void)state;
	struct waitset *ws = NULL;
	struct conn *c[2];
	waitset_new(&ws, -1);
	conns_over_pair(c, ws, 4);
	assert_int_equal(conn_write(c[0], view_of("123456"), NULL), 0);
	assert_int_equal(conn_flush(c[0], NULL), 0);
	assert_int_equal(conn_need(c[1], NULL), 0);
	conn_close(&c[0]);
	assert_int_equal(waitset_pump(ws, NULL), 0);
	assert_true(view_is(conn_peek(c[1]), "1234"));
	assert_int_equal(conn_check(c[1], NULL), 0);
	conn_take(c[1], 2);
	assert_int_equal(conn_need(c[1], NULL), 0);
	assert_true(view_is(conn_peek(c[1]), "3456"));
	conn_take(c[1], 4);
	assert_int_equal(conn_need(c[1], NULL), -1);
	conn_close(&c[1]);
	waitset_free(&ws);
}

/* A peer that takes nothing: patience ends after the longest silence, a stop ends it at once. */
static void test_a_peer_that_takes_nothing(void **state)
{
	(void)state;
	struct waitset *ws = NULL;
	struct conn *c = NULL;
	struct layer *layer = NULL;
	struct err e = {0};
	struct conn_target target = target_plain();
	struct view much = much_of(5);
	uint64_t one = 1;
	int bell = eventfd(0, 0);
	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	waitset_new(&ws, bell);
	tcp_over(&layer, pair[0]);
	conn_over(&c, ws, layer, &target);
	assert_int_equal(write(bell, &one, sizeof(one)), sizeof(one));
	assert_int_equal(conn_write(c, much, &e), -1);
	assert_int_equal(e.cause, CAUSE_STOPPED);
	assert_int_equal(conn_check(c, &e), 0);
	assert_int_equal(read(bell, &one, sizeof(one)), sizeof(one));
	jumping_now = clock_ms(); /* it goes on from here, however long the machine has been up */
	clock_fake(jumping_clock);
	assert_int_equal(conn_write(c, much, &e), -1);
	clock_fake(NULL);
	expect_trouble(&e, "mail.example.org:143 has taken none of our data for 60 seconds");
	assert_int_equal(conn_flush(c, NULL), -1);
	free((char *)much.data);
	conn_close(&c);
	close(pair[1]);
	close(bell);
	waitset_free(&ws);
}

/* Behind the clock that jumps sits a slow line: each look at it takes some more bytes. */
static struct {
	int fd;
	int looks;
	int slow_until;
} slow_line;

static int64_t slow_clock(void)
{
	char some[20000];
	if (slow_line.looks++ < slow_line.slow_until)
		(void)!read(slow_line.fd, some, sizeof(some));
	return jumping_clock();
}

/* While the kernel's own buffer dwindles, a server that says nothing is not silent. */
static void test_a_slow_line_is_not_silence(void **state)
{
	(void)state;
	struct waitset *ws = NULL;
	struct conn *c = NULL;
	struct layer *layer = NULL;
	struct err e = {0};
	struct conn_target target = target_plain();
	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	waitset_new(&ws, -1);
	tcp_over(&layer, pair[0]);
	conn_over(&c, ws, layer, &target);
	char *data = mem_new(150000, 1);
	assert_int_equal(conn_write(c, view_make(data, 150000), NULL), 0);
	free(data);
	bool known = tcp_unsent(pair[0]) > 0; /* some kernels do not tell */
	if (known) {
		slow_line.fd = pair[1];
		slow_line.slow_until = 6;
		clock_fake(slow_clock);
		assert_int_equal(conn_need(c, &e), -1);
		clock_fake(NULL);
		assert_true(slow_line.looks > slow_line.slow_until);
		expect_trouble(&e, "mail.example.org:143 has not answered for 60 seconds");
	}
	conn_close(&c);
	close(pair[1]);
	waitset_free(&ws);
	if (!known)
		skip();
}

/* -- real TCP -- */

static int listen_on_loopback(uint16_t *port)
{
	struct sockaddr_in addr = {
	    .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 5), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
	*port = ntohs(addr.sin_port);
	return fd;
}

static void *serve_one_exchange(void *arg)
{
	int listener = *(int *)arg;
	int fd = accept(listener, NULL, NULL);
	char line[64];
	size_t got = 0;
	if (write(fd, GREETING, strlen(GREETING)) < 0)
		abort();
	while (got < strlen(COMMAND)) {
		ssize_t n = read(fd, line + got, sizeof(line) - got);
		if (n <= 0)
			abort();
		got += (size_t)n;
	}
	if (write(fd, ANSWER, strlen(ANSWER)) < 0)
		abort();
	close(fd);
	return NULL;
}

static void test_open_by_tcp(void **state)
{
	(void)state;
	static const char *const hosts[] = {"127.0.0.1", "localhost"};
	for (size_t i = 0; i < COUNT_OF(hosts); i++) {
		struct waitset *ws = NULL;
		struct conn *c = NULL;
		struct err e = {0};
		struct conn_target target = target_plain();
		AUTO(buf_free) struct buf got = BUF_INIT(1000);
		pthread_t thread;
		int listener = listen_on_loopback(&target.port);
		assert_int_equal(pthread_create(&thread, NULL, serve_one_exchange, &listener), 0);
		target.host = hosts[i];
		target.tls = CONN_TLS_START;
		waitset_new(&ws, -1);
		assert_int_equal(conn_open(&c, ws, &target, &e), 0);
		assert_false(conn_is_encrypted(c));
		assert_int_equal(exchange(c, &got, &e), 0);
		assert_string_equal(got.data, SERVER_SAYS);
		pthread_join(thread, NULL);
		close(listener);
		conn_close(&c);
		waitset_free(&ws);
	}
}

static void test_nobody_listens(void **state)
{
	(void)state;
	struct waitset *ws = NULL;
	struct conn *c = NULL;
	struct err e = {0};
	struct conn_target target = target_plain();
	close(listen_on_loopback(&target.port));
	target.host = "127.0.0.1";
	target.side = ERR_DESTINATION;
	waitset_new(&ws, -1);
	assert_int_equal(conn_open(&c, ws, &target, &e), -1);
	assert_null(c);
	assert_int_equal(e.cause, CAUSE_CONNECT);
	assert_int_equal(e.side, ERR_DESTINATION);
	assert_int_equal(e.next, ERR_RETRY);
	char expected[100];
	snprintf(expected, sizeof(expected), "127.0.0.1:%u refuses the connection: no server there",
	    target.port);
	assert_string_equal(e.text, expected);
	assert_non_null(strstr(e.detail, "127.0.0.1: "));
	waitset_free(&ws);
}

/* A label of more than 63 bytes is no name anywhere, so nobody is asked. */
static void test_no_such_host(void **state)
{
	(void)state;
	struct waitset *ws = NULL;
	struct conn *c = NULL;
	struct err e = {0};
	struct conn_target target = target_plain();
	target.host =
	    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx.invalid";
	waitset_new(&ws, -1);
	assert_int_equal(conn_open(&c, ws, &target, &e), -1);
	assert_int_equal(e.cause, CAUSE_CONNECT);
	assert_int_equal(e.side, ERR_SOURCE);
	assert_non_null(strstr(e.text, target.host));
	waitset_free(&ws);
}

static void test_close_takes_null(void **state)
{
	(void)state;
	struct conn *c = NULL;
	conn_close(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_reads_break_at_every_byte),
	    cmocka_unit_test(test_writes_break_at_every_byte),
	    cmocka_unit_test(test_bytes_that_came_meanwhile),
	    cmocka_unit_test(test_stop),
	    cmocka_unit_test(test_silence),
	    cmocka_unit_test(test_ipv6_literal_in_errors),
	    cmocka_unit_test(test_longer_than_the_ceiling),
	    cmocka_unit_test(test_bytes_inside_the_layer),
	    cmocka_unit_test(test_takes_of_every_size),
	    cmocka_unit_test(test_two_peers_that_both_write_first),
	    cmocka_unit_test(test_a_peer_that_writes_first),
	    cmocka_unit_test(test_full_queue_is_left_unread),
	    cmocka_unit_test(test_a_peer_that_takes_nothing),
	    cmocka_unit_test(test_a_slow_line_is_not_silence),
	    cmocka_unit_test(test_open_by_tcp),
	    cmocka_unit_test(test_nobody_listens),
	    cmocka_unit_test(test_no_such_host),
	    cmocka_unit_test(test_close_takes_null),
	};
	return cmocka_run_group_tests_name("net/conn", tests, NULL, NULL);
}
