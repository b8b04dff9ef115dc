// Rebinds functions that libunwind imports, in its own import table, so that it leaves the host alone:
//
// - It tests whether memory can be read by writing it into a pipe, whose two descriptors the host would have open. When
//   the host closes all descriptors and opens its own, libunwind would read from and write into the host's files.
// - It looks modules up by dl_iterate_phdr, which takes the loader's lock, inside malloc.
// - What it maps for itself is not the host's doing.
//
// Called once, before libunwind is used.
#include "preload/unwinder.hpp"

#include "preload/os.hpp"
#include "preload/own_memory.hpp"

#include <cerrno>
#include <cstring>
#include <dlfcn.h>
#include <elf.h>
#include <string_view>

namespace leak::preload {

namespace {

constexpr int kNoDescriptor = -1;

int no_pipe(int* descriptors, int) noexcept
{
    descriptors[0] = descriptors[1] = kNoDescriptor;
    return 0;
}

// The byte that libunwind takes out of its pipe again. It repeats the call while errno is EINTR, success or not.
ssize_t read_nothing(int, void*, size_t bytes) noexcept
{
    errno = 0;
    return static_cast<ssize_t>(bytes);
}

// Standing in for syscall(SYS_write, pipe, memory, 1): whether the memory can be read.
long test_readable(long number, int, const void* memory, size_t bytes) noexcept
{
    const bool readable = number == SYS_write && os::can_read(reinterpret_cast<const void*>(os::word(memory) & ~7L));
    errno = readable ? 0 : EFAULT;
    return readable ? static_cast<long>(bytes) : -1;
}

// Its own error messages would go to the host's descriptor 2.
ssize_t say_nothing(int, const void*, size_t bytes) noexcept
{
    return static_cast<ssize_t>(bytes);
}

void* map(void*, size_t bytes, int, int, int, off_t) noexcept
{
    void* memory = map_own(bytes); // libunwind maps nothing but private zero pages
    return memory != nullptr ? memory : MAP_FAILED;
}

int unmap(void* memory, size_t bytes) noexcept
{
    unmap_own(memory, bytes);
    return 0;
}

struct Import {
    std::string_view name;
    const void* replacement;
};

// A module's dynamic section, as far as it matters here (ELF gABI, "Dynamic Section").
struct Dynamic {
    const ElfW(Sym) * symbols = nullptr;
    const char* names = nullptr;
    const ElfW(Rela) * tables[2] = {}; // DT_JMPREL and DT_RELA
    size_t counts[2] = {};
};

[[nodiscard]] Dynamic read_dynamic(const link_map& map) noexcept
{
    Dynamic dynamic;
    for (const ElfW(Dyn)* entry = map.l_ld; entry->d_tag != DT_NULL; ++entry) {
        const auto address = entry->d_un.d_ptr; // absolute: the loader has relocated it
        switch (entry->d_tag) {
        case DT_SYMTAB:
            dynamic.symbols = reinterpret_cast<const ElfW(Sym)*>(address);
            break;
        case DT_STRTAB:
            dynamic.names = reinterpret_cast<const char*>(address);
            break;
        case DT_JMPREL:
            dynamic.tables[0] = reinterpret_cast<const ElfW(Rela)*>(address);
            break;
        case DT_PLTRELSZ:
            dynamic.counts[0] = entry->d_un.d_val / sizeof(ElfW(Rela));
            break;
        case DT_RELA:
            dynamic.tables[1] = reinterpret_cast<const ElfW(Rela)*>(address);
            break;
        case DT_RELASZ:
            dynamic.counts[1] = entry->d_un.d_val / sizeof(ElfW(Rela));
            break;
        default:
            break;
        }
    }
    return dynamic;
}

// The table of a library that was linked with -z now is read-only by now.
void write_import(void** place, const void* replacement) noexcept
{
    auto* page = reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(place) & ~uintptr_t{4095});
    os::call(SYS_mprotect, os::word(page), 4096, PROT_READ | PROT_WRITE);
    *place = const_cast<void*>(replacement);
}

} // namespace

void Unwinder::isolate(const link_map& libunwind) noexcept
{
    const Import imports[] = {
        {"pipe2", reinterpret_cast<const void*>(&no_pipe)},
        {"pipe", reinterpret_cast<const void*>(&no_pipe)},
        {"read", reinterpret_cast<const void*>(&read_nothing)},
        {"syscall", reinterpret_cast<const void*>(&test_readable)},
        {"write", reinterpret_cast<const void*>(&say_nothing)},
        {"mmap", reinterpret_cast<const void*>(&map)},
        {"mmap64", reinterpret_cast<const void*>(&map)},
        {"munmap", reinterpret_cast<const void*>(&unmap)},
        {"dl_iterate_phdr", reinterpret_cast<const void*>(&Unwinder::iterate_modules)},
    };
    const Dynamic dynamic = read_dynamic(libunwind);
    if (dynamic.names == nullptr || dynamic.symbols == nullptr) return;
    for (int table = 0; table < 2; ++table)
        for (size_t i = 0; i < dynamic.counts[table]; ++i) {
            const ElfW(Rela)& relocation = dynamic.tables[table][i];
            const auto type = ELF64_R_TYPE(relocation.r_info);
            if (type != R_X86_64_JUMP_SLOT && type != R_X86_64_GLOB_DAT) continue;
            const std::string_view name = dynamic.names + dynamic.symbols[ELF64_R_SYM(relocation.r_info)].st_name;
            for (const Import& import : imports)
                if (import.name == name)
                    write_import(reinterpret_cast<void**>(libunwind.l_addr + relocation.r_offset), import.replacement);
        }
}

} // namespace leak::preload
