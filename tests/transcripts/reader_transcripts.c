/* reader_transcripts.c - holds the IMAP reader against the samples in imap/: each is fed whole,
 * byte by byte and cut at every point, and must always give the events written in it.
 *
 *     reader_transcripts FILE|DIRECTORY... check; exit 1 if one differs
 *     reader_transcripts --print FILE...   show what the reader makes of it, as E: lines
 *     reader_transcripts --bytes FILE      the server's bytes as they are (seeds for the fuzzer)
 *
 * A sample is text: "# ..." says which server does this and why it matters; "S: ..." is a line of
 * the server's, with CRLF behind it unless it ends in <no-crlf>, where <NUL> <TAB> <CR> <LF> <x1b>
 * stand for those bytes; "E: ..." is an event as reader_events.h renders it; "MAX: n" sets the
 * reader's ceiling (65536 else); "C: ..." says what the client had asked and is skipped. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "transcripts/reader_events.h"

enum { TEXT_MAX = 1 << 20 };

struct sample {
	const char *file;
	size_t line_max;
	struct buf server;   /* what the server sends */
	struct buf expected; /* what the reader should say */
};

static void sample_free(struct sample *s)
{
	buf_free(&s->server);
	buf_free(&s->expected);
}

/* ---- reading ---- */

static int file_read(struct buf *out, const char *name)
{
	FILE *f = fopen(name, "rb");
	char piece[4096];
	size_t len;

	if (!f) {
		perror(name);
		return -1;
	}
	while ((len = fread(piece, 1, sizeof(piece), f)) > 0)
		buf_add(out, piece, len);
	fclose(f);
	return 0;
}

/* The byte that the mark at the head of TEXT stands for and the mark's length, 0 = there is none. */
static size_t mark_take(struct view text, char *byte)
{
	static const struct {
		const char *mark;
		char byte;
	} marks[] = {{"<NUL>", '\0'}, {"<TAB>", '\t'}, {"<CR>", '\r'}, {"<LF>", '\n'}};
	char hex[3] = "";

	for (size_t i = 0; i < COUNT_OF(marks); i++) {
		if (view_starts_nocase(text, marks[i].mark)) {
			*byte = marks[i].byte;
			return strlen(marks[i].mark);
		}
	}
	if (!view_starts_nocase(text, "<x") || text.len < 5 || text.data[4] != '>')
		return 0;
	memcpy(hex, text.data + 2, 2);
	*byte = (char)strtol(hex, NULL, 16);
	return 5;
}

static void add_server_line(struct buf *out, struct view line)
{
	static const char open_end[] = "<no-crlf>";
	size_t open_len = strlen(open_end);
	bool open = line.len >= open_len &&
		    view_is(view_make(line.data + line.len - open_len, open_len), open_end);

	line.len -= open ? open_len : 0;
	for (size_t at = 0; at < line.len;) {
		char byte = line.data[at];
		size_t len = mark_take(view_make(line.data + at, line.len - at), &byte);
		buf_add_char(out, byte);
		at += len > 0 ? len : 1;
	}
	if (!open)
		buf_add_text(out, "\r\n");
}

/* 0, or -1 = a line that is none of ours. */
static int sample_add_line(struct sample *s, struct view line)
{
	struct view rest = line.len > 3 ? view_make(line.data + 3, line.len - 3) : (struct view){0};
	uint64_t max;

	if (line.len == 0 || view_starts_nocase(line, "#") || view_starts_nocase(line, "C:"))
		return 0;
	if (view_starts_nocase(line, "S:")) {
		add_server_line(&s->server, rest);
		return 0;
	}
	if (view_starts_nocase(line, "E: ")) {
		buf_add_view(&s->expected, rest);
		buf_add_char(&s->expected, '\n');
		return 0;
	}
	if (!view_starts_nocase(line, "MAX: ") ||
	    view_number(view_make(line.data + 5, line.len - 5), &max) < 0)
		return -1;
	s->line_max = (size_t)max;
	return 0;
}

static int sample_read(struct sample *s, const char *name)
{
	AUTO(buf_free) struct buf text = BUF_INIT(TEXT_MAX);

	*s = (struct sample){.file = name,
	    .line_max = 65536,
	    .server = BUF_INIT(TEXT_MAX),
	    .expected = BUF_INIT(TEXT_MAX)};
	if (file_read(&text, name) < 0)
		return -1;
	for (const char *at = text.data, *end = text.data + text.len; at < end;) {
		const char *lf = memchr(at, '\n', (size_t)(end - at));
		struct view line = view_make(at, (size_t)((lf ? lf : end) - at));
		if (sample_add_line(s, line) < 0) {
			printf("%s: what is this? %.*s\n", name, (int)line.len, line.data);
			return -1;
		}
		at += line.len + 1;
	}
	return 0;
}

/* ---- checking ---- */

static size_t cut_bytes(void *arg, struct view left)
{
	(void)arg;
	return left.len > 0;
}

/* Cuts once, at *ARG. */
static size_t cut_once(void *arg, struct view left)
{
	size_t *at = arg, here = *at < left.len ? *at : left.len;

	*at = left.len;
	return here;
}

static int sample_try(
    const struct sample *s, reader_cut *cut, void *arg, const char *how, size_t at)
{
	AUTO(buf_free) struct buf got = BUF_INIT(TEXT_MAX);
	const char *broken = NULL;

	if (reader_events(&got, s->line_max, buf_view(&s->server), cut, arg, &broken) < 0) {
		printf("%s, %s %zu: %s\n", s->file, how, at, broken);
		return -1;
	}
	if (view_eq(buf_view(&got), buf_view(&s->expected)))
		return 0;
	printf("%s, %s %zu\n--- expected\n%s--- got\n%s", s->file, how, at,
	    s->expected.data ? s->expected.data : "", got.data ? got.data : "");
	return -1;
}

static int sample_check(const struct sample *s)
{
	int failed = sample_try(s, NULL, NULL, "whole", 0);

	if (failed == 0)
		failed = sample_try(s, cut_bytes, NULL, "byte by byte", 1);
	for (size_t at = 1; at < s->server.len && failed == 0; at++) {
		size_t where = at;
		failed = sample_try(s, cut_once, &where, "cut at", at);
	}
	return failed;
}

static int sample_print(const struct sample *s)
{
	AUTO(buf_free) struct buf got = BUF_INIT(TEXT_MAX);
	const char *broken = NULL;

	reader_events(&got, s->line_max, buf_view(&s->server), NULL, NULL, &broken);
	for (char *line = got.data, *end; line && (end = strchr(line, '\n')); line = end + 1)
		printf("E: %.*s\n", (int)(end - line), line);
	return broken ? -1 : 0;
}

static int sample_bytes(const struct sample *s)
{
	return fwrite(s->server.data, 1, s->server.len, stdout) == s->server.len ? 0 : -1;
}

/* ---- the program ---- */

struct job {
	int (*act)(const struct sample *);
	unsigned done, failed;
};

static void job_do_file(struct job *job, const char *name)
{
	AUTO(sample_free) struct sample s;

	job->done++;
	job->failed += sample_read(&s, name) < 0 || job->act(&s) < 0;
}

static int is_sample(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);

	return len > 4 && !strcmp(entry->d_name + len - 4, ".txt");
}

static void job_do_directory(struct job *job, const char *name)
{
	struct dirent **entries;
	int count = scandir(name, &entries, is_sample, alphasort);

	for (int i = 0; i < count; i++) {
		AUTO(buf_free) struct buf path = BUF_INIT(4096);
		buf_printf(&path, "%s/%s", name, entries[i]->d_name);
		job_do_file(job, path.data);
		free(entries[i]);
	}
	if (count >= 0)
		free(entries);
}

int main(int count, char **args)
{
	struct job job = {.act = sample_check};
	struct stat st;

	if (count > 1 && !strcmp(args[1], "--print"))
		job.act = sample_print;
	else if (count > 1 && !strcmp(args[1], "--bytes"))
		job.act = sample_bytes;
	for (int i = job.act == sample_check ? 1 : 2; i < count; i++) {
		if (stat(args[i], &st) == 0 && S_ISDIR(st.st_mode))
			job_do_directory(&job, args[i]);
		else
			job_do_file(&job, args[i]);
	}
	if (job.act == sample_check)
		printf("%u samples, %u failed\n", job.done, job.failed);
	return job.failed > 0 || job.done == 0;
}
