/* An extension of GNU make: $(exit-with N) ends make with status N.
 *
 * Make itself ends with 2 whatever the status of a recipe was, but `make guest CMD=…` promises the command's own status.
 * Loaded by the Makefile for that one target; built by `cc -shared`. See "Loading Dynamic Objects" in make's manual. */
#include <stdlib.h>

/* Make loads nothing without this; our licence (MIT) is compatible. */
int plugin_is_GPL_compatible;

void gmk_add_function(const char *name, char *(*function)(const char *, unsigned int, char **), unsigned int least,
                      unsigned int most, unsigned int flags);

static char *exit_with(const char *name, unsigned int count, char **arguments) {
    (void)name;
    (void)count;
    exit(atoi(arguments[0]));
}

int make_exit_gmk_setup(void) {
    gmk_add_function("exit-with", exit_with, 1, 1, 0);
    return 1;
}
