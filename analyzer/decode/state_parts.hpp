// Streams of numbers that lie in parts in slots of their own: carried states and snapshots (FORMAT.md, sections 8, 10).
//
// One thread. Memory: the stream, decompressed.
#pragma once

#include "analyzer/decode/damage_log.hpp"
#include "analyzer/decode/file_reader.hpp"
#include "format/layout.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace leak::analyzer {

// Where a part lies; its header's checksum is right.
struct StatePart {
    uint64_t offset = 0;
    format::PartHeader header{};
};

// The one of two references, written in turn, that holds; nothing where none does, or it is damaged.
[[nodiscard]] std::optional<format::StateRef> holding_ref(std::span<const format::StateRef, 2> references,
                                                          uint32_t index);

// Those parts of `parts` that the reference names, decompressed, one behind the other. what: "the carried state";
// lost: what can't be known without it. Nothing where a part is missing or damaged, which is added to `damage`.
[[nodiscard]] std::optional<std::vector<std::byte>> join_parts(const FileReader& file,
                                                               const format::StateRef& reference,
                                                               std::vector<StatePart> parts, const std::string& what,
                                                               const std::string& lost, DamageLog& damage);

} // namespace leak::analyzer
