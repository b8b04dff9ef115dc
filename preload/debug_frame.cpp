#include "preload/debug_frame.hpp"

#include "preload/cfi_program.hpp"
#include "preload/os.hpp"
#include "preload/own_memory.hpp"

#include <algorithm>
#include <cstring>
#include <elf.h>

namespace leak::preload {

namespace {

constexpr size_t kMostBytes = size_t{16} * 1024 * 1024; // of a section
constexpr uint32_t kCommonId = 0xffffffff;

[[nodiscard]] bool read_at(int fd, std::span<std::byte> to, uint64_t offset) noexcept
{
    while (!to.empty()) {
        const long got = os::read_at(fd, to.data(), to.size(), offset);
        if (got <= 0) return false;
        to = to.subspan(static_cast<size_t>(got));
        offset += static_cast<uint64_t>(got);
    }
    return true;
}

template <typename T> [[nodiscard]] bool read_value(int fd, T& value, uint64_t offset) noexcept
{
    return read_at(fd, std::as_writable_bytes(std::span(&value, 1)), offset);
}

[[nodiscard]] bool is_file_of(int fd, std::span<const std::byte> first_page) noexcept
{
    std::byte page[kPageBytes];
    const std::span front = std::span(page).first(std::min(first_page.size(), sizeof page));
    return !front.empty() && read_at(fd, front, 0) && std::ranges::equal(front, first_page.first(front.size()));
}

[[nodiscard]] bool find_section(int fd, Elf64_Shdr& found) noexcept
{
    Elf64_Ehdr elf;
    Elf64_Shdr names;
    if (!read_value(fd, elf, 0) || elf.e_shentsize != sizeof(Elf64_Shdr) || elf.e_shstrndx >= elf.e_shnum ||
        !read_value(fd, names, elf.e_shoff + elf.e_shstrndx * sizeof names))
        return false;
    for (uint32_t i = 0; i < elf.e_shnum; ++i) {
        constexpr char kName[] = ".debug_frame";
        char name[sizeof kName];
        if (!read_value(fd, found, elf.e_shoff + i * sizeof found)) return false;
        if (found.sh_type == SHT_PROGBITS && read_value(fd, name, names.sh_offset + found.sh_name) &&
            std::memcmp(name, kName, sizeof kName) == 0)
            return true;
    }
    return false;
}

} // namespace

bool DebugFrame::read_section(int fd, std::span<const std::byte> first_page, std::span<uint8_t>& section) noexcept
{
    Elf64_Shdr header;
    if (!is_file_of(fd, first_page) || !find_section(fd, header)) return false;
    if ((header.sh_flags & SHF_COMPRESSED) != 0 || header.sh_size == 0 || header.sh_size > kMostBytes) return false;
    auto* const memory = static_cast<uint8_t*>(map_own(header.sh_size));
    if (memory == nullptr) return false;
    section = {memory, header.sh_size};
    if (read_at(fd, std::as_writable_bytes(section), header.sh_offset)) return true;
    unmap_own(memory, header.sh_size);
    return false;
}

void DebugFrame::load(const char* path, std::span<const std::byte> first_page) noexcept
{
    const int fd = os::open(path, O_RDONLY | O_NONBLOCK);
    if (fd < 0) return;
    std::span<uint8_t> section;
    const bool is_read = read_section(fd, first_page, section);
    os::close(fd);
    if (is_read && !index(section)) unmap_own(section.data(), section.size());
}

void DebugFrame::unload() noexcept
{
    if (functions_.empty()) return;
    unmap_own(functions_.data(), functions_.size_bytes());
    unmap_own(const_cast<uint8_t*>(section_.data()), section_.size());
    section_ = {};
    functions_ = {};
}

template <typename Visit> void DebugFrame::for_each(Visit&& visit) const noexcept
{
    const uint8_t* const end = section_.data() + section_.size();
    Entry entry;
    for (const uint8_t* at = section_.data(); read_entry(at, end, entry); at = entry.end) {
        if (entry.id == kCommonId) continue;
        Reader reader(entry.id_at + sizeof entry.id, entry.end);
        const auto start = reader.fixed<uint64_t>();
        // 0: of a function that the linker left out.
        if (start != 0 && !reader.failed()) visit(Function{start, static_cast<uint64_t>(at - section_.data())});
    }
}

bool DebugFrame::index(std::span<const uint8_t> section) noexcept
{
    section_ = section;
    size_t count = 0;
    for_each([&count](const Function&) { ++count; });
    auto* const memory = count == 0 ? nullptr : static_cast<Function*>(map_own(count * sizeof(Function)));
    if (memory == nullptr) {
        section_ = {};
        return false;
    }
    for_each([to = memory](const Function& function) mutable { *to++ = function; });
    const std::span functions(memory, count);
    std::ranges::sort(functions, {}, &Function::start);
    functions_ = functions; // last: a process that forks meanwhile has none
    return true;
}

UnwindRule DebugFrame::rule(uint64_t pc) const noexcept
{
    const auto above = std::ranges::upper_bound(functions_, pc, {}, &Function::start);
    if (above == functions_.begin()) return {};
    const uint8_t* const end = section_.data() + section_.size();
    Entry entry;
    Entry common_entry;
    CommonInformation common;
    Description description;
    if (!read_entry(section_.data() + (above - 1)->offset, end, entry) || entry.id >= section_.size() ||
        !read_entry(section_.data() + entry.id, end, common_entry) || common_entry.id != kCommonId ||
        !read_common(common_entry, common) || !read_description(entry, common, description) ||
        pc - description.start >= description.bytes)
        return {};
    return rule_at(common, description, pc);
}

} // namespace leak::preload
