/* record_file.c - the flight recorder's file (see record_file.h). Before and behind a run; the head has
 * the version and the options, the end what a replay must come to.
 * Promises: an existing file is not touched; no name, path or secret of the command line is in it.
 * Does not: record (connect/record.c does, in the worker). */
#include "cli/record_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "cli/events.h"
#include "cli/output.h"

static void tell_side(struct buf *out, const char *name, const struct endpoint *at)
{
	static const char *const tls[] = {[ENDPOINT_TLS] = "implicit",
	    [ENDPOINT_STARTTLS] = "starttls",
	    [ENDPOINT_CLEAR] = "none"};

	buf_printf(out, "side %s %s", name, at->host ? tls[at->tls] : at->scheme);
	if (at->auth)
		buf_printf(out, " auth=%s", at->auth);
	buf_printf(out, "%s\n", at->authzid ? " authzid" : "");
}

int record_file_open(
    struct copy_arguments *args, enum job_kind job, const char *command, struct err *e)
{
	AUTO(buf_free) struct buf head = BUF_INIT(8192);
	int fd;

	if (!args->record)
		return 0;
	fd =
	    open(args->record, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC | O_NOCTTY, 0600);
	if (fd < 0 && errno == EEXIST)
		return err_set(e, CAUSE_USAGE, ERR_RUN,
		    "%s is there already; give --record a new name", args->record);
	if (fd < 0)
		return err_set(e, CAUSE_USAGE, ERR_RUN, "cannot write the record %s: %s",
		    args->record, strerror(errno));
	buf_printf(&head,
	    "# What passed between godwit and two servers. Passwords and logins are not in it; "
	    "letters\n"
	    "# and digits of mail, of names of folders and of users are others. See RECORDS in "
	    "godwit(1).\n"
	    "record 1 godwit %s %s\n",
	    GODWIT_VERSION, command);
	arguments_tell(&head, args, job);
	tell_side(&head, "source", &args->options.source);
	tell_side(&head, "destination", &args->options.destination);
	output_write(fd, buf_view(&head));
	args->options.record = fd;
	return 0;
}

/* Numbers and truths only: texts are what servers call themselves, with their hosts' names perhaps. */
static json_t *without_texts(json_t *summary)
{
	const char *key;
	json_t *value;
	void *next;

	json_object_foreach_safe(summary, next, key, value) if (json_is_string(value))
	    json_object_del(summary, key);
	return summary ? summary : json_null();
}

void record_file_end(const struct copy_arguments *args, int code, json_t *summary,
    const struct tally *tally, const struct err *e)
{
	AUTO(buf_free) struct buf line = BUF_INIT(JSONLINE_MAX);
	json_t *o = json_object();

	jsonline_set(o, "exit", jsonline_number((uint64_t)code));
	jsonline_set(o, "cause", e ? jsonline_text(cause_name(e->cause)) : json_null());
	jsonline_set(o, "causes", events_causes(tally));
	jsonline_set(o, "summary", without_texts(summary));
	buf_add_text(&line, "result ");
	jsonline_add(&line, o);
	if (args->options.record >= 0)
		output_write(args->options.record, buf_view(&line));
}
