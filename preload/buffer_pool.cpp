#include "preload/buffer_pool.hpp"

#include "preload/os.hpp"
#include "preload/own_memory.hpp"

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

bool BufferPool::adopt(std::byte* first, const std::byte* end) noexcept
{
    const Locked locked(lock_);
    if (buffers_ == nullptr) buffers_ = static_cast<RawBuffer*>(map_own(kMost * sizeof(RawBuffer)));
    if (buffers_ == nullptr) return false;
    for (std::byte* at = first; at < end;) {
        auto* header = reinterpret_cast<format::RawBufferHeader*>(at);
        const uint64_t bytes = format::frame_bytes(header->frame);
        if (bytes < sizeof *header || bytes > static_cast<uint64_t>(end - at)) break; // somebody has just cut the file
        const uint32_t index = count_.load(std::memory_order_relaxed);
        if (index == kMost) return false;
        buffers_[index] = {header, nullptr, static_cast<uint32_t>(bytes)};
        push(cold_, buffers_[index]);
        free_count_.fetch_add(1, std::memory_order_relaxed);
        count_.store(index + 1, std::memory_order_relaxed);
        at += bytes;
    }
    return true;
}

RawBuffer* BufferPool::take_free() noexcept
{
    const Locked locked(lock_);
    RawBuffer* buffer = pop(warm_);
    if (buffer != nullptr)
        --warm_count_;
    else
        buffer = pop(cold_);
    if (buffer != nullptr) free_count_.fetch_sub(1, std::memory_order_relaxed);
    return buffer;
}

void BufferPool::give_full(RawBuffer& buffer) noexcept
{
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
    {
        const Locked locked(lock_);
        if (warm_count_ < kMostWarm) {
            push(warm_, buffer);
            ++warm_count_;
            is_warm = true;
        }
    }
    if (!is_warm) {
        leave_memory(buffer);
        const Locked locked(lock_);
        push(cold_, buffer);
    }
    free_count_.fetch_add(1, std::memory_order_relaxed);
    waiting_count_.fetch_sub(1, std::memory_order_relaxed);
    free_events_.fetch_add(1, std::memory_order_release);
    os::futex_wake(reinterpret_cast<uint32_t*>(&free_events_), 1);
}

// The pages leave the process; what is in the file stays.
void BufferPool::leave_memory(const RawBuffer& buffer) noexcept
{
    const auto start = reinterpret_cast<uint64_t>(buffer.header);
    const uint64_t end = start + buffer.bytes;
    const uint64_t first_page = (start + kPageBytes - 1) & ~uint64_t{kPageBytes - 1};
    os::advise(reinterpret_cast<void*>(first_page), end - first_page, MADV_DONTNEED);
}

void BufferPool::wait_for_free(uint32_t seen) noexcept
{
    os::futex_wait(reinterpret_cast<uint32_t*>(&free_events_), seen, 100);
}

void BufferPool::reset() noexcept
{
    warm_ = cold_ = oldest_full_ = newest_full_ = nullptr;
    warm_count_ = 0;
    count_.store(0, std::memory_order_relaxed);
    free_count_.store(0, std::memory_order_relaxed);
    full_count_.store(0, std::memory_order_relaxed);
    waiting_count_.store(0, std::memory_order_relaxed);
}

} // namespace leak::preload
