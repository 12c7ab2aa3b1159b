/* tls.c - TLS by OpenSSL, as a pipe over another pipe.
 *
 * On the data's way: between conn and tcp (or a proxy's pipe). OpenSSL reads and writes through a BIO
 * of ours that uses the layer below, so TLS stacks on anything and no SIGPIPE can come from it.
 * Promises: TLS 1.2 or better; chain and name are verified before the first byte of ours goes out,
 * unless the user asked otherwise; a stream cut off without close_notify is not taken for its end;
 * each way a certificate can be wrong has its own sentence, saying what to do.
 * Does not: resume sessions, renegotiate, present client certificates. */
#include "net/tls.h"

#include <ctype.h>
#include <dirent.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Several TLS records (at most 16 KiB each) in one system call. */
#define TLS_READ_AHEAD (65u << 10)

struct tls {
	struct layer layer; /* first: the callbacks cast */
	SSL_CTX *ctx;
	SSL *ssl;
	BIO_METHOD *method;
	char *host;
	uint16_t port;
	bool upgrade;
	bool up;           /* the handshake is done */
	bool failed;       /* no more calls into OpenSSL, no goodbye */
	bool write_failed; /* nothing more goes out, but the peer's last words may still come in */
	bool drained;      /* the last read found no whole record inside */
	bool read_wants_write;
	bool write_wants_read;
	bool below_ended;
	bool below_failed; /* in the call now running */
	struct err below_err;
	int first_byte; /* of the peer's, -1 = none yet: tells TLS from clear text */
	/* What verification stumbled over first. */
	int verify_error;
	int verify_depth;
	X509 *verify_cert;
};

/* -- the BIO: OpenSSL's view of the layer below -- */

static struct tls *bio_tls(BIO *bio)
{
	return BIO_get_data(bio);
}

/* What OpenSSL wants to hear about N, moved by the layer below. */
static int bio_result(struct tls *t, ptrdiff_t n)
{
	if (n == LAYER_FAILED) {
		t->below_failed = true;
		return -1;
	}
	return n == LAYER_AGAIN ? -1 : (int)n;
}

static int bio_read(BIO *bio, char *out, int size)
{
	struct tls *t = bio_tls(bio);
	struct layer *below = t->layer.below;
	BIO_clear_retry_flags(bio);
	if (size <= 0)
		return 0;
	ptrdiff_t n = below->ops->read(below, out, (size_t)size, &t->below_err);
	if (n == LAYER_AGAIN)
		BIO_set_retry_read(bio);
	if (n == 0)
		t->below_ended = true;
	if (n > 0 && t->first_byte < 0)
		t->first_byte = (unsigned char)out[0];
	return bio_result(t, n);
}

static int bio_write(BIO *bio, const char *data, int len)
{
	struct tls *t = bio_tls(bio);
	struct layer *below = t->layer.below;
	BIO_clear_retry_flags(bio);
	if (len <= 0)
		return 0;
	ptrdiff_t n = below->ops->write(below, data, (size_t)len, &t->below_err);
	if (n == LAYER_AGAIN)
		BIO_set_retry_write(bio);
	return bio_result(t, n);
}

static long bio_ctrl(BIO *bio, int command, long number, void *arg)
{
	(void)number;
	(void)arg;
	if (command == BIO_CTRL_FLUSH)
		return 1;
	if (command == BIO_CTRL_EOF)
		return bio_tls(bio)->below_ended;
	return 0;
}

/* The method belongs to the layer, because there is no place for a global one. */
static BIO *bio_over(struct tls *t)
{
	t->method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "godwit layer");
	if (!t->method)
		return NULL;
	BIO_meth_set_read(t->method, bio_read);
	BIO_meth_set_write(t->method, bio_write);
	BIO_meth_set_ctrl(t->method, bio_ctrl);
	BIO *bio = BIO_new(t->method);
	if (!bio)
		return NULL;
	BIO_set_data(bio, t);
	BIO_set_init(bio, 1);
	return bio;
}

/* -- errors -- */

/* OpenSSL's own words for the oldest error queued in this thread; the queue is emptied. */
static void openssl_words(char *out, size_t size)
{
	unsigned long code = ERR_get_error();
	const char *reason = code ? ERR_reason_error_string(code) : NULL;
	snprintf(out, size, "%s", reason ? reason : "no reason given");
	ERR_clear_error();
}

static int tls_refuse(struct err *e)
{
	if (e)
		e->next = ERR_GIVE_UP;
	return LAYER_FAILED;
}

/* "2024-05-31" */
static void date_text(char out[16], const ASN1_TIME *when)
{
	struct tm tm = {0};
	if (ASN1_TIME_to_tm(when, &tm) != 1 || !strftime(out, 16, "%Y-%m-%d", &tm))
		snprintf(out, 16, "an unknown day");
}

/* The common name, else the organisation, else everything. */
static void name_text(char *out, size_t size, const X509_NAME *name)
{
	if (X509_NAME_get_text_by_NID(name, NID_commonName, out, (int)size) > 0)
		return;
	if (X509_NAME_get_text_by_NID(name, NID_organizationName, out, (int)size) > 0)
		return;
	X509_NAME_oneline(name, out, (int)size);
}

static void add_name(struct buf *out, const char *text, size_t len)
{
	buf_printf(out, "%s%.*s", out->len ? ", " : "", (int)len, text);
}

static void add_address(struct buf *out, const ASN1_OCTET_STRING *ip)
{
	char text[64];
	const unsigned char *b = ASN1_STRING_get0_data(ip);
	int len = 0;
	if (ASN1_STRING_length(ip) == 4)
		len = snprintf(text, sizeof(text), "%d.%d.%d.%d", b[0], b[1], b[2], b[3]);
	for (int i = 0; ASN1_STRING_length(ip) == 16 && i < 16; i += 2)
		len += snprintf(text + len, sizeof(text) - (size_t)len, "%s%x", i ? ":" : "",
		    (unsigned)b[i] << 8 | b[i + 1]);
	add_name(out, text, (size_t)len);
}

/* Which names a certificate is for; at most a line of them. */
static void add_certificate_names(struct buf *out, X509 *cert)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	for (int i = 0; i < sk_GENERAL_NAME_num(names) && i < 8; i++) {
		const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, i);
		if (n->type == GEN_DNS)
			add_name(out, (const char *)ASN1_STRING_get0_data(n->d.dNSName),
			    (size_t)ASN1_STRING_length(n->d.dNSName));
		else if (n->type == GEN_IPADD)
			add_address(out, n->d.iPAddress);
	}
	GENERAL_NAMES_free(names);
	if (out->len == 0) {
		char cn[128] = "nothing";
		name_text(cn, sizeof(cn), X509_get_subject_name(cert));
		add_name(out, cn, strlen(cn));
	}
}

static int explain_name(const struct tls *t, struct err *e)
{
	AUTO(buf_free) struct buf names = BUF_INIT(160);
	add_certificate_names(&names, t->verify_cert);
	return err_set(e, CAUSE_TLS, ERR_LINK,
	    "has a certificate for %s, not for %s; use a name that it is for",
	    names.len ? names.data : "another name", t->host);
}

static int explain_issuer(const struct tls *t, struct err *e)
{
	char issuer[128] = "unknown";
	name_text(issuer, sizeof(issuer), X509_get_issuer_name(t->verify_cert));
	return err_set(e, CAUSE_TLS, ERR_LINK,
	    "has a certificate signed by a CA that is not trusted here (issuer \"%s\"); if it is "
	    "your own, name it with --ca-file FILE",
	    issuer);
}

/* Too old, or not old enough. */
static int explain_time(const struct tls *t, struct err *e)
{
	char day[16];
	const char *what = t->verify_depth ? "a CA certificate" : "a certificate";
	if (t->verify_error == X509_V_ERR_CERT_HAS_EXPIRED) {
		date_text(day, X509_get0_notAfter(t->verify_cert));
		return err_set(e, CAUSE_TLS, ERR_LINK,
		    "has %s that expired on %s; whoever runs the server must renew it", what, day);
	}
	date_text(day, X509_get0_notBefore(t->verify_cert));
	return err_set(e, CAUSE_TLS, ERR_LINK,
	    "has %s that is not valid before %s; is the clock of this computer right?", what, day);
}

static int explain_certificate(const struct tls *t, struct err *e)
{
	switch (t->verify_error) {
	case X509_V_ERR_CERT_HAS_EXPIRED:
	case X509_V_ERR_CERT_NOT_YET_VALID:
		explain_time(t, e);
		break;
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		explain_name(t, e);
		break;
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
		explain_issuer(t, e);
		break;
	default:
		err_set(e, CAUSE_TLS, ERR_LINK, "has a certificate that cannot be trusted: %s",
		    X509_verify_cert_error_string(t->verify_error));
	}
	char subject[128] = "?";
	name_text(subject, sizeof(subject), X509_get_subject_name(t->verify_cert));
	err_detail(e, "OpenSSL: %s (depth %d, subject \"%s\")",
	    X509_verify_cert_error_string(t->verify_error), t->verify_depth, subject);
	return tls_refuse(e);
}

/* Neither a handshake record nor an alert (RFC 8446 §5.1). */
static bool tls_got_clear_text(const struct tls *t)
{
	return t->first_byte >= 0 && t->first_byte != 0x16 && t->first_byte != 0x15;
}

static int explain_clear_text(const struct tls *t, struct err *e)
{
	if (t->upgrade)
		err_set(e, CAUSE_TLS, ERR_LINK,
		    "agreed to STARTTLS but went on in clear text; something between may tamper "
		    "with the connection");
	else
		err_set(e, CAUSE_TLS, ERR_LINK,
		    "does not speak TLS on port %u; for STARTTLS use imap://", t->port);
	return tls_refuse(e);
}

static bool reason_is_old_version(int reason)
{
	return reason == SSL_R_TLSV1_ALERT_PROTOCOL_VERSION ||
	       reason == SSL_R_UNSUPPORTED_PROTOCOL || reason == SSL_R_WRONG_SSL_VERSION ||
	       reason == SSL_R_WRONG_VERSION_NUMBER;
}

/* A handshake that failed for OpenSSL's reasons, not for those of the layer below. */
static int explain_handshake(const struct tls *t, struct err *e)
{
	char words[128];
	int reason = ERR_GET_REASON(ERR_peek_error());
	openssl_words(words, sizeof(words));
	if (t->verify_error)
		return explain_certificate(t, e);
	if (tls_got_clear_text(t))
		explain_clear_text(t, e);
	else if (reason_is_old_version(reason))
		err_set(e, CAUSE_TLS, ERR_LINK,
		    "speaks only TLS older than 1.2, which is no longer safe; whoever runs the "
		    "server must update it");
	else
		err_set(e, CAUSE_TLS, ERR_LINK, "and godwit cannot agree on TLS: %s", words);
	err_detail(e, "OpenSSL: %s", words);
	return tls_refuse(e);
}

/* SSL_R_UNEXPECTED_EOF_WHILE_READING: what was cut off may be the middle of a message, so it must
 * never look like the end of the stream. */
static int explain_cut(const struct tls *t, struct err *e)
{
	err_set(
	    e, CAUSE_CONNECT, ERR_LINK, "hung up%s", t->up ? "" : " while TLS was being agreed on");
	err_detail(e, "the stream ended without close_notify");
	ERR_clear_error();
	return LAYER_FAILED;
}

/* After OpenSSL said that this connection is over. */
static int tls_explain(struct tls *t, struct err *e)
{
	if (t->below_failed) {
		ERR_clear_error();
		if (e)
			*e = t->below_err;
		return LAYER_FAILED;
	}
	if (t->below_ended && !t->verify_error && !(tls_got_clear_text(t) && !t->up))
		return explain_cut(t, e);
	if (!t->up)
		return explain_handshake(t, e);
	char words[128];
	openssl_words(words, sizeof(words));
	err_set(e, CAUSE_TLS, ERR_LINK, "broke the rules of TLS: %s", words);
	return LAYER_FAILED;
}

/* -- the layer -- */

/* Before each call into OpenSSL, which looks at what earlier ones left in the thread's queue.
 * After one failed there are no more: whoever cares has kept the first trouble. */
static int tls_enter(struct tls *t, bool failed, struct err *e)
{
	ERR_clear_error();
	t->below_failed = false;
	if (!failed)
		return 0;
	err_set(e, CAUSE_CONNECT, ERR_LINK, "hung up");
	return LAYER_FAILED;
}

static ptrdiff_t tls_read(struct layer *l, void *out, size_t size, struct err *e)
{
	struct tls *t = (struct tls *)l;
	size_t got = 0;
	if (tls_enter(t, t->failed, e))
		return LAYER_FAILED;
	int ok = SSL_read_ex(t->ssl, out, size, &got);
	int why = SSL_get_error(t->ssl, ok);
	t->drained = ok != 1;
	t->read_wants_write = why == SSL_ERROR_WANT_WRITE;
	if (ok == 1)
		return (ptrdiff_t)got;
	if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
		return LAYER_AGAIN;
	if (why == SSL_ERROR_ZERO_RETURN)
		return 0;
	t->failed = true;
	return tls_explain(t, e);
}

static ptrdiff_t tls_write(struct layer *l, const void *data, size_t len, struct err *e)
{
	struct tls *t = (struct tls *)l;
	size_t sent = 0;
	if (tls_enter(t, t->failed || t->write_failed, e))
		return LAYER_FAILED;
	int ok = SSL_write_ex(t->ssl, data, len, &sent);
	int why = SSL_get_error(t->ssl, ok);
	t->write_wants_read = why == SSL_ERROR_WANT_READ;
	if (ok == 1)
		return (ptrdiff_t)sent;
	if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
		return LAYER_AGAIN;
	t->write_failed = true;
	t->failed = !t->below_failed;
	return tls_explain(t, e);
}

static short tls_wants(struct layer *l, bool reading)
{
	struct tls *t = (struct tls *)l;
	bool for_read = reading ? !t->read_wants_write : t->write_wants_read;
	return t->layer.below->ops->wants(t->layer.below, for_read);
}

static bool tls_pending(struct layer *l)
{
	struct tls *t = (struct tls *)l;
	struct layer *below = t->layer.below;
	if (!t->up || t->failed)
		return false;
	return (!t->drained && SSL_has_pending(t->ssl)) || below->ops->pending(below);
}

static int tls_fd(struct layer *l)
{
	return l->below->ops->fd(l->below);
}

static void tls_close(struct layer *l)
{
	struct tls *t = (struct tls *)l;
	ERR_clear_error();
	if (t->up && !t->failed && !t->write_failed)
		(void)SSL_shutdown(t->ssl); /* once: it does not wait for the answer */
	SSL_free(t->ssl);
	SSL_CTX_free(t->ctx);
	BIO_meth_free(t->method);
	X509_free(t->verify_cert);
	ERR_clear_error();
	t->layer.below->ops->close(t->layer.below);
	free(t->host);
	free(t);
}

static const struct layer_ops tls_ops = {
    .name = "tls",
    .read = tls_read,
    .write = tls_write,
    .wants = tls_wants,
    .pending = tls_pending,
    .fd = tls_fd,
    .close = tls_close,
};

int tls_handshake(struct layer *layer, struct err *e)
{
	struct tls *t = (struct tls *)layer;
	if (tls_enter(t, t->failed, e))
		return LAYER_FAILED;
	int ok = SSL_connect(t->ssl);
	int why = SSL_get_error(t->ssl, ok);
	t->read_wants_write = why == SSL_ERROR_WANT_WRITE;
	t->write_wants_read = why == SSL_ERROR_WANT_READ;
	t->up = ok == 1;
	if (t->up)
		return 0;
	if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
		return LAYER_AGAIN;
	t->failed = true;
	return tls_explain(t, e);
}

/* -- trust -- */

/* The first trouble is what the user is told; OpenSSL forgets the certificate afterwards. */
static int verify_note(int good, X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls *t = SSL_get_app_data(ssl);
	X509 *cert = X509_STORE_CTX_get_current_cert(store);
	if (good || t->verify_error || !cert)
		return good;
	t->verify_error = X509_STORE_CTX_get_error(store);
	t->verify_depth = X509_STORE_CTX_get_error_depth(store);
	X509_up_ref(cert);
	t->verify_cert = cert;
	return 0;
}

/* "4042bcee.0": how OpenSSL finds a CA in a directory without reading the others. */
static bool name_is_hashed(const char *name)
{
	for (int i = 0; i < 8; i++)
		if (!isxdigit((unsigned char)name[i]))
			return false;
	return name[8] == '.' && isdigit((unsigned char)name[9]);
}

static bool directory_is_hashed(const char *path)
{
	DIR *dir = opendir(path);
	bool found = false;
	if (!dir)
		return false;
	for (struct dirent *d = readdir(dir); d && !found; d = readdir(dir))
		found = name_is_hashed(d->d_name);
	closedir(dir);
	return found;
}

/* The hashed directory alone when there is one: reading the whole bundle costs 30 ms of CPU for
 * each connection. */
static int trust_system(SSL_CTX *ctx)
{
	bool asked = secure_getenv(X509_get_default_cert_dir_env()) ||
		     secure_getenv(X509_get_default_cert_file_env());
	if (!asked && directory_is_hashed(X509_get_default_cert_dir()))
		return SSL_CTX_set_default_verify_dir(ctx);
	return SSL_CTX_set_default_verify_paths(ctx);
}

static int trust_file(SSL_CTX *ctx, const char *ca_file, struct err *e)
{
	char words[128];
	/* A server's own certificate in the file is trusted as well as the CA above it. */
	X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx), X509_V_FLAG_PARTIAL_CHAIN);
	if (SSL_CTX_load_verify_file(ctx, ca_file) == 1)
		return 0;
	openssl_words(words, sizeof(words));
	err_set(e, CAUSE_TLS, ERR_LINK,
	    "cannot be verified: %s is not a readable file of CA "
	    "certificates (PEM)",
	    ca_file);
	err_detail(e, "OpenSSL: %s", words);
	return tls_refuse(e);
}

/* A broken CA store of the system shows when a certificate is verified. */
static int tls_set_trust(struct tls *t, const struct tls_settings *s, struct err *e)
{
	if (s->insecure) {
		SSL_CTX_set_verify(t->ctx, SSL_VERIFY_NONE, NULL);
		return 0;
	}
	SSL_CTX_set_verify(t->ctx, SSL_VERIFY_PEER, verify_note);
	if (s->ca_file)
		return trust_file(t->ctx, s->ca_file, e);
	trust_system(t->ctx);
	ERR_clear_error();
	return 0;
}

/* Address literals are checked against the certificate's addresses and send no SNI (RFC 6066 §3). */
static int tls_set_host(SSL *ssl, const char *host, bool insecure)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
	if (X509_VERIFY_PARAM_set1_ip_asc(param, host))
		return 1;
	ERR_clear_error();
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (!insecure && !X509_VERIFY_PARAM_set1_host(param, host, 0))
		return 0;
	return SSL_set_tlsext_host_name(ssl, host) == 1;
}

static int tls_internal(struct err *e)
{
	char words[128];
	openssl_words(words, sizeof(words));
	err_set(e, CAUSE_TLS, ERR_LINK, "cannot be reached by TLS: OpenSSL failed: %s", words);
	return tls_refuse(e);
}

static void tls_set_manners(SSL_CTX *ctx)
{
	SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_default_read_buffer_len(ctx, TLS_READ_AHEAD);
}

static int tls_set_up(struct tls *t, const struct tls_settings *s, struct err *e)
{
	t->ctx = SSL_CTX_new(TLS_client_method());
	if (!t->ctx)
		return tls_internal(e);
	tls_set_manners(t->ctx);
	if (tls_set_trust(t, s, e))
		return LAYER_FAILED;
	t->ssl = SSL_new(t->ctx);
	BIO *bio = t->ssl ? bio_over(t) : NULL;
	if (!bio)
		return tls_internal(e);
	SSL_set_bio(t->ssl, bio, bio);
	SSL_set_app_data(t->ssl, t);
	return tls_set_host(t->ssl, s->host, s->insecure) ? 0 : tls_internal(e);
}

int tls_over(
    struct layer **out, struct layer *below, const struct tls_settings *settings, struct err *e)
{
	struct tls *t = NEW(struct tls);
	t->layer = (struct layer){.ops = &tls_ops, .below = below};
	t->host = mem_strdup(settings->host);
	t->port = settings->port;
	t->upgrade = settings->upgrade;
	t->first_byte = -1;
	if (tls_set_up(t, settings, e)) {
		tls_close(&t->layer);
		return -1;
	}
	*out = &t->layer;
	return 0;
}
