/* tls_server.c - see the header. The child uses plain blocking calls and ends by _exit, so nothing
 * of it is shared with what is tested. */
#include "net/tls_server.h"

#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define MUST(condition)                                                                            \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);            \
			_exit(3);                                                                  \
		}                                                                                  \
	} while (0)

/* -- certificates -- */

struct cert_wish {
	const char *name; /* common name */
	const char *alt;  /* subjectAltName, NULL = none */
	const char *from;
	const char *until;
	bool ca;
};

static void add_extension(X509 *cert, int nid, const char *value)
{
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
	MUST(ext && X509_add_ext(cert, ext, -1));
	X509_EXTENSION_free(ext);
}

/* Signed by ISSUER, or by itself when that is NULL. */
static X509 *cert_make(const struct cert_wish *wish, EVP_PKEY *key, X509 *issuer, EVP_PKEY *by)
{
	static long serial;
	X509 *cert = X509_new();
	X509_NAME *name = X509_get_subject_name(cert);
	MUST(X509_set_version(cert, 2));
	ASN1_INTEGER_set(X509_get_serialNumber(cert), ++serial);
	X509_NAME_add_entry_by_txt(
	    name, "CN", MBSTRING_UTF8, (const unsigned char *)wish->name, -1, -1, 0);
	MUST(ASN1_TIME_set_string(X509_getm_notBefore(cert), wish->from));
	MUST(ASN1_TIME_set_string(X509_getm_notAfter(cert), wish->until));
	MUST(X509_set_pubkey(cert, key));
	MUST(X509_set_issuer_name(cert, issuer ? X509_get_subject_name(issuer) : name));
	if (wish->ca)
		add_extension(cert, NID_basic_constraints, "critical,CA:TRUE");
	if (wish->alt)
		add_extension(cert, NID_subject_alt_name, wish->alt);
	MUST(X509_sign(cert, by, EVP_sha256()));
	return cert;
}

static void cert_save(X509 *cert, const char *path)
{
	FILE *f = fopen(path, "w");
	MUST(f && PEM_write_X509(f, cert));
	fclose(f);
}

static void key_save(EVP_PKEY *key, const char *path)
{
	FILE *f = fopen(path, "w");
	MUST(f && PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL));
	fclose(f);
}

static const char NOW[] = "20200101000000Z";
static const char END[] = "20890101000000Z";
static const char LOCAL[] = "DNS:localhost,IP:127.0.0.1";

static void pki_make_servers(struct pki *pki, EVP_PKEY *key, X509 *ca, EVP_PKEY *ca_key)
{
	const struct cert_wish wishes[CERT_KINDS] = {
	    [CERT_GOOD] = {"good", LOCAL, NOW, END, false},
	    [CERT_EXPIRED] = {"expired", LOCAL, "20000101000000Z", "20010203000000Z", false},
	    [CERT_EARLY] = {"early", LOCAL, "20900101000000Z", "20910101000000Z", false},
	    [CERT_OTHER] = {"other",
		"DNS:other.example,DNS:*.more.example,IP:192.0.2.9,IP:2001:db8::9", NOW, END,
		false},
	    [CERT_NAMELESS] = {"localhost", NULL, NOW, END, false},
	    [CERT_SELF] = {"self", LOCAL, NOW, END, false},
	    [CERT_BY_LEAF] = {"by leaf", LOCAL, NOW, END, false},
	};
	X509 *certs[CERT_KINDS] = {0};
	char dir[sizeof(pki->dir)];
	memcpy(dir, pki->dir, sizeof(dir));
	for (int i = 0; i < CERT_KINDS; i++) {
		bool self = i == CERT_SELF, leaf = i == CERT_BY_LEAF;
		X509 *issuer = self ? NULL : leaf ? certs[CERT_GOOD] : ca;
		certs[i] = cert_make(&wishes[i], key, issuer, self || leaf ? key : ca_key);
		snprintf(pki->cert[i], sizeof(pki->cert[i]), "%s/%d.pem", dir, i);
		cert_save(certs[i], pki->cert[i]);
	}
	for (int i = 0; i < CERT_KINDS; i++)
		X509_free(certs[i]);
}

void pki_new(struct pki *pki)
{
	char dir[] = "/tmp/godwit-pki-XXXXXX";
	MUST(mkdtemp(dir));
	*pki = (struct pki){0};
	memcpy(pki->dir, dir, sizeof(dir));
	snprintf(pki->ca, sizeof(pki->ca), "%s/ca.pem", dir);
	snprintf(pki->foreign_ca, sizeof(pki->foreign_ca), "%s/foreign.pem", dir);
	snprintf(pki->key, sizeof(pki->key), "%s/key.pem", dir);
	EVP_PKEY *ca_key = EVP_EC_gen("P-256");
	EVP_PKEY *key = EVP_EC_gen("P-256");
	const struct cert_wish ca_wish = {"Godwit Test CA", NULL, NOW, END, true};
	const struct cert_wish foreign_wish = {"Foreign CA", NULL, NOW, END, true};
	X509 *ca = cert_make(&ca_wish, ca_key, NULL, ca_key);
	X509 *foreign = cert_make(&foreign_wish, key, NULL, key);
	cert_save(ca, pki->ca);
	cert_save(foreign, pki->foreign_ca);
	key_save(key, pki->key);
	pki_make_servers(pki, key, ca, ca_key);
	X509_free(ca);
	X509_free(foreign);
	EVP_PKEY_free(ca_key);
	EVP_PKEY_free(key);
}

void pki_free(struct pki *pki)
{
	for (int i = 0; i < CERT_KINDS; i++)
		unlink(pki->cert[i]);
	unlink(pki->ca);
	unlink(pki->foreign_ca);
	unlink(pki->key);
	rmdir(pki->dir);
}

/* -- the child -- */

/* The other side did not keep to the script, which tests may want: no word about it. */
#define SCRIPT(condition)                                                                          \
	do {                                                                                       \
		if (!(condition))                                                                  \
			_exit(2);                                                                  \
	} while (0)

char much_byte(size_t i)
{
	return (char)((i * 31 + (i >> 8) * 7) & 0xff);
}

static SSL_CTX *child_context(const struct pki *pki, enum cert_kind cert, enum manners manners)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	MUST(ctx);
	if (manners == SERVE_OLD) {
		MUST(SSL_CTX_set_cipher_list(ctx, "DEFAULT@SECLEVEL=0"));
		SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION);
		SSL_CTX_set_max_proto_version(ctx, TLS1_1_VERSION);
	}
	if (manners == SERVE_NO_CIPHER) {
		MUST(SSL_CTX_set_cipher_list(ctx, "ECDHE-ECDSA-NULL-SHA:@SECLEVEL=0"));
		SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
	}
	MUST(SSL_CTX_use_certificate_chain_file(ctx, pki->cert[cert]) == 1);
	MUST(SSL_CTX_use_PrivateKey_file(ctx, pki->key, SSL_FILETYPE_PEM) == 1);
	return ctx;
}

static void say_clear(int fd, const char *text)
{
	SCRIPT(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
}

static void hear_clear(int fd, const char *text)
{
	char got[64] = "";
	for (size_t len = 0; len < strlen(text); len++)
		SCRIPT(read(fd, got + len, 1) == 1);
	SCRIPT(strcmp(got, text) == 0);
}

static void say(SSL *ssl, const char *text)
{
	SCRIPT(SSL_write(ssl, text, (int)strlen(text)) == (int)strlen(text));
}

static void hear(SSL *ssl, const char *text)
{
	char got[64] = "";
	size_t len = 0;
	while (len < strlen(text)) {
		int n = SSL_read(ssl, got + len, (int)(strlen(text) - len));
		SCRIPT(n > 0);
		len += (size_t)n;
	}
	SCRIPT(strcmp(got, text) == 0);
}

/* Half of one record, by way of memory. */
static void say_half(SSL *ssl, int fd)
{
	BIO *memory = BIO_new(BIO_s_mem());
	char *record = NULL;
	SSL_set0_wbio(ssl, memory);
	say(ssl, TLS_GREETING);
	long len = BIO_get_mem_data(memory, &record);
	SCRIPT(write(fd, record, (size_t)len / 2) == len / 2);
}

static void serve_much(SSL *ssl)
{
	static char mine[MUCH_BYTES];
	char some[10000];
	for (size_t i = 0; i < MUCH_BYTES; i++)
		mine[i] = much_byte(i);
	SCRIPT(SSL_write(ssl, mine, MUCH_BYTES) == MUCH_BYTES);
	for (size_t got = 0; got < MUCH_BYTES;) {
		int n = SSL_read(ssl, some, sizeof(some));
		SCRIPT(n > 0 && memcmp(some, mine + got, (size_t)n) == 0);
		got += (size_t)n;
	}
	say(ssl, TLS_ANSWER);
}

static void serve_by_tls(SSL *ssl, int fd, enum manners manners)
{
	if (manners == SERVE_CUT_RECORD) {
		say_half(ssl, fd);
		return;
	}
	say(ssl, TLS_GREETING);
	if (manners == SERVE_CUT_STREAM)
		return;
	if (manners == SERVE_GARBAGE) {
		say_clear(fd, "this is not a record at all");
		return;
	}
	hear(ssl, TLS_COMMAND);
	if (manners == SERVE_MUCH)
		serve_much(ssl);
	else
		say(ssl, TLS_ANSWER);
	SSL_shutdown(ssl);
}

/* True when TLS is to follow. */
static bool serve_clear_part(int fd, enum manners manners)
{
	bool starttls =
	    manners == SERVE_STARTTLS || manners == SERVE_INJECTED || manners == SERVE_CLEAR_AFTER;
	if (manners == SERVE_SILENT)
		pause();
	if (manners == SERVE_CLEAR)
		say_clear(fd, "* OK I speak clear text\r\n");
	if (starttls) {
		say_clear(fd, STARTTLS_GREETING);
		hear_clear(fd, STARTTLS_COMMAND);
		say_clear(fd,
		    manners == SERVE_INJECTED ? STARTTLS_ANSWER "* 1 EVIL\r\n" : STARTTLS_ANSWER);
	}
	if (manners == SERVE_CLEAR_AFTER)
		say_clear(fd, "* OK still here in clear text\r\n");
	return manners != SERVE_HANG_UP && manners != SERVE_CLEAR && manners != SERVE_CLEAR_AFTER &&
	       manners != SERVE_INJECTED;
}

/* Without unread bytes in the socket, closing sends no reset that could overtake our last words. */
static void close_gently(int fd)
{
	char some[4096];
	shutdown(fd, SHUT_WR);
	while (read(fd, some, sizeof(some)) > 0)
		continue;
	close(fd);
}

static int child_serve(
    int listener, const struct pki *pki, enum cert_kind cert, enum manners manners)
{
	signal(SIGPIPE, SIG_IGN);
	SSL_CTX *ctx = child_context(pki, cert, manners);
	int fd = accept(listener, NULL, NULL);
	MUST(fd >= 0);
	if (!serve_clear_part(fd, manners)) {
		close_gently(fd);
		return 0;
	}
	SSL *ssl = SSL_new(ctx);
	SSL_set_fd(ssl, fd);
	int shaken = SSL_accept(ssl);
	if (shaken == 1)
		serve_by_tls(ssl, fd, manners);
	close_gently(fd);
	return shaken == 1 ? 0 : 2;
}

/* -- the parent -- */

static int loopback_listen(uint16_t *port)
{
	struct sockaddr_in addr = {
	    .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	MUST(bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0);
	MUST(listen(fd, 5) == 0);
	MUST(getsockname(fd, (struct sockaddr *)&addr, &len) == 0);
	*port = ntohs(addr.sin_port);
	return fd;
}

void tls_server_start(
    struct tls_server *s, const struct pki *pki, enum cert_kind cert, enum manners manners)
{
	int listener = loopback_listen(&s->port);
	s->pid = fork();
	MUST(s->pid >= 0);
	if (s->pid == 0) {
		alarm(60); /* never an orphan, whatever the test does */
		_exit(child_serve(listener, pki, cert, manners));
	}
	close(listener);
}

int tls_server_stop(struct tls_server *s)
{
	int status = 0;
	waitpid(s->pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
