#include "analyzer/decode/core_areas.hpp"

#include "analyzer/decode/core_module.hpp"

#include <algorithm>
#include <elf.h>
#include <map>
#include <string_view>

namespace leak::analyzer {

using format::AreaKind;

namespace {

constexpr uint64_t kWord = sizeof(uint64_t);
constexpr uint64_t kPage = format::kSnapshotPageBytes;
constexpr uint64_t kRedZone = 128; // below the stack pointer, in use (System V ABI)
constexpr uint64_t kUsualStack = uint64_t{8} << 20;
constexpr uint64_t kStackUnit = 64 * 1024; // sizes of stacks are multiples of it, their guard page included
constexpr std::string_view kLibrary = "libleak.so";

[[nodiscard]] uint64_t page_end(uint64_t address)
{
    return (address + kPage - 1) / kPage * kPage;
}

class Finder {
public:
    Finder(const CoreFile& core, const CoreContext& context) : core_(core), context_(context) {}

    CoreAreas run()
    {
        for (const CoreSegment& segment : core_.segments) add_segment(segment);
        for (const Module& module : context_.modules)
            if (is_there(module)) add_module(module);
        find_threads();
        add_stacks();
        leave_out_library();
        return result();
    }

private:
    struct Piece {
        uint64_t end = 0;
        AreaKind kind = {}; // none: no area
        uint32_t owner = 0;
        bool is_seen = false; // the core has its contents
        bool is_writable = false;
        bool is_shared = false;
    };

    void add(uint64_t begin, uint64_t end, Piece piece)
    {
        begin = (begin + kWord - 1) / kWord * kWord;
        piece.end = end / kWord * kWord;
        if (begin < piece.end) pieces_.emplace(begin, piece);
    }

    void add_segment(const CoreSegment& segment)
    {
        const CoreMapping* const mapping = core_.mapping_at(segment.begin);
        // Memory that processes share without a file is a file to the kernel.
        const bool is_shared = mapping != nullptr && mapping->path.starts_with("/dev/zero");
        const bool is_writable = (segment.flags & PF_W) != 0;
        const Piece piece{.is_seen = true, .is_writable = is_writable, .is_shared = is_shared};
        const auto of_kind = [&piece](AreaKind kind) {
            Piece one = piece;
            one.kind = kind;
            return one;
        };
        if (mapping != nullptr && !is_shared) {
            if (mapping->may_be(context_.trace_path)) return; // slots of libleak.so
            if (is_writable)
                add(segment.begin, segment.stored_end, of_kind(AreaKind::module_data));
            else if ((segment.flags & PF_X) == 0)
                add(segment.begin, segment.end, of_kind(AreaKind::read_only));
        } else if ((segment.flags & PF_R) != 0) {
            add(segment.begin, segment.stored_end, of_kind(AreaKind::anonymous));
            Piece rest = of_kind(AreaKind::anonymous);
            rest.is_seen = false;
            add((segment.stored_end + kWord - 1) / kWord * kWord, segment.end, rest);
        }
    }

    // Whether the module was loaded then.
    [[nodiscard]] bool is_there(const Module& module) const
    {
        if (module.id.value == 0 || module.start >= module.end) return false;
        if (module.unloaded_ns && *module.unloaded_ns <= context_.at_ns) return false;
        return core_.mappings.empty() || has_module(core_, module);
    }

    void add_module(const Module& module)
    {
        // What is only read gcore leaves out.
        for (const Segment& segment : module.segments)
            if ((segment.flags & (PF_R | PF_W | PF_X)) == PF_R) fill(segment.start, segment.end, AreaKind::read_only);
        cover(module.start, page_end(module.end), [&](Piece& piece) {
            if (piece.kind == AreaKind::anonymous && !piece.is_shared)
                piece.kind = piece.is_writable ? AreaKind::module_data : AreaKind::read_only; // .bss
            if (piece.kind != AreaKind::anonymous) piece.owner = module.id.value;
        });
    }

    // Where nothing is.
    void fill(uint64_t begin, uint64_t end, AreaKind kind)
    {
        begin = begin / kPage * kPage;
        end = page_end(end);
        while (begin < end) {
            auto next = pieces_.upper_bound(begin);
            if (next != pieces_.begin() && std::prev(next)->second.end > begin) {
                begin = std::prev(next)->second.end;
                continue;
            }
            const uint64_t to = next == pieces_.end() ? end : std::min(end, next->first);
            add(begin, to, {.kind = kind, .is_seen = true});
            begin = to;
        }
    }

    // Memory of libleak.so is kept out of cores (MADV_DONTDUMP), the stacks of its threads are part of it.
    [[nodiscard]] bool is_of_library(const CoreThread& thread) const
    {
        const auto known = std::ranges::find(context_.threads, thread.tid, &Thread::tid);
        if (known != context_.threads.end()) return false;
        const CoreSegment* const segment = core_.segment_at(thread.stack_pointer);
        return segment == nullptr || (segment->stored_end == segment->begin && segment->missing == 0);
    }

    void find_threads()
    {
        for (const CoreThread& thread : core_.threads)
            if (!is_of_library(thread)) found_.threads.push_back(&thread);
    }

    // The thread's control block is the top of its stack where glibc has made that.
    void add_stacks()
    {
        std::vector<const CoreThread*> threads = found_.threads;
        std::ranges::stable_sort(threads, {}, &CoreThread::thread_pointer);
        uint64_t least = 0; // where the stack below ends
        for (const CoreThread* const thread : threads) {
            const bool is_main = thread->tid == core_.pid;
            const uint64_t main_at = core_.random_at != 0 ? core_.random_at : thread->stack_pointer;
            const CoreSegment* const segment = core_.segment_at(is_main ? main_at : thread->thread_pointer);
            if (segment == nullptr || core_.mapping_at(segment->begin) != nullptr) {
                ++found_.threads_without_stack;
                continue;
            }
            if (is_main) {
                add_stack(*thread, *segment, segment->begin, segment->end);
                continue;
            }
            const uint64_t top = std::min(page_end(thread->thread_pointer + 1), segment->end);
            add_stack(*thread, *segment, std::max(segment->begin, least), top);
            least = top;
        }
    }

    void add_stack(const CoreThread& thread, const CoreSegment& segment, uint64_t begin, uint64_t top)
    {
        const bool is_fenced = thread.tid == core_.pid || has_guard(segment, top);
        if (!is_fenced && top - begin > kUsualStack) begin = top - kUsualStack;
        const uint64_t at = thread.stack_pointer;
        const bool is_known = at > begin && at < top;
        if (!is_known) ++found_.threads_without_stack;
        const uint64_t used = is_known ? std::max(begin, (at - std::min(at, kRedZone)) / kWord * kWord) : begin;
        const auto set = [&](AreaKind kind) {
            return [kind, &thread](Piece& piece) {
                if (piece.kind == AreaKind::read_only) return;
                piece.kind = kind;
                piece.owner = thread.tid;
            };
        };
        if (is_fenced && used > begin) cover(begin, used, set(AreaKind::unused_stack));
        cover(used, top, set(AreaKind::stack));
    }

    // Whether the mapping begins with the stack. The kernel lists the guard below it, gcore does not; then the size
    // tells: without a guard the kernel may have joined the stack with what lies below.
    [[nodiscard]] bool has_guard(const CoreSegment& segment, uint64_t top) const
    {
        const bool is_first = &segment == core_.segments.data();
        const CoreSegment* const below = is_first ? nullptr : &segment - 1;
        if (below != nullptr && below->end == segment.begin) return (below->flags & PF_R) == 0;
        return (top - segment.begin + kPage) % kStackUnit == 0;
    }

    // Its data and bss: what it maps besides is not in the core.
    void leave_out_library()
    {
        const auto clear = [](Piece& piece) { piece.kind = {}; };
        uint64_t begin = 0;
        for (const CoreMapping& mapping : core_.mappings) {
            if (!mapping.file_name().starts_with(kLibrary)) continue;
            cover(mapping.begin, mapping.end, clear);
            if (begin == 0) begin = mapping.begin;
        }
        const auto library = begin == 0 ? std::nullopt : read_core_module(core_, begin);
        if (library && library->end > begin) cover(begin, page_end(library->end), clear);
    }

    CoreAreas result()
    {
        for (const auto& [begin, piece] : pieces_) {
            if (piece.kind == AreaKind{}) continue;
            // Of files that belong to no module what is only read is no data of the program's.
            if (piece.kind == AreaKind::read_only && piece.owner == 0) continue;
            if (piece.is_seen)
                found_.areas.push_back({begin, piece.end - begin, piece.kind, piece.owner});
            else if (piece.kind == AreaKind::anonymous)
                found_.unseen.push_back({begin, piece.end});
        }
        return std::move(found_);
    }

    // Cuts the pieces at both ends and calls visit(piece) for those between.
    template <typename Visit> void cover(uint64_t begin, uint64_t end, Visit&& visit)
    {
        if (begin >= end) return;
        cut(begin);
        cut(end);
        for (auto at = pieces_.lower_bound(begin); at != pieces_.end() && at->first < end; ++at) visit(at->second);
    }

    void cut(uint64_t address)
    {
        const auto behind = pieces_.upper_bound(address);
        if (behind == pieces_.begin()) return;
        const auto at = std::prev(behind);
        if (at->first == address || at->second.end <= address) return;
        pieces_.emplace_hint(behind, address, at->second);
        at->second.end = address;
    }

    const CoreFile& core_;
    const CoreContext& context_;
    std::map<uint64_t, Piece> pieces_; // by address, without overlap
    CoreAreas found_;
};

} // namespace

bool CoreAreas::has(uint64_t address) const
{
    const auto behind = std::ranges::upper_bound(areas, address, {}, &format::SnapshotArea::address);
    return behind != areas.begin() && address - std::prev(behind)->address < std::prev(behind)->bytes;
}

CoreAreas find_core_areas(const CoreFile& core, const CoreContext& context)
{
    return Finder(core, context).run();
}

} // namespace leak::analyzer
