// Feeds arbitrary bytes to the reader of core files: any may be refused or read in part, none may crash, run away or
// take memory beyond its own size. As trace_fuzz.cpp.
#include "analyzer/decode/core_areas.hpp"
#include "analyzer/decode/core_image.hpp"
#include "analyzer/decode/core_module.hpp"
#include "analyzer/user_error.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <sys/mman.h>
#include <unistd.h>

using namespace leak::analyzer;

namespace {

// What the other parts count on.
void check(const MemoryImage& image)
{
    uint64_t end = 0;
    for (const auto& area : image.areas) {
        if (area.address < end || area.address % 8 != 0 || area.bytes == 0 || area.bytes % 8 != 0) std::abort();
        end = area.address + area.bytes;
        if (end < area.address) std::abort();
    }
    uint64_t next = 0;
    for (const auto& word : image.words) {
        if (word.address < next || word.address % 8 != 0 || image.area_at(word.address) == nullptr) std::abort();
        next = word.address + 8;
    }
    for (const auto* runs : {&image.resident, &image.unknown}) {
        uint64_t page = 0;
        for (const auto& run : *runs) {
            if (run.page < page || run.pages == 0) std::abort();
            page = run.page + run.pages;
        }
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    static const int file = memfd_create("core", MFD_CLOEXEC);
    static const std::string path = "/proc/self/fd/" + std::to_string(file);
    if (ftruncate(file, 0) != 0 || pwrite(file, data, size, 0) != static_cast<ssize_t>(size)) std::abort();
    std::vector<Module> modules(2);
    modules[1].id = ModuleId{1};
    modules[1].path = "/bin/program";
    modules[1].start = 0x400000;
    modules[1].end = 0x404000;
    try {
        const CoreFile core = open_core(path);
        for (const CoreMapping& mapping : core.mappings) static_cast<void>(read_core_module(core, mapping.begin));
        CoreAreas areas =
            find_core_areas(core, {.trace_path = "/data/trace.zst", .modules = modules, .threads = {}, .at_ns = 0});
        check(read_core_image(core, std::move(areas), {}));
    } catch (const UserError&) {
        // Refused with a reason: as it should be.
    }
    return 0;
}
