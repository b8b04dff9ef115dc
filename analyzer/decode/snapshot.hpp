// The snapshot of a trace (FORMAT.md, section 10): where the pointers of the process lay at one moment.
//
// One thread. Memory: 16 bytes a pointer, and the areas.
#pragma once

#include "analyzer/decode/state_parts.hpp"
#include "format/snapshot.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace leak::analyzer {

// Addresses from `begin` on, below `end`.
struct AddressRange {
    uint64_t begin = 0;
    uint64_t end = 0;
    friend bool operator==(const AddressRange&, const AddressRange&) = default;
};

struct ThreadRegisters {
    uint32_t tid = 0;
    std::vector<uint64_t> values;
};

// Pages that held the same at an earlier snapshot, and at all those since.
struct UnwrittenRun {
    format::PageRun run;
    uint64_t since = 0; // stamp
};

struct MemoryImage {
    uint64_t number = 0;
    uint64_t stamp = 0;
    std::vector<format::SnapshotArea> areas; // by address, without overlap
    std::vector<AddressRange> registered_roots;
    std::vector<ThreadRegisters> registers;
    std::vector<format::SnapshotWord> words; // by address
    std::vector<format::PageRun> resident;   // by page
    std::vector<format::PageRun> unknown;    // by page, of a core: whether they were ever touched is not known
    std::vector<UnwrittenRun> unwritten;     // by page
    std::array<uint64_t, format::kSnapshotFigures> figures{};

    [[nodiscard]] uint64_t figure(format::SnapshotFigure which) const { return figures[static_cast<size_t>(which)]; }
    // The area that holds the address; nullptr: none.
    [[nodiscard]] const format::SnapshotArea* area_at(uint64_t address) const;
};

// Why there is none, and what to do; empty for SnapshotFailure::none and what a newer version says.
[[nodiscard]] std::string_view words_of(format::SnapshotFailure failure);

// The one of the header's references that holds; nothing where there is no snapshot.
[[nodiscard]] std::optional<format::StateRef> snapshot_ref(const format::FileHeader& header);

// Reads the snapshot that holds from its parts. Nothing where there is none, or when it is damaged, which is added to
// `damage`.
[[nodiscard]] std::optional<MemoryImage> read_snapshot(const FileReader& file, const format::FileHeader& header,
                                                       std::vector<StatePart> parts, DamageLog& damage);

} // namespace leak::analyzer
