/* A C program without libstdc++ that loads a C++ plugin into a scope of its own, as CPython does with extensions. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char** argv)
{
    if (argc != 2) return 2;
    void* plugin = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (!plugin) {
        puts(dlerror());
        return 3;
    }
    int (*run)(int) = (int (*)(int))dlsym(plugin, "plugin_cxx_run");
    printf("%d caught\n", run(50));
    return 0;
}
