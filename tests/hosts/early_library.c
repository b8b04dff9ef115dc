// Its constructor makes the first allocation of the process, inside bindtextdomain() and under a lock of libc's, as
// libgpg-error's does; its handler runs when that of libleak.so at the end of the process has run.
#define _DEFAULT_SOURCE
#include <libintl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static void show(const char* file)
{
    char text[64] = {0};
    FILE* opened = fopen(file, "r");
    if (opened == NULL) return;
    if (fgets(text, sizeof text, opened) != NULL) printf("%s: %s", file, text);
    fclose(opened);
}

// What the kernel keeps for each process.
static void show_process(int status, void* unused)
{
    struct rlimit core;
    (void)status;
    (void)unused;
    show("/proc/self/oom_score_adj");
    show("/proc/self/comm");
    getrlimit(RLIMIT_CORE, &core);
    printf("core %lu %lu, scheduler %d\n", (unsigned long)core.rlim_cur, (unsigned long)core.rlim_max,
           sched_getscheduler(0));
    fflush(stdout);
}

__attribute__((constructor)) static void begin(void)
{
    bindtextdomain("early_library", "/nonexistent");
    bindtextdomain("another", "/nonexistent"); // would wait for the lock here or below, had it been spoilt
    textdomain("early_library");
    on_exit(show_process, NULL); // not atexit(): those of libraries run before
}

const char* early_library_domain(void)
{
    return textdomain(NULL);
}
