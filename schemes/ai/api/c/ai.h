/* A client of the ai: scheme in C: five calls over plain files. Link with ai.c or libai.a; no other dependency.
 *
 *     struct ai *ai = ai_open();
 *     ai_options(ai, "temperature 0");
 *     ai_send(ai, "What can you do?");
 *     while ((n = ai_read(ai, buf, sizeof buf)) > 0) fwrite(buf, 1, n, stdout);
 *     ai_close(ai);
 *
 * The scheme is /scheme/ai, or the directory that AI_ROOT names (a hosted mount). A handle is one conversation and is
 * for one thread at a time. */
#ifndef VALENCE_AI_H
#define VALENCE_AI_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ai;

/* Begins a conversation. NULL with errno where there is no scheme. */
struct ai *ai_open(void);

/* Sets an option; `line` is a line of the session's ctl file ("model NAME", "system TEXT", "seed 1"). 0, or -1 with errno. */
int ai_options(struct ai *ai, const char *line);

/* Says something. What is left of an earlier reply is cut off. 0, or -1 with errno. */
int ai_send(struct ai *ai, const char *text);

/* Reads the reply as it comes, whole characters only: bytes, 0 at its end, -1 with errno. */
long ai_read(struct ai *ai, char *buf, size_t size);

/* Ends the conversation. */
void ai_close(struct ai *ai);

#ifdef __cplusplus
}
#endif
#endif
