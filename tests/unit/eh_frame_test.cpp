// Unwind rules from call frame information written by hand, and from this program's own.
#include "preload/eh_frame.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <initializer_list>
#include <vector>

using namespace leak::preload;
using Kind = UnwindRule::Kind;

namespace {

// An .eh_frame_hdr with one CIE and one FDE behind it, for code at offsets [0x100, 0x200) from its start.
class Tables {
public:
    // The initial instructions are what compilers write: CFA = rsp + 8, the return address below it.
    explicit Tables(std::initializer_list<uint8_t> program, const char* augmentation = "zR",
                    std::initializer_list<uint8_t> initial = {0x0c, 7, 8, 0x90, 1})
    {
        put32(0x3b031b01); // version 1, pcrel sdata4, udata4, datarel sdata4
        put32(0);          // .eh_frame, not used
        put32(1);
        put32(0x100);
        const size_t description_at = bytes_.size();
        put32(0);

        const size_t cie = begin_entry();
        put32(0);
        put8(1);
        for (const char* letter = augmentation; *letter != 0; ++letter) put8(static_cast<uint8_t>(*letter));
        put8(0);
        put8(1);    // code alignment
        put8(0x78); // data alignment -8
        put8(16);   // return address
        put8(1);    // augmentation data
        put8(0x1b); // R: pcrel sdata4
        for (const uint8_t byte : initial) put8(byte);
        end_entry(cie);

        store32(description_at, static_cast<uint32_t>(bytes_.size()));
        const size_t fde = begin_entry();
        put32(static_cast<uint32_t>(bytes_.size() - cie));
        put32(static_cast<uint32_t>(0x100 - bytes_.size()));
        put32(0x100);
        put8(0);
        for (const uint8_t byte : program) put8(byte);
        end_entry(fde);
    }

    [[nodiscard]] std::optional<UnwindRule> at(uint64_t offset) const { return at(offset, bytes_.size()); }
    [[nodiscard]] std::optional<UnwindRule> at(uint64_t offset, size_t bytes) const
    {
        return rule_from_eh_frame({bytes_.data(), bytes_.data() + bytes},
                                  reinterpret_cast<uint64_t>(bytes_.data()) + offset);
    }
    [[nodiscard]] size_t bytes() const { return bytes_.size(); }

private:
    void put8(uint8_t value) { bytes_.push_back(value); }
    void put32(uint32_t value)
    {
        bytes_.resize(bytes_.size() + 4);
        store32(bytes_.size() - 4, value);
    }
    void store32(size_t at, uint32_t value) { std::memcpy(&bytes_[at], &value, sizeof value); }
    size_t begin_entry()
    {
        put32(0);
        return bytes_.size() - 4;
    }
    void end_entry(size_t at)
    {
        while ((bytes_.size() - at) % 8 != 4) put8(0);
        store32(at, static_cast<uint32_t>(bytes_.size() - at - 4));
    }

    std::vector<uint8_t> bytes_;
};

void check(std::optional<UnwindRule> rule, Kind kind, uint64_t cfa_offset = 0, uint64_t rbp_below_cfa = 0)
{
    REQUIRE(rule.has_value());
    CHECK(rule->kind() == kind);
    CHECK(rule->cfa_offset() == cfa_offset);
    CHECK(rule->rbp_below_cfa() == rbp_below_cfa);
}

} // namespace

TEST_CASE("a frame of rbp: the rows of its prologue and epilogue")
{
    const Tables tables({0x41, 0x0e, 16, 0x86, 2, 0x43, 0x0d, 6, 0x02, 0x80, 0x0c, 7, 8});
    check(tables.at(0x100), Kind::from_rsp, 8);
    check(tables.at(0x101), Kind::from_rsp, 16, 16);
    check(tables.at(0x103), Kind::from_rsp, 16, 16);
    check(tables.at(0x104), Kind::from_rbp, 16, 16);
    check(tables.at(0x183), Kind::from_rbp, 16, 16);
    check(tables.at(0x184),
          Kind::none); // at the ret: nothing is called from there, and rbp is not in the frame any more
    CHECK_FALSE(tables.at(0xff).has_value());
    CHECK_FALSE(tables.at(0x200).has_value());
}

TEST_CASE("states are remembered and restored, registers too")
{
    const Tables tables({0x41, 0x0e, 16, 0x86, 2, 0x44, 0x0a, 0x0e, 8, 0xc6, 0x44, 0x0b, 0x44, 0x0e, 0x80, 0x02});
    check(tables.at(0x101), Kind::from_rsp, 16, 16);
    check(tables.at(0x105), Kind::from_rsp, 8);
    check(tables.at(0x109), Kind::from_rsp, 16, 16);
    check(tables.at(0x10d), Kind::from_rsp, 256, 16);
}

TEST_CASE("a realigned stack, as GCC describes it")
{
    // def_cfa r10 0; rbp saved at rbp+0; CFA = *(rbp - 8)
    const Tables tables({0x45, 0x0c, 10, 0, 0x49, 0x10, 6, 2, 0x76, 0, 0x45, 0x0f, 3, 0x76, 0x78, 0x06});
    check(tables.at(0x105), Kind::none);
    check(tables.at(0x113), Kind::realigned, 8);
    CHECK(tables.at(0x113)->consumes_rbp());
    CHECK(tables.at(0x113)->restores_rbp());
}

TEST_CASE("what only libunwind can follow has no rule")
{
    check(Tables({0x0c, 3, 16}).at(0x110), Kind::none);                           // CFA from rbx
    check(Tables({0x0f, 2, 0x77, 8}).at(0x110), Kind::none);                      // CFA by another expression
    check(Tables({0x09, 6, 3}).at(0x110), Kind::none);                            // rbp in rbx
    check(Tables({0x09, 16, 3}).at(0x110), Kind::none);                           // the return address in a register
    check(Tables({0x0e, 12}).at(0x110), Kind::none);                              // no multiple of 8
    check(Tables({0x0e, 0x80, 0x80, 0x80, 0x02}).at(0x110), Kind::none);          // a frame of 4 MiB
    check(Tables({}, "zRS").at(0x110), Kind::none);                               // a signal frame
    check(Tables({0x3f}).at(0x110), Kind::none);                                  // no such instruction
    check(Tables({0x0b}).at(0x110), Kind::none);                                  // nothing was remembered
    check(Tables({0x09, 3, 12, 0x16, 12, 1, 0x30}).at(0x110), Kind::from_rsp, 8); // registers that don't matter
}

TEST_CASE("the outermost frame")
{
    check(Tables({0x07, 16}).at(0x110), Kind::outermost);
}

TEST_CASE("tables that end too early give no rule")
{
    const Tables tables({0x41, 0x0e, 16, 0x86, 2});
    check(tables.at(0x110), Kind::from_rsp, 16, 16);
    for (size_t bytes = 0; bytes < tables.bytes(); ++bytes) {
        const auto rule = tables.at(0x110, bytes);
        CHECK((!rule || rule->kind() == Kind::none));
    }
}

TEST_CASE("this program's own functions have rules")
{
    const auto rule = find_unwind_rule(reinterpret_cast<uint64_t>(__builtin_return_address(0)));
    CHECK((rule && rule->kind() != Kind::none));
    const auto nowhere = find_unwind_rule(0x10);
    CHECK((nowhere && nowhere->kind() == Kind::none));
}
