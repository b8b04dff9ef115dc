// Loads and unloads plugins: plugin_host once PLUGIN | in_turn PLUGIN PLUGIN | new_namespace PLUGIN | threads PLUGIN
#include "host.hpp"

#include <atomic>
#include <dlfcn.h>
#include <pthread.h>

namespace {

using Run = void (*)(int);

HOST_FRAME void* churn()
{
    return keep(malloc(60));
}

// Where it was loaded.
uintptr_t use_plugin(const char* path, int blocks)
{
    void* plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    HOST_CHECK(plugin != nullptr);
    const auto run = reinterpret_cast<Run>(dlsym(plugin, "plugin_run"));
    HOST_CHECK(run != nullptr);
    Dl_info info = {};
    HOST_CHECK(dladdr(reinterpret_cast<void*>(run), &info) != 0);
    run(blocks);
    HOST_CHECK(dlclose(plugin) == 0);
    HOST_CHECK(dlopen(path, RTLD_NOW | RTLD_NOLOAD) == nullptr); // really gone
    return reinterpret_cast<uintptr_t>(info.dli_fbase);
}

std::atomic<bool> stop{false};
void* allocate_all_the_time(void*)
{
    while (!stop.load()) free(churn());
    return nullptr;
}

const char* plugin_path;
void* load_all_the_time(void*)
{
    for (int i = 0; i < 100; ++i) {
        void* plugin = dlopen(plugin_path, RTLD_NOW | RTLD_LOCAL);
        HOST_CHECK(plugin != nullptr);
        reinterpret_cast<Run>(dlsym(plugin, "plugin_run"))(1);
        HOST_CHECK(dlclose(plugin) == 0);
    }
    return nullptr;
}

} // namespace

int main(int argc, char** argv)
{
    HOST_CHECK(argc >= 3);
    if (strcmp(argv[1], "once") == 0) {
        use_plugin(argv[2], 3);
    } else if (strcmp(argv[1], "in_turn") == 0) {
        int same = 0;
        for (int i = 0; i < 20; ++i) same += use_plugin(argv[2], 1) == use_plugin(argv[3], 1);
        say("at the same address: %s\n", same == 20 ? "always" : same == 0 ? "never" : "sometimes");
    } else if (strcmp(argv[1], "new_namespace") == 0) {
        void* plugin = dlmopen(LM_ID_NEWLM, argv[2], RTLD_NOW);
        HOST_CHECK(plugin != nullptr);
        reinterpret_cast<Run>(dlsym(plugin, "plugin_run"))(2);
        HOST_CHECK(dlclose(plugin) == 0);
        free(churn());
    } else if (strcmp(argv[1], "missing") == 0) {
        HOST_CHECK(dlopen(argv[2], RTLD_NOW) == nullptr);
        say("%s\n", dlerror());
    } else {
        plugin_path = argv[2];
        pthread_t threads[4];
        for (int i = 0; i < 4; ++i)
            pthread_create(&threads[i], nullptr, i < 2 ? allocate_all_the_time : load_all_the_time, nullptr);
        pthread_join(threads[2], nullptr);
        pthread_join(threads[3], nullptr);
        stop.store(true);
        pthread_join(threads[0], nullptr);
        pthread_join(threads[1], nullptr);
    }
    return 0;
}
