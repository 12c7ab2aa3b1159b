/* log.h - the one global: where diagnostics go. Libraries log only at LOG_DEBUG (a transcript of
 * decisions for --debug); programs say the rest. Never a secret, never a message body. */
#pragma once

#include "base/base.h"

enum log_level { LOG_ERROR, LOG_NOTE, LOG_DEBUG };

/* Lines go to FD (default 2) when LEVEL or more important. WHO stands at the head of each line. */
void log_setup(int fd, enum log_level level, const char *who);
bool log_wants(enum log_level level);
void log_line(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);

#define log_debug(...)                                                                             \
	do {                                                                                       \
		if (log_wants(LOG_DEBUG))                                                          \
			log_line(LOG_DEBUG, __VA_ARGS__);                                          \
	} while (0)
