// stray_writes TIMES PAIRS: so many times, allocates and frees at least PAIRS blocks and then writes over some rows of
// the raw buffer of the trace that it is filling, as a program may that writes where it should not. Prints how many
// blocks it allocated.
#include "format/event_rows.hpp"

#include "host.hpp"

#include <sys/uio.h>

namespace {

using namespace leak::format;

// Where something is mapped from the trace file.
struct Range {
    char* start;
    char* end;
};
constexpr size_t kMostRanges = 1024;

size_t find_mappings(Range* ranges)
{
    static char text[1 << 18];
    const int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    size_t used = 0;
    for (ssize_t got = 1; got > 0 && used < sizeof text - 1; used += static_cast<size_t>(got))
        got = read(fd, text + used, sizeof text - 1 - used);
    close(fd);
    text[used] = 0;
    size_t count = 0;
    for (char* line = strtok(text, "\n"); line != nullptr && count < kMostRanges; line = strtok(nullptr, "\n")) {
        if (strstr(line, " rw-s ") == nullptr || strstr(line, ".zst") == nullptr) continue;
        char* at = nullptr;
        const uintptr_t start = strtoul(line, &at, 16);
        const uintptr_t end = strtoul(at + 1, nullptr, 16);
        ranges[count++] = {reinterpret_cast<char*>(start), reinterpret_cast<char*>(end)};
    }
    return count;
}

// The rows of the buffer at `frame`, if it is the one in use and half full; else nullptr.
char* rows_to_spoil(char* frame)
{
    const auto& header = *reinterpret_cast<const RawBufferHeader*>(frame);
    if (header.frame.magic != kFrameMagic || header.frame.kind != FrameKind::raw_events) return nullptr;
    if (header.state != BufferState::active || header.thread_index != 0 || header.level != 0) return nullptr;
    const uint32_t end = rows_end(header.written);
    return end > frame_bytes(header.frame) / 2 ? frame + end / 4 * 2 : nullptr;
}

// By a system call, since slots of other kinds may be unmapped at any moment.
SlotKind kind_of_slot(char* slot)
{
    SlotHeader header{};
    const iovec to = {&header, sizeof header};
    const iovec from = {slot, sizeof header};
    return process_vm_readv(getpid(), &to, 1, &from, 1, 0) == sizeof header ? header.kind : SlotKind::free;
}

char* find_rows(const Range& mapped)
{
    for (char* slot = mapped.start; slot < mapped.end; slot += kSlotBytes) {
        const SlotKind kind = kind_of_slot(slot);
        if (kind != SlotKind::start && kind != SlotKind::raw_events) continue;
        char* at = slot + (kind == SlotKind::start ? kFirstRawOffset : sizeof(SlotHeader));
        while (at < slot + kSlotBytes) {
            if (char* rows = rows_to_spoil(at)) return rows;
            at += frame_bytes(reinterpret_cast<const RawBufferHeader*>(at)->frame);
        }
    }
    return nullptr;
}

bool spoil_rows()
{
    static Range ranges[kMostRanges];
    const size_t count = find_mappings(ranges);
    char* rows = nullptr;
    for (size_t i = 0; i < count && rows == nullptr; ++i) rows = find_rows(ranges[i]);
    if (rows != nullptr) memset(rows, 0xff, 64); // no kind of event
    return rows != nullptr;
}

void allocate_and_free(unsigned long pairs)
{
    for (unsigned long i = 0; i < pairs; ++i) free(keep(malloc(16 + i % 100)));
}

} // namespace

int main(int argc, char** argv)
{
    HOST_CHECK(argc == 3);
    const unsigned long times = strtoul(argv[1], nullptr, 10);
    const unsigned long pairs = strtoul(argv[2], nullptr, 10);
    constexpr unsigned long kAtOnce = 100;
    constexpr unsigned long kMostMore = 100'000;
    unsigned long all = 0;
    for (unsigned long i = 0; i < times; ++i) {
        allocate_and_free(pairs);
        all += pairs;
        unsigned long more = 0;
        for (; !spoil_rows() && more < kMostMore; more += kAtOnce) allocate_and_free(kAtOnce);
        HOST_CHECK(more < kMostMore);
        all += more;
    }
    say("%lu\n", all);
    return 0;
}
