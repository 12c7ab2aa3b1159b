/* report_file.c - the exceptions of a pass as JSON lines in a file. Last station of an exception.
 * Promises: each exception is in the file as soon as it was told, also when we are killed (then in
 * FILE.part); FILE itself is always whole, and readable by its owner only, for it names people's
 * messages. Does not: keep the report of an earlier pass. */
#include "cli/report_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/jsonline.h"
#include "cli/output.h"

static char *part_of(const char *path)
{
	size_t len = strlen(path);
	char *part = mem_new(len + sizeof(".part"), 1);

	memcpy(part, path, len);
	memcpy(part + len, ".part", sizeof(".part"));
	return part;
}

int report_file_open(struct report_file *f, const char *path, struct err *e)
{
	int flags = O_WRONLY | O_CLOEXEC | O_NOCTTY;
	struct stat st;

	*f = (struct report_file){.path = mem_strdup(path)};
	if (stat(path, &st) < 0 || S_ISREG(st.st_mode)) {
		f->part = part_of(path);
		flags |= O_CREAT | O_TRUNC | O_NOFOLLOW;
	}
	f->fd = open(f->part ? f->part : path, flags, 0600);
	if (f->fd >= 0)
		return 0;
	err_set(e, CAUSE_USAGE, ERR_RUN, "cannot write the report %s: %s", f->part ? f->part : path,
	    strerror(errno));
	report_file_free(f);
	return -1;
}

void report_file_add(struct report_file *f, const struct exception *x)
{
	AUTO(buf_free) struct buf line = BUF_INIT(JSONLINE_MAX);
	json_t *o;

	if (f->fd < 0 || f->failed)
		return;
	o = json_object();
	jsonline_set(o, "folder", jsonline_text(x->folder));
	jsonline_set(o, "uid", jsonline_id(x->id));
	jsonline_set(o, "msgid", jsonline_text_or_null(x->msgid));
	jsonline_set(o, "cause", jsonline_text(cause_name(x->cause)));
	jsonline_set(o, "reason", jsonline_text(x->reason));
	jsonline_set(o, "remedy", jsonline_text(cause_remedy(x->cause)));
	jsonline_add(&line, o);
	f->failed = output_write(f->fd, buf_view(&line)) < 0;
}

int report_file_finish(struct report_file *f, struct err *e)
{
	bool good = !f->failed;

	if (f->fd < 0)
		return 0;
	if (f->part && good)
		good = fsync(f->fd) == 0 && rename(f->part, f->path) == 0;
	f->failed = !good;
	f->done = good;
	if (good)
		return 0;
	return err_set(e, CAUSE_STATE, ERR_RUN,
	    "the report %s could not be written wholly%s%s; run it again with another --report",
	    f->path, f->part ? "; its beginning is in " : "", f->part ? f->part : "");
}

void report_file_free(struct report_file *f)
{
	if (f->path && f->fd >= 0)
		close(f->fd);
	if (f->part && f->fd >= 0 && !f->done && !f->failed)
		unlink(f->part); /* nothing was begun: an earlier report stays as it is */
	free(f->path);
	free(f->part);
	*f = REPORT_FILE_NONE;
}
