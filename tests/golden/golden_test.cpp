// The checked-in traces give the same answers as on the day they were made.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include "analyzer/analysis/reachability.hpp"
#include "analyzer/replay/replay.hpp"
#include "analyzer/user_error.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

using namespace leak::analyzer;
using enum leak::format::EventKind;

namespace {

ReplayResult replay(const std::string& name, const ReplayOptions& options = {})
{
    return replay_trace(GOLDEN_DIRECTORY "/" + name, options);
}

// What is said behind the file's name when it is refused.
std::string refusal_of(const std::string& name)
{
    const std::string path = GOLDEN_DIRECTORY "/" + name;
    try {
        static_cast<void>(replay_trace(path));
    } catch (const UserError& error) {
        const std::string message = error.what();
        return message.starts_with(path + ": ") ? message.substr(path.size() + 2) : message;
    }
    return "";
}

uint64_t events_of(const Totals& totals)
{
    return std::accumulate(std::begin(totals.events_by_kind), std::end(totals.events_by_kind), uint64_t{0});
}

uint64_t bytes_of(const std::vector<LiveBlock>& blocks)
{
    uint64_t sum = 0;
    for (const LiveBlock& block : blocks) sum += block.bytes;
    return sum;
}

std::vector<std::string> lines_of(const std::vector<Damage>& damage)
{
    std::vector<std::string> lines;
    for (const Damage& one : damage)
        lines.push_back(std::to_string(one.offset) + ": " + one.what + " (" + std::to_string(one.lost_events) + ")");
    return lines;
}

} // namespace

TEST_CASE("v1.0: the process, its modules and its threads")
{
    const ReplayResult result = replay("v1.0.zst");
    CHECK(result.info.exe == "/usr/bin/golden");
    CHECK(result.info.args == std::vector<std::string>{"golden", "--serve"});
    CHECK(result.info.pid == 4711);
    CHECK(result.info.complete);
    CHECK(result.info.duration_ns == 26'950);
    CHECK(result.info.damage.empty());
    REQUIRE(result.modules.size() == 3);
    CHECK(result.modules[1].path == "/usr/bin/golden");
    CHECK(result.modules[2].unloaded_ns == 90'000);
    REQUIRE(result.threads.size() == 2);
    CHECK(result.threads[1].name == "worker");
    CHECK(result.threads[1].started_ns == 500);
    REQUIRE(result.info.marks.size() == 1);
    CHECK(result.info.marks[0].text == "load stop");
}

TEST_CASE("v1.0: what was counted and what is left")
{
    const ReplayResult result = replay("v1.0.zst");
    const Totals& totals = result.totals;
    CHECK(events_of(totals) == 326);
    CHECK(totals.allocations == 188);
    CHECK(totals.releases == 130);
    CHECK(totals.allocated_bytes == 6967);
    CHECK(totals.peak_bytes == 1993);
    CHECK(totals.peak_ns == 26'900);
    CHECK(totals.temporary_allocations == 13);
    CHECK(totals.unmatched_releases == 1);
    CHECK(totals.replaced_blocks == 1);
    CHECK(totals.mismatches == 1);
    CHECK(totals.mapped_bytes == 0x9000);
    CHECK(totals.peak_mapped_bytes == 0x9000);
    CHECK(totals.stacks == 4);
    CHECK(result.unfreed.size() == 58);
    CHECK(bytes_of(result.unfreed) == 1960);
    REQUIRE(result.mapped.size() == 2);
    CHECK(result.mapped[1].address == 0x200000);

    const LiveBlock& last = result.unfreed.back();
    CHECK(last.address == 0x40000 + 167 * 64);
    CHECK(last.allocated_ns == 26'700);
    CHECK(result.stacks.frames(last.stack) ==
          std::vector<Pc>{{0x7f0000001000, ModuleId{2}}, {0x402000, ModuleId{1}}, {0x401000, ModuleId{1}}});
    REQUIRE(result.mismatches.size() == 1);
    CHECK(result.mismatches[0].allocated_by == new_);
    CHECK(result.mismatches[0].released_by == free_);
}

TEST_CASE("v1.0, one bit flipped in a chunk: its events are a gap, the others are read")
{
    const ReplayResult result = replay("v1.0-flipped.zst");
    CHECK(lines_of(result.info.damage) ==
          std::vector<std::string>{"65600: an event chunk can't be decompressed: Data corruption detected (42)"});
    CHECK(result.info.gap_events == 42);
    CHECK(events_of(result.totals) == 326 - 42);
    CHECK_FALSE(result.info.complete);
}

TEST_CASE("v1.0, cut in a chunk: the gap is counted and the buffers that are gone are named")
{
    const ReplayResult result = replay("v1.0-truncated.zst");
    CHECK(lines_of(result.info.damage) ==
          std::vector<std::string>{"65984: the file ends inside an event chunk (101)",
                                   "66084: the file ends inside a slot: 64988 bytes are missing (0)",
                                   "32768: thread 0: 1 event buffer(s) before this one are missing (0)",
                                   "49152: thread 1: 1 event buffer(s) before this one are missing (0)"});
    CHECK(result.info.gap_events == 101);
    CHECK(events_of(result.totals) == 326 - 101 - 40);
}

TEST_CASE("the same events give the same answers in every version")
{
    const ReplayResult old = replay("v1.0.zst");
    for (const char* name : {"v1.1.zst", "v2.0.zst", "v3.0.zst", "v3.1.zst", "v3.2.zst", "v3.3.zst",
                             "v3.4-snapshot.zst", "v3.5.zst", "v3.6.zst"}) {
        CAPTURE(name);
        const ReplayResult result = replay(name);
        CHECK(result.info.damage.empty());
        CHECK(result.info.complete);
        CHECK(events_of(result.totals) == events_of(old.totals));
        CHECK(result.totals.releases == old.totals.releases);
        CHECK(bytes_of(result.unfreed) == bytes_of(old.unfreed));
        CHECK(result.unfreed.back().address == old.unfreed.back().address);
    }
}

TEST_CASE("v2.0, cut between two slots: said, though each slot is whole")
{
    const ReplayResult result = replay("v2.0-cut.zst");
    CHECK(lines_of(result.info.damage) ==
          std::vector<std::string>{"65536: the file was cut: 1 of its 2 slots are whole (0)",
                                   "32768: thread 0: 2 event buffer(s) before this one are missing (0)",
                                   "49152: thread 1: 2 event buffer(s) before this one are missing (0)"});
    CHECK_FALSE(result.info.complete);
}

TEST_CASE("v3.0, a raw buffer that somebody has written into: what can't be read is a gap, the others are read")
{
    const ReplayResult result = replay("v3.0-flipped.zst");
    CHECK(lines_of(result.info.damage) == std::vector<std::string>{"32768: unknown event kind (69)"});
    CHECK(events_of(result.totals) == 326 - 69);
    CHECK_FALSE(result.info.complete);
}

namespace {

// Everything that was counted, and each block that is left, are the same.
void check_same_answers(const ReplayResult& result, const ReplayResult& whole)
{
    CHECK(std::ranges::equal(result.totals.events_by_kind, whole.totals.events_by_kind));
    CHECK(result.totals.allocations == whole.totals.allocations);
    CHECK(result.totals.releases == whole.totals.releases);
    CHECK(result.totals.allocated_bytes == whole.totals.allocated_bytes);
    CHECK(result.totals.peak_bytes == whole.totals.peak_bytes);
    CHECK(result.totals.peak_ns == whole.totals.peak_ns);
    CHECK(result.totals.temporary_allocations == whole.totals.temporary_allocations);
    CHECK(result.totals.unmatched_releases == whole.totals.unmatched_releases);
    CHECK(result.totals.replaced_blocks == whole.totals.replaced_blocks);
    CHECK(result.totals.mismatches == whole.totals.mismatches);
    CHECK(result.totals.mapped_bytes == whole.totals.mapped_bytes);
    CHECK(result.totals.stacks == whole.totals.stacks);
    const auto check_blocks = [&](const std::vector<LiveBlock>& blocks, const std::vector<LiveBlock>& expected) {
        REQUIRE(blocks.size() == expected.size());
        for (size_t i = 0; i < blocks.size(); ++i) {
            CHECK(blocks[i].address == expected[i].address);
            CHECK(blocks[i].bytes == expected[i].bytes);
            CHECK(blocks[i].allocated_ns == expected[i].allocated_ns);
            CHECK(blocks[i].thread == expected[i].thread);
            CHECK(result.stacks.frames(blocks[i].stack) == whole.stacks.frames(expected[i].stack));
        }
    };
    check_blocks(result.unfreed, whole.unfreed);
    check_blocks(result.mapped, whole.mapped);
}

} // namespace

TEST_CASE("v3.4: a snapshot tells what could be reached at its moment")
{
    const ReplayResult result = replay("v3.4-snapshot.zst", {.wants_memory = true});
    CHECK(result.info.damage.empty());
    CHECK(result.info.snapshot_number == 1);
    REQUIRE(result.memory);
    CHECK(result.memory->at_ns == 20'000);
    CHECK(result.memory->image.figure(leak::format::SnapshotFigure::pause_ns) == 200);
    CHECK(result.memory->image.resident.size() == 1);
    CHECK(result.memory->image.unwritten.at(0).since == 10'000);
    const PointerGraph graph(*result.memory, {});
    const Reachability found = find_reachability(graph);
    const auto class_of = [&](uint64_t address) { return found.classes.at(graph.block_at(address)); };
    CHECK(class_of(0x40080) == BlockClass::reachable);
    CHECK(class_of(0x40140) == BlockClass::interior_only);
    CHECK(class_of(0x40200) == BlockClass::unreachable);
    CHECK(class_of(0x402c0) == BlockClass::indirect);
    CHECK(class_of(0x40380) == BlockClass::reachable);
    CHECK(graph.block_at(0x40080 + 64 * 3 * 40) == kNoBlock); // allocated later
}

TEST_CASE("v3.4, one bit flipped in the snapshot: said, and all else is known")
{
    const ReplayResult result = replay("v3.4-snapshot-damaged.zst", {.wants_memory = true});
    CHECK_FALSE(result.memory);
    REQUIRE(result.info.damage.size() == 1);
    CHECK(result.info.damage[0].what.starts_with("a part of the snapshot can't be read"));
    CHECK(events_of(result.totals) == events_of(replay("v3.4-snapshot.zst").totals));
}

TEST_CASE("v3.3: marks from outside are among those of the program, in the order of time")
{
    const ReplayResult result = replay("v3.3.zst");
    REQUIRE(result.info.marks.size() == 3);
    CHECK(result.info.marks[0].text == "from outside");
    CHECK(result.info.marks[0].at_ns == 20'000);
    CHECK(result.info.marks[1].text == "load stop");
    CHECK(result.info.marks[2].text == "from outside, later");
}

TEST_CASE("v3.3, one bit flipped in a mark from outside: said, and the others are read")
{
    const ReplayResult result = replay("v3.3-mark-damaged.zst");
    CHECK(lines_of(result.info.damage) == std::vector<std::string>{"2072: a journal record's checksum is wrong (0)"});
    REQUIRE(result.info.marks.size() == 2);
    CHECK(result.info.marks[0].text == "load stop");
    CHECK(result.info.marks[1].text == "from outside, later");
    CHECK(events_of(result.totals) == 326);
}

TEST_CASE("v3.2, wrapped: folded events are worth what they were")
{
    const ReplayResult whole = replay("v3.2.zst");
    const ReplayResult result = replay("v3.2-wrapped.zst");
    CHECK(result.info.damage.empty());
    CHECK(result.info.complete);
    CHECK(result.info.gap_events == 0);
    CHECK(result.info.folded_ns == 20'050);
    CHECK(result.info.ring_bytes == 8 << 20);
    CHECK_FALSE(whole.info.folded_ns.has_value());
    check_same_answers(result, whole);
    const auto history = result.accounts.history(StackAccounts::Table::kHeap);
    CHECK(history.back().live_bytes == whole.accounts.history(StackAccounts::Table::kHeap).back().live_bytes);

    const LiveBlock& first = result.unfreed.front(); // long before the fold
    CHECK(first.address == 0x20200);
    CHECK(first.allocated_ns == 3040);
}

TEST_CASE("v3.5, forgotten: what is left over of a thread that has ended counts no more")
{
    const ReplayResult result = replay("v3.5-forgotten.zst");
    CHECK(result.info.damage.empty());
    CHECK(result.info.complete);
    CHECK(result.info.folded_ns == 26'950);
    CHECK(result.totals.threads == 2);
    check_same_answers(result, replay("v3.2.zst"));
}

TEST_CASE("v3.6, wrapped: the carried state ends with the latest releases")
{
    const ReplayResult result = replay("v3.6-wrapped.zst");
    CHECK(result.info.damage.empty());
    CHECK(result.info.folded_ns == 20'050);
    check_same_answers(result, replay("v3.6.zst"));
}

TEST_CASE("v3.1, wrapped: without a history")
{
    const ReplayResult result = replay("v3.1-wrapped.zst");
    CHECK(result.info.damage.empty());
    check_same_answers(result, replay("v3.1.zst"));
}

TEST_CASE("v3.2, wrapped, one bit flipped in the carried state: said, and all events that are there are read")
{
    const ReplayResult result = replay("v3.2-wrapped-damaged.zst");
    CHECK(lines_of(result.info.damage) ==
          std::vector<std::string>{"131136: a part of the carried state can't be read: Data corruption detected (0)",
                                   "65600: thread 0: 1 event buffer(s) before this one are missing (0)",
                                   "65816: thread 1: 1 event buffer(s) before this one are missing (0)"});
    CHECK(events_of(result.totals) == 326 - 42 - 41);
    CHECK_FALSE(result.info.complete);
}

TEST_CASE("v3.2, killed: what was in raw buffers is there, and what is there twice counts once")
{
    const ReplayResult result = replay("v3.2-killed.zst");
    CHECK(result.info.damage.empty());
    CHECK(result.info.gap_events == 0);
    CHECK_FALSE(result.info.complete);
    CHECK_FALSE(result.info.still_running);
    check_same_answers(result, replay("v3.2.zst"));
}

TEST_CASE("v3.2, cut in a chunk: the gap is counted and the buffers that are gone are named")
{
    const ReplayResult result = replay("v3.2-truncated.zst");
    CHECK(lines_of(result.info.damage) ==
          std::vector<std::string>{"66144: the file ends inside an event chunk (101)",
                                   "66300: the file was cut: 1 of its 2 slots are whole (0)",
                                   "32768: thread 0: 1 event buffer(s) before this one are missing (0)",
                                   "49152: thread 1: 1 event buffer(s) before this one are missing (0)"});
    CHECK(result.info.gap_events == 101);
    CHECK(events_of(result.totals) == 326 - 101 - 40);
    CHECK_FALSE(result.info.complete);
}

TEST_CASE("v3.2, one bit flipped in a chunk, or in a raw buffer: its events are a gap, the others are read")
{
    const ReplayResult chunk = replay("v3.2-damaged.zst");
    CHECK(lines_of(chunk.info.damage) ==
          std::vector<std::string>{
              "65600: an event chunk can't be decompressed: Restored data doesn't match checksum (42)"});
    CHECK(chunk.info.gap_events == 42);
    CHECK(events_of(chunk.totals) == 326 - 42);
    CHECK_FALSE(chunk.info.complete);
    const ReplayResult raw = replay("v3.2-flipped.zst");
    CHECK(lines_of(raw.info.damage) == std::vector<std::string>{"32768: unknown event kind (69)"});
    CHECK(events_of(raw.totals) == 326 - 69);
}

TEST_CASE("files that are no traces of this version are refused with a line that helps")
{
    CHECK(refusal_of("empty.zst") == "offset 0: the file is empty; trace the program again, with room on the disk");
    CHECK(refusal_of("foreign.zst") ==
          "offset 0: this is no trace; name a file that libleak.so wrote (leak.<exe>.<pid>.zst)");
    CHECK(refusal_of("v4.0-newer.zst") == "offset 64: the trace has format version 4.0, this leakan reads 1.0 to 3.x; "
                                          "use the leakan that belongs to the libleak.so that wrote it");
}
