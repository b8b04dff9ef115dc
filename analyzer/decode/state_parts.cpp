#include "analyzer/decode/state_parts.hpp"

#include "format/checksum.hpp"
#include "format/chunk.hpp"

#include <algorithm>
#include <new>

namespace leak::analyzer {

std::optional<format::StateRef> holding_ref(std::span<const format::StateRef, 2> references, uint32_t index)
{
    if (index > 1) return std::nullopt;
    const format::StateRef reference = references[index];
    if (reference.number == 0 || LEAK_CHECKSUM_UP_TO(reference, checksum) != reference.checksum) return std::nullopt;
    return reference;
}

std::optional<std::vector<std::byte>> join_parts(const FileReader& file, const format::StateRef& reference,
                                                 std::vector<StatePart> parts, const std::string& what,
                                                 const std::string& lost, DamageLog& damage)
{
    std::erase_if(parts, [&](const StatePart& part) { return part.header.number != reference.number; });
    std::ranges::sort(parts, {}, [](const StatePart& part) { return part.header.part; });
    bool is_whole = parts.size() == reference.parts;
    for (size_t i = 0; i < parts.size(); ++i) is_whole = is_whole && parts[i].header.part == i;
    if (!is_whole) {
        damage.add(format::kFileHeaderOffset, "parts of " + what + " are missing: " + lost);
        return std::nullopt;
    }
    std::vector<uint64_t> memory(format::Decompressor::memory_bytes() / sizeof(uint64_t));
    format::Decompressor decompressor;
    if (!decompressor.init(std::as_writable_bytes(std::span(memory)))) throw std::bad_alloc();
    std::vector<std::byte> all, compressed;
    for (const StatePart& part : parts) {
        compressed.resize(part.header.compressed_bytes);
        const size_t at = all.size();
        all.resize(at + std::min(part.header.plain_bytes, format::kMaxPartBytes));
        const char* fault = "the file ends inside it";
        if (file.read_at(part.offset + sizeof part.header, compressed) == compressed.size())
            fault = decompressor.decompress(compressed, std::span(all).subspan(at));
        if (fault == nullptr) continue;
        damage.add(part.offset, "a part of " + what + " can't be read: " + fault);
        return std::nullopt;
    }
    if (all.size() == reference.bytes) return all;
    damage.add(format::kFileHeaderOffset, what + " is damaged: " + lost);
    return std::nullopt;
}

} // namespace leak::analyzer
