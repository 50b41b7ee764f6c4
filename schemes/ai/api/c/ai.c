/* See ai.h. A handle is a numbered session of the scheme and the descriptor of its stream. */
#include "ai.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH_BYTES 1024

struct ai {
    long session;
    int stream;
};

static int path(char *out, const char *file) {
    const char *root = getenv("AI_ROOT");
    int length = snprintf(out, PATH_BYTES, "%s/session/%s", root ? root : "/scheme/ai", file);
    if (length < 0 || length >= PATH_BYTES) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return 0;
}

static int open_file(const struct ai *ai, const char *name, int flags) {
    char file[64], full[PATH_BYTES];
    snprintf(file, sizeof file, "%ld/%s", ai->session, name);
    return path(full, file) ? -1 : open(full, flags);
}

/* Writes all of it to a file of the session; closing it is what submits. */
static int write_file(const struct ai *ai, const char *name, const char *text, const char *end) {
    int fd = open_file(ai, name, O_WRONLY);
    if (fd < 0) return -1;
    const char *parts[] = {text, end};
    for (int i = 0; i < 2; i++) {
        size_t left = strlen(parts[i]);
        for (const char *at = parts[i]; left > 0;) {
            ssize_t count = write(fd, at, left);
            if (count < 0 && errno == EINTR) continue;
            if (count <= 0) {
                int why = count < 0 ? errno : EIO;
                close(fd);
                errno = why;
                return -1;
            }
            at += count;
            left -= (size_t)count;
        }
    }
    return close(fd);
}

struct ai *ai_open(void) {
    char full[PATH_BYTES], number[32] = {0};
    if (path(full, "new")) return NULL;
    int fd = open(full, O_RDONLY);
    if (fd < 0) return NULL;
    ssize_t count = read(fd, number, sizeof number - 1);
    int why = errno;
    close(fd);
    if (count <= 0) {
        errno = count < 0 ? why : EIO;
        return NULL;
    }
    struct ai *ai = malloc(sizeof *ai);
    if (!ai) return NULL;
    ai->session = strtol(number, NULL, 10);
    ai->stream = -1;
    return ai;
}

int ai_options(struct ai *ai, const char *line) {
    return write_file(ai, "ctl", line, "\n");
}

int ai_send(struct ai *ai, const char *text) {
    if (ai->stream >= 0) close(ai->stream);
    ai->stream = -1;
    if (write_file(ai, "prompt", text, "")) return -1;
    ai->stream = open_file(ai, "stream", O_RDONLY);
    return ai->stream < 0 ? -1 : 0;
}

long ai_read(struct ai *ai, char *buf, size_t size) {
    if (ai->stream < 0) return 0;
    for (;;) {
        ssize_t count = read(ai->stream, buf, size);
        if (count >= 0 || errno != EINTR) return (long)count;
    }
}

void ai_close(struct ai *ai) {
    if (!ai) return;
    if (ai->stream >= 0) close(ai->stream);
    /* A session that cannot be closed now goes by itself when it is old. */
    (void)write_file(ai, "ctl", "close", "\n");
    free(ai);
}
