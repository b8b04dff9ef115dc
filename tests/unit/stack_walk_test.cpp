// StackWalk against a simulated thread: frames of every kind of rule come and go on a stack in memory, and the walk
// must find exactly them; the differences it gives must lead a reader from each stack to the next.
#include "preload/pc_table.hpp"
#include "preload/stack_walk.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <vector>

using namespace leak::preload;
using Kind = UnwindRule::Kind;

namespace {

struct Function {
    UnwindRule rule;
    uint64_t frame_bytes; // rsp at its calls lies so far below the CFA
    uint64_t first_pc;    // it has kSites call sites
};
constexpr uint32_t kMostSites = 3;

struct Activation {
    const Function* function;
    uint64_t rsp; // at the call
    uint64_t rbp;
    uint64_t pc; // return address of the call it has made
};

class Machine {
public:
    // A machine of few and small functions makes the same frames again and again in the same places.
    enum class Variety { few, many };
    explicit Machine(uint32_t seed, Variety variety = Variety::many)
        : sites_(variety == Variety::few ? 1 : kMostSites), random_(seed)
    {
        frame_.header.frame = leak::format::make_frame(leak::format::FrameKind::pcs, sizeof frame_);
        frame_.header.capacity = static_cast<uint32_t>(std::size(frame_.entries));
        add_function(UnwindRule::make(Kind::outermost, 0, 0), 64);
        for (uint64_t words = 1; words <= (variety == Variety::few ? 2 : 6); ++words) {
            const uint64_t bytes = words * 8;
            add_function(UnwindRule::make(Kind::from_rsp, bytes, 0), bytes);
            if (words >= 2) add_function(UnwindRule::make(Kind::from_rsp, bytes, 16), bytes);
            if (words >= 2) add_function(UnwindRule::make(Kind::from_rbp, 16, 16), bytes);
            if (words == 4) add_function(UnwindRule::make(Kind::realigned, 8, 0), 0);
        }
        load_code();
        start();
    }

    // The code is there, maybe again: each pc gets an id it did not have before.
    void load_code()
    {
        pcs_.continue_in(frame_.header);
        for (const Function& function : functions_)
            for (uint32_t site = 0; site < kMostSites; ++site)
                REQUIRE(pcs_.add(function.first_pc + site, 1, function.rule).id() != 0);
    }

    void start()
    {
        frames_.clear();
        push(&functions_[0]);
    }
    // Something happens on the thread: it returns from some functions and calls others.
    void step()
    {
        const size_t most = below(6) == 0 ? frames_.size() : std::min<size_t>(frames_.size(), 4);
        const size_t returns = below(most); // stacks grow deep before they fall
        frames_.resize(frames_.size() - returns);
        if (below(4) != 0) call_from(frames_.back()); // the frame goes on and calls from another place
        for (uint64_t calls = below(5); calls > 0 && frames_.size() < 60; --calls)
            push(&functions_[1 + below(functions_.size() - 1)]);
    }
    // The thread returns to some frame, which goes on and makes the same calls again: inside of it all looks the same.
    void come_again()
    {
        const size_t from = below(frames_.size());
        const std::vector<Activation> before(frames_.begin() + static_cast<std::ptrdiff_t>(from) + 1, frames_.end());
        frames_.resize(from + 1);
        call_from(frames_.back());
        for (const Activation& frame : before) {
            push(frame.function);
            frames_.back().pc = word(frames_.back().rsp - 8) = frame.pc;
        }
    }
    // The thread returns to its frame number `from` and makes calls that it may have made before: those of `way`.
    void go_way(size_t from, uint32_t way)
    {
        if (frames_.size() > from + 1) frames_.resize(from + 1);
        std::mt19937 same(way);
        call_from(frames_.back(), same());
        for (uint32_t calls = 0; calls < 3;) {
            const Function& function = functions_[same() % functions_.size()];
            if (function.rule.kind() != Kind::from_rsp) continue;
            push(&function, same());
            ++calls;
        }
    }
    // As a hook would find the thread.
    [[nodiscard]] HookFrame hook() const
    {
        const Activation& top = frames_.back();
        return {top.rbp, reinterpret_cast<const uint64_t*>(top.rsp) - 1};
    }

    [[nodiscard]] std::vector<uint64_t> pcs() const // outermost first
    {
        std::vector<uint64_t> result;
        for (const Activation& frame : frames_) result.push_back(frame.pc);
        return result;
    }
    [[nodiscard]] const PcTable& table() const { return pcs_; }
    uint64_t below(uint64_t bound) { return random_() % bound; }

private:
    void add_function(UnwindRule rule, uint64_t frame_bytes)
    {
        functions_.push_back({rule, frame_bytes, 0x400000 + functions_.size() * 0x100});
    }

    static uint64_t& word(uint64_t address) { return *reinterpret_cast<uint64_t*>(address); }

    void call_from(Activation& frame) { call_from(frame, random_()); }
    void call_from(Activation& frame, uint64_t site)
    {
        frame.pc = frame.function->first_pc + site % sites_;
        word(frame.rsp - 8) = frame.pc;
    }

    void push(const Function* function) { push(function, random_()); }
    void push(const Function* function, uint64_t site)
    {
        const bool is_first = frames_.empty();
        const uint64_t cfa = is_first ? reinterpret_cast<uint64_t>(memory_.get() + kWords - 64) : frames_.back().rsp;
        uint64_t rbp = is_first ? 0 : frames_.back().rbp;
        uint64_t rsp = cfa - function->frame_bytes;
        switch (function->rule.kind()) {
        case Kind::from_rbp:
            word(cfa - 16) = rbp;
            rbp = cfa - 16;
            rsp -= 8 * below(4); // alloca: the same place of a call does not mean the same frame
            break;
        case Kind::realigned: {
            const uint64_t caller_rbp = rbp;
            rbp = (cfa - 24) & ~uint64_t{63};
            word(rbp) = caller_rbp;
            word(rbp - 8) = cfa;
            rsp = rbp - 32;
            break;
        }
        default:
            if (function->rule.restores_rbp()) {
                word(cfa - function->rule.rbp_below_cfa()) = rbp;
                rbp = below(3) == 0 ? cfa - 8 * below(40) : below(1000); // used for anything
            }
        }
        frames_.push_back({function, rsp, rbp, 0});
        call_from(frames_.back(), site);
    }

    static constexpr size_t kWords = 8192;
    uint32_t sites_;
    std::mt19937 random_;
    std::unique_ptr<uint64_t[]> memory_ = std::make_unique<uint64_t[]>(kWords);
    std::vector<Function> functions_;
    std::vector<Activation> frames_;
    struct {
        leak::format::PcsHeader header;
        leak::format::PcEntry entries[256];
    } frame_{};
    PcTable pcs_;
};

uint32_t g_walks = 0;
uint32_t g_known_ways = 0;

StackWalk::Result walk(StackWalk& walk, Machine& machine, uint32_t depth)
{
    for (;;) {
        const HookFrame hook = machine.hook();
        // As the recorder does, or not.
        if (++g_walks % 4 != 0 && walk.walk_known_way(hook, depth)) {
            ++g_known_ways;
            return StackWalk::Result::done;
        }
        const StackWalk::Result result = walk.walk(hook, machine.table(), depth);
        if (result != StackWalk::Result::unknown_memory || !walk.reach(hook)) return result;
    }
}

// What a reader of the trace has.
struct Reader {
    std::vector<uint32_t> ids;
    void apply(const StackWalk& walk)
    {
        const leak::format::StackDelta delta = walk.delta();
        REQUIRE(delta.pop_count <= ids.size());
        ids.resize(ids.size() - delta.pop_count);
        ids.insert(ids.end(), delta.pushed_pc_ids, delta.pushed_pc_ids + delta.push_count);
        for (uint32_t i = 0; i < delta.push_count; ++i) REQUIRE((delta.pushed_pc_ids[i] & ~delta.id_bits) == 0);
    }
};

void check(const StackWalk& walk, const Reader& reader, const Machine& machine, uint32_t depth)
{
    std::vector<uint64_t> expected = machine.pcs();
    const bool is_cut = expected.size() > depth;
    if (is_cut) expected.erase(expected.begin(), expected.end() - depth);
    std::vector<uint64_t> found;
    std::vector<uint32_t> ids;
    for (uint32_t i = 0; i < walk.depth(); ++i) found.push_back(walk.pc(i));
    for (const uint64_t pc : expected) ids.push_back(machine.table().find(pc).id());
    REQUIRE(found == expected);
    REQUIRE(walk.truncated() == is_cut);
    REQUIRE(std::vector(walk.pc_ids(), walk.pc_ids() + walk.depth()) == ids);
    REQUIRE(reader.ids == ids);
}

} // namespace

TEST_CASE("a walk finds the stack, however it came about, and a reader can follow it")
{
    for (const uint32_t depth : {1u, 2u, 7u, 20u, 256u, 1024u}) {
        for (uint32_t seed = 1; seed <= 20; ++seed) {
            Machine machine(seed, seed % 2 == 0 ? Machine::Variety::few : Machine::Variety::many);
            const auto stack = std::make_unique<StackWalk>();
            Reader reader;
            for (int event = 0; event < 3000; ++event) {
                if (machine.below(500) == 0) {
                    machine.load_code();
                    stack->distrust();
                }
                if (machine.below(500) == 0) {
                    stack->forget();
                    reader.ids.clear();
                }
                if (machine.below(3) != 0) machine.step();
                if (machine.below(10) == 0) machine.come_again();
                REQUIRE(walk(*stack, machine, depth) == StackWalk::Result::done);
                reader.apply(*stack);
                check(*stack, reader, machine, depth);
            }
        }
    }
}

TEST_CASE("a thread that goes the same few ways again and again is walked by what is remembered of them")
{
    for (const uint32_t depth : {9u, 256u}) {
        g_walks = g_known_ways = 0;
        for (uint32_t seed = 1; seed <= 30; ++seed) {
            Machine machine(seed);
            const auto stack = std::make_unique<StackWalk>();
            Reader reader;
            for (int event = 0; event < 3000; ++event) {
                const uint64_t chance = machine.below(200);
                if (chance == 0) machine.step();
                if (chance < 3) machine.come_again(); // another caller of the same frames
                if (chance > 3) machine.go_way(1 + seed % 12, static_cast<uint32_t>(machine.below(4)));
                REQUIRE(walk(*stack, machine, depth) == StackWalk::Result::done);
                reader.apply(*stack);
                check(*stack, reader, machine, depth);
            }
        }
        CHECK(g_known_ways > g_walks / 5);
    }
}

TEST_CASE("stacks that libunwind took come in between")
{
    Machine machine(7);
    const auto stack = std::make_unique<StackWalk>();
    Reader reader;
    for (int event = 0; event < 20'000; ++event) {
        machine.step();
        if (machine.below(3) == 0) {
            std::vector<uint64_t> pcs = machine.pcs();
            std::ranges::reverse(pcs);
            std::vector<void*> addresses;
            for (const uint64_t pc : pcs) addresses.push_back(reinterpret_cast<void*>(pc));
            stack->take(addresses.data(), static_cast<uint32_t>(addresses.size()), false,
                        [&](uint64_t pc) { return machine.table().find(pc).id(); });
        } else {
            REQUIRE(walk(*stack, machine, 256) == StackWalk::Result::done);
        }
        reader.apply(*stack);
        check(*stack, reader, machine, 256);
    }
}

TEST_CASE("a frame that leads nowhere is left to libunwind, and nothing is read that can't be")
{
    Machine machine(3);
    const auto stack = std::make_unique<StackWalk>();
    for (int event = 0; event < 50; ++event) machine.step();
    uint64_t return_address = 0x123456789; // no pc that is known
    const HookFrame nowhere{0x10, &return_address};
    StackWalk::Result result = stack->walk(nowhere, machine.table(), 256);
    CHECK(result == StackWalk::Result::unknown_memory);
    REQUIRE(stack->reach(nowhere));
    result = stack->walk(nowhere, machine.table(), 256);
    CHECK(result == StackWalk::Result::unknown_pc);
    CHECK(stack->blocked_on() == 0x123456789);
    // A function that keeps its frame in rbp, which holds no address: from_rbp is one of the first few.
    bool saw_refusal = false;
    for (uint64_t pc = 0x400100; pc < 0x401200; pc += 0x100) {
        if (machine.table().find(pc).rule().kind() != Kind::from_rbp) continue;
        for (const uint64_t rbp : {uint64_t{0}, uint64_t{0x10}, ~uint64_t{0} - 15, uint64_t{0x7000'0000'0001}}) {
            return_address = pc;
            const HookFrame bad{rbp, &return_address};
            result = stack->walk(bad, machine.table(), 256);
            if (result == StackWalk::Result::unknown_memory && !stack->reach(bad)) saw_refusal = true;
            CHECK(result != StackWalk::Result::done);
        }
    }
    CHECK(saw_refusal);
}

TEST_CASE("a range of a stack grows over readable pages, both ways, and never over others")
{
    constexpr uint64_t kPages = 8;
    constexpr uint64_t kHole = 5;
    auto* const memory = static_cast<char*>(os::map_memory(kPages * kPageBytes));
    REQUIRE(memory != nullptr);
    os::forbid(memory + kHole * kPageBytes, kPageBytes);
    const auto at = [memory](uint64_t page, uint64_t offset = 0) {
        return reinterpret_cast<uint64_t>(memory) + page * kPageBytes + offset;
    };
    StackRange range;
    CHECK_FALSE(range.covers(at(2)));
    CHECK(range.extend(at(2, 8), at(3, 16)));
    CHECK(range.covers(at(2)));
    CHECK(range.covers(at(3, 4088)));
    CHECK_FALSE(range.covers(at(3, 4084))); // not aligned
    CHECK_FALSE(range.covers(at(1)));
    CHECK_FALSE(range.covers(at(4)));
    CHECK(range.extend(at(0, 64), at(1))); // the stack has grown
    CHECK(range.covers(at(0)));
    CHECK(range.covers(at(3)));
    CHECK(range.extend(at(4), at(4)));
    CHECK_FALSE(range.extend(at(4), at(6))); // a page between them can't be read
    CHECK_FALSE(range.covers(at(5)));
    CHECK(range.extend(at(6), at(7))); // another stack: begins anew
    CHECK(range.covers(at(7)));
    CHECK_FALSE(range.covers(at(4)));
    CHECK_FALSE(range.extend(at(6), at(4)));              // outwards is up
    CHECK_FALSE(range.extend(at(6), at(6) + (1u << 30))); // no stack reaches so far
    os::unmap(memory, kPages * kPageBytes);
}
