#include "preload/module_table.hpp"

#include "preload/journal.hpp"
#include "preload/os.hpp"
#include "preload/output_path.hpp"
#include "preload/own_memory.hpp"

#include <cstring>
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <sys/auxv.h>

namespace leak::preload {

namespace {

struct Headers {
    const ElfW(Phdr) * at = nullptr;
    uint32_t count = 0;
};

// The program headers in memory: behind the ELF header, which the first segment of a module holds as a rule.
[[nodiscard]] Headers program_headers(const link_map& map, uint64_t start) noexcept
{
    if (map.l_name[0] == 0) // the executable: the kernel says where
        return {reinterpret_cast<const ElfW(Phdr)*>(getauxval(AT_PHDR)), static_cast<uint32_t>(getauxval(AT_PHNUM))};
    const auto* elf = reinterpret_cast<const ElfW(Ehdr)*>(start);
    if (std::memcmp(elf->e_ident, ELFMAG, SELFMAG) != 0 || elf->e_phentsize != sizeof(ElfW(Phdr)) ||
        elf->e_phoff + elf->e_phnum * sizeof(ElfW(Phdr)) > 4096)
        return {};
    return {reinterpret_cast<const ElfW(Phdr)*>(start + elf->e_phoff), elf->e_phnum};
}

// The build-id in a PT_NOTE segment (ELF gABI, "Note Section"; NT_GNU_BUILD_ID).
[[nodiscard]] format::Piece build_id_in(const ElfW(Phdr) & header, uint64_t bias) noexcept
{
    const auto* at = reinterpret_cast<const std::byte*>(bias + header.p_vaddr);
    const auto* end = at + header.p_memsz;
    const size_t unit = header.p_align == 8 ? 8 : 4;
    const auto padded = [unit](size_t bytes) { return (bytes + unit - 1) / unit * unit; };
    while (static_cast<size_t>(end - at) >= sizeof(ElfW(Nhdr))) {
        ElfW(Nhdr) note;
        std::memcpy(&note, at, sizeof note);
        const std::byte* name = at + sizeof note;
        const size_t whole = sizeof note + padded(note.n_namesz) + padded(note.n_descsz);
        if (whole > static_cast<size_t>(end - at)) break;
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && std::memcmp(name, "GNU", 4) == 0)
            return {name + padded(note.n_namesz), note.n_descsz};
        at += whole;
    }
    return {};
}

void write_record(const LoadedModule& module, Journal& journal) noexcept
{
    constexpr uint32_t kMostSegments = 16;
    const link_map& map = *module.map;
    const Headers headers = program_headers(map, module.start);
    format::SegmentRecord segments[kMostSegments];
    format::ModuleRecord record{};
    format::Piece build_id;
    for (uint32_t i = 0; i < headers.count; ++i) {
        const ElfW(Phdr)& header = headers.at[i];
        const uint64_t start = map.l_addr + header.p_vaddr;
        if (header.p_type == PT_LOAD && record.segment_count < kMostSegments)
            segments[record.segment_count++] = {start, start + header.p_memsz, header.p_flags, 0};
        if (header.p_type == PT_NOTE && build_id.empty()) build_id = build_id_in(header, map.l_addr);
    }
    if (build_id.size() > format::kMaxBuildIdBytes) build_id = {};
    Path path;
    if (map.l_name[0] == 0)
        executable_path(path);
    else if (std::strchr(map.l_name, '/') == nullptr)
        path.add(map.l_name); // the vDSO has a name and no file
    else
        make_absolute(map.l_name, path);

    record.module_index = module.index;
    record.bias = map.l_addr;
    record.start = module.start;
    record.end = module.end;
    record.build_id_bytes = static_cast<uint32_t>(build_id.size());
    record.path_bytes = static_cast<uint32_t>(path.view().size());
    journal.write(format::RecordType::module_loaded,
                  {format::piece_of(record), std::as_bytes(std::span(segments, record.segment_count)), build_id,
                   format::piece_of_text(path.c_str(), path.view().size())});
}

} // namespace

bool ModuleTable::still_loaded(const LoadedModule& module) noexcept
{
    dl_find_object found{};
    return _dl_find_object(reinterpret_cast<void*>(module.start), &found) == 0 && found.dlfo_link_map == module.map &&
           reinterpret_cast<uint64_t>(found.dlfo_map_end) == module.end;
}

uint32_t ModuleTable::index_of(uint64_t pc, bool check, Journal* journal) noexcept
{
    for (uint32_t i = 0; i < count_; ++i) {
        LoadedModule& module = modules_[i];
        if (module.map == nullptr || pc < module.start || pc >= module.end) continue;
        return !check || still_loaded(module) ? module.index : kUnloaded;
    }
    dl_find_object found{};
    if (_dl_find_object(reinterpret_cast<void*>(pc), &found) != 0) return format::kNoModule;
    LoadedModule* module = enter(found);
    if (module == nullptr) return format::kNoModule;
    if (journal != nullptr) write_record(*module, *journal);
    return module->index;
}

UnwindRule ModuleTable::rule_from_file(uint32_t index, uint64_t return_address) noexcept
{
    for (uint32_t i = 0; i < count_; ++i) {
        LoadedModule& module = modules_[i];
        if (module.map == nullptr || module.index != index) continue;
        if (!module.has_looked) {
            module.has_looked = true;
            const char* const name = module.map->l_name;
            Path path;
            if (name[0] == 0)
                path.add("/proc/self/exe");
            else if (std::strchr(name, '/') != nullptr) // the vDSO has a name and no file
                make_absolute(name, path);
            module.debug_frame.load(path.c_str(), {reinterpret_cast<const std::byte*>(module.start), kPageBytes});
        }
        return module.debug_frame.rule(return_address - 1 - module.map->l_addr);
    }
    return {};
}

void ModuleTable::look_again() noexcept
{
    for (uint32_t i = 0; i < count_; ++i)
        if (modules_[i].debug_frame.empty()) modules_[i].has_looked = false;
}

LoadedModule* ModuleTable::enter(const dl_find_object& found) noexcept
{
    if (modules_ == nullptr) modules_ = static_cast<LoadedModule*>(map_own(kMost * sizeof(LoadedModule)));
    if (modules_ == nullptr) return nullptr;
    uint32_t at = 0;
    while (at < count_ && modules_[at].map != nullptr) ++at;
    if (at == kMost) return nullptr;
    if (at == count_) ++count_;
    modules_[at] = {found.dlfo_link_map,
                    reinterpret_cast<uint64_t>(found.dlfo_map_start),
                    reinterpret_cast<uint64_t>(found.dlfo_map_end),
                    next_index_++,
                    false,
                    {}};
    return &modules_[at];
}

void ModuleTable::write_all(Journal& journal) noexcept
{
    for (uint32_t i = 0; i < count_; ++i)
        if (modules_[i].map != nullptr && still_loaded(modules_[i])) write_record(modules_[i], journal);
}

} // namespace leak::preload
