/* coding.h - bytes as mail writes them where they cannot stand as they are: base64 and quoted-printable
 * bodies (RFC 2045), encoded words (RFC 2047), parameter values (RFC 2231). Adders return -1 beyond the
 * ceiling of their buffer, and then may have added a part. */
#pragma once

#include "base/buf.h"

/* Lines of 76, CRLF between them, none at the end. */
int coding_base64(struct buf *out, struct view content);
/* CRLF stands for itself, every other byte that must not is encoded. */
int coding_quoted(struct buf *out, struct view content);
/* -1: readers would not agree about what it says, too. Line ends come out as CRLF. */
int coding_read_base64(struct buf *out, struct view coded);
int coding_read_quoted(struct buf *out, struct view coded);

/* "utf-8" where that is what it is, else "unknown-8bit" (RFC 1428). */
const char *coding_charset(struct view bytes);
/* BYTES as encoded words, a folded line each but the first; no letter is cut. */
int coding_words(struct buf *out, struct view bytes);
/* The bytes of the encoded word at the front of V as coding_words writes it; returns how long that is,
 * 0 = there is none. */
size_t coding_read_word(struct buf *out, struct view v);
/* charset''%C3%BC */
int coding_parameter(struct buf *out, struct view bytes);
int coding_read_parameter(struct buf *out, struct view v);
