/* options.h - a command's options as a table, read into a struct. Pure but for the text of errors.
 *
 * --name value, --name=value, -x; "--" ends the options; operands may stand anywhere. The value of
 * an option never appears in an error text unless its kind is harmless (it could be a secret). */
#pragma once

#include "base/error.h"

enum option_kind {
	OPTION_FLAG,    /* bool, no value */
	OPTION_TEXT,    /* const char *, not empty */
	OPTION_SECONDS, /* int, milliseconds; "5", "0.25" */
	OPTION_NUMBER,  /* int */
	OPTION_SIZE,    /* uint64_t, bytes, above 0; "500", "10K", "300M", "2G" */
	OPTION_CHOICE,  /* int: index in choices */
	OPTION_REFUSED, /* known only to be refused, with help */
};

struct option_spec {
	const char *name; /* without dashes; first, for suggest_name */
	char letter;      /* 0 = none */
	enum option_kind kind;
	size_t offset;              /* of the field in the target */
	int min, max;               /* seconds, numbers */
	const char *const *choices; /* NULL at the end */
	const char *help;           /* with OPTION_REFUSED: what to do instead, one sentence */
};

struct option_table {
	const char *command; /* "copy": who speaks in the errors */
	const struct option_spec *specs;
	size_t count;
};

/* Read ARGV (COUNT words, without program and command) into TARGET. Operands are put into OPERANDS
 * (room for ROOM; those beyond are only counted), strings are borrowed. Returns the number of
 * operands, or -1: the first fault (cause usage). What could be understood is in TARGET also then,
 * so that the caller knows how to print the error. */
int options_parse(const struct option_table *table, void *target, int count, char *const *argv,
    const char **operands, int room, struct err *e);
