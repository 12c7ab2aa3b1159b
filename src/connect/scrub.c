/* scrub.c - letters and digits into others (see scrub.h).
 *
 * The one step: a permutation of the byte's class (26 letters, 10 digits, 16 of the bytes 0x80..0xBF,
 * which keeps UTF-8 valid), drawn by a keyed digest of what stands before it. Given all before, two
 * different bytes never become the same. Above base and the role names; below record.c.
 * Does not: know where a message, a name or a sentence begins: the caller says. */
#include "connect/scrub.h"

#include <stdlib.h>
#include <string.h>

#include <sodium.h>
#include <utf8proc.h>

#include "model/folder.h"
#include "wire/imap_text.h"

#define LEARNED_MAX 32768u /* words; beyond, sentences may show names of folders */

struct scrub {
	unsigned char key[crypto_shorthash_KEYBYTES];
	uint64_t *learned; /* digests of words, open addressing, 0 = free */
	size_t learned_size, learned_count;
};

void scrub_new(struct scrub **out)
{
	struct scrub *s = NEW(struct scrub);

	randombytes_buf(s->key, sizeof(s->key));
	s->learned_size = (size_t)LEARNED_MAX * 2;
	s->learned = mem_new(s->learned_size, sizeof(*s->learned));
	*out = s;
}

void scrub_free(struct scrub **scrub)
{
	struct scrub *s = *scrub;

	if (!s)
		return;
	explicit_bzero(s->key, sizeof(s->key));
	free(s->learned);
	free(s);
	*scrub = NULL;
}

/* ---- the step ---- */

static uint64_t chain_on(const struct scrub *s, uint64_t chain, unsigned char c)
{
	unsigned char in[sizeof(chain) + 1];
	uint64_t out;

	memcpy(in, &chain, sizeof(chain));
	in[sizeof(chain)] = c;
	crypto_shorthash((unsigned char *)&out, in, sizeof(in), s->key);
	return out;
}

/* The Nth of COUNT in an order drawn by SEED (Fisher and Yates). */
static unsigned permuted(uint64_t seed, unsigned count, unsigned n)
{
	unsigned char order[26] = {0};

	for (unsigned i = 0; i < count; i++) {
		unsigned k = (unsigned)((seed >> 33) % (i + 1));

		order[i] = order[k];
		order[k] = (unsigned char)i;
		seed = seed * 6364136223846793005u + 1442695040888963407u;
	}
	return order[n];
}

/* C in its class; other bytes stay. 0x80 does: canonical bytes (identity.h) make it of NUL. */
static unsigned char other(uint64_t seed, unsigned char c)
{
	if (c >= 'a' && c <= 'z')
		return (unsigned char)('a' + permuted(seed, 26, c - 'a'));
	if (c >= 'A' && c <= 'Z')
		return (unsigned char)('A' + permuted(seed, 26, c - 'A'));
	if (c >= '0' && c <= '9')
		return (unsigned char)('0' + permuted(seed, 10, c - '0'));
	if (c > 0x80 && c <= 0x8f)
		return (unsigned char)(0x81 + permuted(seed, 15, c - 0x81u));
	if (c >= 0x90 && c <= 0xbf)
		return (unsigned char)((c & 0xf0) + permuted(seed, 16, c & 0x0f));
	return c;
}

/* ---- messages ---- */

#define CHAIN_MESSAGE 1u
#define CHAIN_ASIDE 2u
#define CHAIN_WORD 3u

/* Fields whose names must stay; from the second on those that identity.h leaves out. */
static const char *const fields[] = {"message-id:", "status:", "x-status:", "x-uid:", "x-uidl:",
    "x-keywords:", "x-imap:", "x-imapbase:", "content-length:", "return-path:", "lines:"};

void scrub_message_begin(const struct scrub *s, struct scrub_message *m)
{
	*m = (struct scrub_message){.chain = CHAIN_MESSAGE, .line_start = true, .line_empty = true};
	crypto_generichash_init(&m->rest, s->key, sizeof(s->key), crypto_generichash_BYTES_MIN);
}

/* What counts as the same byte in canonical messages. */
static unsigned char canonical(const struct scrub_message *m, unsigned char c)
{
	if (!m->in_body)
		return c >= 0x80 || !c ? 'X' : c;
	return c ? c : 0x80;
}

static void end_line(struct scrub_message *m)
{
	if (!m->in_body && m->line_empty)
		m->in_body = true;
	m->line_start = m->line_empty = true;
}

static void add_byte(struct scrub *s, struct scrub_message *m, unsigned char c, struct buf *out)
{
	unsigned char same = canonical(m, c);

	*(m->in_body ? &m->body_len : &m->header_len) += 1;
	/* an X in a header may be what a server made of an 8-bit byte */
	buf_add_char(out, (char)(!m->in_body && c == 'X' ? c : other(m->chain, c)));
	if (c == '\r')
		return;
	m->chain = chain_on(s, m->chain, same);
	m->line_start = false;
	m->line_empty = m->line_empty && c == '\n';
	if (c == '\n')
		end_line(m);
}

static void release_held(struct scrub *s, struct scrub_message *m, struct buf *out)
{
	char held[sizeof(m->held)];
	size_t len = m->held_len;

	memcpy(held, m->held, len);
	m->held_len = 0;
	for (size_t i = 0; i < len; i++)
		add_byte(s, m, (unsigned char)held[i], out);
}

/* How much of a field's name HELD is: 0 = of none, 1 = a beginning, 2 = all of it, with its colon. */
static int field_match(const struct scrub_message *m, size_t *which)
{
	int best = 0;

	for (size_t i = 0; i < COUNT_OF(fields); i++) {
		struct view name = {fields[i], strlen(fields[i])};
		char begin[sizeof(m->held) + 1] = "";

		if (m->held_len > name.len)
			continue;
		memcpy(begin, m->held, m->held_len);
		if (!view_starts_nocase(name, begin))
			continue;
		if (m->held_len == name.len)
			return *which = i, 2;
		best = 1;
	}
	return best;
}

static void begin_field(struct scrub_message *m, size_t which, struct buf *out)
{
	buf_add(out, m->held, m->held_len);
	m->held_len = 0;
	m->line_start = m->line_empty = false;
	m->aside = which > 0;
	m->aside_from = m->chain;
	m->chain = CHAIN_ASIDE;
}

/* The first bytes of a line of the header: may it be one of those fields? */
static void hold_byte(struct scrub *s, struct scrub_message *m, unsigned char c, struct buf *out)
{
	size_t which = 0;
	int match;

	if (!m->held_len && m->aside && c != ' ' && c != '\t') {
		m->aside = false;
		m->chain = m->aside_from;
	}
	m->held[m->held_len++] = (char)c;
	match = field_match(m, &which);
	if (match == 2)
		begin_field(m, which, out);
	else if (!match)
		release_held(s, m, out);
}

static bool is_kept(const struct scrub_message *m)
{
	return m->body_len < SCRUB_KEPT_BODY && m->header_len < SCRUB_KEPT_HEADER;
}

void scrub_message_add(struct scrub *s, struct scrub_message *m, struct view piece, struct buf *out)
{
	size_t i = 0;

	for (; i < piece.len && is_kept(m); i++) {
		unsigned char c = (unsigned char)piece.data[i];

		if (m->line_start && !m->in_body)
			hold_byte(s, m, c, out);
		else
			add_byte(s, m, c, out);
	}
	crypto_generichash_update(&m->rest, (const unsigned char *)piece.data + i, piece.len - i);
	m->rest_len += piece.len - i;
}

void scrub_message_end(struct scrub *s, struct scrub_message *m, struct buf *out)
{
	release_held(s, m, out);
}

void scrub_message_rest(struct scrub_message *m, char out[static 17])
{
	unsigned char digest[crypto_generichash_BYTES_MIN];

	crypto_generichash_final(&m->rest, digest, sizeof(digest));
	hex_encode(out, digest, 8);
}

/* ---- words ---- */

/* Words of the protocol, of what servers call themselves and say, and of folder names that mean the
 * same everywhere; sorted. */
static const char *const staying[] = {"7bit", "8bit", "8bitmime", "acl", "all", "alreadyexists",
    "answered", "any", "append", "appendlimit", "appenduid", "apr", "archive", "arrival", "aug",
    "auth", "authenticate", "authenticationfailed", "authorizationfailed", "backoff", "bad",
    "badcharset", "badurl", "binary", "body", "by", "bye", "cannot", "capability", "changedsince",
    "charset", "check", "children", "clientbug", "close", "closed", "completed", "compress",
    "condstore", "contactadmin", "copy", "copyuid", "corruption", "count", "create", "date", "dec",
    "delete", "deleted", "detail", "done", "draft", "drafts", "earlier", "emailid", "enable",
    "enabled", "envelope", "esearch", "examine", "exists", "expired", "expunge", "expungeissued",
    "ext", "extended", "failed", "feb", "fetch", "fields", "flag", "flagged", "flags", "folder",
    "folders", "forwarded", "fuzzy", "getquotaroot", "gm", "gmail", "godwit", "google",
    "googlemail", "guid", "gz", "haschildren", "hasnochildren", "header", "highestmodseq", "id",
    "idle", "imap", "imap4", "imap4rev1", "imap4rev2", "important", "in", "inbox", "internaldate",
    "inuse", "invalid", "is", "jan", "jul", "jun", "junk", "keyword", "keywords", "labels", "large",
    "limit", "list", "literal", "login", "logindisabled", "logout", "lsub", "mail", "mailbox",
    "mailboxes", "mailboxid", "mar", "marked", "max", "maximum", "may", "mdnsent", "message",
    "messages", "metadata", "mime", "min", "modified", "modseq", "move", "msgid", "multiappend",
    "name", "namespace", "nil", "no", "noinferiors", "nomodseq", "none", "nonexistent", "nonjunk",
    "noop", "noperm", "noselect", "not", "notjunk", "notsaved", "nov", "objectid", "oct", "of",
    "ok", "oldname", "on", "only", "other", "over", "overquota", "parse", "partial", "peek",
    "permanent", "permanentflags", "phishing", "preauth", "preview", "privacyrequired", "public",
    "qresync", "quota", "quotaroot", "read", "readonly", "ready", "recent", "recursivematch",
    "reference", "remote", "rename", "return", "rev1", "rev2", "rfc822", "saved", "savedate",
    "search", "seen", "select", "sent", "sep", "serverbug", "shared", "silent", "since", "size",
    "sort", "spam", "special", "starred", "starttls", "status", "storage", "store", "subscribe",
    "subscribed", "tag", "text", "thread", "threadid", "thrid", "throttled", "to", "too", "toobig",
    "trash", "trycreate", "uid", "uidfetch", "uidnext", "uidnotsticky", "uidonly", "uidplus",
    "uidvalidity", "uidvanished", "unavailable", "unchangedsince", "unkeyword", "unmarked",
    "unseen", "unselect", "unsubscribe", "urlmech", "use", "user", "users", "utf8", "vanished",
    "vendor", "version", "write", "x", "xlist"};

static int compare_word(const void *key, const void *item)
{
	return strcmp(key, *(const char *const *)item);
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (unsigned char)c >= 0x80;
}

static bool all_digits(struct view v)
{
	for (size_t i = 0; i < v.len; i++)
		if (!is_digit(v.data[i]))
			return false;
	return true;
}

/* Numbers, words of the protocol, our own tags. */
static bool stays(struct view word)
{
	char low[32] = "";

	if (all_digits(word))
		return true;
	if (word.len >= sizeof(low))
		return false;
	for (size_t i = 0; i < word.len; i++)
		low[i] = (char)ascii_lower((unsigned char)word.data[i]);
	if (*low == 'g' && word.len > 1 && all_digits(view_make(word.data + 1, word.len - 1)))
		return true;
	return bsearch(low, staying, COUNT_OF(staying), sizeof(*staying), compare_word) != NULL;
}

/* "&...-" of modified UTF-7 at the beginning of V: its length, 0 = it is none. */
static size_t shift_len(struct view v)
{
	size_t i = 1;

	if (!v.len || v.data[0] != '&')
		return 0;
	while (i < v.len && (is_digit(v.data[i]) || v.data[i] == '+' || v.data[i] == ',' ||
				(is_letter(v.data[i]) && (unsigned char)v.data[i] < 0x80)))
		i++;
	return i > 1 && i < v.len && v.data[i] == '-' ? i + 1 : 0;
}

/* "%E9": so godwit writes an 8-bit byte that is no UTF-8. The byte, 0 = it is none. */
static unsigned char percent_byte(struct view v)
{
	static const char hex[] = "0123456789ABCDEF";
	const char *high = v.len > 2 && v.data[0] == '%' ? memchr(hex, v.data[1], 16) : NULL;
	const char *low = high ? memchr(hex, v.data[2], 16) : NULL;

	return low && high >= hex + 8 ? (unsigned char)((high - hex) * 16 + (low - hex)) : 0;
}

/* Letters, digits and shifts that stand together, from the beginning of V. */
static size_t word_len(struct view v)
{
	size_t at = 0, len;

	while (at < v.len) {
		struct view rest = {v.data + at, v.len - at};

		len = is_letter(*rest.data) || is_digit(*rest.data) ? 1 : shift_len(rest);
		len = percent_byte(rest) ? 3 : len;
		if (!len)
			break;
		at += len;
	}
	return at;
}

static uint64_t word_digest(const struct scrub *s, struct view word)
{
	uint64_t chain = CHAIN_WORD;

	for (size_t i = 0; i < word.len; i++)
		chain = chain_on(s, chain, (unsigned char)ascii_lower((unsigned char)word.data[i]));
	return chain | 1;
}

/* Where that digest is, or would be. */
static uint64_t *learned_at(const struct scrub *s, uint64_t digest)
{
	size_t at = (size_t)(digest >> 1) % s->learned_size;

	while (s->learned[at] && s->learned[at] != digest)
		at = (at + 1) % s->learned_size;
	return &s->learned[at];
}

static void learn_word(struct scrub *s, struct view word)
{
	uint64_t digest = word_digest(s, word), *at = learned_at(s, digest);

	if (*at || s->learned_count == LEARNED_MAX)
		return;
	*at = digest;
	s->learned_count++;
}

/* All but its leading byte. Returns the chain behind it. */
static uint64_t scrub_character(struct scrub *s, uint64_t chain, unsigned char *data, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = data[i];

		data[i] = other(chain, c);
		chain = chain_on(s, chain, c);
	}
	return chain;
}

/* How long the character at the beginning of V is; 0 = it is none. */
static size_t character(struct view v, utf8proc_category_t *category)
{
	utf8proc_int32_t c;
	utf8proc_ssize_t n =
	    utf8proc_iterate((const utf8proc_uint8_t *)v.data, (utf8proc_ssize_t)v.len, &c);

	*category = n > 0 ? utf8proc_category(c) : UTF8PROC_CATEGORY_CN;
	return n > 0 ? (size_t)n : 0;
}

/* Into a character of the same category: model/names.c asks whether it is a letter. Whoever walks a
 * permutation on comes back where he began, so this ends, and different ones stay different. */
static uint64_t scrub_in_category(struct scrub *s, uint64_t chain, char *data, size_t len)
{
	const struct view v = {data, len};
	utf8proc_category_t was, is;
	uint64_t behind;

	character(v, &was);
	behind = scrub_character(s, chain, (unsigned char *)data, len);
	for (character(v, &is); is != was; character(v, &is))
		scrub_character(s, chain, (unsigned char *)data, len);
	return behind;
}

/* Latin letters and accents: their case and their normal form matter to whoever compares names. */
static bool is_latin(const char *data, size_t len)
{
	unsigned char c = (unsigned char)data[0];

	return c < 0xcd || (c == 0xcd && len > 1 && (unsigned char)data[1] < 0xb0);
}

/* UTF-8 of any script, and bytes that are none: these stay, elsewhere they are written as "%E9". */
static uint64_t scrub_wide(struct scrub *s, uint64_t chain, char *data, size_t len)
{
	for (size_t i = 0, step; i < len; i += step) {
		utf8proc_category_t category;
		size_t found = character(view_make(data + i, len - i), &category);

		step = found ? found : 1;
		if (found && !is_latin(data + i, step)) {
			chain = scrub_in_category(s, chain, data + i, step);
			continue;
		}
		/* a control character parts words: elsewhere it is written as another */
		for (size_t k = i; k < i + step; k++)
			chain = (unsigned char)data[k] < 0x80
				    ? CHAIN_WORD
				    : chain_on(s, chain, (unsigned char)data[k]);
	}
	return chain;
}

/* A shift, so that it stays one; 0 = it cannot be read. */
static int scrub_shift(struct scrub *s, uint64_t *chain, char *data, size_t len)
{
	struct arena a AUTO(arena_free) = ARENA_INIT;
	char *text, *back;

	if (imap_utf7_decode(&text, &a, view_make(data, len)))
		return 0;
	*chain = scrub_wide(s, *chain, text, strlen(text));
	if (imap_utf7_encode(&back, &a, text) || strlen(back) != len)
		return 0;
	memcpy(data, back, len);
	return 1;
}

static void scrub_word(struct scrub *s, char *data, size_t len)
{
	uint64_t chain = CHAIN_WORD;

	for (size_t i = 0, step; i < len; i += step) {
		unsigned char c = (unsigned char)data[i];
		struct view rest = {data + i, len - i};
		size_t shift = shift_len(rest);

		step = 1;
		if (percent_byte(rest)) {
			chain = chain_on(s, chain, percent_byte(rest));
			step = 3;
			continue;
		}
		if (shift && scrub_shift(s, &chain, data + i, shift)) {
			step = shift;
			continue;
		}
		for (; c >= 0x80 && i + step < len && (unsigned char)data[i + step] >= 0x80; step++)
			;
		if (c >= 0x80) {
			chain = scrub_wide(s, chain, data + i, step);
			continue;
		}
		data[i] = (char)other(chain, c);
		chain = chain_on(s, chain, (unsigned char)ascii_lower(c));
	}
}

void scrub_learn(struct scrub *s, const char *text)
{
	struct view v = view_of(text);

	for (size_t i = 0, len; i < v.len; i += len ? len : 1) {
		len = word_len(view_make(v.data + i, v.len - i));
		if (len)
			learn_word(s, view_make(v.data + i, len));
	}
}

/* ---- names ---- */

static bool is_role(struct view name)
{
	struct arena a AUTO(arena_free) = ARENA_INIT;
	char *text;

	if (imap_utf7_decode(&text, &a, name))
		text = arena_text(&a, name);
	return folder_role_by_name(text) != ROLE_NONE;
}

/* One level of a name, or whatever else stands between delimiters. */
static void scrub_level(struct scrub *s, char *data, size_t len)
{
	bool asked = false;

	for (size_t i = 0, word; i < len; i += word ? word : 1) {
		word = word_len(view_make(data + i, len - i));
		if (!word || stays(view_make(data + i, word)))
			continue;
		if (!asked && is_role(view_make(data, len)))
			return;
		asked = true;
		learn_word(s, view_make(data + i, word));
		scrub_word(s, data + i, word);
	}
}

/* Is what stands before a quote the name of a message's part? */
static bool names_body(struct view before)
{
	size_t len = before.len;

	while (len && before.data[len - 1] == ' ')
		len--;
	if (len && (before.data[len - 1] == ']' || before.data[len - 1] == '>'))
		return true;
	for (size_t begin = len; begin > 0; begin--)
		if (strchr(" (", before.data[begin - 1]) && before.data[begin - 1])
			return view_starts_nocase(
			    view_make(before.data + begin, len - begin), "RFC822");
	return false;
}

/* A quoted string whose content begins at DATA: the length of that. */
static size_t quoted_len(const char *data, size_t len)
{
	size_t i = 0;

	while (i < len && data[i] != '"')
		i += data[i] == '\\' && i + 1 < len ? 2 : 1;
	return i < len ? i : len;
}

static void scrub_quoted_body(struct scrub *s, char *data, size_t len)
{
	struct buf out AUTO(buf_free) = BUF_INIT(len);
	struct scrub_message m;

	scrub_message_begin(s, &m);
	scrub_message_add(s, &m, view_make(data, len), &out);
	scrub_message_end(s, &m, &out);
	memcpy(data, out.data ? out.data : "", out.len);
	if (m.rest_len) /* a quoted string is no place for that much */
		memset(data + out.len, 'x', len - out.len);
}

static void scrub_levels(struct scrub *s, char *data, size_t len, const char *delimiters)
{
	size_t begin = 0;

	for (size_t i = 0; i <= len; i++) {
		if (i < len && (!data[i] || !strchr(delimiters, data[i])))
			continue;
		scrub_level(s, data + begin, i - begin);
		begin = i + 1;
	}
}

void scrub_names(struct scrub *s, char *data, size_t len)
{
	size_t at = 0;

	while (at < len) {
		char *quote = memchr(data + at, '"', len - at);
		size_t plain = quote ? (size_t)(quote - data) - at : len - at, quoted;

		scrub_levels(s, data + at, plain, " /.\\()[]{}<>\r\n");
		at += plain + 1;
		if (!quote)
			break;
		quoted = quoted_len(data + at, len - at);
		if (names_body(view_make(data, at - 1)))
			scrub_quoted_body(s, data + at, quoted);
		else
			scrub_levels(s, data + at, quoted, "/.\\\r\n");
		at += quoted + 1;
	}
}

/* ---- sentences ---- */

/* a@b, and what looks like the name of a host: labels with dots between, letters in the last. */
static bool is_address(struct view word)
{
	const char *dot;

	if (memchr(word.data, '@', word.len))
		return true;
	while (word.len && !is_letter(word.data[word.len - 1]))
		word.len--;
	dot = memrchr(word.data, '.', word.len);
	if (!dot || dot == word.data || !is_letter(dot[-1]) || word.data + word.len - dot < 3)
		return false;
	for (const char *p = dot + 1; p < word.data + word.len; p++)
		if (!is_letter(*p))
			return false;
	return true;
}

static bool all_letters(struct view word)
{
	for (size_t i = 0; i < word.len; i++)
		if (!is_letter(word.data[i]))
			return false;
	return true;
}

static void scrub_said(struct scrub *s, char *data, size_t len)
{
	bool address = is_address(view_make(data, len));

	for (size_t i = 0, n; i < len; i += n ? n : 1) {
		struct view word;

		n = word_len(view_make(data + i, len - i));
		word = view_make(data + i, n);
		if (n && !stays(word) &&
		    (address || !all_letters(word) || *learned_at(s, word_digest(s, word))))
			scrub_word(s, data + i, n);
	}
}

void scrub_sentence(struct scrub *s, char *data, size_t len)
{
	size_t begin = 0;

	for (size_t i = 0; i <= len; i++) {
		if (i < len && data[i] != ' ')
			continue;
		scrub_said(s, data + begin, i - begin);
		begin = i + 1;
	}
}
