// Symbolises this very executable, which has debug information, and files that don't fit.
#include "analyzer/symbolize/symbolizer.hpp"

#include <doctest/doctest.h>
#include <filesystem>
#include <link.h>

using namespace leak::analyzer;

namespace {

struct Self {
    Module module;
    uint64_t pc = 0; // of a return address in symbolizer_test_caller
};

[[gnu::noinline]] uint64_t return_address()
{
    return reinterpret_cast<uint64_t>(__builtin_return_address(0));
}

// So that the call has a line of its own and its caller an inlined frame.
[[gnu::always_inline]] inline uint64_t inlined_middle()
{
    const uint64_t address = return_address();
    return address + 0;
}

[[gnu::noinline]] uint64_t symbolizer_test_caller()
{
    volatile uint64_t address = inlined_middle();
    return address;
}

Self self()
{
    Self found;
    dl_iterate_phdr(
        [](dl_phdr_info* info, size_t, void* data) {
            static_cast<Self*>(data)->module.bias = info->dlpi_addr;
            return 1; // the program comes first
        },
        &found);
    found.module.id = ModuleId{1};
    found.module.path = std::filesystem::read_symlink("/proc/self/exe").string();
    found.pc = symbolizer_test_caller();
    return found;
}

Pc pc_of(uint64_t address)
{
    return {address, ModuleId{1}};
}

} // namespace

TEST_CASE("a return address has function, file, line and the frames inlined there")
{
    const Self own = self();
    Symbolizer symbolizer({Module{}, own.module});
    const std::vector<Frame> frames = symbolizer.symbolize({pc_of(own.pc)});
    REQUIRE(frames.size() == 2);
    CHECK(frames[0].function == "(anonymous namespace)::inlined_middle");
    CHECK(frames[0].inlined);
    CHECK(frames[0].file.ends_with("tests/unit/symbolizer_test.cpp"));
    CHECK(frames[0].line > 0);
    CHECK(frames[1].function == "(anonymous namespace)::symbolizer_test_caller");
    CHECK_FALSE(frames[1].inlined);
    CHECK(frames[1].line > frames[0].line);
    CHECK(frames[1].offset == own.pc - own.module.bias);
    const ModuleSymbols symbols = symbolizer.symbols_of(ModuleId{1});
    CHECK(symbols.file_found);
    CHECK(symbols.has_lines);
    CHECK_FALSE(symbols.build_id_differs);
}

TEST_CASE("a file with another build-id is not used")
{
    Self own = self();
    own.module.build_id = {1, 2, 3};
    Symbolizer symbolizer({Module{}, own.module});
    const auto& frames = symbolizer.frames(pc_of(own.pc));
    REQUIRE(frames.size() == 1);
    CHECK(frames[0].function.empty());
    CHECK(frames[0].offset == own.pc - own.module.bias);
    CHECK(frames[0].module == own.module.path);
    CHECK(symbolizer.symbols_of(ModuleId{1}).build_id_differs);
    CHECK_FALSE(symbolizer.symbols_of(ModuleId{1}).file_found);
}

TEST_CASE("files that are gone, no ELF, or not files at all give offsets")
{
    for (const char* path : {"/nonexistent/libx.so", "/etc/passwd", "/tmp", "[vdso]", "linux-vdso.so.1", "/dev/null"}) {
        CAPTURE(path);
        Module module;
        module.id = ModuleId{1};
        module.path = path;
        module.bias = 0x1000;
        Symbolizer symbolizer({Module{}, module});
        const auto& frames = symbolizer.frames(pc_of(0x1234));
        REQUIRE(frames.size() == 1);
        CHECK(frames[0].function.empty());
        CHECK(frames[0].offset == 0x234);
        CHECK_FALSE(symbolizer.symbols_of(ModuleId{1}).file_found);
    }
}

TEST_CASE("an address outside all modules keeps its value")
{
    Symbolizer symbolizer({Module{}});
    const auto& frames = symbolizer.frames({0x7fff1234, ModuleId{}});
    REQUIRE(frames.size() == 1);
    CHECK(frames[0].offset == 0x7fff1234);
    CHECK(frames[0].module.empty());
    CHECK(symbolizer.frames({5, ModuleId{99}})[0].offset == 5);
}

TEST_CASE("frames of the tracer itself never show")
{
    Module tracer;
    tracer.id = ModuleId{1};
    tracer.path = "/usr/lib/libleak.so";
    Symbolizer symbolizer({Module{}, tracer});
    CHECK(symbolizer.symbolize({pc_of(0x10), {0x20, ModuleId{}}}).size() == 1);
}

TEST_CASE("two loads of one file share its symbols at their own addresses")
{
    const Self own = self();
    Module second = own.module;
    second.id = ModuleId{2};
    second.bias += 0x100000;
    Symbolizer symbolizer({Module{}, own.module, second});
    CHECK(symbolizer.frames({own.pc + 0x100000, ModuleId{2}}) == symbolizer.frames(pc_of(own.pc)));
}
