// A plugin that leaks; compiled several times with other names. PLUGIN_FRAME is the name of the leaking function.
#include <cstdlib>

#define PLUGIN_JOIN2(a, b) a##b
#define PLUGIN_JOIN(a, b) PLUGIN_JOIN2(a, b)

extern "C" __attribute__((noinline, visibility("default"))) void* PLUGIN_FRAME(size_t bytes)
{
    void* volatile block = malloc(bytes);
    return block;
}

extern "C" __attribute__((visibility("default"))) void plugin_run(int blocks)
{
    for (int i = 0; i < blocks; ++i) {
        void* volatile block = PLUGIN_FRAME(48);
        static_cast<void>(block);
    }
}

__attribute__((constructor)) static void PLUGIN_JOIN(PLUGIN_FRAME, _constructor)()
{
    void* volatile block = PLUGIN_FRAME(49);
    free(block);
}
