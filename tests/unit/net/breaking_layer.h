/* breaking_layer.h - the failing twin of a layer: a server's words from memory, in pieces, with
 * pauses, and a break where the script says. */
#pragma once

#include "base/buf.h"
#include "net/layer.h"

enum break_kind {
	BREAK_SILENT, /* nothing more comes, and the descriptor is not readable either */
	BREAK_END,    /* the stream ends in order */
	BREAK_FAIL,   /* LAYER_FAILED, "broke" */
};

struct breaking_script {
	struct view input;   /* what the server says; borrowed */
	size_t piece;        /* at most so many bytes a read or write; 0 = no limit */
	bool pauses;         /* every other call says LAYER_AGAIN */
	bool inside;         /* bytes count as pending: the descriptor never becomes readable */
	enum break_kind end; /* after the last byte of input */
	bool write_breaks;   /* after write_limit bytes were taken, writes fail */
	size_t write_limit;
	struct buf *written; /* what was taken; may be NULL */
};

/* The script is copied. */
void breaking_layer_new(struct layer **out, const struct breaking_script *script);

/* The same over a real layer, which it owns: reads fail after READ_LIMIT bytes, writes after
 * WRITE_LIMIT, and nothing moves in pieces larger than PIECE (0 = no limit). */
void breaking_layer_over(
    struct layer **out, struct layer *below, size_t read_limit, size_t write_limit, size_t piece);
