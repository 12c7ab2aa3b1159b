/* report_file.h - the exceptions as JSON lines, for --report FILE (DESIGN §10). */
#pragma once

#include "model/exception.h"

struct report_file {
	int fd;      /* -1 = none */
	char *path;  /* NULL = not asked for */
	char *part;  /* what is written to; NULL = the path itself, which is no regular file */
	bool failed; /* something could not be written */
	bool done;   /* it is in its place */
};

#define REPORT_FILE_NONE ((struct report_file){.fd = -1})

/* Begin: PATH.part is made, so that an unwritable place shows at once (cause usage). A PATH that
 * is there and is no regular file (a pipe, a terminal) is written to directly. */
int report_file_open(struct report_file *f, const char *path, struct err *e);
/* One line, written at once: a crash leaves all lines before it in PATH.part. */
void report_file_add(struct report_file *f, const struct exception *x);
/* Put it in its place. -1: not everything could be written (cause state; what there is stays). */
int report_file_finish(struct report_file *f, struct err *e);
/* Without finish before it: the file was never begun, PATH.part is removed. */
void report_file_free(struct report_file *f);
