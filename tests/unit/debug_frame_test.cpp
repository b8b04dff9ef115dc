// Unwind rules from .debug_frame sections written by hand.
#include "preload/debug_frame.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <initializer_list>
#include <vector>

using namespace leak::preload;
using Kind = UnwindRule::Kind;

namespace {

class Section {
public:
    // Returns the offset of the CIE: CFA = rsp + 8, the return address below it.
    uint32_t common(uint8_t version)
    {
        const size_t at = begin_entry(0xffffffff);
        put(version);
        put<uint8_t>(0); // no augmentation
        if (version == 4) {
            put<uint8_t>(8); // bytes of an address
            put<uint8_t>(0); // of a segment selector
        }
        put<uint8_t>(1);    // code alignment
        put<uint8_t>(0x78); // data alignment -8
        put<uint8_t>(16);   // return address
        for (const uint8_t byte : std::initializer_list<uint8_t>{0x0c, 7, 8, 0x90, 1}) put(byte);
        end_entry(at);
        return static_cast<uint32_t>(at);
    }
    void function(uint32_t common_at, uint64_t start, uint64_t length, std::initializer_list<uint8_t> program)
    {
        const size_t at = begin_entry(common_at);
        put(start);
        put(length);
        for (const uint8_t byte : program) put(byte);
        end_entry(at);
    }
    [[nodiscard]] UnwindRule at(uint64_t pc) const
    {
        DebugFrame frame;
        return frame.index(bytes) ? frame.rule(pc) : UnwindRule::make(Kind::outermost, 0, 0);
    }

    std::vector<uint8_t> bytes;

private:
    template <typename T> void put(T value)
    {
        const size_t at = bytes.size();
        bytes.resize(at + sizeof value);
        std::memcpy(bytes.data() + at, &value, sizeof value);
    }
    size_t begin_entry(uint32_t id)
    {
        const size_t at = bytes.size();
        put<uint32_t>(0);
        put(id);
        return at;
    }
    void end_entry(size_t at)
    {
        while (bytes.size() % 8 != 4) put<uint8_t>(0);
        const auto length = static_cast<uint32_t>(bytes.size() - at - 4);
        std::memcpy(bytes.data() + at, &length, sizeof length);
    }
};

constexpr uint8_t kAdvanceBy4 = 0x44;
constexpr uint8_t kCfaOffset = 0x0e;

// Two functions, not in their order, and one that the linker left out.
Section two_functions(uint8_t version)
{
    Section section;
    const uint32_t common = section.common(version);
    section.function(common, 0x3000, 0x100, {kAdvanceBy4, kCfaOffset, 48});
    section.function(common, 0, 0x10, {});
    section.function(section.common(version), 0x2000, 0x10, {kAdvanceBy4, kCfaOffset, 32});
    return section;
}

} // namespace

TEST_CASE("a function is found by its pc, whatever the order and the version of the tables")
{
    for (const uint8_t version : std::initializer_list<uint8_t>{1, 3, 4}) {
        const Section section = two_functions(version);
        CHECK(section.at(0x2000).cfa_offset() == 8);
        CHECK(section.at(0x2004).cfa_offset() == 32);
        CHECK(section.at(0x200f).cfa_offset() == 32);
        CHECK(section.at(0x3000).cfa_offset() == 8);
        CHECK(section.at(0x30ff).cfa_offset() == 48);
        CHECK(section.at(0x30ff).kind() == Kind::from_rsp);
        for (const uint64_t pc : {uint64_t{0}, uint64_t{5}, uint64_t{0x1fff}, uint64_t{0x2010}, uint64_t{0x2fff},
                                  uint64_t{0x3100}, UINT64_MAX})
            CHECK(section.at(pc).kind() == Kind::none);
    }
}

TEST_CASE("sections that are cut, damaged, or empty give no rule and are not read beyond")
{
    const Section whole = two_functions(4);
    for (size_t bytes = 0; bytes < whole.bytes.size(); ++bytes) {
        // memory of its own, so that a sanitizer sees what is read behind it
        std::vector<uint8_t> cut(whole.bytes.begin(), whole.bytes.begin() + static_cast<std::ptrdiff_t>(bytes));
        DebugFrame frame;
        if (frame.index(cut)) CHECK((frame.rule(0x30ff).kind() == Kind::none || frame.rule(0x30ff).cfa_offset() == 48));
    }
    for (size_t at = 0; at < whole.bytes.size(); ++at) {
        for (const uint8_t value : std::initializer_list<uint8_t>{0x00, 0x7f, 0x80, 0xff}) {
            std::vector<uint8_t> damaged = whole.bytes;
            damaged[at] = value;
            DebugFrame frame;
            if (frame.index(damaged)) static_cast<void>(frame.rule(0x30ff));
        }
    }
    DebugFrame none;
    CHECK_FALSE(none.index({}));
    CHECK(none.rule(0x2000).kind() == Kind::none);
}

TEST_CASE("a file that is not there, none of ours, or without the section leaves nothing behind")
{
    const std::byte page[4096] = {};
    for (const char* path : {"/nonexistent", "/dev/null", "/proc/self/exe", "/"}) {
        DebugFrame frame;
        frame.load(path, page);
        CHECK(frame.rule(0x2000).kind() == Kind::none);
        frame.unload();
    }
}
