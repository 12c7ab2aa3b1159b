/* scrub.h - what passed between godwit and a server, with its content taken out and its form left, for
 * the flight recorder (record.h). Pure: no file, no socket, no clock.
 *
 * Length is kept, byte for byte, and so are blanks, punctuation, line ends, NULs, and whether a byte is
 * a small or capital letter, a digit, or 8-bit. Letters and digits become others, by a key that is
 * drawn by chance for each record and never leaves memory: what is equal stays equal (at both sides),
 * what is different stays different.
 *
 *   messages    each letter by the key and all that stands before it in the message; the fields that
 *               model/identity.h leaves out count as absent, and a Message-ID is the same wherever it is
 *   names       (folders, keywords, whatever is no word of the protocol) each word by itself, capitals
 *               aside; roles ("Gesendet"), numbers, and words of IMAP stay; modified UTF-7 stays valid,
 *               and each character of another script what it is (a letter, a digit, a picture)
 *   sentences   of the server: stay, but for words learned to be private, addresses, and words with
 *               digits in them */
#pragma once

#include <sodium.h>

#include "base/buf.h"

struct scrub;

/* Draws the key. */
void scrub_new(struct scrub **out);
/* Wipes it. NULL inside is fine. */
void scrub_free(struct scrub **scrub);

/* From now on the words of TEXT (a user, a host) are replaced in sentences too. */
void scrub_learn(struct scrub *s, const char *text);

/* Both work in place, on whole lines as a rule (a word cut in two becomes two words). NAMES learns what
 * it replaces. */
void scrub_names(struct scrub *s, char *data, size_t len);
void scrub_sentence(struct scrub *s, char *data, size_t len);

#define SCRUB_KEPT_BODY 512u     /* bytes behind the header that are kept, scrubbed */
#define SCRUB_KEPT_HEADER 65536u /* bytes of a header */

/* One message on its way, in pieces of any size. */
struct scrub_message {
	uint64_t chain,
	    aside_from; /* digest of all before; the same before a field that does not count */
	char held[16];  /* the beginning of a line that may be the name of a field */
	size_t held_len;
	bool in_body, line_start, line_empty, aside;
	uint64_t header_len, body_len;
	/* what stands behind the bytes that are kept */
	uint64_t rest_len;
	crypto_generichash_state rest;
};

void scrub_message_begin(const struct scrub *s, struct scrub_message *m);
/* Adds to OUT what is known of PIECE by now; END gives the last of it. */
void scrub_message_add(
    struct scrub *s, struct scrub_message *m, struct view piece, struct buf *out);
void scrub_message_end(struct scrub *s, struct scrub_message *m, struct buf *out);
/* After the end, where rest_len > 0: a keyed digest of the rest, as hexadecimal text. */
void scrub_message_rest(struct scrub_message *m, char out[static 17]);
