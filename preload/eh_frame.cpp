#include "preload/eh_frame.hpp"

#include "preload/cfi_program.hpp"

#include <dlfcn.h>
#include <link.h>
#include <sys/auxv.h>

namespace leak::preload {

namespace {

// The FDE whose range may hold `pc`, by the binary search table that linkers make: sorted pairs of 4-byte offsets.
[[nodiscard]] const uint8_t* find_description(const FrameTables& tables, uint64_t pc) noexcept
{
    Reader header(tables.eh_frame_hdr, tables.end);
    const auto data = reinterpret_cast<uint64_t>(tables.eh_frame_hdr);
    const auto version = header.fixed<uint8_t>();
    const auto frame_encoding = header.fixed<uint8_t>();
    const auto count_encoding = header.fixed<uint8_t>();
    const auto table_encoding = header.fixed<uint8_t>();
    if (version != 1 || count_encoding == kOmitted || table_encoding != (kDataRelative | kSigned4)) return nullptr;
    if (frame_encoding != kOmitted) static_cast<void>(header.pointer(frame_encoding, data));
    const uint64_t count = header.pointer(count_encoding, data);
    struct Pair {
        int32_t start;
        int32_t description;
    };
    if (header.failed() || count > static_cast<uint64_t>(tables.end - header.at()) / sizeof(Pair)) return nullptr;
    const uint8_t* const table = header.at();
    const auto pair = [table](uint64_t i) {
        Pair result;
        std::memcpy(&result, table + i * sizeof result, sizeof result);
        return result;
    };
    uint64_t low = 0;
    uint64_t high = count;
    while (low < high) {
        const uint64_t middle = (low + high) / 2;
        if (data + static_cast<uint64_t>(int64_t{pair(middle).start}) <= pc)
            low = middle + 1;
        else
            high = middle;
    }
    return low == 0 ? nullptr : tables.eh_frame_hdr + pair(low - 1).description;
}

} // namespace

std::optional<UnwindRule> rule_from_eh_frame(const FrameTables& tables, uint64_t pc) noexcept
{
    const uint8_t* const at = find_description(tables, pc);
    Entry entry;
    if (at == nullptr || at > tables.end || !read_entry(at, tables.end, entry) || entry.id == 0) return {};
    Entry common_entry;
    CommonInformation common;
    if (!read_entry(entry.id_at - entry.id, tables.end, common_entry) || common_entry.id != 0 ||
        !read_common(common_entry, common))
        return UnwindRule();
    Description description;
    if (!read_description(entry, common, description) || pc - description.start >= description.bytes) return {};
    return rule_at(common, description, pc);
}

std::optional<UnwindRule> find_unwind_rule(uint64_t return_address) noexcept
{
    dl_find_object found{};
    const uint64_t pc = return_address - 1;
    if (_dl_find_object(reinterpret_cast<void*>(pc), &found) != 0) return UnwindRule();
    if (found.dlfo_eh_frame == nullptr) return {};
    const FrameTables tables{static_cast<const uint8_t*>(found.dlfo_eh_frame),
                             static_cast<const uint8_t*>(found.dlfo_map_end)};
    if (const auto rule = rule_from_eh_frame(tables, pc)) return rule;
    // The entry of the dynamic loader, from where constructors are called before main, is not described.
    const bool is_loader = found.dlfo_link_map->l_addr == getauxval(AT_BASE);
    if (is_loader) return UnwindRule::make(UnwindRule::Kind::outermost, 0, 0);
    return {};
}

} // namespace leak::preload
