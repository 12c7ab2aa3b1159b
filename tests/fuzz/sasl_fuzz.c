/* sasl_fuzz.c - whatever a server says during a login: it gets its answer or is refused, PLAIN and LOGIN
 * give the password once, and no server that does not know it is ever believed by SCRAM.
 *
 * The input: a letter for the mechanism, then a challenge a line, as it stands behind "+ "; a line
 * that begins with '=' is plain text to be put into base64, '~' in it our nonce. */
#include <gsasl.h>
#include <sodium.h>

#include "fuzz.h"
#include "wire/sasl.h"

enum { TEXT_MAX = 1 << 16, STEPS_MAX = 8, ROUNDS_MAX = 5000 };

static const struct sasl_secret tim = {
    .user = "tim", .password = "tanstaaftanstaaf", .host = "imap.example.com"};

#define NONCE "AAAAAAAAAAAAAAAAAAAAAAAA" /* base64 of 18 zero bytes */

/* libgsasl asks for its nonce here: a known one, so that seeds can go on with it. */
int gsasl_nonce(char *data, size_t len)
{
	memset(data, 0, len);
	return GSASL_OK;
}

static void challenge_of(struct buf *out, struct view line)
{
	AUTO(buf_free) struct buf plain = BUF_INIT(TEXT_MAX);
	char *to;

	if (!line.len || line.data[0] != '=') {
		buf_add_view(out, line);
		return;
	}
	for (size_t i = 1; i < line.len; i++)
		if (line.data[i] == '~')
			buf_add_text(&plain, NONCE);
		else
			buf_add_char(&plain, line.data[i]);
	to = buf_room(out, sodium_base64_ENCODED_LEN(plain.len, sodium_base64_VARIANT_ORIGINAL));
	must(to, "there is room");
	sodium_bin2base64(to, sodium_base64_ENCODED_LEN(plain.len, sodium_base64_VARIANT_ORIGINAL),
	    (const unsigned char *)(plain.data ? plain.data : ""), plain.len,
	    sodium_base64_VARIANT_ORIGINAL);
	buf_grown(out, strlen(to));
}

/* Hashing that is allowed, and takes longer than a fuzzer has. */
static bool takes_long(struct view line)
{
	ptrdiff_t at = view_find_nocase(line, "i=");
	unsigned long rounds = 0;

	for (size_t i = at < 0 ? line.len : (size_t)at + 2; i < line.len; i++)
		rounds = rounds < ROUNDS_MAX && line.data[i] >= '0' && line.data[i] <= '9'
			     ? rounds * 10 + (unsigned long)(line.data[i] - '0')
			     : rounds;
	return rounds > ROUNDS_MAX;
}

/* How often the password is in an answer. */
static unsigned passwords(const struct buf *out)
{
	unsigned char plain[TEXT_MAX];
	size_t len = 0;

	must(!sodium_base642bin(plain, sizeof(plain), out->data ? out->data : "", out->len, NULL,
		 &len, NULL, sodium_base64_VARIANT_ORIGINAL),
	    "an answer is base64");
	return len && memmem(plain, len, tim.password, strlen(tim.password)) ? 1 : 0;
}

static void play(struct sasl *s, const char *mechanism, struct view rest)
{
	bool scram = !strncmp(mechanism, "SCRAM", 5);
	unsigned told = 0;
	struct err e = {0};

	for (int steps = 0; steps < STEPS_MAX && (steps == 0 || rest.len); steps++) {
		AUTO(buf_free) struct buf challenge = BUF_INIT(TEXT_MAX), out = BUF_INIT(TEXT_MAX);
		struct view line = cut_at(&rest, '\n');

		if (takes_long(line))
			return;
		challenge_of(&challenge, line);
		if (sasl_step(s, buf_view(&challenge), &out, &e) < 0) {
			must(e.cause == CAUSE_LOGIN && e.scope == ERR_MAILBOX && *e.text,
			    "a refusal is told");
			must(!strstr(e.text, tim.password) && !strstr(e.detail, tim.password),
			    "without the password");
			break;
		}
		told += passwords(&out);
		must(!scram || !told, "SCRAM never sends the password");
	}
	must(told < 2, "the password is told once");
	must(!scram || sasl_finish(s, &e) < 0, "nobody proves a password that he does not know");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const mechanisms[] = {
	    "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN", "LOGIN", "XOAUTH2"};
	struct view input = view_make(data, size);
	const char *mechanism;
	AUTO(sasl_free) struct sasl *s = NULL;

	if (!size || memmem(data, size, tim.password, strlen(tim.password)))
		return 0; /* what a server says of itself may come back to it */
	mechanism = mechanisms[data[0] % COUNT_OF(mechanisms)];
	must(!sasl_start(&s, mechanism, &tim, NULL), "it can be begun");
	play(s, mechanism, view_make(input.data + 1, input.len - 1));
	return 0;
}
