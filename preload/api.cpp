// The functions behind leak.h.
#include "preload/real.hpp"
#include "preload/recorder.hpp"
#include "preload/tracer.hpp"

#include <string_view>

using namespace leak::preload;
using leak::format::EventKind;

LEAK_EXPORT void libleak_mark(const char* text)
{
    if (text == nullptr) return;
    g_tracer.mark(text);
    g_tracer.snapshots.take_here(leak::format::SnapshotReason::mark);
}

LEAK_EXPORT void libleak_start()
{
    g_tracer.start();
}

LEAK_EXPORT void libleak_stop()
{
    g_tracer.stop();
}

LEAK_EXPORT void libleak_alloc(const void* block, size_t bytes)
{
    if (block != nullptr) record_allocation(EventKind::custom_alloc, const_cast<void*>(block), bytes, LEAK_HOOK_FRAME);
}

LEAK_EXPORT void libleak_free(const void* block)
{
    if (block != nullptr) record_release(EventKind::custom_free, block);
}

LEAK_EXPORT void libleak_root(const void* address, size_t bytes)
{
    if (address != nullptr && bytes != 0) g_tracer.roots.add(address, bytes);
}

LEAK_EXPORT void libleak_unroot(const void* address)
{
    if (address != nullptr) g_tracer.roots.remove(address);
}
