// Each block is held by one pointer, in one of the places where a program keeps pointers: class_roots PLUGIN PLUGIN
// (two copies of class_plugin). The places are named by the functions; what they make of the blocks: class_truth.py.
// What the C library needs for a place of its own it gets before, outside of these functions.
#include "host.hpp"

#include <atomic>
#include <dlfcn.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <ucontext.h>

namespace {

using Slot = void* volatile;

HOST_FRAME void put(Slot* slot, size_t bytes)
{
    *slot = malloc(bytes);
}

void* map_memory(int flags)
{
    void* map = mmap(nullptr, 1 << 16, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
    HOST_CHECK(map != MAP_FAILED);
    return map;
}

// -- Modules ----------------------------------------------------------------------------------------------------------

Slot data_slot = const_cast<void**>(&data_slot);
Slot bss_slot;

HOST_FRAME void in_data()
{
    put(&data_slot, 1001);
}
HOST_FRAME void in_bss()
{
    put(&bss_slot, 1002);
}

using PluginSlot = Slot* (*)();
PluginSlot plugin_function(const char* path, const char* name, void** opened = nullptr)
{
    void* plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    HOST_CHECK(plugin != nullptr);
    if (opened) *opened = plugin;
    const auto function = reinterpret_cast<PluginSlot>(dlsym(plugin, name));
    HOST_CHECK(function != nullptr);
    return function;
}

HOST_FRAME void in_plugin_data(Slot* slot)
{
    put(slot, 1003);
}
HOST_FRAME void in_closed_plugin(Slot* slot)
{
    put(slot, 1004);
}
void run_plugins(const char* open_path, const char* closed_path)
{
    in_plugin_data(plugin_function(open_path, "plugin_data_slot")());
    void* closed = nullptr;
    in_closed_plugin(plugin_function(closed_path, "plugin_data_slot", &closed)());
    HOST_CHECK(dlclose(closed) == 0);
    HOST_CHECK(dlopen(closed_path, RTLD_NOW | RTLD_NOLOAD) == nullptr);
}

// -- Threads ----------------------------------------------------------------------------------------------------------

thread_local Slot thread_slot;
PluginSlot plugin_thread_slot;

HOST_FRAME void in_thread_local_of_main()
{
    put(&thread_slot, 1011);
}
HOST_FRAME void in_dynamic_thread_local_of_main(Slot* slot)
{
    put(slot, 1012);
}

// glibc keeps the values of the first 32 keys beside the thread, others in blocks of its own.
pthread_key_t near_key;
pthread_key_t far_key;
void make_keys()
{
    HOST_CHECK(pthread_key_create(&near_key, nullptr) == 0 && near_key < 32);
    do HOST_CHECK(pthread_key_create(&far_key, nullptr) == 0);
    while (far_key < 40);
}
void use_keys()
{
    pthread_setspecific(near_key, &near_key);
    pthread_setspecific(far_key, &far_key);
}
HOST_FRAME void in_near_key_of_main()
{
    pthread_setspecific(near_key, malloc(1013));
}
HOST_FRAME void in_far_key_of_main()
{
    pthread_setspecific(far_key, malloc(1014));
}

std::atomic<int> settled{0};
[[noreturn]] void rest()
{
    scrub_stack();
    settled.fetch_add(1);
    for (;;) pause();
}

HOST_FRAME void on_stack_of_main(Slot* slot)
{
    put(slot, 1021);
}
HOST_FRAME void on_stack_of_blocked(Slot* slot)
{
    put(slot, 1022);
}
HOST_FRAME void on_stack_of_spinning(Slot* slot)
{
    put(slot, 1023);
}
HOST_FRAME void in_thread_local_of_other()
{
    put(&thread_slot, 1024);
}
HOST_FRAME void in_dynamic_thread_local_of_other(Slot* slot)
{
    put(slot, 1025);
}
HOST_FRAME void in_near_key_of_other()
{
    pthread_setspecific(near_key, malloc(1026));
}
HOST_FRAME void in_far_key_of_other()
{
    pthread_setspecific(far_key, malloc(1027));
}
HOST_FRAME uintptr_t in_register()
{
    return hide(malloc(1028));
}
HOST_FRAME void on_stack_of_ended(Slot* slot)
{
    put(slot, 1029);
}

void* run_blocked(void*)
{
    Slot local;
    on_stack_of_blocked(&local);
    in_thread_local_of_other();
    in_dynamic_thread_local_of_other(plugin_thread_slot());
    use_keys();
    in_near_key_of_other();
    in_far_key_of_other();
    rest();
}
void* run_spinning(void*)
{
    Slot local;
    on_stack_of_spinning(&local);
    scrub_stack();
    settled.fetch_add(1);
    for (volatile unsigned turns = 0;;) turns = turns + 1;
}
// Waits in a system call, with the pointer in rbx and nowhere else.
void* run_with_register(void*)
{
    uintptr_t hidden = in_register();
    scrub_stack();
    settled.fetch_add(1);
    asm volatile("xor %[mask], %%rbx\n"
                 "0: mov %[pause], %%eax\n"
                 "syscall\n"
                 "jmp 0b\n"
                 : "+b"(hidden)
                 : [mask] "r"(kHidingMask), [pause] "i"(SYS_pause)
                 : "rax", "rcx", "r11", "memory");
    __builtin_unreachable();
}
// glibc keeps the stack for the next thread, with all that is on it.
void* run_to_end(void*)
{
    Slot local;
    on_stack_of_ended(&local);
    return nullptr;
}

void run_threads()
{
    pthread_t thread;
    pthread_create(&thread, nullptr, run_to_end, nullptr);
    pthread_t others[3];
    pthread_create(&others[0], nullptr, run_blocked, nullptr);
    pthread_create(&others[1], nullptr, run_spinning, nullptr);
    pthread_create(&others[2], nullptr, run_with_register, nullptr);
    while (settled.load() < 3) usleep(1000);
    pthread_join(thread, nullptr); // not before the others have stacks: they would get this one
}

// A context that was left on a stack of the program's own.
ucontext_t main_context;
ucontext_t fiber_context;
HOST_FRAME void on_stack_of_fiber(Slot* slot)
{
    put(slot, 1031);
}
void run_fiber()
{
    Slot local;
    on_stack_of_fiber(&local);
    swapcontext(&fiber_context, &main_context);
}
void run_and_leave_fiber()
{
    getcontext(&fiber_context);
    fiber_context.uc_stack.ss_sp = map_memory(MAP_PRIVATE);
    fiber_context.uc_stack.ss_size = 1 << 16;
    makecontext(&fiber_context, run_fiber, 0);
    swapcontext(&main_context, &fiber_context);
}

// -- Mappings ---------------------------------------------------------------------------------------------------------

Slot* middle_of(void* map)
{
    return static_cast<Slot*>(map) + 1234;
}
HOST_FRAME void in_mapping()
{
    put(middle_of(map_memory(MAP_PRIVATE)), 1041);
}
HOST_FRAME void in_shared_mapping()
{
    put(middle_of(map_memory(MAP_SHARED)), 1042);
}
HOST_FRAME void in_sealed_mapping()
{
    void* map = map_memory(MAP_PRIVATE);
    put(middle_of(map), 1043);
    HOST_CHECK(mprotect(map, 1 << 16, PROT_READ) == 0);
}
HOST_FRAME void in_unmapped_mapping()
{
    void* map = map_memory(MAP_PRIVATE);
    put(middle_of(map), 1044);
    munmap(map, 1 << 16);
}

// -- Beyond the program -----------------------------------------------------------------------------------------------

HOST_FRAME void in_environment()
{
    char* setting = static_cast<char*>(malloc(1051));
    strcpy(setting, "CLASS_ROOTS=1");
    putenv(setting);
}
HOST_FRAME void in_kernel()
{
    const int poll = epoll_create1(EPOLL_CLOEXEC);
    int ends[2];
    HOST_CHECK(pipe(ends) == 0);
    epoll_event event = {};
    event.data.ptr = malloc(1052);
    HOST_CHECK(epoll_ctl(poll, EPOLL_CTL_ADD, ends[0], &event) == 0);
}

} // namespace

int main(int argc, char** argv)
{
    HOST_CHECK(argc == 3);
    Slot local;
    plugin_thread_slot = plugin_function(argv[1], "plugin_thread_slot");
    make_keys();
    run_threads();
    run_and_leave_fiber();
    on_stack_of_main(&local);
    in_data();
    in_bss();
    run_plugins(argv[1], argv[2]);
    in_thread_local_of_main();
    in_dynamic_thread_local_of_main(plugin_thread_slot());
    use_keys();
    in_near_key_of_main();
    in_far_key_of_main();
    in_mapping();
    in_shared_mapping();
    in_sealed_mapping();
    in_unmapped_mapping();
    setenv("CLASS_ROOTS", "0", 1);
    in_environment();
    in_kernel();
    scrub_stack();
    end_host();
}
