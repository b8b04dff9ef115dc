#include "preload/unwinder.hpp"

#include <cstring>
#include <dlfcn.h>
#include <elf.h>
#include <sys/auxv.h>

#define UNW_LOCAL_ONLY
#include <libunwind.h>

namespace leak::preload {

void Unwinder::init() noexcept
{
    dl_find_object found{};
    if (_dl_find_object(reinterpret_cast<void*>(&unw_backtrace), &found) == 0) isolate(*found.dlfo_link_map);
    unw_set_caching_policy(unw_local_addr_space, UNW_CACHE_PER_THREAD);
    // What libunwind sets up once, under pthread_once: a signal handler's event that came in the middle of it would
    // wait for ever for the code that it interrupted. And it makes a pthread key, for which glibc allocates nothing
    // only as long as it is one of the first 32: later a stack would be an allocation of the host's, which has a stack.
    void* frames[1];
    static_cast<void>(unw_backtrace(frames, 1));
}

uint32_t Unwinder::capture(void** frames, uint32_t capacity) const noexcept
{
    if (!code_was_unmapped_) {
        const int count = unw_backtrace(frames, static_cast<int>(capacity));
        return count > 0 ? static_cast<uint32_t>(count) : 0;
    }
    // unw_backtrace keeps rules per thread that can't be flushed, so where code has been unmapped the slower walk is
    // the exact one.
    unw_context_t context;
    unw_cursor_t cursor;
    unw_getcontext(&context);
    if (unw_init_local(&cursor, &context) < 0) return 0;
    uint32_t count = 0;
    while (count < capacity) {
        unw_word_t pc = 0;
        if (unw_get_reg(&cursor, UNW_REG_IP, &pc) < 0 || pc == 0) break;
        frames[count++] = reinterpret_cast<void*>(pc);
        if (unw_step(&cursor) <= 0) break;
    }
    return count;
}

void Unwinder::forget_code() noexcept
{
    code_was_unmapped_ = true;
    unw_flush_cache(unw_local_addr_space, 0, 0);
}

int Unwinder::iterate_modules(Callback callback, void* data) noexcept
{
    // libunwind's callbacks begin with the address they look for; were that to change, nothing is found and the walk
    // ends early, which the tests notice.
    void* wanted = nullptr;
    std::memcpy(static_cast<void*>(&wanted), data, sizeof wanted);
    dl_find_object found{};
    if (_dl_find_object(wanted, &found) != 0) return 0;
    const link_map& map = *found.dlfo_link_map;
    const auto* elf = static_cast<const ElfW(Ehdr)*>(found.dlfo_map_start);
    dl_phdr_info info{};
    info.dlpi_addr = map.l_addr;
    info.dlpi_name = map.l_name;
    if (map.l_name[0] == 0) {
        info.dlpi_phdr = reinterpret_cast<const ElfW(Phdr)*>(getauxval(AT_PHDR));
        info.dlpi_phnum = static_cast<ElfW(Half)>(getauxval(AT_PHNUM));
    } else {
        if (std::memcmp(elf->e_ident, ELFMAG, SELFMAG) != 0) return 0;
        info.dlpi_phdr = reinterpret_cast<const ElfW(Phdr)*>(reinterpret_cast<const char*>(elf) + elf->e_phoff);
        info.dlpi_phnum = elf->e_phnum;
    }
    return callback(&info, sizeof info, data);
}

} // namespace leak::preload
