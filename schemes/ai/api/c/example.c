/* Asks one question: example QUESTION [OPTION LINE...] */
#include "ai.h"

#include <stdio.h>

int main(int argc, char **argv) {
    struct ai *ai = ai_open();
    if (!ai) {
        perror("ai_open");
        return 1;
    }
    for (int i = 2; i < argc; i++) {
        if (ai_options(ai, argv[i])) perror(argv[i]);
    }
    char buf[256];
    long count = -1;
    if (ai_send(ai, argc > 1 ? argv[1] : "What can you do?") == 0) {
        while ((count = ai_read(ai, buf, sizeof buf)) > 0) fwrite(buf, 1, (size_t)count, stdout);
    }
    if (count < 0) perror("ai");
    ai_close(ai);
    return count < 0;
}
