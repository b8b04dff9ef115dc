#include "analyzer/decode/journal.hpp"

#include "analyzer/user_error.hpp"
#include "format/journal.hpp"

#include <doctest/doctest.h>

#include <string_view>
#include <vector>

using namespace leak::analyzer;
using leak::format::RecordType;
using namespace std::string_view_literals;

namespace {

// A journal frame of `bytes`, written by the preload's writer.
struct Frame {
    explicit Frame(size_t bytes = 4096) : memory(bytes / 8)
    {
        header().frame = leak::format::make_frame(leak::format::FrameKind::journal, bytes);
        writer = leak::format::JournalWriter(header());
    }
    leak::format::JournalHeader& header() { return *reinterpret_cast<leak::format::JournalHeader*>(memory.data()); }
    [[nodiscard]] std::span<std::byte> bytes() { return std::as_writable_bytes(std::span(memory)); }
    bool add(RecordType type, uint64_t stamp, std::string_view payload, uint16_t flags = 0)
    {
        return writer.append(type, stamp, {leak::format::piece_of_text(payload.data(), payload.size())}, flags);
    }
    FrameView view()
    {
        FrameView frame;
        frame.header = header().frame;
        frame.offset = 1000;
        frame.bytes = bytes();
        return frame;
    }
    JournalFacts read(DamageLog& damage)
    {
        std::vector<JournalRecord> records;
        read_journal_frame(view(), records, damage);
        const StampConverter clock(0);
        const std::string path = "test.zst";
        return read_journal(std::move(records), {clock, path, 1 << 20, 10'000}, damage);
    }

    std::vector<uint64_t> memory;
    leak::format::JournalWriter writer;
};

} // namespace

TEST_CASE("process, marks and settings of a journal read back")
{
    Frame frame;
    REQUIRE(frame.add(RecordType::process, 0, "/bin/app\0/tmp\0app\0\0-x\0"sv));
    REQUIRE(frame.add(RecordType::setting, 0, "LEAK_DEPTH=64"));
    REQUIRE(frame.add(RecordType::mark, 500, "load stop"));
    DamageLog damage;
    const JournalFacts facts = frame.read(damage);
    CHECK(facts.exe == "/bin/app");
    CHECK(facts.working_directory == "/tmp");
    CHECK(facts.args == std::vector<std::string>{"app", "", "-x"});
    CHECK(facts.settings == std::vector<std::string>{"LEAK_DEPTH=64"});
    REQUIRE(facts.marks.size() == 1);
    CHECK(facts.marks[0].at_ns == 500);
    CHECK(facts.marks[0].text == "load stop");
    CHECK(damage.empty());
}

TEST_CASE("a journal without room refuses a record and stays as it was")
{
    Frame frame(sizeof(leak::format::JournalHeader) + 64);
    REQUIRE(frame.add(RecordType::mark, 1, "12345678"));
    CHECK_FALSE(frame.add(RecordType::mark, 2, "a text that is longer than what is left of the frame"));
    CHECK(frame.add(RecordType::mark, 3, ""));
    DamageLog damage;
    CHECK(frame.read(damage).marks.size() == 2);
    CHECK(damage.empty());
}

TEST_CASE("records are read in the order of their stamps")
{
    Frame frame;
    REQUIRE(frame.add(RecordType::recording_started, 300, ""));
    REQUIRE(frame.add(RecordType::recording_stopped, 100, ""));
    REQUIRE(frame.add(RecordType::recording_stopped, 700, ""));
    DamageLog damage;
    const JournalFacts facts = frame.read(damage);
    REQUIRE(facts.paused.size() == 2);
    CHECK(facts.paused[0] == std::pair<int64_t, int64_t>(100, 300));
    CHECK(facts.paused[1] == std::pair<int64_t, int64_t>(700, INT64_MAX));
}

TEST_CASE("a damaged record is counted and the others are read")
{
    Frame frame;
    REQUIRE(frame.add(RecordType::mark, 1, "one"));
    REQUIRE(frame.add(RecordType::mark, 2, "two"));
    REQUIRE(frame.add(RecordType::mark, 3, "three"));
    frame.bytes()[24 + 32 + 24] ^= std::byte{1}; // the payload of the second record
    DamageLog damage;
    const JournalFacts facts = frame.read(damage);
    REQUIRE(facts.marks.size() == 2);
    CHECK(facts.marks[1].text == "three");
    REQUIRE(damage.entries().size() == 1);
    CHECK(damage.entries()[0].offset == 1000 + 24 + 32);
}

TEST_CASE("an unknown record is skipped when it may be, and refused when not")
{
    DamageLog damage;
    Frame ignorable;
    REQUIRE(ignorable.add(static_cast<RecordType>(99), 1, "x", leak::format::kIgnorable));
    REQUIRE(ignorable.add(RecordType::mark, 2, "m"));
    CHECK(ignorable.read(damage).marks.size() == 1);
    CHECK(damage.empty());

    Frame needed;
    REQUIRE(needed.add(static_cast<RecordType>(99), 1, "x"));
    CHECK_THROWS_AS(static_cast<void>(needed.read(damage)), UserError);
}

TEST_CASE("records shorter than their type needs are damage")
{
    for (const RecordType type : {RecordType::process, RecordType::parent, RecordType::module_loaded,
                                  RecordType::module_unloaded, RecordType::thread_started}) {
        Frame frame;
        REQUIRE(frame.add(type, 1, "abc"));
        DamageLog damage;
        static_cast<void>(frame.read(damage));
        CHECK(damage.entries().size() == 1);
    }
}
