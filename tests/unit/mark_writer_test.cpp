#include "analyzer/decode/mark_writer.hpp"

#include "analyzer/decode/trace_file.hpp"
#include "analyzer/user_error.hpp"
#include "tests/unit/own_trace.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <random>
#include <sys/wait.h>

using namespace leak::analyzer;
using namespace leak::test;
using leak::format::JournalHeader;
using leak::format::kFirstJournalOffset;
using leak::format::kOthersJournalOffset;

namespace {

std::vector<std::byte> bytes_of(const TempTrace& file)
{
    const FileReader reader(file.path());
    std::vector<std::byte> bytes(reader.size_bytes());
    REQUIRE(reader.read_at(0, bytes) == bytes.size());
    return bytes;
}

// "" when the mark was written.
std::string refusal_of(const TempTrace& file, const std::string& text)
{
    try {
        write_mark(file.path(), text);
        return "";
    } catch (const UserError& error) {
        return error.what();
    }
}

std::string refusal_of(TraceBuilder& trace)
{
    return refusal_of(TempTrace(trace.image()), "x");
}

bool says(const std::string& message, const std::string& part)
{
    CAPTURE(message);
    return message.find(part) != std::string::npos;
}

std::vector<std::string> marks_in(const TempTrace& file)
{
    std::vector<std::string> texts;
    for (const Mark& mark : open_trace(file.path()).info.marks) texts.push_back(mark.text);
    return texts;
}

} // namespace

TEST_CASE("marks from outside come in the order of time among those of the program")
{
    TraceBuilder trace = own_trace();
    trace.record(leak::format::RecordType::mark, 50, "its own");
    const TempTrace file(trace.image());
    const auto before = read_clock(leak::format::StampClock::monotonic_ns);
    write_mark(file.path(), "first");
    write_mark(file.path(), "second, which is longer");
    const auto after = read_clock(leak::format::StampClock::monotonic_ns);
    const TraceContents read = open_trace(file.path());
    CHECK(read.damage.empty());
    REQUIRE(read.info.marks.size() == 3);
    CHECK(read.info.marks[0].text == "its own");
    CHECK(read.info.marks[1].text == "first");
    CHECK(read.info.marks[2].text == "second, which is longer");
    CHECK(read.info.marks[1].at_ns >= static_cast<int64_t>(before->stamp));
    CHECK(read.info.marks[2].at_ns > read.info.marks[1].at_ns);
    CHECK(read.info.marks[2].at_ns <= static_cast<int64_t>(after->stamp));
}

TEST_CASE("the room is used to its end, and no byte outside of it is written")
{
    const auto image = own_trace().image();
    for (const size_t bytes : {size_t{1}, size_t{40}, size_t{leak::format::kMostMarkBytes}}) {
        const TempTrace file(image);
        size_t written = 0;
        std::string refusal;
        for (; refusal.empty(); ++written) refusal = refusal_of(file, std::string(bytes, 'x'));
        CHECK(says(refusal, "no more room for marks"));
        const size_t record = leak::format::align8(sizeof(leak::format::RecordHeader) + bytes);
        CHECK(written - 1 == (kFirstJournalOffset - kOthersJournalOffset - sizeof(JournalHeader)) / record);
        CHECK(marks_in(file).size() == written - 1);
        const auto now = bytes_of(file);
        REQUIRE(now.size() == image.size());
        CHECK(std::memcmp(now.data(), image.data(), kOthersJournalOffset + sizeof(JournalHeader)) == 0);
        CHECK(std::memcmp(&now[kFirstJournalOffset], &image[kFirstJournalOffset], image.size() - kFirstJournalOffset) ==
              0);
    }
}

TEST_CASE("what somebody left who was killed before he had written his mark does no harm")
{
    auto image = own_trace().image();
    constexpr size_t kRecord = kOthersJournalOffset + sizeof(JournalHeader);
    std::fill_n(image.begin() + kRecord + sizeof(uint32_t), 200, std::byte{'y'});
    const TempTrace file(image);
    write_mark(file.path(), "short");
    write_mark(file.path(), "also");
    CHECK(open_trace(file.path()).damage.empty());
    CHECK(marks_in(file) == std::vector<std::string>{"short", "also"});
}

TEST_CASE("processes that mark at once lose none")
{
    const TempTrace file(own_trace().image());
    constexpr int kProcesses = 8;
    constexpr int kEach = 8;
    for (int i = 0; i < kProcesses; ++i)
        if (fork() == 0) {
            for (int n = 0; n < kEach; ++n) write_mark(file.path(), std::to_string(i) + "." + std::to_string(n));
            _exit(0);
        }
    // Under valgrind and sanitizers too: who can't write fails the test by what is missing.
    for (int i = 0; i < kProcesses; ++i) wait(nullptr);
    auto texts = marks_in(file);
    std::ranges::sort(texts);
    CHECK(texts.size() == size_t{kProcesses} * kEach);
    CHECK(std::ranges::adjacent_find(texts) == texts.end());
}

TEST_CASE("a trace that can't be marked is refused with the cause")
{
    TraceBuilder trace = own_trace();
    CHECK(refusal_of(trace).empty());
    trace.header.boot_id[0] ^= 1;
    CHECK(says(refusal_of(trace), "another machine"));
    trace.header.boot_id[0] ^= 1;
    ++trace.header.process_start_ticks;
    CHECK(says(refusal_of(trace), "has ended"));
    --trace.header.process_start_ticks;
    trace.header.end_state = leak::format::EndState::exec;
    CHECK(says(refusal_of(trace), "has become another program"));
    trace.header.end_state = leak::format::EndState::open;

    auto image = trace.image();
    JournalHeader journal = {};
    std::memcpy(&journal, &image[kOthersJournalOffset], sizeof journal);
    journal.owner = leak::format::JournalOwner::process; // as before 3.3
    std::memcpy(&image[kOthersJournalOffset], &journal, sizeof journal);
    CHECK(says(refusal_of(TempTrace(image), "x"), "since version 3.3"));

    image = trace.image();
    const TempTrace cut{std::span(image).first(100'000)};
    CHECK(says(refusal_of(cut, "x"), "the file was cut"));
    CHECK(bytes_of(cut).size() == 100'000);

    const TempTrace whole(image);
    CHECK(says(refusal_of(whole, ""), "without text"));
    CHECK(says(refusal_of(whole, std::string(leak::format::kMostMarkBytes + 1, 'x')), "at most 120 bytes"));
    CHECK(bytes_of(whole) == image);
}

TEST_CASE("damaged room for marks is left as it is, or takes the mark; nothing else is written")
{
    const TempTrace file(own_trace().image());
    for (const char* text : {"one", "two", "three"}) write_mark(file.path(), text);
    const auto image = bytes_of(file);
    std::mt19937 random(7);
    constexpr size_t kTouched = kOthersJournalOffset + 200; // from the file header on
    size_t refused = 0;
    for (int round = 0; round < 3000; ++round) {
        auto damaged = image;
        const size_t from = round % 2 == 0 ? kOthersJournalOffset : 64;
        for (int i = 0; i < 3; ++i)
            damaged[from + random() % (kTouched - from)] ^= static_cast<std::byte>(1u << random() % 8);
        file.replace(damaged);
        const bool written = refusal_of(file, "four").empty();
        refused += written ? 0 : 1;
        const auto now = bytes_of(file);
        REQUIRE(now.size() == image.size());
        const auto changed = std::ranges::mismatch(now, damaged);
        CHECK((changed.in1 == now.end()) != written);
        const auto first = static_cast<size_t>(changed.in1 - now.begin());
        if (written) CHECK((first >= kOthersJournalOffset && first < kFirstJournalOffset));
        if (written && open_trace(file.path()).damage.empty()) CHECK(marks_in(file).back() == "four");
    }
    CHECK(refused > 1000);
}
