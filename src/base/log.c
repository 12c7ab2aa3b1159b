/* log.c - where diagnostics go: the program's one global. One write(2) a line, so that lines of
 * controller and worker do not mix. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/error.h"

static struct {
	int fd;
	enum log_level level;
	const char *who;
} sink = {.fd = 2, .level = LOG_NOTE, .who = "godwit"};

void log_setup(int fd, enum log_level level, const char *who)
{
	sink.fd = fd;
	sink.level = level;
	sink.who = who;
}

bool log_wants(enum log_level level)
{
	return level <= sink.level;
}

void log_line(enum log_level level, const char *fmt, ...)
{
	char text[900], safe[1000], line[1100];
	va_list args;
	ssize_t ignored;
	int len;

	if (!log_wants(level))
		return;
	va_start(args, fmt);
	len = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (len < 0)
		return;
	text_printable(
	    safe, sizeof(safe), text, (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1);
	len = snprintf(line, sizeof(line), "%s: %s\n", sink.who, safe);
	ignored = write(sink.fd, line, (size_t)len);
	(void)ignored;
}
