/* sasl.c - logging in, from the first response to the server's proof.
 *
 * Stands between connect/imap (which carries "+ ..." lines) and libgsasl, which knows PLAIN, LOGIN
 * and SCRAM (the hashing is OpenSSL's); XOAUTH2 is built here. Both sides of the border speak base64.
 *
 * Promises: with SCRAM a login is finished only when the server has proved that it knows the
 * password too; a hostile server cannot make us hash for hours. Secrets that pass through here are
 * wiped, also libgsasl's own copies as far as it shows them (its passing buffers it keeps to itself).
 *
 * Does not: decide whether a mechanism may be used without TLS, fetch tokens, read a socket. */
#include "wire/sasl.h"

#include <gsasl.h>
#include <openssl/evp.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* The best first. */
static const struct mechanism {
	const char *name;
	bool client_first, has_authzid, proves_server;
	bool by_order_only; /* needs another kind of secret: never chosen by itself */
	const EVP_MD *(*hash)(void);
} mechanisms[] = {
    {"SCRAM-SHA-256", true, true, true, .hash = EVP_sha256},
    {"SCRAM-SHA-1", true, true, true, .hash = EVP_sha1},
    {"PLAIN", .client_first = true, .has_authzid = true},
    {.name = "LOGIN"},
    {"XOAUTH2", .client_first = true, .has_authzid = true, .by_order_only = true},
};

struct sasl {
	const struct mechanism *mechanism;
	const struct sasl_secret *secret;
	Gsasl *library; /* both NULL for XOAUTH2 */
	Gsasl_session *session;
	unsigned steps;
	bool done;
};

/* Servers ask for 4096 to 600,000 rounds of hashing; this many take some seconds. */
enum { SCRAM_ROUNDS_MAX = 10000000 };

static const struct mechanism *mechanism_find(const char *name)
{
	for (size_t i = 0; i < COUNT_OF(mechanisms); i++)
		if (!strcmp(mechanisms[i].name, name))
			return &mechanisms[i];
	return NULL;
}

bool sasl_can(const char *mechanism)
{
	return mechanism_find(mechanism);
}

static bool is_offered(const char *const *offered, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(offered[i], name))
			return true;
	return false;
}

const char *sasl_choose(
    const char *const *offered, size_t count, const char *forced, bool has_authzid)
{
	for (size_t i = 0; i < COUNT_OF(mechanisms); i++) {
		const struct mechanism *m = &mechanisms[i];
		bool wanted = forced ? !strcmp(forced, m->name) : !m->by_order_only;
		if (wanted && (m->has_authzid || !has_authzid) &&
		    is_offered(offered, count, m->name))
			return m->name;
	}
	return NULL;
}

/* ---- life ---- */

static int session_start(struct sasl *s)
{
	const struct sasl_secret *secret = s->secret;
	int result = gsasl_init(&s->library);

	if (result != GSASL_OK)
		s->library = NULL; /* where memory ran out it is freed, and still named */
	if (result == GSASL_OK)
		result = gsasl_client_start(s->library, s->mechanism->name, &s->session);
	if (result == GSASL_OK)
		result = gsasl_property_set(s->session, GSASL_AUTHID, secret->user);
	if (result == GSASL_OK && secret->authzid)
		result = gsasl_property_set(s->session, GSASL_AUTHZID, secret->authzid);
	if (result == GSASL_OK)
		result = gsasl_property_set(s->session, GSASL_PASSWORD, secret->password);
	return result;
}

static int no_memory(struct err *e)
{
	return err_set(e, CAUSE_MEMORY, ERR_RUN,
	    "memory ran out while logging in; run it again to go on where it stopped");
}

int sasl_start(
    struct sasl **out, const char *mechanism, const struct sasl_secret *secret, struct err *e)
{
	const struct mechanism *m = mechanism_find(mechanism);
	AUTO(sasl_free) struct sasl *s = NULL;
	int result = GSASL_OK;

	if (!m)
		return err_set(e, CAUSE_LOGIN, ERR_MAILBOX, "The login method %s is not supported.",
		    mechanism);
	s = NEW(struct sasl);
	s->mechanism = m;
	s->secret = secret;
	if (strcmp(m->name, "XOAUTH2") != 0)
		result = session_start(s);
	if (result == GSASL_MALLOC_ERROR)
		return no_memory(e);
	if (result != GSASL_OK) {
		err_set(e, CAUSE_LOGIN, ERR_MAILBOX, "The login method %s could not be started.",
		    mechanism);
		err_detail(e, "%s", gsasl_strerror(result));
		return -1;
	}
	*out = s;
	s = NULL;
	return 0;
}

/* libgsasl frees its copies as they are; what it shows can be wiped before. */
static void session_wipe(Gsasl_session *session)
{
	static const Gsasl_property secrets[] = {GSASL_PASSWORD, GSASL_SCRAM_SALTED_PASSWORD,
	    GSASL_SCRAM_SERVERKEY, GSASL_SCRAM_STOREDKEY};

	for (size_t i = 0; i < COUNT_OF(secrets); i++) {
		const char *text = gsasl_property_fast(session, secrets[i]);
		if (text)
			sodium_memzero((char *)(uintptr_t)text, strlen(text));
	}
}

void sasl_free(struct sasl **out)
{
	struct sasl *s = *out;

	if (!s)
		return;
	if (s->session) {
		session_wipe(s->session);
		gsasl_finish(s->session);
	}
	if (s->library)
		gsasl_done(s->library);
	free(s);
	*out = NULL;
}

bool sasl_client_first(const struct sasl *s)
{
	return s->mechanism->client_first;
}

/* ---- steps ---- */

static int sasl_fail(const struct sasl *s, struct err *e, const char *what)
{
	return err_set(e, CAUSE_LOGIN, ERR_MAILBOX, "Login to %s with %s failed: %s.",
	    s->secret->host ? s->secret->host : "the server", s->mechanism->name, what);
}

static int gsasl_fail(const struct sasl *s, int result, struct err *e)
{
	const char *what = "the server sent something that does not belong there";

	if (result == GSASL_MALLOC_ERROR)
		return no_memory(e);
	if (result == GSASL_AUTHENTICATION_ERROR && s->steps == 2) /* else: a foreign nonce */
		what = "the server could not prove that it knows the password, so it is not the "
		       "server "
		       "it claims to be";
	else if (result == GSASL_SASLPREP_ERROR)
		what = "user name or password contain characters that this method does not allow";
	sasl_fail(s, e, what);
	err_detail(e, "%s", gsasl_strerror(result));
	return -1;
}

static int add_base64(const struct sasl *s, struct buf *out, struct view bytes, struct err *e)
{
	size_t size = sodium_base64_ENCODED_LEN(bytes.len, sodium_base64_VARIANT_ORIGINAL);
	char *to;

	if (bytes.len == 0)
		return 0;
	to = buf_room(out, size);
	if (!to)
		return sasl_fail(s, e, "the answer is too long");
	sodium_bin2base64(
	    to, size, (const unsigned char *)bytes.data, bytes.len, sodium_base64_VARIANT_ORIGINAL);
	buf_grown(out, size - 1);
	return 0;
}

/* What SCRAM says is needed to the byte. The prompts of LOGIN are anything (quirk 15), and what a
 * server may say before PLAIN means nothing. Made with one spare byte, so never without memory. */
static int take_base64(const struct sasl *s, struct view text, struct buf *out, struct err *e)
{
	size_t len;

	if (!s->mechanism->proves_server || text.len == 0)
		return 0;
	buf_init(out, text.len);
	unsigned char *to = (unsigned char *)buf_room(out, text.len);
	if (sodium_base642bin(to, text.len, text.data, text.len, " \r\n\t", &len, NULL,
		sodium_base64_VARIANT_ORIGINAL) != 0)
		return sasl_fail(s, e, "the server's challenge is not base64");
	buf_grown(out, len);
	return 0;
}

/* The value behind NAME (",s=") in "r=...,s=...,i=4096" (RFC 5802 §5.1); empty = none. */
static struct view scram_attribute(struct view challenge, const char *name)
{
	ptrdiff_t at = view_find_nocase(challenge, name);

	if (at < 0)
		return view_make(NULL, 0);
	size_t begin = (size_t)at + strlen(name);
	struct view value = view_make(challenge.data + begin, challenge.len - begin);
	const char *comma = memchr(value.data, ',', value.len);
	if (comma)
		value.len = (size_t)(comma - value.data);
	return value;
}

/* SaltedPassword := Hi(Normalize(password), salt, i) (RFC 5802 §3), by OpenSSL, which uses what the
 * processor has for it and needs a fraction of libgsasl's time. */
static bool scram_hash(
    const struct sasl *s, struct view salt_text, int rounds, unsigned char out[EVP_MAX_MD_SIZE])
{
	const EVP_MD *hash = s->mechanism->hash();
	unsigned char salt[256];
	char *password = NULL;
	size_t salt_len;

	if (gsasl_saslprep(s->secret->password, 0, &password, NULL) != GSASL_OK)
		return false;
	bool done = sodium_base642bin(salt, sizeof(salt), salt_text.data, salt_text.len, NULL,
			&salt_len, NULL, sodium_base64_VARIANT_ORIGINAL) == 0 &&
		    PKCS5_PBKDF2_HMAC(password, (int)strlen(password), salt, (int)salt_len, rounds,
			hash, EVP_MD_get_size(hash), out) == 1;
	sodium_memzero(password, strlen(password));
	gsasl_free(password);
	return done;
}

/* Where this does not come off, libgsasl does it itself, or says what is wrong. */
static void scram_prepare(const struct sasl *s, struct view salt, int rounds)
{
	unsigned char salted[EVP_MAX_MD_SIZE];
	char hex[2 * EVP_MAX_MD_SIZE + 1];

	if (!scram_hash(s, salt, rounds, salted))
		return;
	sodium_bin2hex(hex, sizeof(hex), salted, (size_t)EVP_MD_get_size(s->mechanism->hash()));
	(void)gsasl_property_set(s->session, GSASL_SCRAM_SALTED_PASSWORD, hex);
	sodium_memzero(salted, sizeof(salted));
	sodium_memzero(hex, sizeof(hex));
}

static int scram_challenge(const struct sasl *s, struct view challenge, struct err *e)
{
	struct view rounds_text = scram_attribute(challenge, ",i=");
	struct view salt = scram_attribute(challenge, ",s=");
	uint64_t rounds = 0;

	if (!rounds_text.len)
		return 0; /* libgsasl will refuse it */
	if (view_number(rounds_text, &rounds) < 0 || rounds > SCRAM_ROUNDS_MAX)
		return sasl_fail(s, e, "the server asks for more hashing than is reasonable");
	if (salt.len && rounds)
		scram_prepare(s, salt, (int)rounds);
	return 0;
}

static int gsasl_answer(struct sasl *s, struct view challenge, struct buf *out, struct err *e)
{
	AUTO(buf_free) struct buf input = {0};
	char *answer = NULL;
	size_t len = 0;

	if (s->done) /* libgsasl would say the password of PLAIN again, as often as asked */
		return sasl_fail(s, e, "the server asks for more than belongs to it");
	if (take_base64(s, challenge, &input, e) < 0)
		return -1;
	if (s->mechanism->hash && s->steps == 1 && scram_challenge(s, buf_view(&input), e))
		return -1;
	int result = gsasl_step(s->session, input.data ? input.data : "", input.len, &answer, &len);
	if (result != GSASL_OK && result != GSASL_NEEDS_MORE)
		return gsasl_fail(s, result, e);
	s->steps++;
	s->done = result == GSASL_OK;
	int added = add_base64(s, out, view_make(answer, len), e);
	if (answer)
		sodium_memzero(answer, len);
	gsasl_free(answer);
	return added;
}

/* Nowhere but in a draft of Google's: "user=" user ^A "auth=Bearer " token ^A ^A. After it a
 * challenge is the reason of a refusal, and wants an empty answer before the NO comes (quirk 16).
 * The user is the mailbox; whose token it is stands in the token. */
static int xoauth2_answer(struct sasl *s, struct buf *out, struct err *e)
{
	const char *user = s->secret->authzid ? s->secret->authzid : s->secret->user;
	const char *token = s->secret->password;
	size_t len = strlen(user) + strlen(token) + strlen("user=^auth=Bearer ^^");
	struct buf text = BUF_INIT(len);

	if (s->steps++ > 0)
		return 0;
	buf_room(&text, len); /* at once: growing would leave copies behind */
	buf_printf(&text, "user=%s\001auth=Bearer %s\001\001", user, token);
	int added = add_base64(s, out, buf_view(&text), e);
	sodium_memzero(text.data, text.len);
	buf_free(&text);
	s->done = true;
	return added;
}

int sasl_step(struct sasl *s, struct view challenge, struct buf *out, struct err *e)
{
	if (!s->session)
		return xoauth2_answer(s, out, e);
	return gsasl_answer(s, challenge, out, e);
}

int sasl_finish(struct sasl *s, struct err *e)
{
	if (s->done || !s->mechanism->proves_server)
		return 0;
	return sasl_fail(s, e,
	    "the server said yes without proving that it knows the password, so it may not be the "
	    "server it claims to be");
}
