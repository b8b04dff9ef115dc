#include "analyzer/decode/core_areas.hpp"
#include "analyzer/decode/core_file.hpp"
#include "analyzer/decode/core_image.hpp"
#include "analyzer/user_error.hpp"
#include "tests/unit/core_sample.hpp"

#include <doctest/doctest.h>
#include <filesystem>
#include <fstream>
#include <string>
#include <unistd.h>

using namespace leak::analyzer;
using leak::format::AreaKind;
using namespace leak::test;

namespace {

class TemporaryFile {
public:
    explicit TemporaryFile(const std::vector<std::byte>& bytes)
    {
        std::ofstream(path_, std::ios::binary)
            .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    }
    ~TemporaryFile() { std::filesystem::remove(path_); }
    TemporaryFile(const TemporaryFile&) = delete;
    TemporaryFile& operator=(const TemporaryFile&) = delete;
    [[nodiscard]] const std::filesystem::path& path() const { return path_; }

private:
    std::filesystem::path path_ =
        std::filesystem::temp_directory_path() / ("leakan-core-test." + std::to_string(getpid()));
};

std::vector<Module> modules()
{
    std::vector<Module> list(2);
    list[1] = {.id = ModuleId{1},
               .path = "/bin/program",
               .build_id = {},
               .bias = kProgram,
               .start = kProgram,
               .end = kProgram + 4 * kPage,
               .segments = {},
               .loaded_ns = 0,
               .unloaded_ns = {}};
    return list;
}

struct Read {
    CoreAreas areas;
    MemoryImage image;
};

Read read(const CoreFile& core, std::span<const AddressRange> blocks = {})
{
    const std::vector<Module> loaded = modules();
    const CoreContext context{.trace_path = "/elsewhere/trace.zst", .modules = loaded, .threads = {}, .at_ns = 0};
    Read result{.areas = find_core_areas(core, context), .image = {}};
    result.image = read_core_image(core, result.areas, blocks);
    return result;
}

// The offsets in the heap that words point to.
std::vector<uint64_t> offsets(const MemoryImage& image)
{
    std::vector<uint64_t> list;
    for (const auto& word : image.words)
        if (word.value >= kHeap && word.value < kHeap + kPage) list.push_back(word.value - kHeap);
    std::ranges::sort(list);
    return list;
}

bool has_word(const MemoryImage& image, uint64_t value)
{
    return std::ranges::any_of(image.words, [&](const auto& word) { return word.value == value; });
}

std::string refusal(const std::vector<std::byte>& bytes)
{
    const TemporaryFile file(bytes);
    try {
        static_cast<void>(open_core(file.path()));
    } catch (const UserError& error) {
        return error.what();
    }
    return "";
}

template <typename T> void put(std::vector<std::byte>& bytes, size_t at, T value)
{
    std::memcpy(bytes.data() + at, &value, sizeof value);
}

} // namespace

TEST_CASE("a core says whose it is, which threads there were and what was mapped")
{
    for (const bool is_gcore : {false, true}) {
        CoreBuilder builder = sample_core();
        if (is_gcore) builder.as_gcore();
        const TemporaryFile file(builder.build());
        const CoreFile core = open_core(file.path());
        CHECK(core.pid == kPid);
        CHECK(core.command == "program");
        CHECK(core.signal == SIGABRT);
        CHECK(core.is_by_kernel == !is_gcore);
        CHECK_FALSE(core.notes_are_cut);
        REQUIRE(core.threads.size() == 2);
        CHECK(core.threads[1].tid == kPid + 1);
        CHECK(std::ranges::count(core.threads[1].registers, kHeap + 0x10) == 1);
        CHECK(core.segments.size() == 11);
        REQUIRE(core.mapping_at(kProgram + 1) != nullptr);
        CHECK(core.mapping_at(kProgram + 1)->path == "/bin/program");
        CHECK(core.mapping_at(kProgram + 4 * kPage) == nullptr);
        REQUIRE(core.segment_at(kUntouched) != nullptr);
        CHECK(core.segment_at(kUntouched)->stored_end == kUntouched);
    }
}

TEST_CASE("areas of a core are those of a snapshot, without libleak.so's own and the trace's slots")
{
    const TemporaryFile file(sample_core().build());
    const CoreFile core = open_core(file.path());
    const Read found = read(core);
    const auto kind_at = [&](uint64_t address) {
        const auto* area = found.image.area_at(address);
        return area == nullptr ? AreaKind{} : area->kind;
    };
    CHECK(kind_at(kProgram) == AreaKind{});
    CHECK(kind_at(kProgram + kPage) == AreaKind::read_only);
    CHECK(kind_at(kProgram + 2 * kPage) == AreaKind::module_data);
    CHECK(kind_at(0x500000) == AreaKind{});
    CHECK(kind_at(0x600000) == AreaKind{});
    CHECK(kind_at(kHeap) == AreaKind::anonymous);
    CHECK(kind_at(kUntouched) == AreaKind{});
    CHECK(kind_at(kGuard) == AreaKind{});
    CHECK(kind_at(kStack) == AreaKind::unused_stack);
    CHECK(kind_at(kStack + (kStackPages - 1) * kPage) == AreaKind::stack);
    CHECK(kind_at(kMainStack) == AreaKind::unused_stack);
    CHECK(kind_at(kMainStack + kPage + 512) == AreaKind::stack);
    CHECK(found.areas.threads_without_stack == 0);
    REQUIRE(found.areas.unseen.size() == 1);
    CHECK(found.areas.unseen[0] == AddressRange{kUntouched, kUntouched + 16 * kPage});
}

TEST_CASE("words of a core are kept as a snapshot keeps them")
{
    const TemporaryFile file(sample_core().build());
    const CoreFile core = open_core(file.path());
    const MemoryImage image = read(core).image;
    CHECK(offsets(image) == std::vector<uint64_t>{0x20, 0x50, 0x60, 0x80, 0x90, 0xa0, 0xc0});
    CHECK(has_word(image, kProgram + kPage)); // read-only data
    CHECK(has_word(image, kUntouched + 8));   // memory of which the core has nothing
    CHECK_FALSE(has_word(image, 0x1234));
    REQUIRE(image.registers.size() == 2);
    CHECK(image.registers[1].values == std::vector<uint64_t>{kHeap + 0x10});
    const std::vector<AddressRange> blocks{{0x1230, 0x1240}};
    CHECK(has_word(read(core, blocks).image, 0x1234)); // a block, wherever it is
}

TEST_CASE("of pages of zeros nothing is known where the core has no holes")
{
    const TemporaryFile file(sample_core().build());
    const MemoryImage image = read(open_core(file.path())).image;
    REQUIRE(!image.resident.empty());
    CHECK(image.resident.front().page == kHeap / kPage);
    CHECK(image.resident.front().pages == 1);
    REQUIRE(!image.unknown.empty());
    CHECK(image.unknown.front().page == kHeap / kPage + 1);
    CHECK(image.unknown.front().pages == 3);
}

TEST_CASE("a core that was cut has what it has, and says what is missing")
{
    const std::vector<std::byte> whole = sample_core().build();
    for (size_t cut = 64; cut < whole.size(); cut += 777) {
        CAPTURE(cut);
        const std::vector<std::byte> bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(cut));
        const TemporaryFile file(bytes);
        try {
            const CoreFile core = open_core(file.path());
            const MemoryImage image = read(core).image;
            CHECK((cut >= kPage || image.words.empty()));
            CHECK(image.figure(leak::format::SnapshotFigure::skipped_bytes) == whole.size() - std::max(cut, kPage));
        } catch (const UserError&) {
            CHECK(cut < kPage);
        }
    }
}

TEST_CASE("what is no core is refused, with the reason")
{
    CHECK(refusal({}).contains("is empty"));
    CHECK(refusal(std::vector<std::byte>(100)).contains("no core file"));
    const std::vector<std::byte> good = sample_core().build();
    CHECK(refusal(good).empty());
    const auto changed = [&](size_t at, auto value) {
        std::vector<std::byte> bytes = good;
        put(bytes, at, value);
        return refusal(bytes);
    };
    CHECK(changed(EI_CLASS, uint8_t{ELFCLASS32}).contains("32-bit"));
    CHECK(changed(offsetof(Elf64_Ehdr, e_machine), uint16_t{EM_AARCH64}).contains("another machine"));
    CHECK(changed(offsetof(Elf64_Ehdr, e_type), uint16_t{ET_DYN}).contains("program or a library"));
    CHECK(changed(offsetof(Elf64_Ehdr, e_phentsize), uint16_t{1}).contains("damaged"));
    CHECK(changed(offsetof(Elf64_Ehdr, e_phoff), uint64_t{UINT64_MAX}).contains("list of segments"));
    CHECK(changed(offsetof(Elf64_Ehdr, e_phnum), uint16_t{PN_XNUM}).contains("how many segments"));
    CHECK(changed(sizeof(Elf64_Ehdr), uint32_t{PT_NULL}).contains("no threads"));
    CHECK(
        changed(sizeof(Elf64_Ehdr) + offsetof(Elf64_Phdr, p_offset), uint64_t{1} << 40).contains("before its threads"));
}

TEST_CASE("segments at impossible addresses are left out")
{
    CoreBuilder builder = sample_core();
    builder.segment(UINT64_MAX - 7, PF_R | PF_W, {1, 2, 3}).segment(kHeap + kPage, PF_R | PF_W, {1, 2, 3});
    const TemporaryFile file(builder.build());
    const CoreFile core = open_core(file.path());
    CHECK(core.odd_segments == 2);
    CHECK(core.segments.size() == 11);
    CHECK(offsets(read(core).image).size() == 7);
}
