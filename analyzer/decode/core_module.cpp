#include "analyzer/decode/core_module.hpp"

#include <algorithm>
#include <cstring>
#include <elf.h>

namespace leak::analyzer {

namespace {

constexpr size_t kMostNoteBytes = 4096; // of those that are looked through for the build-id

template <typename T> [[nodiscard]] bool read_value(const CoreFile& core, uint64_t address, T& value)
{
    return core.read(address, std::as_writable_bytes(std::span(&value, 1))) == sizeof value;
}

[[nodiscard]] std::vector<uint8_t> find_build_id(const CoreFile& core, uint64_t address, uint64_t bytes)
{
    std::vector<uint8_t> notes(std::min<uint64_t>(bytes, kMostNoteBytes));
    notes.resize(core.read(address, std::as_writable_bytes(std::span(notes))));
    Elf64_Nhdr note = {};
    for (size_t at = 0; notes.size() - at >= sizeof note;) {
        std::memcpy(&note, notes.data() + at, sizeof note);
        const size_t name_at = at + sizeof note;
        const size_t text_at = name_at + (size_t{note.n_namesz} + 3) / 4 * 4;
        if (text_at + note.n_descsz > notes.size()) break;
        const bool is_gnu = note.n_namesz == sizeof "GNU" && std::memcmp(notes.data() + name_at, "GNU", 4) == 0;
        if (is_gnu && note.n_type == NT_GNU_BUILD_ID)
            return {notes.begin() + static_cast<std::ptrdiff_t>(text_at),
                    notes.begin() + static_cast<std::ptrdiff_t>(text_at + note.n_descsz)};
        at = std::min(notes.size(), text_at + (size_t{note.n_descsz} + 3) / 4 * 4);
    }
    return {};
}

} // namespace

bool has_module(const CoreFile& core, const Module& module)
{
    const CoreMapping* const mapping = core.mapping_at(module.start);
    if (mapping == nullptr) return false;
    const auto headers = read_core_module(core, module.start);
    if (headers && !headers->build_id.empty() && !module.build_id.empty()) return headers->build_id == module.build_id;
    return mapping->may_be(module.path);
}

std::optional<CoreModule> read_core_module(const CoreFile& core, uint64_t begin)
{
    Elf64_Ehdr header = {};
    if (!read_value(core, begin, header) || std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
        header.e_phentsize != sizeof(Elf64_Phdr))
        return std::nullopt;
    std::vector<Elf64_Phdr> segments(header.e_phnum);
    const auto bytes = std::as_writable_bytes(std::span(segments));
    if (core.read(begin + header.e_phoff, bytes) != bytes.size()) return std::nullopt;
    // The first segment has the header, at offset 0.
    const auto first = std::ranges::find_if(
        segments, [](const Elf64_Phdr& one) { return one.p_type == PT_LOAD && one.p_offset == 0; });
    if (first == segments.end()) return std::nullopt;
    const uint64_t bias = begin - first->p_vaddr;
    CoreModule module;
    for (const Elf64_Phdr& one : segments) {
        if (one.p_type == PT_LOAD) module.end = std::max(module.end, bias + one.p_vaddr + one.p_memsz);
        if (one.p_type == PT_NOTE && module.build_id.empty())
            module.build_id = find_build_id(core, bias + one.p_vaddr, one.p_filesz);
    }
    return module;
}

} // namespace leak::analyzer
