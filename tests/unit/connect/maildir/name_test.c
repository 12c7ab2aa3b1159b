/* name_test.c - names of message files: what is understood of others', and that ours come back. */
#include "connect/maildir/maildir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_parse(void **state)
{
	static const struct {
		const char *name, *id, *letters;
		uint64_t seconds, micros;
		int64_t size, wire; /* -1 = not told */
		bool ours, raw;
	} rows[] = {
	    {"1700000000.M123P45.host:2,FS", "1700000000.M123P45.host", "FS", 1700000000, 123, -1,
		-1, false, false},
	    {"1700000000.M123P45.host,S=10,W=12:2,", "1700000000.M123P45.host", "", 1700000000, 123,
		10, 12, false, false},
	    {"17.45_0.host,U=7:2,S", "17.45_0.host", "S", 17, 0, -1, -1, false, false},
	    {"17.45.host,S=1,X=2,W=3", "17.45.host,S=1,X=2", "", 17, 0, -1, 3, false, false},
	    {"17.45.host,S=", "17.45.host,S=", "", 17, 0, -1, -1, false, false},
	    {"17.45.host,S=99999999999999999999", "17.45.host,S=99999999999999999999", "", 17, 0,
		-1, -1, false, false},
	    {"a!2,RS", "a", "RS", 0, 0, -1, -1, false, false},
	    {"a!2,x:2,RS", "a!2,x", "RS", 0, 0, -1, -1, false, false},
	    {"a:1,oops", "a", "", 0, 0, -1, -1, false, false},
	    {"a:2,R:2,S", "a", "R:2,S", 0, 0, -1, -1, false, false},
	    {"plain", "plain", "", 0, 0, -1, -1, false, false},
	    {",S=5:2,S", ",S=5", "S", 0, 0, -1, -1, false, false},
	    {"b\xc3\xa4 100%\x01:2,", "b%c3%a4%20100%25%01", "", 0, 0, -1, -1, false, false},
	    {"9.M1Q000102030405060708090a0b0c0d0e0f.godwit,S=3,W=4:2,T",
		"9.M1Q000102030405060708090a0b0c0d0e0f.godwit", "T", 9, 1, 3, 4, true, false},
	    {"9.M000001Q000102030405060708090a0b0c0d0e0f.godwit-raw",
		"9.M000001Q000102030405060708090a0b0c0d0e0f.godwit-raw", "", 9, 1, -1, -1, true,
		true},
	    {"9.M1Q000102030405060708090a0b0c0d0e0.godwit",
		"9.M1Q000102030405060708090a0b0c0d0e0.godwit", "", 9, 1, -1, -1, false, false},
	    {"9.M1Q000102030405060708090a0b0c0d0e0f.godwit-rawer",
		"9.M1Q000102030405060708090a0b0c0d0e0f.godwit-rawer", "", 9, 1, -1, -1, false,
		false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct maildir_name n;
		char id[MAILDIR_ID];

		maildir_name_parse(&n, rows[i].name);
		maildir_name_id(id, n.unique);
		assert_string_equal(id, rows[i].id);
		assert_true(view_is(n.letters, rows[i].letters));
		assert_int_equal(n.seconds, rows[i].seconds);
		assert_int_equal(n.micros, rows[i].micros);
		assert_int_equal(n.has_size ? (int64_t)n.size : -1, rows[i].size);
		assert_int_equal(n.has_wire_size ? (int64_t)n.wire_size : -1, rows[i].wire);
		assert_int_equal(n.ours, rows[i].ours);
		assert_int_equal(n.raw, rows[i].raw);
	}
}

static void test_print(void **state)
{
	unsigned char key[MAILDIR_KEY] = {1, 2, 0xff};
	char name[MAILDIR_NAME], other[MAILDIR_NAME];
	struct maildir_name n;

	(void)state;
	for (int raw = 0; raw < 2; raw++) {
		maildir_name_print(name, 1700000000, 42, key, raw, UINT64_MAX, UINT64_MAX);
		assert_int_equal(
		    maildir_name_relabel(other, name, "DFPRSTabcdefghijklmnopqrstuvwxyz"), 0);
		maildir_name_parse(&n, other);
		assert_true(n.ours);
		assert_int_equal(n.raw, raw);
		assert_int_equal(n.seconds, 1700000000);
		assert_int_equal(n.micros, 42);
		assert_true(n.size == UINT64_MAX && n.wire_size == UINT64_MAX);
		assert_memory_equal(n.key, key, sizeof(key));
		assert_true(view_is(n.letters, "DFPRSTabcdefghijklmnopqrstuvwxyz"));
	}
}

static void test_relabel(void **state)
{
	char out[MAILDIR_NAME], name[MAILDIR_NAME];

	(void)state;
	assert_int_equal(maildir_name_relabel(out, "a,S=5", "S"), 0);
	assert_string_equal(out, "a,S=5:2,S");
	assert_int_equal(maildir_name_relabel(out, "a:2,FST", ""), 0);
	assert_string_equal(out, "a:2,");
	assert_int_equal(maildir_name_relabel(out, "a:1,x", "F"), 0);
	assert_string_equal(out, "a:2,F");
	memset(name, 'n', 251);
	name[251] = '\0';
	assert_int_equal(maildir_name_relabel(out, name, "S"), 0);
	assert_int_equal(maildir_name_relabel(out, name, "ST"), -1);
}

/* Every byte that a file name can have, in the longest name: the id fits and tells it apart. */
static void test_id(void **state)
{
	char name[256], id[MAILDIR_ID];

	(void)state;
	for (int i = 0; i < 255; i++)
		name[i] = (char)(i + 1);
	maildir_name_id(id, view_make(name, 255));
	for (const char *c = id; *c; c++)
		assert_true(*c > ' ' && *c < 0x7f);
	memset(name, 0xff, 255);
	maildir_name_id(id, view_make(name, 255));
	assert_int_equal(strlen(id), 3 * 255);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_parse),
	    cmocka_unit_test(test_print),
	    cmocka_unit_test(test_relabel),
	    cmocka_unit_test(test_id),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
