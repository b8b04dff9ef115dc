#include "preload/buffer_pool.hpp"

#include "preload/os.hpp"
#include "preload/own_memory.hpp"

#include <cstring>

namespace leak::preload {

void BufferPool::push(RawBuffer*& list, RawBuffer& buffer) noexcept
{
    buffer.next = list;
    list = &buffer;
}

RawBuffer* BufferPool::pop(RawBuffer*& list) noexcept
{
    RawBuffer* buffer = list;
    if (buffer != nullptr) list = buffer->next;
    return buffer;
}

uint32_t BufferPool::list_of(const RawBuffer& buffer) noexcept
{
    // A little less than a power of two is one: the first buffer of a slot is shorter.
    constexpr uint32_t kLeast[kLarge] = {format::kRawBufferBytes * 3 / 4, format::kRawBufferBytes * 3 / 16,
                                         format::kRawBufferBytes * 3 / 32, format::kRawBufferBytes * 3 / 64};
    uint32_t list = 0;
    while (list < kLarge && buffer.bytes < kLeast[list]) ++list;
    return list;
}

RawBuffer* BufferPool::take_from(uint32_t list) noexcept
{
    FreeList& from = free_[list];
    RawBuffer* buffer = pop(from.warm);
    if (buffer != nullptr)
        --from.warm_count;
    else
        buffer = pop(from.cold);
    if (buffer == nullptr) return nullptr;
    // In this order: who looks for one that may come back soon finds it here or there.
    just_taken_count_.fetch_add(1, std::memory_order_relaxed);
    free_count_.fetch_sub(1, std::memory_order_release);
    return buffer;
}

bool BufferPool::add(format::RawBufferHeader* header, uint64_t bytes) noexcept
{
    const uint32_t index = count_.load(std::memory_order_relaxed);
    if (index == kMost) return false;
    RawBuffer& buffer = buffers_[index];
    buffer = {header, nullptr, static_cast<uint32_t>(bytes), 0};
    const uint32_t list = list_of(buffer);
    push(free_[list].cold, buffer);
    free_count_.fetch_add(1, std::memory_order_relaxed);
    if (list < kLarge) large_count_.fetch_add(1, std::memory_order_relaxed);
    count_.store(index + 1, std::memory_order_release);
    return true;
}

bool BufferPool::adopt(std::byte* first, const std::byte* end) noexcept
{
    const Locked locked(lock_);
    if (buffers_ == nullptr) buffers_ = static_cast<RawBuffer*>(map_own(kMost * sizeof(RawBuffer)));
    if (buffers_ == nullptr) return false;
    for (std::byte* at = first; at < end;) {
        auto* header = reinterpret_cast<format::RawBufferHeader*>(at);
        const uint64_t bytes = format::frame_bytes(header->frame);
        if (bytes < sizeof *header || bytes > static_cast<uint64_t>(end - at)) break; // somebody has just cut the file
        if (!add(header, bytes)) return false;
        at += bytes;
    }
    return true;
}

// Frames inside the buffer's frame, which is as long as one of them by the last store: the file is valid at any moment.
void BufferPool::cut(RawBuffer& buffer, uint32_t bytes) noexcept
{
    if (buffer.bytes < 2 * bytes || !buffer.is_whole()) return;
    const uint32_t was_large = list_of(buffer) < kLarge ? 1 : 0;
    auto* const start = reinterpret_cast<std::byte*>(buffer.header);
    uint32_t end = buffer.bytes;
    for (uint32_t at = (end / bytes - 1) * bytes; at != 0; at -= bytes) {
        auto* const header = reinterpret_cast<format::RawBufferHeader*>(start + at);
        *header = {};
        header->frame = format::make_frame(format::FrameKind::raw_events, end - at);
        if (add(header, end - at)) end = at; // else that one is as long as two
    }
    uint64_t prefix = 0;
    const format::FrameHeader frame = format::make_frame(format::FrameKind::raw_events, end);
    std::memcpy(&prefix, &frame, sizeof prefix);
    buffer.bytes = end;
    large_count_.fetch_sub(was_large, std::memory_order_relaxed);
    std::atomic_ref(*reinterpret_cast<uint64_t*>(start)).store(prefix, std::memory_order_release);
}

RawBuffer* BufferPool::take_smallest() noexcept
{
    const Locked locked(lock_);
    for (uint32_t list = kSizes; list-- > 0;)
        if (RawBuffer* buffer = take_from(list); buffer != nullptr) return buffer;
    return nullptr;
}

RawBuffer* BufferPool::take_largest() noexcept
{
    const Locked locked(lock_);
    for (uint32_t list = 0; list < kSizes; ++list)
        if (RawBuffer* buffer = take_from(list); buffer != nullptr) return buffer;
    return nullptr;
}

RawBuffer* BufferPool::take_large() noexcept
{
    const Locked locked(lock_);
    for (uint32_t list = 0; list < kLarge; ++list)
        if (RawBuffer* buffer = take_from(list); buffer != nullptr) return buffer;
    return nullptr;
}

void BufferPool::give_full(RawBuffer& buffer, uint64_t last_stamp) noexcept
{
    buffer.last_stamp = last_stamp;
    std::atomic_ref(buffer.header->state).store(format::BufferState::full, std::memory_order_release);
    const Locked locked(lock_);
    buffer.next = nullptr;
    (newest_full_ == nullptr ? oldest_full_ : newest_full_->next) = &buffer;
    newest_full_ = &buffer;
    full_count_.fetch_add(1, std::memory_order_relaxed);
    waiting_count_.fetch_add(1, std::memory_order_relaxed);
}

RawBuffer* BufferPool::take_full() noexcept
{
    const Locked locked(lock_);
    RawBuffer* buffer = oldest_full_;
    if (buffer == nullptr) return nullptr;
    oldest_full_ = buffer->next;
    if (oldest_full_ == nullptr) newest_full_ = nullptr;
    full_count_.fetch_sub(1, std::memory_order_relaxed);
    return buffer;
}

void BufferPool::give_back_full(RawBuffer& buffer) noexcept
{
    const Locked locked(lock_);
    buffer.next = oldest_full_;
    oldest_full_ = &buffer;
    if (newest_full_ == nullptr) newest_full_ = &buffer;
    full_count_.fetch_add(1, std::memory_order_relaxed);
}

void BufferPool::give_free(RawBuffer& buffer) noexcept
{
    std::atomic_ref(buffer.header->state).store(format::BufferState::free, std::memory_order_release);
    bool is_warm = false;
    FreeList* free = nullptr;
    uint32_t freed = 1;
    {
        const Locked locked(lock_);
        if (const uint32_t had = count(); had < wanted_count_.load(std::memory_order_relaxed)) {
            cut(buffer, cut_bytes_.load(std::memory_order_relaxed));
            freed += count() - had;
        }
        FreeList& list = free_[list_of(buffer)];
        free = &list;
        if (list.warm_count < kMostWarm) {
            push(list.warm, buffer);
            ++list.warm_count;
            is_warm = true;
        }
    }
    if (!is_warm) {
        leave_memory(buffer);
        const Locked locked(lock_);
        push(free->cold, buffer);
    }
    free_count_.fetch_add(1, std::memory_order_relaxed);
    waiting_count_.fetch_sub(1, std::memory_order_release);
    free_events_.fetch_add(1, std::memory_order_release);
    os::futex_wake(reinterpret_cast<uint32_t*>(&free_events_), static_cast<int>(freed));
}

// The pages leave the process, but for those that it shares with other buffers; what is in the file stays.
void BufferPool::leave_memory(const RawBuffer& buffer) noexcept
{
    const auto start = reinterpret_cast<uint64_t>(buffer.header);
    const uint64_t end = (start + buffer.bytes) & ~uint64_t{kPageBytes - 1};
    const uint64_t first_page = (start + kPageBytes - 1) & ~uint64_t{kPageBytes - 1};
    if (first_page < end) os::advise(reinterpret_cast<void*>(first_page), end - first_page, MADV_DONTNEED);
}

void BufferPool::wait_for_free(uint32_t seen) noexcept
{
    os::futex_wait(reinterpret_cast<uint32_t*>(&free_events_), seen, 100);
}

void BufferPool::reset() noexcept
{
    oldest_full_ = newest_full_ = nullptr;
    for (FreeList& list : free_) list = {};
    count_.store(0, std::memory_order_relaxed);
    large_count_.store(0, std::memory_order_relaxed);
    wanted_count_.store(0, std::memory_order_relaxed);
    free_count_.store(0, std::memory_order_relaxed);
    just_taken_count_.store(0, std::memory_order_relaxed);
    full_count_.store(0, std::memory_order_relaxed);
    waiting_count_.store(0, std::memory_order_relaxed);
}

} // namespace leak::preload
