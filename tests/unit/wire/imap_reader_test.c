/* imap_reader_test.c - the helpers on trees, and what the reader promises about memory, borrowed
 * bytes and the end of the stream. What it makes of servers' lines: tests/transcripts. */
#include "wire/imap_reader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static enum imap_event feed(struct imap_reader *r, struct view *bytes)
{
	size_t taken = 0;
	enum imap_event event = imap_reader_feed(r, *bytes, &taken);

	assert_true(taken <= bytes->len);
	if (taken > 0)
		*bytes = view_make(bytes->data + taken, bytes->len - taken);
	return event;
}

/* Feeds TEXT, which must be one whole response. */
static const struct imap_response *read_one(struct imap_reader *r, const char *text)
{
	struct view bytes = view_of(text);

	assert_int_equal(feed(r, &bytes), IMAP_EVENT_RESPONSE);
	assert_int_equal(bytes.len, 0);
	return &r->response;
}

static void assert_view(struct view v, const char *text)
{
	if (!view_is(v, text))
		fail_msg("\"%.*s\" is not \"%s\"", (int)v.len, v.data ? v.data : "", text);
}

static void test_node_helpers_take_null(void **state)
{
	uint64_t n = 7;
	struct imap_reader r;

	(void)state;
	imap_reader_init(&r, 100);
	assert_null(imap_node_at(NULL, 0));
	assert_null(imap_node_at(NULL, 3));
	assert_view(imap_node_text(NULL), "");
	assert_null(imap_node_value(NULL, "UID"));
	assert_int_equal(imap_node_number(NULL, &n), -1);
	assert_view(imap_reader_rest(&r, NULL), "");
	assert_int_equal(n, 7);
	imap_reader_free(&r);
}

static void test_node_kinds(void **state)
{
	AUTO(imap_reader_free) struct imap_reader r;
	static const struct {
		enum imap_node_kind kind;
		const char *text;
	} nodes[] = {
	    {IMAP_NODE_ATOM, "\\*"},
	    {IMAP_NODE_NIL, ""},
	    {IMAP_NODE_STRING, "NIL"},
	    {IMAP_NODE_LIST, ""},
	    {IMAP_NODE_STRING, ""},
	    {IMAP_NODE_STRING, "a\"b\\c\\d"},
	};

	(void)state;
	imap_reader_init(&r, 1000);
	const struct imap_response *got =
	    read_one(&r, "* X \\* nil \"NIL\" (a b) \"\" \"a\\\"b\\\\c\\d\"\r\n");
	for (size_t i = 0; i < COUNT_OF(nodes); i++) {
		const struct imap_node *n = imap_node_at(got->args, i);
		assert_non_null(n);
		assert_int_equal(n->kind, nodes[i].kind);
		assert_view(imap_node_text(n), nodes[i].text);
	}
	assert_null(imap_node_at(got->args, COUNT_OF(nodes)));
	assert_view(imap_node_text(imap_node_at(imap_node_at(got->args, 3)->child, 1)), "b");
}

static void test_node_value(void **state)
{
	AUTO(imap_reader_free) struct imap_reader r;
	static const struct {
		const char *name, *value; /* value NULL = not found */
	} values[] = {
	    {"UID", "4"},
	    {"uid", "4"},
	    {"BODY[]", "x"},
	    {"body[]<0>", "x"},
	    {"BODY[1]", NULL},
	    {"BODY[]<1>", NULL},
	    {"RFC822.SIZE", "9"},
	    {"<0>", NULL},
	    {"a", "b"},
	    {"", NULL},
	    {"LAST", NULL},
	};

	(void)state;
	imap_reader_init(&r, 1000);
	const struct imap_response *got = read_one(
	    &r, "* 1 FETCH (UID 4 BODY[]<0> \"x\" a<0> c a b \"UID\" 5 RFC822.SIZE 9 LAST)\r\n");
	for (size_t i = 0; i < COUNT_OF(values); i++) {
		const struct imap_node *n = imap_node_value(got->args->child, values[i].name);
		assert_int_equal(n != NULL, values[i].value != NULL);
		if (n)
			assert_view(imap_node_text(n), values[i].value);
	}
}

static void test_node_number(void **state)
{
	AUTO(imap_reader_free) struct imap_reader r;
	static const struct {
		int result;
		uint64_t number;
	} numbers[] = {{0, 12}, {0, 65402}, {0, 18446744073709551615u}, {0, 3}, {-1, 77}, {-1, 77},
	    {-1, 77}, {-1, 77}, {-1, 77}, {-1, 77}, {-1, 77}};

	(void)state;
	imap_reader_init(&r, 1000);
	const struct imap_response *got =
	    read_one(&r, "* X 12 (65402) 18446744073709551615 \"3\" 18446744073709551616 -1 1e5 () "
			 "((4)) NIL \"\"\r\n");
	for (size_t i = 0; i < COUNT_OF(numbers); i++) {
		uint64_t n = 77;
		assert_int_equal(
		    imap_node_number(imap_node_at(got->args, i), &n), numbers[i].result);
		assert_true(n == numbers[i].number);
	}
}

/* Node INDEX of the line, and the rest that should begin there. */
static void test_rest_of_line(void **state)
{
	static const struct {
		const char *line;
		size_t index;
		const char *rest;
	} lines[] = {
	    {"* LIST () \"/\" Sent Items (old) \"x\"\r\n", 2, "Sent Items (old) \"x\""},
	    {"* LIST () \"/\" Calendar\"\r\n", 2, "Calendar\""},
	    {"* LIST () \"/\" \"a b\" c\r\n", 2, "a b"},
	    {"* LIST () \"/\" nil and void\n", 2, "nil and void"},
	    {"* LIST () \"/\" {3}\r\na b c\r\n", 2, "a b"},
	    {"* LIST () \"/\" {3}\r\na b c d\r\n", 3, "c d"},
	    {"* LIST () a {3}\r\na b c d\r\n", 1, "a"},
	    {"* LIST () \"/\" (a) b\r\n", 2, ""},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(lines); i++) {
		AUTO(imap_reader_free) struct imap_reader r;
		imap_reader_init(&r, 1000);
		const struct imap_response *got = read_one(&r, lines[i].line);
		assert_view(
		    imap_reader_rest(&r, imap_node_at(got->args, lines[i].index)), lines[i].rest);
	}
}

static void test_response_outlives_the_bytes(void **state)
{
	AUTO(imap_reader_free) struct imap_reader r;
	char line[] = "A1 OK [APPENDUID 7 8] done\r\n* 5 EXISTS\r\n";
	struct view bytes = view_of(line);

	(void)state;
	imap_reader_init(&r, 1000);
	assert_int_equal(feed(&r, &bytes), IMAP_EVENT_RESPONSE);
	memset(line, 'x', bytes.data > line ? (size_t)(bytes.data - line) : 0);
	assert_int_equal(r.response.kind, IMAP_TAGGED);
	assert_view(r.response.tag, "A1");
	assert_view(r.response.code, "APPENDUID");
	assert_view(imap_node_text(imap_node_at(r.response.code_args, 1)), "8");
	assert_view(r.response.text, "done");
	assert_int_equal(feed(&r, &bytes), IMAP_EVENT_RESPONSE);
	assert_int_equal(r.response.kind, IMAP_UNTAGGED);
	assert_true(r.response.has_number && r.response.number == 5);
	assert_view(r.response.tag, "");
	assert_view(r.response.code, "");
	assert_null(r.response.code_args);
}

/* 1 GiB of body through a reader that may hold 100 bytes, nothing of it copied. */
static void test_bodies_flow(void **state)
{
	AUTO(imap_reader_free) struct imap_reader r;
	static char piece[1 << 20];
	struct view head = view_of("* 1 FETCH (UID 9 BODY[] {1073741824}\r\n");
	struct view tail = view_of(")\r\n");

	(void)state;
	imap_reader_init(&r, 100);
	assert_int_equal(feed(&r, &head), IMAP_EVENT_LITERAL);
	assert_true(r.literal_len == 1u << 30 && r.literal_uid == 9);
	assert_view(r.literal_name, "BODY[]");
	for (int i = 0; i < 1024; i++) {
		struct view bytes = view_make(piece, sizeof(piece));
		assert_int_equal(feed(&r, &bytes), IMAP_EVENT_DATA);
		assert_ptr_equal(r.data.data, piece);
		assert_int_equal(r.data.len, sizeof(piece));
		assert_view(r.literal_name, "BODY[]");
	}
	assert_int_equal(feed(&r, &tail), IMAP_EVENT_RESPONSE);
	const struct imap_node *body = imap_node_value(r.response.args->child, "BODY[]");
	assert_int_equal(body->kind, IMAP_NODE_BODY);
	assert_true(body->body_len == 1u << 30 && body->body_index == 0);
	assert_true(r.arena.used < 8192 && r.line.size < 8192);
}

static void test_bad_is_for_ever(void **state)
{
	AUTO(imap_reader_free) struct imap_reader r;
	struct view bytes = view_of("what is this\r\n* 5 EXISTS\r\n"), none = {0};

	(void)state;
	imap_reader_init(&r, 1000);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(feed(&r, &bytes), IMAP_EVENT_BAD);
		assert_non_null(strstr(r.problem, "not an IMAP response"));
		assert_view(r.response.text, "what is this");
		assert_int_equal(feed(&r, &none), IMAP_EVENT_BAD);
	}
}

static void test_nothing_fed_is_nothing_said(void **state)
{
	AUTO(imap_reader_free) struct imap_reader r;
	struct view none = {0}, start = view_of("* 1 FETCH (BODY[] {5}\r\n");

	(void)state;
	imap_reader_init(&r, 1000);
	assert_int_equal(feed(&r, &none), IMAP_EVENT_MORE);
	assert_int_equal(feed(&r, &start), IMAP_EVENT_LITERAL);
	assert_int_equal(feed(&r, &none), IMAP_EVENT_MORE);
	assert_int_equal(feed(&r, &none), IMAP_EVENT_MORE);
}

/* The ceiling is exact, and the same for a line in pieces. */
static void test_ceiling(void **state)
{
	static const char line[] = "* OK 789\r\n";

	(void)state;
	for (size_t max = 0; max < 12; max++) {
		for (size_t cut = 1; cut < strlen(line); cut++) {
			AUTO(imap_reader_free) struct imap_reader r;
			struct view head = view_make(line, cut), rest = view_of(line + cut);
			imap_reader_init(&r, max);
			enum imap_event event = feed(&r, &head);
			if (event == IMAP_EVENT_MORE)
				event = feed(&r, &rest);
			assert_int_equal(
			    event, max < strlen(line) ? IMAP_EVENT_BAD : IMAP_EVENT_RESPONSE);
		}
	}
}

/* The worst ratio of memory to line that a server can think of. */
static void test_tree_is_bounded(void **state)
{
	static const char *const patterns[] = {
	    "()", "a ", "\"\"", "\"\\\"\"", "(a)", "a()", "\"\"a"};
	const size_t max = 65536;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(patterns); i++) {
		AUTO(imap_reader_free) struct imap_reader r;
		AUTO(buf_free) struct buf line = BUF_INIT(max);
		buf_add_text(&line, "* X ");
		while (line.len + 10 < max)
			buf_add_text(&line, patterns[i]);
		buf_add_text(&line, "\r\n");
		imap_reader_init(&r, max);
		read_one(&r, line.data);
		assert_true(r.arena.used <= 34 * max);
	}
}

static void test_free_twice_and_half_way(void **state)
{
	struct imap_reader r;
	struct view bytes = view_of("* LIST () \"/\" {50}\r\nabc");

	(void)state;
	imap_reader_init(&r, 1000);
	assert_int_equal(feed(&r, &bytes), IMAP_EVENT_MORE);
	imap_reader_free(&r);
	imap_reader_free(&r);
	bytes = view_of("* OK\r\n");
	assert_int_equal(feed(&r, &bytes), IMAP_EVENT_BAD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_node_helpers_take_null),
	    cmocka_unit_test(test_node_kinds),
	    cmocka_unit_test(test_node_value),
	    cmocka_unit_test(test_node_number),
	    cmocka_unit_test(test_rest_of_line),
	    cmocka_unit_test(test_response_outlives_the_bytes),
	    cmocka_unit_test(test_bodies_flow),
	    cmocka_unit_test(test_bad_is_for_ever),
	    cmocka_unit_test(test_nothing_fed_is_nothing_said),
	    cmocka_unit_test(test_ceiling),
	    cmocka_unit_test(test_tree_is_bounded),
	    cmocka_unit_test(test_free_twice_and_half_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
