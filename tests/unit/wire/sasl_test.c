/* sasl_test.c - whole exchanges, with RFC vectors where they exist.
 *
 * The other side of SCRAM-SHA-256 is a small server written here from RFC 5802 with libsodium, itself
 * held against the vector of RFC 7677: so client and server do not share a mistake of libgsasl's. It
 * can lie in several ways. For SCRAM-SHA-1 the client's nonce is fixed (libgsasl asks gsasl_nonce,
 * which this program replaces), so that the vector of RFC 5802 can be played through as it is. */
#include "wire/sasl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <gsasl.h>
#include <sodium.h>

enum { TEXT_MAX = 4096 };

static const struct sasl_secret tim = {
    .user = "tim", .password = "tanstaaftanstaaf", .host = "imap.example.com"};

/* ---- a nonce that is known ---- */

static const char *fixed_nonce; /* base64; NULL = random */

int gsasl_nonce(char *data, size_t len)
{
	size_t got;

	if (!fixed_nonce) {
		randombytes_buf(data, len);
		return GSASL_OK;
	}
	assert_int_equal(sodium_base642bin((unsigned char *)data, len, fixed_nonce,
			     strlen(fixed_nonce), NULL, &got, NULL, sodium_base64_VARIANT_ORIGINAL),
	    0);
	assert_int_equal(got, len);
	return GSASL_OK;
}

/* ---- helpers ---- */

static void encode(char out[static TEXT_MAX], const void *data, size_t len)
{
	sodium_bin2base64(out, TEXT_MAX, data, len, sodium_base64_VARIANT_ORIGINAL);
}

static size_t decode(void *out, const char *text)
{
	size_t len;

	if (sodium_base642bin(out, TEXT_MAX, text, strlen(text), NULL, &len, NULL,
		sodium_base64_VARIANT_ORIGINAL) != 0)
		fail_msg("\"%s\" is not base64", text);
	return len;
}

/* A step whose plain text challenge (NULL = none) and answer are given and expected. */
static void step_is(struct sasl *s, const char *challenge, const char *answer, size_t answer_len)
{
	AUTO(buf_free) struct buf out = BUF_INIT(TEXT_MAX);
	char text[TEXT_MAX] = "", got[TEXT_MAX] = "";
	struct err e = {0};

	if (challenge)
		encode(text, challenge, strlen(challenge));
	if (sasl_step(s, view_of(text), &out, &e) < 0)
		fail_msg("%s (%s)", e.text, e.detail);
	size_t len = out.len > 0 ? decode(got, out.data) : 0;
	assert_int_equal(len, answer_len);
	assert_memory_equal(got, answer, answer_len);
}

static void assert_login_refused(int result, const struct err *e, const char *word)
{
	assert_int_equal(result, -1);
	assert_int_equal(e->cause, CAUSE_LOGIN);
	assert_int_equal(e->scope, ERR_MAILBOX);
	if (!strstr(e->text, word))
		fail_msg("\"%s\" does not say \"%s\"", e->text, word);
}

static struct sasl *started(const char *mechanism, const struct sasl_secret *secret)
{
	struct sasl *s = NULL;
	struct err e = {0};

	if (sasl_start(&s, mechanism, secret, &e) < 0)
		fail_msg("%s (%s)", e.text, e.detail);
	return s;
}

/* ---- choosing ---- */

static void test_can(void **state)
{
	(void)state;
	assert_true(sasl_can("PLAIN") && sasl_can("LOGIN") && sasl_can("XOAUTH2"));
	assert_true(sasl_can("SCRAM-SHA-1") && sasl_can("SCRAM-SHA-256"));
	assert_false(sasl_can("SCRAM-SHA-256-PLUS") || sasl_can("plain") || sasl_can(""));
}

static void test_choose(void **state)
{
	static const struct {
		const char *offered[6];
		const char *forced;
		bool authzid;
		const char *chosen; /* NULL = none */
	} cases[] = {
	    {{0}, NULL, false, NULL},
	    {{"PLAIN"}, NULL, false, "PLAIN"},
	    {{"LOGIN", "PLAIN"}, NULL, false, "PLAIN"},
	    {{"LOGIN"}, NULL, false, "LOGIN"},
	    {{"LOGIN"}, NULL, true, NULL},
	    {{"LOGIN", "PLAIN"}, NULL, true, "PLAIN"},
	    {{"PLAIN", "SCRAM-SHA-1", "LOGIN"}, NULL, false, "SCRAM-SHA-1"},
	    {{"PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256"}, NULL, true, "SCRAM-SHA-256"},
	    {{"XOAUTH2", "OAUTHBEARER"}, NULL, false, NULL},
	    {{"XOAUTH2", "PLAIN"}, NULL, false, "PLAIN"},
	    {{"XOAUTH2", "PLAIN"}, "XOAUTH2", false, "XOAUTH2"},
	    {{"XOAUTH2", "PLAIN"}, "XOAUTH2", true, "XOAUTH2"},
	    {{"PLAIN", "SCRAM-SHA-256"}, "PLAIN", false, "PLAIN"},
	    {{"PLAIN"}, "SCRAM-SHA-256", false, NULL},
	    {{"PLAIN", "LOGIN"}, "LOGIN", true, NULL},
	    {{"CRAM-MD5"}, "CRAM-MD5", false, NULL},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		size_t count = 0;
		while (cases[i].offered[count])
			count++;
		const char *chosen =
		    sasl_choose(cases[i].offered, count, cases[i].forced, cases[i].authzid);
		assert_string_equal(
		    chosen ? chosen : "none", cases[i].chosen ? cases[i].chosen : "none");
	}
}

static void test_unknown_mechanism(void **state)
{
	struct sasl *s = NULL;
	struct err e = {0};

	(void)state;
	assert_login_refused(sasl_start(&s, "GSSAPI", &tim, &e), &e, "GSSAPI");
	assert_null(s);
	sasl_free(&s);
}

/* ---- PLAIN, LOGIN, XOAUTH2 ---- */

static void test_plain(void **state)
{
	AUTO(sasl_free) struct sasl *s = started("PLAIN", &tim);
	struct err e = {0};

	(void)state;
	assert_true(sasl_client_first(s));
	step_is(s, NULL, "\0tim\0tanstaaftanstaaf", 21); /* RFC 4616 §4 */
	assert_int_equal(sasl_finish(s, &e), 0);
}

static void test_plain_authzid(void **state)
{
	static const struct sasl_secret kurt = {
	    .user = "Kurt", .authzid = "Ursel", .password = "xipj3plmq\xc3\xa4"};
	AUTO(sasl_free) struct sasl *s = started("PLAIN", &kurt);

	(void)state;
	step_is(s, NULL, "Ursel\0Kurt\0xipj3plmq\xc3\xa4", 22);
}

/* Whatever stands in the "+" before the first answer, it is none of PLAIN's business. */
static void test_plain_after_noise(void **state)
{
	static const char *const noises[] = {"", "!no base64!", "cmVhZHk="};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(noises); i++) {
		AUTO(sasl_free) struct sasl *s = started("PLAIN", &tim);
		AUTO(buf_free) struct buf out = BUF_INIT(TEXT_MAX);
		struct err e = {0};
		assert_int_equal(sasl_step(s, view_of(noises[i]), &out, &e), 0);
		assert_string_equal(out.data, "AHRpbQB0YW5zdGFhZnRhbnN0YWFm");
	}
}

static void test_plain_once(void **state)
{
	AUTO(sasl_free) struct sasl *s = started("PLAIN", &tim);
	AUTO(buf_free) struct buf out = BUF_INIT(TEXT_MAX);
	struct err e = {0};

	(void)state;
	assert_int_equal(sasl_step(s, view_of(""), &out, &e), 0);
	assert_login_refused(sasl_step(s, view_of(""), &out, &e), &e, "asks for more");
}

static void test_login(void **state)
{
	static const char *const prompts[][2] = {
	    {"Username:", "Password:"}, {"User Name\0", "Password\0"}, {"", ""}, {"x", NULL}};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(prompts); i++) {
		AUTO(sasl_free) struct sasl *s = started("LOGIN", &tim);
		struct err e = {0};
		assert_false(sasl_client_first(s));
		step_is(s, prompts[i][0], "tim", 3);
		step_is(s, prompts[i][1], "tanstaaftanstaaf", 16);
		assert_int_equal(sasl_finish(s, &e), 0);
	}
}

static void test_xoauth2(void **state)
{
	static const struct sasl_secret some = {.user = "someuser@example.com",
	    .password = "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg"};
	AUTO(sasl_free) struct sasl *s = started("XOAUTH2", &some);
	AUTO(buf_free) struct buf out = BUF_INIT(TEXT_MAX);
	struct err e = {0};

	(void)state;
	assert_true(sasl_client_first(s));
	assert_int_equal(sasl_step(s, view_of(""), &out, &e), 0);
	assert_string_equal(out.data, /* the example of Google's documentation */
	    "dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNSbGNrQm"
	    "hk"
	    "SFJoZG1semRHRXVZMjl0Q2cBAQ==");
	buf_clear(&out);
	assert_int_equal(sasl_step(s, view_of("eyJzdGF0dXMiOiI0MDEifQ=="), &out, &e), 0);
	assert_int_equal(out.len, 0);
	assert_int_equal(sasl_finish(s, &e), 0);
}

/* The mailbox is named; whose token it is, the token says. */
static void test_xoauth2_authzid(void **state)
{
	static const struct sasl_secret shared = {
	    .user = "fred@example.com", .authzid = "sales@example.com", .password = "t"};
	AUTO(sasl_free) struct sasl *s = started("XOAUTH2", &shared);
	static const char answer[] = "user=sales@example.com\001auth=Bearer t\001\001";

	(void)state;
	step_is(s, NULL, answer, sizeof(answer) - 1);
}

/* ---- SCRAM ---- */

/* RFC 5802 §5, to the byte. */
static void test_scram_sha1_vector(void **state)
{
	static const struct sasl_secret user = {.user = "user", .password = "pencil"};
	AUTO(sasl_free) struct sasl *s = NULL;
	struct err e = {0};

	(void)state;
	fixed_nonce = "fyko+d2lbbFgONRv9qkxdawL";
	s = started("SCRAM-SHA-1", &user);
	assert_true(sasl_client_first(s));
#define IS(challenge, answer) step_is(s, challenge, answer, strlen(answer))
	IS(NULL, "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL");
	IS("r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
	    "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=");
	assert_login_refused(sasl_finish(s, &e), &e, "without proving");
	IS("v=rmF9pqV8S7suAoZWja4dJRkFsKQ=", "");
	assert_int_equal(sasl_finish(s, &e), 0);
	fixed_nonce = NULL;
}

/* A server that knows the password, and ways of lying. */
enum lie {
	NO_LIE,
	LIE_SIGNATURE,   /* does not know the password */
	LIE_NONCE,       /* does not repeat the client's nonce */
	LIE_MANY_ROUNDS, /* wants hours of hashing */
	LIE_NO_ROUNDS,
	LIE_NOT_SCRAM,
	LIE_NOT_BASE64,
	LIE_EARLY, /* sends its signature in place of the salt */
};

struct scram_server {
	const char *password;
	const char *nonce; /* its part */
	char salt[64];     /* base64 */
	unsigned rounds;
	char first_bare[TEXT_MAX], first[TEXT_MAX], final_bare[TEXT_MAX];
	char proof[TEXT_MAX], signature[TEXT_MAX]; /* what should be, base64 */
};

static void hmac(unsigned char out[32], const unsigned char key[static 32], const char *text)
{
	crypto_auth_hmacsha256_state h;

	crypto_auth_hmacsha256_init(&h, key, 32);
	crypto_auth_hmacsha256_update(&h, (const unsigned char *)text, strlen(text));
	crypto_auth_hmacsha256_final(&h, out);
}

/* Hi() of RFC 5802 §2.2, one block of it. */
static void salted(unsigned char out[32], const struct scram_server *v)
{
	unsigned char salt[TEXT_MAX], u[32];
	size_t len = decode(salt, v->salt);

	memcpy(salt + len, "\0\0\0\1", 4);
	for (unsigned i = 0; i < v->rounds; i++) {
		crypto_auth_hmacsha256_state h;
		crypto_auth_hmacsha256_init(
		    &h, (const unsigned char *)v->password, strlen(v->password));
		crypto_auth_hmacsha256_update(&h, i == 0 ? salt : u, i == 0 ? len + 4 : sizeof(u));
		crypto_auth_hmacsha256_final(&h, u);
		for (size_t b = 0; b < sizeof(u); b++)
			out[b] = i == 0 ? u[b] : out[b] ^ u[b];
	}
}

/* From first_bare, first and final_bare: proof and signature (RFC 5802 §3). */
static void server_compute(struct scram_server *v)
{
	AUTO(buf_free) struct buf message = BUF_INIT(4 * TEXT_MAX);
	unsigned char key[32], client_key[32], stored[32], signature[32];

	buf_printf(&message, "%s,%s,%s", v->first_bare, v->first, v->final_bare);
	salted(key, v);
	hmac(client_key, key, "Client Key");
	crypto_hash_sha256(stored, client_key, sizeof(client_key));
	hmac(signature, stored, message.data);
	for (size_t i = 0; i < sizeof(signature); i++)
		client_key[i] ^= signature[i];
	encode(v->proof, client_key, sizeof(client_key));
	hmac(stored, key, "Server Key");
	hmac(signature, stored, message.data);
	encode(v->signature, signature, sizeof(signature));
}

/* RFC 7677 §3: is the server of this test any good? */
static void test_scram_server_vector(void **state)
{
	struct scram_server v = {.password = "pencil",
	    .salt = "W22ZaJ0SNY7soEsUEjb6gQ==",
	    .rounds = 4096,
	    .first_bare = "n=user,r=rOprNGfwEbeRWgbNEkqO",
	    .first = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
		     "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
	    .final_bare = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"};

	(void)state;
	server_compute(&v);
	assert_string_equal(v.proof, "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
	assert_string_equal(v.signature, "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
}

/* One step in plain text: 0 and the answer, or -1 and e. */
static int step(struct sasl *s, const char *challenge, char answer[static TEXT_MAX], struct err *e)
{
	AUTO(buf_free) struct buf out = BUF_INIT(TEXT_MAX);
	char text[TEXT_MAX];

	encode(text, challenge, strlen(challenge));
	if (sasl_step(s, view_of(text), &out, e) < 0)
		return -1;
	memset(answer, 0, TEXT_MAX);
	if (out.len > 0)
		decode(answer, out.data);
	return 0;
}

static void server_take_first(struct scram_server *v, const char *first, enum lie lie)
{
	const char *bare = strstr(first, "n=");
	const char *nonce = strstr(first, ",r=");

	assert_true(bare && nonce);
	strcpy(v->first_bare, bare);
	snprintf(v->first, sizeof(v->first), "r=%s%s,s=%s,i=%u", lie == LIE_NONCE ? "x" : nonce + 3,
	    v->nonce, v->salt, v->rounds);
	if (lie == LIE_MANY_ROUNDS)
		snprintf(v->first, sizeof(v->first), "r=%s%s,s=%s,i=2000000000", nonce + 3,
		    v->nonce, v->salt);
	else if (lie == LIE_NO_ROUNDS)
		snprintf(v->first, sizeof(v->first), "r=%s%s,s=%s", nonce + 3, v->nonce, v->salt);
	else if (lie == LIE_NOT_SCRAM)
		strcpy(v->first, "Password:");
	else if (lie == LIE_EARLY)
		strcpy(v->first, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
}

/* Checks the client's proof, and shows its own. */
static void server_take_final(
    struct scram_server *v, const char *final, char out[static TEXT_MAX], enum lie lie)
{
	const char *proof = strstr(final, ",p=");

	assert_non_null(proof);
	snprintf(v->final_bare, sizeof(v->final_bare), "%.*s", (int)(proof - final), final);
	server_compute(v);
	assert_string_equal(proof + 3, v->proof);
	if (lie == LIE_SIGNATURE)
		v->signature[3] = v->signature[3] == 'A' ? 'B' : 'A';
	out[0] = '\0';
	strcat(strcat(out, "v="), v->signature);
}

/* A whole login; -1 = the client refused at some step. */
static int scram_login(const struct sasl_secret *secret, enum lie lie, struct err *e)
{
	AUTO(sasl_free) struct sasl *s = started("SCRAM-SHA-256", secret);
	struct scram_server v = {.password = "tanstaaftanstaaf",
	    .nonce = "3rfcNHYJY1ZVvWVs7j",
	    .salt = "QSXCR+Q6sek8bf92",
	    .rounds = 4096};
	char text[TEXT_MAX], answer[TEXT_MAX];
	AUTO(buf_free) struct buf out = BUF_INIT(TEXT_MAX);

	assert_int_equal(step(s, "", answer, e), 0);
	server_take_first(&v, answer, lie);
	if (lie == LIE_NOT_BASE64)
		return sasl_step(s, view_of("*not base64*"), &out, e);
	if (step(s, v.first, answer, e) < 0)
		return -1;
	server_take_final(&v, answer, text, lie);
	if (step(s, text, answer, e) < 0) {
		struct err again = {0};
		assert_login_refused(sasl_finish(s, &again), &again, "without proving");
		return -1;
	}
	assert_string_equal(answer, "");
	return sasl_finish(s, e);
}

static void test_scram_sha256(void **state)
{
	static const struct sasl_secret act = {
	    .user = "a,b=c", .authzid = "other", .password = "tanstaaftanstaaf"};
	struct err e = {0};

	(void)state;
	if (scram_login(&tim, NO_LIE, &e) < 0 || scram_login(&act, NO_LIE, &e) < 0)
		fail_msg("%s (%s)", e.text, e.detail);
}

static void test_scram_authzid_is_sent(void **state)
{
	static const struct sasl_secret act = {
	    .user = "a,b=c", .authzid = "other", .password = "x"};
	AUTO(sasl_free) struct sasl *s = started("SCRAM-SHA-256", &act);
	char answer[TEXT_MAX];
	struct err e = {0};

	(void)state;
	assert_int_equal(step(s, "", answer, &e), 0);
	assert_memory_equal(answer, "n,a=other,n=a=2Cb=3Dc,r=", 24);
}

static void test_scram_lies(void **state)
{
	static const struct {
		enum lie lie;
		const char *word;
	} lies[] = {
	    {LIE_SIGNATURE, "could not prove"},
	    {LIE_NONCE, "does not belong"},
	    {LIE_MANY_ROUNDS, "more hashing"},
	    {LIE_NO_ROUNDS, "does not belong"},
	    {LIE_NOT_SCRAM, "does not belong"},
	    {LIE_NOT_BASE64, "not base64"},
	    {LIE_EARLY, "does not belong"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(lies); i++) {
		struct err e = {0};
		assert_login_refused(scram_login(&tim, lies[i].lie, &e), &e, lies[i].word);
		assert_non_null(strstr(e.text, "imap.example.com"));
		assert_null(strstr(e.text, "tanstaaf"));
		assert_null(strstr(e.detail, "tanstaaf"));
	}
}

/* OK before SCRAM has begun, or after its first step, is no login. */
static void test_scram_early_ok(void **state)
{
	(void)state;
	for (int steps = 0; steps < 2; steps++) {
		AUTO(sasl_free) struct sasl *s = started("SCRAM-SHA-1", &tim);
		char answer[TEXT_MAX];
		struct err e = {0};
		if (steps > 0)
			assert_int_equal(step(s, "", answer, &e), 0);
		assert_login_refused(sasl_finish(s, &e), &e, "without proving");
	}
}

static void test_answer_beyond_ceiling(void **state)
{
	static const char *const mechanisms[] = {"PLAIN", "LOGIN", "XOAUTH2", "SCRAM-SHA-256"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(mechanisms); i++) {
		AUTO(sasl_free) struct sasl *s = started(mechanisms[i], &tim);
		AUTO(buf_free) struct buf out = BUF_INIT(3);
		struct err e = {0};
		assert_login_refused(sasl_step(s, view_of(""), &out, &e), &e, "too long");
		assert_int_equal(out.len, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_can),
	    cmocka_unit_test(test_choose),
	    cmocka_unit_test(test_unknown_mechanism),
	    cmocka_unit_test(test_plain),
	    cmocka_unit_test(test_plain_authzid),
	    cmocka_unit_test(test_plain_after_noise),
	    cmocka_unit_test(test_plain_once),
	    cmocka_unit_test(test_login),
	    cmocka_unit_test(test_xoauth2),
	    cmocka_unit_test(test_xoauth2_authzid),
	    cmocka_unit_test(test_scram_sha1_vector),
	    cmocka_unit_test(test_scram_server_vector),
	    cmocka_unit_test(test_scram_sha256),
	    cmocka_unit_test(test_scram_authzid_is_sent),
	    cmocka_unit_test(test_scram_lies),
	    cmocka_unit_test(test_scram_early_ok),
	    cmocka_unit_test(test_answer_beyond_ceiling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
