#include "analyzer/replay/parent_trace.hpp"

#include "analyzer/replay/replay.hpp"
#include "tests/unit/trace_builder.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

using namespace leak::analyzer;
using namespace leak::test;
using enum leak::format::EventKind;
namespace fs = std::filesystem;

namespace {

// A directory that is gone when the object is.
struct TempDirectory {
    fs::path path;
    TempDirectory()
    {
        std::string name = (fs::temp_directory_path() / "leakan-XXXXXX").string();
        if (mkdtemp(name.data()) != nullptr) path = name;
        REQUIRE(!path.empty());
    }
    ~TempDirectory() { fs::remove_all(path); }
};

constexpr uint64_t kParentId = 0xaaaa;
constexpr uint64_t kChildId = 0xbbbb;
constexpr uint64_t kGrandchildId = 0xcccc;

// Allocates 0x1000 and 0x2000 before the fork at 1000 and frees them after it.
void save_parent(const fs::path& path)
{
    TraceBuilder parent;
    parent.header.trace_id = kParentId;
    parent.module({.index = 1, .path = "/bin/other", .start = 0x700000, .end = 0x800000});
    parent.module({.index = 2, .path = "/bin/app", .start = 0x400000, .end = 0x500000});
    const uint32_t in_app = parent.pc(0x401000, 2);
    const uint32_t in_other = parent.pc(0x701000, 1);
    parent.event(0, {.kind = malloc_, .stamp = 100, .address = 0x1000, .size = 10, .stack = {in_app}});
    parent.event(0, {.kind = new_, .stamp = 200, .address = 0x2000, .size = 20, .stack = {in_other}});
    parent.event(0, {.kind = mmap_, .stamp = 300, .address = 0x100000, .size = 8192});
    parent.event(0, {.kind = free_, .stamp = 1001, .address = 0x1000});
    parent.event(0, {.kind = delete_, .stamp = 1002, .address = 0x2000});
    parent.event(0, {.kind = malloc_, .stamp = 1003, .address = 0x3000, .size = 30});
    parent.save(path);
}

// Starts at 1000. Frees what it inherited at 0x1000, allocates 0x4000.
TraceBuilder make_child(uint64_t id, uint64_t parent_id, uint64_t fork_stamp, const fs::path& parent_path)
{
    TraceBuilder child;
    child.header.trace_id = id;
    child.header.start = {fork_stamp, fork_stamp};
    child.module({.index = 1, .path = "/bin/app", .start = 0x400000, .end = 0x500000, .stamp = fork_stamp});
    child.parent(parent_id, 4710, fork_stamp, parent_path.string());
    return child;
}

} // namespace

TEST_CASE("a forked process knows the blocks of its parent")
{
    const TempDirectory directory;
    save_parent(directory.path / "parent.zst");
    TraceBuilder child = make_child(kChildId, kParentId, 1000, directory.path / "parent.zst");
    child.event(0, {.kind = free_, .stamp = 1100, .address = 0x1000});
    child.event(0, {.kind = malloc_, .stamp = 1200, .address = 0x4000, .size = 40});
    child.event(0, {.kind = munmap_, .stamp = 1300, .address = 0x100000, .size = 4096});
    child.save(directory.path / "child.zst");
    const ReplayResult result = replay_trace(directory.path / "child.zst");
    CHECK(result.info.parent_found);
    CHECK(result.info.fork_ns == 0);
    CHECK(result.totals.unmatched_releases == 0);
    CHECK(result.totals.mismatches == 0);
    CHECK(result.totals.peak_bytes == 40);
    REQUIRE(result.unfreed.size() == 1);
    CHECK(result.unfreed[0].address == 0x4000);
    CHECK(result.unfreed[0].allocated_ns == 200);
    CHECK(result.inherited_blocks == 1);
    CHECK(result.inherited_bytes == 20);
    CHECK(result.mapped.empty());
    CHECK(result.totals.mapped_bytes == 0);
}

TEST_CASE("the stacks of inherited blocks name the child's modules, and those only the parent knew")
{
    const TempDirectory directory;
    save_parent(directory.path / "parent.zst");
    TraceBuilder child = make_child(kChildId, kParentId, 1000, directory.path / "parent.zst");
    child.event(0, {.kind = delete_, .stamp = 1100, .address = 0x1000});
    child.event(0, {.kind = free_, .stamp = 1200, .address = 0x2000});
    child.save(directory.path / "child.zst");
    const ReplayResult result = replay_trace(directory.path / "child.zst");
    REQUIRE(result.mismatches.size() == 2);
    REQUIRE(result.modules.size() == 3);
    CHECK(result.modules[2].path == "/bin/other");
    const Pc by_new = result.stacks.pc(result.mismatches[0].stack); // 20 bytes
    CHECK(by_new == Pc{0x701000, ModuleId{2}});
    CHECK(result.stacks.pc(result.mismatches[1].stack) == Pc{0x401000, ModuleId{1}});
}

TEST_CASE("the parent's trace is found beside the child's when both were moved")
{
    const TempDirectory directory;
    save_parent(directory.path / "parent.zst");
    make_child(kChildId, kParentId, 1000, "/nowhere/parent.zst").save(directory.path / "child.zst");
    const ReplayResult result = replay_trace(directory.path / "child.zst");
    CHECK(result.info.parent_found);
    CHECK(result.inherited_blocks == 2);
}

TEST_CASE("another trace under the parent's name is not taken for it")
{
    const TempDirectory directory;
    save_parent(directory.path / "parent.zst");
    TraceBuilder child = make_child(kChildId, kParentId + 1, 1000, directory.path / "parent.zst");
    child.event(0, {.kind = free_, .stamp = 1100, .address = 0x1000});
    child.save(directory.path / "child.zst");
    const ReplayResult result = replay_trace(directory.path / "child.zst");
    CHECK_FALSE(result.info.parent_found);
    CHECK(result.info.parent_trace_path == (directory.path / "parent.zst").string());
    CHECK(result.totals.unmatched_releases == 1);
}

TEST_CASE("blocks come down from grandparents")
{
    const TempDirectory directory;
    save_parent(directory.path / "parent.zst");
    TraceBuilder child = make_child(kChildId, kParentId, 1000, directory.path / "parent.zst");
    child.event(0, {.kind = free_, .stamp = 1100, .address = 0x1000});
    child.event(0, {.kind = malloc_, .stamp = 1200, .address = 0x5000, .size = 50});
    child.save(directory.path / "child.zst");
    make_child(kGrandchildId, kChildId, 2000, directory.path / "child.zst").save(directory.path / "grandchild.zst");
    const ReplayResult result = replay_trace(directory.path / "grandchild.zst");
    CHECK(result.inherited_blocks == 2);
    CHECK(result.inherited_bytes == 70);
}

TEST_CASE("traces that name each other as parents end")
{
    const TempDirectory directory;
    make_child(kChildId, kGrandchildId, 1000, directory.path / "b.zst").save(directory.path / "a.zst");
    make_child(kGrandchildId, kChildId, 1000, directory.path / "a.zst").save(directory.path / "b.zst");
    const ReplayResult result = replay_trace(directory.path / "a.zst");
    CHECK(result.inherited_blocks == 0);
    make_child(kChildId, kChildId, 1000, directory.path / "a.zst").save(directory.path / "a.zst");
    CHECK_FALSE(replay_trace(directory.path / "a.zst").info.parent_found);
}
