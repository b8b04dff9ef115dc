// Where a module keeps pointers. Its thread-local storage is so big that it doesn't fit into what is left of the
// static.
#define PLUGIN_VISIBLE extern "C" __attribute__((visibility("default")))

namespace {

void* volatile data_slot = const_cast<void**>(&data_slot);
thread_local void* volatile thread_slots[8192];

} // namespace

PLUGIN_VISIBLE void* volatile* plugin_data_slot()
{
    return &data_slot;
}
PLUGIN_VISIBLE void* volatile* plugin_thread_slot()
{
    return &thread_slots[4000];
}
