/* tls_test.c - TLS connections to servers with every kind of certificate and of bad manners. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/breaking_layer.h"
#include "net/conn.h"
#include "net/tcp.h"
#include "net/tls_server.h"

static struct pki pki;

static int64_t jumping_now;

static int64_t jumping_clock(void)
{
	return jumping_now += 600000;
}

static int group_setup(void **state)
{
	(void)state;
	unsetenv("SSL_CERT_FILE");
	unsetenv("SSL_CERT_DIR");
	pki_new(&pki);
	return 0;
}

static int group_teardown(void **state)
{
	(void)state;
	pki_free(&pki);
	return 0;
}

static struct conn_target target_of(const struct tls_server *server)
{
	return (struct conn_target){
	    .host = "127.0.0.1",
	    .port = server->port,
	    .tls = CONN_TLS_IMPLICIT,
	    .ca_file = pki.ca,
	    .timeout_ms = 30000,
	    .side = ERR_DESTINATION,
	};
}

static int hear(struct conn *c, const char *text, struct err *e)
{
	while (conn_peek(c).len < strlen(text))
		if (conn_need(c, e))
			return -1;
	assert_memory_equal(conn_peek(c).data, text, strlen(text));
	conn_take(c, strlen(text));
	return 0;
}

static int say(struct conn *c, const char *text, struct err *e)
{
	return conn_write(c, view_of(text), e) || conn_flush(c, e) ? -1 : 0;
}

static void expect_exchange(struct conn *c)
{
	struct err e = {0};
	assert_true(conn_is_encrypted(c));
	assert_int_equal(hear(c, TLS_GREETING, &e), 0);
	assert_int_equal(say(c, TLS_COMMAND, &e), 0);
	assert_int_equal(hear(c, TLS_ANSWER, &e), 0);
	/* An orderly end is a hang-up like any other here. */
	assert_int_equal(conn_need(c, &e), -1);
	assert_int_equal(e.cause, CAUSE_CONNECT);
	assert_non_null(strstr(e.detail, "after 23 bytes received"));
}

struct trust_case {
	enum cert_kind cert;
	const char *ca; /* of pki; "self", "foreign", "system" */
	const char *host;
	bool insecure;
	const char *text; /* what the error says; NULL = all is well */
};

static const struct trust_case trust_cases[] = {
    {CERT_GOOD, "ca", "127.0.0.1", false, NULL},
    {CERT_GOOD, "ca", "localhost", false, NULL},
    {CERT_GOOD, "foreign", "127.0.0.1", false,
	"signed by a CA that is not trusted here (issuer \"Godwit Test CA\"); if it is your own, "
	"name it with --ca-file FILE"},
    {CERT_GOOD, "system", "127.0.0.1", false, "not trusted here (issuer \"Godwit Test CA\")"},
    {CERT_GOOD, "system", "127.0.0.1", true, NULL},
    {CERT_EXPIRED, "ca", "127.0.0.1", false, "has a certificate that expired on 2001-02-03;"},
    {CERT_EXPIRED, "ca", "127.0.0.1", true, NULL},
    {CERT_EARLY, "ca", "127.0.0.1", false, "is not valid before 2090-01-01; is the clock"},
    {CERT_OTHER, "ca", "localhost", false,
	"has a certificate for other.example, *.more.example, 192.0.2.9, 2001:db8:0:0:0:0:0:9, not "
	"for localhost;"},
    {CERT_OTHER, "ca", "127.0.0.1", false,
	"has a certificate for other.example, *.more.example, 192.0.2.9, 2001:db8:0:0:0:0:0:9, not "
	"for 127.0.0.1;"},
    {CERT_OTHER, "ca", "localhost", true, NULL},
    {CERT_NAMELESS, "ca", "127.0.0.1", false, "has a certificate for localhost, not for 127.0"},
    {CERT_SELF, "ca", "localhost", false, "not trusted here (issuer \"self\")"},
    {CERT_SELF, "self", "localhost", false, NULL},
    {CERT_GOOD, "leaf", "localhost", false, NULL},
    {CERT_BY_LEAF, "leaf", "localhost", false,
	"has a certificate that cannot be trusted: invalid CA certificate"},
};

static const char *ca_path(const char *name)
{
	if (!strcmp(name, "system"))
		return NULL;
	if (!strcmp(name, "self"))
		return pki.cert[CERT_SELF];
	if (!strcmp(name, "leaf"))
		return pki.cert[CERT_GOOD];
	return strcmp(name, "foreign") ? pki.ca : pki.foreign_ca;
}

static void try_trust(const struct trust_case *t)
{
	struct tls_server server;
	struct waitset *ws = NULL;
	struct conn *c = NULL;
	struct err e = {0};
	tls_server_start(&server, &pki, t->cert, SERVE_TLS);
	struct conn_target target = target_of(&server);
	target.ca_file = ca_path(t->ca);
	target.host = t->host;
	target.insecure = t->insecure;
	waitset_new(&ws, -1);
	int failed = conn_open(&c, ws, &target, &e);
	if (t->text) {
		char head[64];
		snprintf(head, sizeof(head), "%s:%u has a certificate", t->host, server.port);
		assert_int_equal(failed, -1);
		assert_null(c);
		assert_int_equal(e.cause, CAUSE_TLS);
		assert_int_equal(e.scope, ERR_LINK);
		assert_int_equal(e.next, ERR_GIVE_UP);
		assert_int_equal(e.side, ERR_DESTINATION);
		assert_memory_equal(e.text, head, strlen(head));
		if (!strstr(e.text, t->text))
			fail_msg("\"%s\" lacks \"%s\"", e.text, t->text);
		assert_non_null(strstr(e.detail, "OpenSSL: "));
	} else {
		if (failed)
			fail_msg("%s (%s)", e.text, e.detail);
		expect_exchange(c);
	}
	conn_close(&c);
	waitset_free(&ws);
	tls_server_stop(&server);
}

static void test_trust(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(trust_cases); i++)
		try_trust(&trust_cases[i]);
}

/* What OpenSSL's own variables name is the system's trust for whoever sets them. */
static void test_trust_by_environment(void **state)
{
	(void)state;
	const struct trust_case good = {CERT_GOOD, "system", "localhost", false, NULL};
	setenv("SSL_CERT_FILE", pki.ca, 1);
	try_trust(&good);
	unsetenv("SSL_CERT_FILE");
}

static void test_ca_file_that_is_none(void **state)
{
	(void)state;
	const char *const paths[] = {"/does/not/exist", pki.key, "/dev/null"};
	for (size_t i = 0; i < COUNT_OF(paths); i++) {
		struct tls_server server;
		struct waitset *ws = NULL;
		struct conn *c = NULL;
		struct err e = {0};
		tls_server_start(&server, &pki, CERT_GOOD, SERVE_HANG_UP);
		struct conn_target target = target_of(&server);
		target.ca_file = paths[i];
		waitset_new(&ws, -1);
		assert_int_equal(conn_open(&c, ws, &target, &e), -1);
		assert_int_equal(e.cause, CAUSE_TLS);
		assert_int_equal(e.next, ERR_GIVE_UP);
		assert_non_null(strstr(e.text, paths[i]));
		waitset_free(&ws);
		tls_server_stop(&server);
	}
}

static void test_bad_handshakes(void **state)
{
	(void)state;
	static const struct {
		enum manners manners;
		enum cause cause;
		enum err_next next;
		const char *text;
	} cases[] = {
	    {SERVE_CLEAR, CAUSE_TLS, ERR_GIVE_UP, "; for STARTTLS use imap://"},
	    {SERVE_HANG_UP, CAUSE_CONNECT, ERR_RETRY, "hung up while TLS was being agreed on"},
	    {SERVE_OLD, CAUSE_TLS, ERR_GIVE_UP, "speaks only TLS older than 1.2"},
	    {SERVE_NO_CIPHER, CAUSE_TLS, ERR_GIVE_UP, "and godwit cannot agree on TLS: "},
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct tls_server server;
		struct waitset *ws = NULL;
		struct conn *c = NULL;
		struct err e = {0};
		tls_server_start(&server, &pki, CERT_GOOD, cases[i].manners);
		struct conn_target target = target_of(&server);
		waitset_new(&ws, -1);
		assert_int_equal(conn_open(&c, ws, &target, &e), -1);
		assert_null(c);
		if (!strstr(e.text, cases[i].text))
			fail_msg("\"%s\" (%s) lacks \"%s\"", e.text, e.detail, cases[i].text);
		assert_int_equal(e.cause, cases[i].cause);
		assert_int_equal(e.next, cases[i].next);
		assert_int_equal(e.side, ERR_DESTINATION);
		waitset_free(&ws);
		tls_server_stop(&server);
	}
}

static void test_silent_handshake(void **state)
{
	(void)state;
	struct tls_server server;
	struct waitset *ws = NULL;
	struct conn *c = NULL;
	struct err e = {0};
	tls_server_start(&server, &pki, CERT_GOOD, SERVE_SILENT);
	struct conn_target target = target_of(&server);
	target.tls = CONN_TLS_START;
	waitset_new(&ws, -1);
	assert_int_equal(conn_open(&c, ws, &target, &e), 0);
	clock_fake(jumping_clock);
	assert_int_equal(conn_starttls(c, &e), -1);
	clock_fake(NULL);
	assert_int_equal(e.cause, CAUSE_CONNECT);
	assert_int_equal(e.next, ERR_RETRY);
	assert_non_null(strstr(e.text, "has not answered our TLS greeting for 30 seconds"));
	conn_close(&c);
	waitset_free(&ws);
	kill(server.pid, SIGTERM);
	tls_server_stop(&server);
}

/* Opened in clear text, up to the server's OK to STARTTLS. */
static void open_for_starttls(
    struct conn **c, struct waitset *ws, struct tls_server *server, enum manners manners)
{
	struct err e = {0};
	tls_server_start(server, &pki, CERT_GOOD, manners);
	struct conn_target target = target_of(server);
	target.tls = CONN_TLS_START;
	assert_int_equal(conn_open(c, ws, &target, &e), 0);
	assert_false(conn_is_encrypted(*c));
	assert_int_equal(hear(*c, STARTTLS_GREETING, &e), 0);
	assert_int_equal(say(*c, STARTTLS_COMMAND, &e), 0);
	assert_int_equal(hear(*c, STARTTLS_ANSWER, &e), 0);
}

static void test_starttls(void **state)
{
	(void)state;
	struct tls_server server;
	struct waitset *ws = NULL;
	struct conn *c = NULL;
	struct err e = {0};
	waitset_new(&ws, -1);
	open_for_starttls(&c, ws, &server, SERVE_STARTTLS);
	assert_int_equal(conn_starttls(c, &e), 0);
	assert_true(conn_is_encrypted(c));
	assert_int_equal(hear(c, TLS_GREETING, &e), 0);
	assert_int_equal(say(c, TLS_COMMAND, &e), 0);
	assert_int_equal(hear(c, TLS_ANSWER, &e), 0);
	conn_close(&c);
	waitset_free(&ws);
	assert_int_equal(tls_server_stop(&server), 0);
}

static void test_starttls_goes_wrong(void **state)
{
	(void)state;
	static const enum manners cases[] = {SERVE_INJECTED, SERVE_CLEAR_AFTER};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct tls_server server;
		struct waitset *ws = NULL;
		struct conn *c = NULL;
		struct err e = {0};
		waitset_new(&ws, -1);
		open_for_starttls(&c, ws, &server, cases[i]);
		assert_int_equal(conn_starttls(c, &e), -1);
		assert_int_equal(e.cause, CAUSE_TLS);
		assert_int_equal(e.next, ERR_GIVE_UP);
		/* Whichever way it was found out, and whatever the caller tries. */
		assert_non_null(strstr(e.text, "clear text"));
		assert_false(conn_is_encrypted(c));
		assert_int_equal(say(c, "secret\r\n", NULL), -1);
		assert_int_equal(conn_flush(c, NULL), -1);
		assert_int_equal(conn_check(c, NULL), -1);
		conn_close(&c);
		waitset_free(&ws);
		tls_server_stop(&server);
	}
}

static void test_cut_streams(void **state)
{
	(void)state;
	static const struct {
		enum manners manners;
		const char *before; /* what can be read all the same */
		enum cause cause;
		const char *detail;
	} cases[] = {
	    {SERVE_CUT_RECORD, "", CAUSE_CONNECT, "without close_notify"},
	    {SERVE_CUT_STREAM, TLS_GREETING, CAUSE_CONNECT, "without close_notify"},
	    {SERVE_GARBAGE, TLS_GREETING, CAUSE_TLS, ""},
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct tls_server server;
		struct waitset *ws = NULL;
		struct conn *c = NULL;
		struct err e = {0};
		tls_server_start(&server, &pki, CERT_GOOD, cases[i].manners);
		struct conn_target target = target_of(&server);
		waitset_new(&ws, -1);
		assert_int_equal(conn_open(&c, ws, &target, &e), 0);
		assert_int_equal(hear(c, cases[i].before, &e), 0);
		assert_int_equal(conn_need(c, &e), -1);
		assert_int_equal(e.cause, cases[i].cause);
		assert_int_equal(e.next, ERR_RETRY);
		assert_int_equal(e.side, ERR_DESTINATION);
		assert_non_null(strstr(e.detail, cases[i].detail));
		assert_int_equal(conn_peek(c).len, 0);
		conn_close(&c);
		waitset_free(&ws);
		tls_server_stop(&server);
	}
}

/* More than any buffer holds, both ways at once, through a small queue: bytes that wait inside
 * OpenSSL must be found without the socket's help. */
static void test_much_both_ways(void **state)
{
	(void)state;
	struct tls_server server;
	struct waitset *ws = NULL;
	struct conn *c = NULL;
	struct err e = {0};
	tls_server_start(&server, &pki, CERT_GOOD, SERVE_MUCH);
	struct conn_target target = target_of(&server);
	target.in_max = 3000;
	waitset_new(&ws, -1);
	assert_int_equal(conn_open(&c, ws, &target, &e), 0);
	assert_int_equal(hear(c, TLS_GREETING, &e), 0);
	assert_int_equal(say(c, TLS_COMMAND, &e), 0);
	size_t got = 0, sent = 0;
	while (got < MUCH_BYTES || sent < MUCH_BYTES) {
		char piece[1000];
		size_t n = 0;
		for (; n < sizeof(piece) && sent < MUCH_BYTES; n++)
			piece[n] = much_byte(sent++);
		if (got == MUCH_BYTES)
			assert_int_equal(conn_write(c, view_make(piece, n), &e), 0);
		else
			sent -= n; /* the server writes first and reads then */
		struct view v = conn_peek(c);
		size_t take = v.len < MUCH_BYTES - got ? v.len : MUCH_BYTES - got;
		for (size_t i = 0; i < take; i++)
			assert_int_equal(v.data[i], much_byte(got++));
		conn_take(c, take);
		if (got < MUCH_BYTES && conn_need(c, &e))
			fail_msg("%s (%s)", e.text, e.detail);
	}
	assert_int_equal(conn_flush(c, &e), 0);
	assert_int_equal(hear(c, TLS_ANSWER, &e), 0);
	conn_close(&c);
	waitset_free(&ws);
	assert_int_equal(tls_server_stop(&server), 0);
}

/* The server writes all of it before it reads: our write must go on reading meanwhile. */
static void test_much_written_first(void **state)
{
	(void)state;
	static char mine[MUCH_BYTES];
	struct tls_server server;
	struct waitset *ws = NULL;
	struct conn *c = NULL;
	struct err e = {0};
	for (size_t i = 0; i < MUCH_BYTES; i++)
		mine[i] = much_byte(i);
	tls_server_start(&server, &pki, CERT_GOOD, SERVE_MUCH);
	struct conn_target target = target_of(&server);
	target.in_max = MUCH_BYTES + 1000;
	waitset_new(&ws, -1);
	assert_int_equal(conn_open(&c, ws, &target, &e), 0);
	assert_int_equal(hear(c, TLS_GREETING, &e), 0);
	assert_int_equal(say(c, TLS_COMMAND, &e), 0);
	assert_int_equal(conn_write(c, view_make(mine, MUCH_BYTES), &e), 0);
	assert_int_equal(conn_flush(c, &e), 0);
	while (conn_peek(c).len < MUCH_BYTES)
		assert_int_equal(conn_need(c, &e), 0);
	assert_memory_equal(conn_peek(c).data, mine, MUCH_BYTES);
	conn_take(c, MUCH_BYTES);
	assert_int_equal(hear(c, TLS_ANSWER, &e), 0);
	conn_close(&c);
	waitset_free(&ws);
	assert_int_equal(tls_server_stop(&server), 0);
}

/* TLS over a pipe that breaks after so many bytes either way: the whole exchange or an error that
 * blames the pipe, and never a byte that was not said. Returns 0 when all went well. */
static int exchange_over_breaking(size_t read_limit, size_t write_limit, size_t piece)
{
	struct tls_server server;
	struct waitset *ws = NULL;
	struct layer *tcp = NULL, *breaking = NULL;
	struct address *at = NULL;
	struct conn *c = NULL;
	struct err e = {0};
	size_t count = 0;
	tls_server_start(&server, &pki, CERT_GOOD, SERVE_TLS);
	struct conn_target target = target_of(&server);
	target.tls = CONN_TLS_START;
	waitset_new(&ws, -1);
	assert_int_equal(resolve_host(&at, &count, ws, target.host, target.port, -1, &e), 0);
	assert_int_equal(tcp_connect(&tcp, ws, at, count, -1, &e), 0);
	free(at);
	breaking_layer_over(&breaking, tcp, read_limit, write_limit, piece);
	conn_over(&c, ws, breaking, &target);
	int failed = conn_starttls(c, &e) || hear(c, TLS_GREETING, &e) || say(c, TLS_COMMAND, &e) ||
		     hear(c, TLS_ANSWER, &e);
	if (failed) {
		assert_int_equal(e.cause, CAUSE_CONNECT);
		assert_int_equal(e.side, ERR_DESTINATION);
		assert_non_null(strstr(e.text, " broke"));
	}
	conn_close(&c);
	waitset_free(&ws);
	tls_server_stop(&server);
	return failed;
}

static void test_pipe_breaks_anywhere(void **state)
{
	(void)state;
	const size_t never = SIZE_MAX;
	for (size_t limit = 0; limit < 400; limit += 7)
		assert_true(exchange_over_breaking(limit, never, 0));
	size_t broken = 0;
	while (exchange_over_breaking(broken, never, broken % 3 * 50))
		broken += 53;
	assert_true(broken > 500);
	for (broken = 0; exchange_over_breaking(never, broken, broken % 3 * 50);)
		broken += 31;
	assert_true(broken > 200);
	assert_int_equal(exchange_over_breaking(never, never, 1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_trust),
	    cmocka_unit_test(test_trust_by_environment),
	    cmocka_unit_test(test_ca_file_that_is_none),
	    cmocka_unit_test(test_bad_handshakes),
	    cmocka_unit_test(test_silent_handshake),
	    cmocka_unit_test(test_starttls),
	    cmocka_unit_test(test_starttls_goes_wrong),
	    cmocka_unit_test(test_cut_streams),
	    cmocka_unit_test(test_pipe_breaks_anywhere),
	    cmocka_unit_test(test_much_both_ways),
	    cmocka_unit_test(test_much_written_first),
	};
	return cmocka_run_group_tests_name("net/tls", tests, group_setup, group_teardown);
}
