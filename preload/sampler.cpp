#include "preload/sampler.hpp"

#include "format/checksum.hpp"
#include "preload/own_thread.hpp"
#include "preload/real.hpp"
#include "preload/tracer.hpp"

#include <cstring>
#include <dlfcn.h>
#include <gnu/libc-version.h>
#include <malloc.h>
#include <sys/resource.h>

// False once the process has had a second thread (glibc 2.32). Only then does its malloc take locks.
extern "C" __attribute__((weak)) char __libc_single_threaded;

namespace leak::preload {

using format::SampleRecord;
using format::SamplesHeader;

namespace {

// Something that is dear to ask waits so many times as long as it took before it is asked again.
constexpr uint64_t kRest = 200;

// Of what was asked for the next sample.
constexpr uint64_t kMostAgeNs = 100'000'000;

[[nodiscard]] bool is_single_threaded() noexcept
{
    return &__libc_single_threaded != nullptr && __libc_single_threaded != 0;
}

[[nodiscard]] uint64_t now_ns() noexcept
{
    return os::clock_ns(CLOCK_MONOTONIC);
}

// Samples are denser at first.
[[nodiscard]] uint64_t first_interval_ns() noexcept
{
    constexpr uint64_t kShare = 8;
    return uint64_t{g_tracer.settings.tick_ms} * 1'000'000 / kShare;
}

// Of the calling thread: to wait costs nobody anything.
[[nodiscard]] uint64_t cpu_ns() noexcept
{
    return os::clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

// statm: pages of size, resident, shared, ...
void add_resident(SampleRecord& sample) noexcept
{
    char text[256] = {};
    if (os::read_file("/proc/self/statm", text, sizeof text - 1) <= 0) return;
    const char* at = text;
    static_cast<void>(take_number(at));
    sample.rss_bytes = take_number(at) * kPageBytes;
    sample.known |= format::kSampleRss;
}

void add_faults(SampleRecord& sample) noexcept
{
    rusage usage{};
    if (os::call(SYS_getrusage, RUSAGE_SELF, os::word(&usage)) != 0) return;
    sample.minor_faults = static_cast<uint64_t>(usage.ru_minflt);
    sample.major_faults = static_cast<uint64_t>(usage.ru_majflt);
    sample.known |= format::kSampleFaults;
}

} // namespace

void Sampler::start() noexcept
{
    if (g_tracer.settings.tick_ms == 0 && !g_tracer.settings.snapshots) return;
    interval_ns_.store(first_interval_ns(), std::memory_order_relaxed);
    has_thread_.store(true, std::memory_order_relaxed);
    if (!start_own_thread(&Sampler::main, false)) has_thread_.store(false, std::memory_order_relaxed);
}

void Sampler::main() noexcept
{
    g_tracer.sampler.run();
}

void Sampler::run() noexcept
{
    settle_own_thread();
    for (;;) {
        const bool is_due = g_tracer.settings.tick_ms != 0 && now_ns() >= next_ns_.load(std::memory_order_relaxed);
        if (is_due) prepare();
        os::allow_signal(SIGBUS); // or a fault in the slot kills the process
        if (is_due) make_room();
        if (is_due) sample_on_thread();
        g_tracer.snapshots.work();
        os::block_signal(SIGBUS);
        rest();
    }
}

void Sampler::sample_on_thread() noexcept
{
    if (!is_single_threaded())
        take(true);
    else if (wanted_.exchange(true, std::memory_order_relaxed))
        take(false); // the host's thread did not come by
    next_ns_.store(now_ns() + interval_ns_.load(std::memory_order_relaxed), std::memory_order_relaxed);
}

// Until the next sample or snapshot is due, or somebody asks for one.
void Sampler::rest() noexcept
{
    long milliseconds = g_tracer.snapshots.milliseconds_to_next();
    if (g_tracer.settings.tick_ms != 0) {
        const uint64_t now = now_ns();
        const uint64_t next = next_ns_.load(std::memory_order_relaxed);
        const long to_sample = next <= now ? 1 : static_cast<long>((next - now) / 1'000'000 + 1);
        if (to_sample < milliseconds) milliseconds = to_sample;
    }
    const uint32_t* const word = &g_tracer.file.header().snapshot_wanted;
    const long result = os::shared_futex_wait(word, g_tracer.snapshots.seen(), milliseconds);
    constexpr long kMostMilliseconds = 1000; // the file was cut: nobody can wake us
    if (result == -EFAULT) os::sleep_ms(milliseconds < kMostMilliseconds ? milliseconds : kMostMilliseconds);
}

bool Sampler::is_due() const noexcept
{
    const uint64_t tick_ms = g_tracer.settings.tick_ms;
    return tick_ms != 0 && !has_thread_.load(std::memory_order_relaxed) && !g_tracer.settings.writer_thread &&
           now_ns() >= next_ns_.load(std::memory_order_relaxed);
}

void Sampler::take_on_host() noexcept
{
    wanted_.store(false, std::memory_order_relaxed);
    if (!has_thread_.load(std::memory_order_relaxed)) prepare();
    take(is_single_threaded());
    next_ns_.store(now_ns() + interval_ns_.load(std::memory_order_relaxed), std::memory_order_relaxed);
}

void Sampler::take_last(bool can_ask_allocator) noexcept
{
    // A program for which no sample was taken is not worth a slot.
    if (header_ != nullptr) take(can_ask_allocator && is_single_threaded(), true);
}

void Sampler::take(bool ask_allocator, bool is_last) noexcept
{
    if (!g_tracer.is_recording() || !lock_.try_lock()) return;
    if (has_room()) {
        if (is_last || now_ns() - usage_ns_ > kMostAgeNs) ask_usage();
        SampleRecord sample = usage_;
        sample.stamp = g_tracer.now();
        add_rollup(sample, is_last);
        if (ask_allocator) add_allocator(sample);
        add_limits(sample);
        append(sample);
    }
    lock_.unlock();
}

SampleRecord* Sampler::samples(uint32_t half) const noexcept
{
    return reinterpret_cast<SampleRecord*>(header_ + 1) + size_t{half} * format::kSamplesPerHalf;
}

bool Sampler::has_room() noexcept
{
    if (header_ == nullptr) {
        interval_ns_.store(first_interval_ns(), std::memory_order_relaxed);
        const Slot slot = g_tracer.new_slot(format::SlotKind::samples);
        if (!slot) return false;
        header_ = &slot.body<SamplesHeader>();
        half_ = count_ = 0;
    }
    if (count_ == format::kSamplesPerHalf) join_pairs();
    return true;
}

// The room is full: every second sample goes on in the other half, and they come half as often from now on.
void Sampler::join_pairs() noexcept
{
    const uint32_t from = half_;
    half_ = 1 - from;
    std::memset(samples(half_), 0, sizeof(SampleRecord) * format::kSamplesPerHalf);
    count_ /= 2;
    for (uint32_t i = 0; i < count_; ++i) samples(half_)[i] = samples(from)[2 * i + 1];
    std::atomic_ref(header_->current).store(half_, std::memory_order_release);
    interval_ns_.store(2 * interval_ns_.load(std::memory_order_relaxed), std::memory_order_relaxed);
}

void Sampler::append(SampleRecord& sample) noexcept
{
    sample.checksum = format::checksum(&sample, offsetof(SampleRecord, checksum));
    SampleRecord& place = samples(half_)[count_++];
    constexpr size_t kStamp = sizeof sample.stamp;
    std::memcpy(reinterpret_cast<std::byte*>(&place) + kStamp, reinterpret_cast<std::byte*>(&sample) + kStamp,
                sizeof sample - kStamp);
    std::atomic_ref(place.stamp).store(sample.stamp, std::memory_order_release);
}

void Sampler::prepare() noexcept
{
    if (!g_tracer.is_recording() || !lock_.try_lock()) return;
    constexpr uint32_t kSeldom = 64;
    if (rounds_++ % kSeldom == 0) limits_ = ask_memory_limits();
    read_rollup_if_due();
    ask_usage();
    lock_.unlock();
}

void Sampler::make_room() noexcept
{
    if (!g_tracer.is_recording() || !lock_.try_lock()) return;
    static_cast<void>(has_room());
    lock_.unlock();
}

void Sampler::ask_usage() noexcept
{
    usage_ = {};
    add_resident(usage_);
    add_faults(usage_);
    usage_ns_ = now_ns();
}

// The kernel goes through all page tables for it.
void Sampler::read_rollup_if_due() noexcept
{
    const uint64_t now = now_ns();
    if (now < next_rollup_ns_) return;
    const uint64_t begin = cpu_ns();
    char text[2048] = {};
    rollup_ns_ = os::read_file("/proc/self/smaps_rollup", text, sizeof text - 1) > 0 ? now : 0;
    rollup_ = {bytes_of(text, "\nPss:"), bytes_of(text, "\nSwap:"), bytes_of(text, "\nAnonymous:")};
    next_rollup_ns_ = now + (cpu_ns() - begin) * kRest;
}

// The sampler's thread has asked just before, unless there is none or the host's thread comes by late. At the end of
// the process nobody is to wait for it.
void Sampler::add_rollup(SampleRecord& sample, bool is_last) noexcept
{
    if (now_ns() - rollup_ns_ > kMostAgeNs) {
        rollup_ns_ = 0;
        if (!is_last) read_rollup_if_due();
    }
    if (rollup_ns_ == 0) return;
    sample.pss_bytes = rollup_.pss_bytes;
    sample.swap_bytes = rollup_.swap_bytes;
    sample.anonymous_bytes = rollup_.anonymous_bytes;
    sample.known |= format::kSampleRollup;
    rollup_ns_ = 0;
}

void Sampler::add_allocator(SampleRecord& sample) noexcept
{
    if (now_ns() < next_allocator_ns_ || !allocator_is_glibc()) return;
    const uint64_t begin = cpu_ns();
    const struct mallinfo2 figures = ::mallinfo2();
    sample.arena_bytes = figures.arena;
    sample.mmapped_bytes = figures.hblkhd;
    sample.used_bytes = figures.uordblks;
    sample.free_bytes = figures.fordblks;
    sample.top_bytes = figures.keepcost;
    sample.known |= format::kSampleAllocator;
    next_allocator_ns_ = now_ns() + (cpu_ns() - begin) * kRest;
}

void Sampler::add_limits(SampleRecord& sample) const noexcept
{
    if (limits_.group_bytes != MemoryLimits::kNone) {
        sample.memory_limit_bytes = limits_.group_bytes;
        sample.known |= format::kSampleMemoryLimit;
    }
    if (const uint64_t pages = limits_.address_space_bytes / format::kLimitPageBytes; pages <= UINT32_MAX) {
        sample.address_space_limit_pages = static_cast<uint32_t>(pages);
        sample.known |= format::kSampleAddressSpaceLimit;
    }
}

// Whether malloc and mallinfo2 are the ones of libc itself.
bool Sampler::allocator_is_glibc() noexcept
{
    if (allocator_ == AllocatorState::unknown) {
        dl_find_object functions[3]{};
        void* const addresses[] = {reinterpret_cast<void*>(real().malloc), reinterpret_cast<void*>(&::mallinfo2),
                                   reinterpret_cast<void*>(&::gnu_get_libc_version)};
        bool same = true;
        for (size_t i = 0; i < 3; ++i)
            same = same && _dl_find_object(addresses[i], &functions[i]) == 0 &&
                   functions[i].dlfo_link_map == functions[0].dlfo_link_map;
        allocator_ = same ? AllocatorState::glibc : AllocatorState::other;
    }
    return allocator_ == AllocatorState::glibc;
}

void Sampler::reset() noexcept
{
    header_ = nullptr;
    count_ = 0;
    rollup_ns_ = usage_ns_ = 0;
    next_rollup_ns_ = next_allocator_ns_ = 0;
    limits_ = {};
    rounds_ = 0;
    next_ns_.store(0, std::memory_order_relaxed);
    has_thread_.store(false, std::memory_order_relaxed);
    wanted_.store(false, std::memory_order_relaxed);
}

} // namespace leak::preload
