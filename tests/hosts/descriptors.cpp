// What the host sees of descriptors must be the same traced and untraced: descriptors FORM
#include "host.hpp"

#include <sys/stat.h>
#include <sys/syscall.h>

namespace {

HOST_FRAME void* churn()
{
    return keep(malloc(100));
}
HOST_FRAME void* leak_once()
{
    return keep(malloc(101));
}

void make_events(int count)
{
    for (int i = 0; i < count; ++i) free(churn());
}

// To the file "seen": in some forms there is no stdout.
void list_open(const char* when)
{
    char seen[256] = "";
    for (int fd = 0; fd < 64; ++fd)
        if (fcntl(fd, F_GETFD) != -1) snprintf(seen + strlen(seen), sizeof seen - strlen(seen), " %d", fd);
    const int fd = open("seen", O_WRONLY | O_CREAT | O_APPEND, 0600);
    char line[512];
    const int length = snprintf(line, sizeof line, "%s:%s, next %d\n", when, seen, fd);
    if (write(fd, line, static_cast<size_t>(length)) != length) _exit(95);
    close(fd);
}

constexpr int kFiles = 8;

// Eight files of 200 bytes, so that they take whatever low numbers are free; nobody else may write into them.
void write_own_files()
{
    int files[kFiles];
    for (int i = 0; i < kFiles; ++i) {
        char name[] = "own0";
        name[3] = static_cast<char>('0' + i);
        files[i] = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
        if (files[i] < 0) _exit(97);
    }
    for (int round = 0; round < 20; ++round)
        for (const int fd : files) {
            make_events(1000);
            if (write(fd, "0123456789", 10) != 10) _exit(97);
        }
    for (const int fd : files) {
        struct stat status;
        if (fstat(fd, &status) != 0 || status.st_size != 200 || lseek(fd, 0, SEEK_CUR) != 200) _exit(96);
        close(fd);
    }
}

} // namespace

int main(int argc, char** argv)
{
    HOST_CHECK(argc == 2);
    const char* form = argv[1];
    leak_once();
    list_open("start");
    make_events(1000);
    list_open("after events");
    if (strcmp(form, "close_range") == 0) syscall(SYS_close_range, 0, ~0U, 0);
    if (strcmp(form, "close_loop") == 0)
        for (int fd = 0; fd < 1024; ++fd) close(fd);
    if (strcmp(form, "closefrom") == 0) closefrom(0);
    write_own_files();
    list_open("after own files");
    make_events(200000);
    write_own_files();
    list_open("end");
    leak_once();
    return 0;
}
