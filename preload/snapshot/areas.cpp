#include "preload/snapshot/areas.hpp"

#include "preload/real.hpp"
#include "preload/text.hpp"
#include "preload/tracer.hpp"

#include <algorithm>

// Where libleak.so lies: from its ELF header to the end of its bss. The linker defines both.
extern "C" __attribute__((visibility("hidden"))) const char __ehdr_start[];
extern "C" __attribute__((visibility("hidden"))) const char _end[];

namespace leak::preload {

using format::AreaKind;

namespace {

constexpr uint64_t kWord = sizeof(uint64_t);
constexpr uint64_t kRedZone = 128; // below the stack pointer, in use by functions that call none (System V ABI)

[[nodiscard]] constexpr uint64_t page_end(uint64_t address) noexcept
{
    return (address + kPageBytes - 1) & ~(kPageBytes - 1);
}

[[nodiscard]] uint64_t address_of(const void* at) noexcept
{
    return reinterpret_cast<uint64_t>(at);
}

[[nodiscard]] uint64_t take_hex(std::string_view& text) noexcept
{
    uint64_t number = 0;
    for (; !text.empty(); text.remove_prefix(1)) {
        const char c = text.front();
        if (c >= '0' && c <= '9')
            number = number << 4 | static_cast<uint64_t>(c - '0');
        else if (c >= 'a' && c <= 'f')
            number = number << 4 | static_cast<uint64_t>(c - 'a' + 10);
        else
            break;
    }
    return number;
}

void skip_field(std::string_view& text) noexcept
{
    while (!text.empty() && text.front() != ' ') text.remove_prefix(1);
    while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
}

// The most that a stack of pthread_create() has by default.
[[nodiscard]] uint64_t default_stack_bytes() noexcept
{
    constexpr uint64_t kUsual = uint64_t{8} << 20;
    const uint64_t limit = os::soft_limit(RLIMIT_STACK);
    return limit == RLIM_INFINITY || limit > (uint64_t{1} << 32) ? kUsual : page_end(limit);
}

} // namespace

bool Areas::read(const Mailbox& mailbox) noexcept
{
    own_.reserve(size_t{1} << 16); // so that the list is complete when it is made
    collect_own_memory();          // other threads of ours, if the memory is theirs, may give some back meanwhile
    if (!read_mappings()) return false;
    for (const Mapping& mapping : mappings_)
        if (mapping.kind != AreaPiece::kNoArea)
            pieces_.push_back(
                {mapping.begin, mapping.end, format::kNoModule, mapping.kind, mapping.is_shared, mapping.is_file});
    collect_modules();
    lay_over([](AreaPiece& piece, const AreaPiece& module) {
        if (piece.is(AreaKind::anonymous) && !piece.is_shared) piece.kind = module.kind; // .bss
        if (!piece.is(AreaKind::anonymous)) piece.owner = module.owner;
    });
    collect_stacks(mailbox);
    lay_over([](AreaPiece& piece, const AreaPiece& stack) {
        if (piece.is(AreaKind::read_only)) return;
        piece.kind = stack.kind;
        piece.owner = stack.owner;
    });
    collect_own_memory(); // again, last: what has grown above belongs to it
    overlays_ = std::move(own_);
    sort_overlays();
    lay_over([](AreaPiece& piece, const AreaPiece&) { piece.kind = AreaPiece::kNoArea; });
    find_heap();
    add_roots();
    // Of files that belong to no module, what is only read can't be told from any other data: it holds no pointers.
    MappedArray<AreaPiece> kept;
    for (const AreaPiece& piece : pieces_)
        if (!piece.is(AreaKind::read_only) || piece.owner != format::kNoModule) kept.push_back(piece);
    pieces_ = std::move(kept);
    return !pieces_.out_of_memory() && !overlays_.out_of_memory() && !own_.out_of_memory();
}

bool Areas::read_mappings() noexcept
{
    constexpr size_t kMany = size_t{1} << 20; // reserved alone; a process may have 65,530 unless its host allows more
    constexpr size_t kFewer = 66'000;
    constexpr size_t kTextBytes = 16 * 1024;
    MappedArray<char>& text = text_;
    if (!text.resize(kTextBytes) || (!mappings_.reserve(kMany) && !mappings_.reserve(kFewer))) return false;
    const int fd = os::open("/proc/self/maps", O_RDONLY);
    if (fd < 0) return false;
    size_t used = 0;
    for (;;) {
        const long got = os::read(fd, text.begin() + used, kTextBytes - used);
        if (got <= 0) break;
        used += static_cast<size_t>(got);
        std::string_view rest(text.begin(), used);
        for (size_t line = rest.find('\n'); line != std::string_view::npos; line = rest.find('\n')) {
            take_line(head(rest, line));
            rest.remove_prefix(line + 1);
        }
        if (rest.size() == kTextBytes) break; // no line is as long
        std::memmove(text.begin(), rest.data(), rest.size());
        used = rest.size();
    }
    os::close(fd);
    return !mappings_.empty();
}

// proc(5): "begin-end rwxp offset device inode      name".
void Areas::take_line(std::string_view line) noexcept
{
    Mapping mapping{};
    mapping.begin = take_hex(line);
    if (!line.empty()) line.remove_prefix(1);
    mapping.end = take_hex(line);
    skip_field(line);
    if (line.size() < 4) return;
    mapping.is_readable = line[0] == 'r';
    const bool is_writable = line[1] == 'w';
    const bool is_code = line[2] == 'x';
    mapping.is_shared = line[3] == 's';
    for (int field = 0; field < 3; ++field) skip_field(line);
    mapping.is_file = !line.starts_with("0 ") && line != "0";
    skip_field(line);
    mapping.is_main_stack = line == "[stack]";
    const bool is_kernels = line.starts_with("[v"); // vdso, vvar, vsyscall
    const bool is_shared_memory = line == "/dev/zero (deleted)" || line.starts_with("[anon_shmem");
    AreaKind kind = AreaKind::anonymous;
    bool is_area = mapping.is_readable && !is_kernels;
    if (mapping.is_shared) {
        is_area = is_area && is_shared_memory;
    } else if (mapping.is_file) {
        kind = is_writable ? AreaKind::module_data : AreaKind::read_only;
        is_area = is_area && (is_writable || !is_code);
    }
    if (line == "[heap]") {
        if (heap_.end != mapping.begin) heap_.begin = mapping.begin; // madvise() and others may cut it into several
        heap_.end = mapping.end;
    }
    mapping.kind = is_area ? static_cast<uint8_t>(kind) : AreaPiece::kNoArea;
    mappings_.push_back(mapping);
}

const Areas::Mapping* Areas::mapping_of(uint64_t address) const noexcept
{
    const Mapping* const after = std::upper_bound(mappings_.begin(), mappings_.end(), address,
                                                  [](uint64_t at, const Mapping& m) { return at < m.begin; });
    if (after == mappings_.begin() || address >= (after - 1)->end) return nullptr;
    return after - 1;
}

void Areas::collect_modules() noexcept
{
    overlays_.clear();
    g_tracer.modules.for_each([this](uint32_t index, uint64_t begin, uint64_t end) {
        if (begin < end)
            overlays_.push_back(
                {begin, page_end(end), index, static_cast<uint8_t>(AreaKind::module_data), false, false});
    });
    sort_overlays();
}

// The thread's control block, in which its robust list lies, is the top of its stack where glibc has made that.
void Areas::collect_stacks(const Mailbox& mailbox) noexcept
{
    overlays_.clear();
    const uint32_t process = g_tracer.process();
    MappedArray<const HostThread*> threads;
    for (uint32_t i = 0; i < mailbox.thread_count; ++i) threads.push_back(&mailbox.threads[i]);
    std::sort(threads.begin(), threads.end(),
              [](const HostThread* a, const HostThread* b) { return a->robust_list < b->robust_list; });
    uint64_t least = 0; // where the stack below ends
    for (const HostThread* thread : threads) {
        if (thread->tid == process) {
            for (const Mapping& mapping : mappings_)
                if (mapping.is_main_stack) add_stack(*thread, mapping, mapping.end, mapping.begin);
            continue;
        }
        const Mapping* const mapping = thread->robust_list != 0 ? mapping_of(thread->robust_list) : nullptr;
        if (mapping == nullptr || mapping->is_shared || !mapping->is_readable) {
            ++threads_without_stack_;
            continue;
        }
        const uint64_t top = std::min(page_end(thread->robust_list + 1), mapping->end);
        add_stack(*thread, *mapping, top, least);
        least = top;
    }
    sort_overlays();
}

// least: the stack does not begin before.
void Areas::add_stack(const HostThread& thread, const Mapping& mapping, uint64_t top, uint64_t least) noexcept
{
    // A guard below, as glibc makes it, says where the mapping's first stack begins. Without one the kernel may have
    // joined the stack with what lies beside it, and what is below the stack pointer may be the host's data.
    const bool is_fenced =
        mapping.is_main_stack ||
        (&mapping != mappings_.begin() && (&mapping - 1)->end == mapping.begin && !(&mapping - 1)->is_readable);
    uint64_t begin = std::max(mapping.begin, least);
    if (!is_fenced && top - begin > default_stack_bytes()) begin = top - default_stack_bytes();
    const uint64_t at = thread.stack_pointer;
    const bool is_known = at > begin && at < top;
    if (!is_known) ++threads_without_stack_;
    uint64_t used = begin;
    if (is_known) {
        used = (thread.is_copier ? at : at - kRedZone) & ~(kWord - 1);
        if (used < begin) used = begin;
    }
    const auto piece = [&thread](uint64_t from, uint64_t to, AreaKind kind) {
        return AreaPiece{from, to, thread.tid, static_cast<uint8_t>(kind), false, false};
    };
    if (is_fenced && used > begin) overlays_.push_back(piece(begin, used, AreaKind::unused_stack));
    overlays_.push_back(piece(used, top, AreaKind::stack));
}

// The bootstrap arena holds blocks that libc was given: these are the host's.
void Areas::collect_own_memory() noexcept
{
    const auto add = [this](uint64_t begin, uint64_t end) { own_.push_back({begin, page_end(end), 0, 0, 0, 0}); };
    g_own_memory.for_each(add);
    const std::span<const char> arena = bootstrap_arena();
    const uint64_t arena_begin = address_of(arena.data()) & ~(kPageBytes - 1);
    add(address_of(__ehdr_start), arena_begin);
    add(page_end(arena_begin + arena.size()), address_of(_end));
}

// Where addresses are not random the program's .bss is joined with it.
void Areas::find_heap() noexcept
{
    for (const AreaPiece& piece : pieces_) {
        if (!piece.is(AreaKind::anonymous) || piece.end <= heap_.begin || piece.begin >= heap_.end) continue;
        if (piece.begin > heap_.begin) heap_.begin = piece.begin;
        return;
    }
    heap_ = {};
}

// Registered memory that is no area yet, such as that shared with other processes.
void Areas::add_roots() noexcept
{
    g_tracer.roots.for_each([this](uint64_t begin, uint64_t end) {
        begin = (begin + kWord - 1) & ~(kWord - 1);
        end &= ~(kWord - 1);
        for (size_t i = 0; begin < end; ++i) {
            const bool is_last = i == pieces_.size();
            if (!is_last && pieces_[i].end <= begin) continue;
            const uint64_t next = is_last || pieces_[i].begin > end ? end : pieces_[i].begin;
            if (begin < next)
                pieces_.insert(
                    i++, {begin, next, format::kNoModule, static_cast<uint8_t>(AreaKind::module_data), true, true});
            if (is_last || next == end) break;
            begin = pieces_[i].end;
        }
    });
}

void Areas::sort_overlays() noexcept
{
    std::sort(overlays_.begin(), overlays_.end(),
              [](const AreaPiece& a, const AreaPiece& b) { return a.begin < b.begin; });
}

// Cuts the pieces where overlays begin and end, and calls covers(piece, overlay) for what is covered. Both are sorted;
// where overlays overlap each other the first one counts.
template <typename Covers> void Areas::lay_over(Covers&& covers) noexcept
{
    MappedArray<AreaPiece> result;
    const auto add = [&result](const AreaPiece& piece) {
        if (piece.kind == AreaPiece::kNoArea || piece.begin >= piece.end) return;
        const bool joins = !result.empty() && result.back().end == piece.begin && result.back().kind == piece.kind &&
                           result.back().owner == piece.owner && result.back().is_shared == piece.is_shared &&
                           result.back().is_file == piece.is_file;
        if (joins)
            result.back().end = piece.end;
        else
            result.push_back(piece);
    };
    size_t first = 0;
    for (AreaPiece rest : pieces_) {
        while (first < overlays_.size() && overlays_[first].end <= rest.begin) ++first;
        for (size_t i = first; i < overlays_.size() && overlays_[i].begin < rest.end; ++i) {
            const AreaPiece& overlay = overlays_[i];
            if (overlay.end <= rest.begin) continue;
            AreaPiece before = rest;
            before.end = std::max(overlay.begin, rest.begin);
            add(before);
            AreaPiece covered = rest;
            covered.begin = before.end;
            covered.end = std::min(overlay.end, rest.end);
            rest.begin = covered.end;
            covers(covered, overlay);
            add(covered);
        }
        add(rest);
    }
    if (result.out_of_memory()) overlays_.set_out_of_memory();
    pieces_ = std::move(result);
}

} // namespace leak::preload
