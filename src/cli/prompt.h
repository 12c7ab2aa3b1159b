/* prompt.h - asking for a secret on a terminal. */
#pragma once

#include "cli/vault.h"

/* Show QUESTION on terminal TTY and read a line into V with echo off. Echo is restored in every
 * case; STOP_FD readable ends it (cause stopped). An empty answer, or none, is cause usage. */
int prompt_ask(int tty, int stop_fd, const char *question, struct vault *v, struct err *e);
