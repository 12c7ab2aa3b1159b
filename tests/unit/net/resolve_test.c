/* resolve_test.c - literals, names, the order, and threads that come too late. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "net/resolve.h"

static int64_t jumping_now;

static int64_t jumping_clock(void)
{
	return jumping_now += 600000;
}

static int never_asked(
    const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **list)
{
	(void)host;
	(void)service;
	(void)hints;
	(void)list;
	abort();
}

static void test_literals_need_no_asking(void **state)
{
	(void)state;
	static const struct {
		const char *host;
		int family;
	} cases[] = {{"127.0.0.1", AF_INET}, {"::1", AF_INET6}, {"2001:db8::7", AF_INET6}};
	struct waitset *ws = NULL;
	waitset_new(&ws, -1);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct address *list = NULL;
		size_t count = 0;
		struct err e = {0};
		assert_int_equal(
		    resolve_host_by(never_asked, &list, &count, ws, cases[i].host, 993, -1, &e), 0);
		assert_int_equal(count, 1);
		assert_int_equal(list[0].addr.ss_family, cases[i].family);
		/* The port stands at the same place in both. */
		const struct sockaddr_in *in = (const struct sockaddr_in *)&list[0].addr;
		assert_int_equal(ntohs(in->sin_port), 993);
		free(list);
	}
	waitset_free(&ws);
}

static void test_localhost(void **state)
{
	(void)state;
	struct waitset *ws = NULL;
	struct address *list = NULL;
	size_t count = 0;
	struct err e = {0};
	waitset_new(&ws, -1);
	assert_int_equal(resolve_host(&list, &count, ws, "localhost", 143, -1, &e), 0);
	assert_true(count >= 1);
	free(list);
	waitset_free(&ws);
}

/* A chain of literals, as a name service would give it. */
static int chain_of(const char *const *texts, struct addrinfo **list)
{
	struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM};
	struct addrinfo **at = list;
	for (; *texts; texts++) {
		if (getaddrinfo(*texts, "25", &hints, at))
			abort();
		while (*at)
			at = &(*at)->ai_next;
	}
	return 0;
}

static int ask_many(
    const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **list)
{
	(void)host;
	(void)service;
	(void)hints;
	static const char *const texts[] = {
	    "192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1", "2001:db8::2", NULL};
	return chain_of(texts, list);
}

static void test_families_alternate(void **state)
{
	(void)state;
	static const char *const expected[] = {
	    "2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2", "192.0.2.3"};
	struct waitset *ws = NULL;
	struct address *list = NULL;
	size_t count = 0;
	waitset_new(&ws, -1);
	assert_int_equal(
	    resolve_host_by(ask_many, &list, &count, ws, "many.example", 25, -1, NULL), 0);
	assert_int_equal(count, COUNT_OF(expected));
	for (size_t i = 0; i < count; i++) {
		char text[64];
		assert_int_equal(getnameinfo((struct sockaddr *)&list[i].addr, list[i].len, text,
				     sizeof(text), NULL, 0, NI_NUMERICHOST),
		    0);
		assert_string_equal(text, expected[i]);
	}
	free(list);
	waitset_free(&ws);
}

static int ask_unknown(
    const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **list)
{
	(void)host;
	(void)service;
	(void)hints;
	(void)list;
	return EAI_NONAME;
}

static int ask_later(
    const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **list)
{
	(void)host;
	(void)service;
	(void)hints;
	(void)list;
	return EAI_AGAIN;
}

static void test_failures(void **state)
{
	(void)state;
	static const struct {
		resolve_ask *ask;
		enum err_next next;
	} cases[] = {{ask_unknown, ERR_GIVE_UP}, {ask_later, ERR_RETRY}};
	struct waitset *ws = NULL;
	waitset_new(&ws, -1);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct address *list = NULL;
		size_t count = 77;
		struct err e = {0};
		assert_int_equal(
		    resolve_host_by(cases[i].ask, &list, &count, ws, "mail.example", 1, -1, &e),
		    -1);
		assert_null(list);
		assert_int_equal(count, 77);
		assert_int_equal(e.cause, CAUSE_CONNECT);
		assert_int_equal(e.scope, ERR_LINK);
		assert_int_equal(e.next, cases[i].next);
		assert_non_null(strstr(e.text, "mail.example"));
	}
	waitset_free(&ws);
}

/* Whether the answer is "no such name" or "no answer" depends on the machine's name service. */
static void test_unknown_name(void **state)
{
	(void)state;
	struct waitset *ws = NULL;
	struct address *list = NULL;
	size_t count = 0;
	struct err e = {0};
	waitset_new(&ws, -1);
	assert_int_equal(
	    resolve_host(&list, &count, ws, "does-not-exist.invalid", 993, clock_ms() + 20000, &e),
	    -1);
	assert_int_equal(e.cause, CAUSE_CONNECT);
	assert_non_null(strstr(e.text, "does-not-exist.invalid"));
	waitset_free(&ws);
}

/* Two gates: the asker opens the first and waits at the second, which the test opens when the
 * caller has long gone; then it opens the third. */
static int gates[3];

static void gate_open(int gate)
{
	uint64_t one = 1;
	if (write(gates[gate], &one, sizeof(one)) != sizeof(one))
		abort();
}

static void gate_pass(int gate)
{
	uint64_t count;
	if (read(gates[gate], &count, sizeof(count)) != sizeof(count))
		abort();
}

static int ask_slowly(
    const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **list)
{
	(void)host;
	(void)service;
	(void)hints;
	static const char *const texts[] = {"192.0.2.1", NULL};
	gate_open(0);
	gate_pass(1);
	chain_of(texts, list);
	gate_open(2);
	return 0;
}

static int gates_setup(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++)
		gates[i] = eventfd(0, 0);
	return 0;
}

static int gates_teardown(void **state)
{
	(void)state;
	clock_fake(NULL);
	for (int i = 0; i < 3; i++)
		close(gates[i]);
	return 0;
}

static void test_abandoned_by_stop(void **state)
{
	(void)state;
	struct waitset *ws = NULL;
	struct address *list = NULL;
	size_t count = 0;
	struct err e = {0};
	int bell = eventfd(1, 0);
	waitset_new(&ws, bell);
	assert_int_equal(
	    resolve_host_by(ask_slowly, &list, &count, ws, "slow.example", 993, -1, &e), -1);
	assert_int_equal(e.cause, CAUSE_STOPPED);
	assert_null(list);
	waitset_free(&ws);
	close(bell);
	gate_pass(0);
	gate_open(1);
	gate_pass(2);
}

/* A neighbour that can always move bytes must not keep the deadline from being seen. */
static int busy_fd(struct waiter *w)
{
	(void)w;
	return gates[2];
}

static short busy_wants(struct waiter *w)
{
	(void)w;
	return POLLOUT;
}

static void busy_ready(struct waiter *w, short revents)
{
	(void)w;
	(void)revents;
}

static void test_abandoned_by_deadline(void **state)
{
	(void)state;
	struct waitset *ws = NULL;
	struct address *list = NULL;
	size_t count = 0;
	struct err e = {0};
	struct waiter busy = {.fd = busy_fd, .wants = busy_wants, .ready = busy_ready};
	waitset_new(&ws, -1);
	waitset_add(ws, &busy);
	clock_fake(jumping_clock);
	assert_int_equal(resolve_host_by(ask_slowly, &list, &count, ws, "slow.example", 993,
			     jumping_now + 1000, &e),
	    -1);
	assert_int_equal(e.cause, CAUSE_CONNECT);
	assert_int_equal(e.next, ERR_RETRY);
	waitset_remove(ws, &busy);
	waitset_free(&ws);
	gate_pass(0);
	gate_open(1);
	gate_pass(2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_literals_need_no_asking),
	    cmocka_unit_test(test_localhost),
	    cmocka_unit_test(test_families_alternate),
	    cmocka_unit_test(test_failures),
	    cmocka_unit_test(test_unknown_name),
	    cmocka_unit_test_setup_teardown(test_abandoned_by_stop, gates_setup, gates_teardown),
	    cmocka_unit_test_setup_teardown(
		test_abandoned_by_deadline, gates_setup, gates_teardown),
	};
	return cmocka_run_group_tests_name("net/resolve", tests, NULL, NULL);
}
