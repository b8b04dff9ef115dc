// The stacks that folded events named: a tree whose nodes are a pc and its caller, and accounts for those that were an
// event's.
//
// One thread. 16 bytes a node and 4 for each of the places that find them. Node 0 is the empty stack.
#pragma once

#include "format/stack_accounts.hpp"
#include "preload/mapped_array.hpp"

#include <bit>

namespace leak::preload {

struct HistoryGrid {
    uint64_t origin;
    unsigned tick_log2;
    size_t most_points;
};

class StackTree {
public:
    struct Node {
        uint32_t caller;
        uint32_t pc_id;
        uint32_t account; // 0: no event had this stack
        uint32_t last_child;
    };
    using Accounts = format::StackAccounts<MappedArray>;

    // Once. history: as StackAccounts::begin() has it. False: no memory.
    [[nodiscard]] bool init(const HistoryGrid& history) noexcept
    {
        nodes_.push_back({});
        accounts_.begin(history.origin, history.tick_log2, history.most_points);
        return !out_of_memory() && rehash(kFewestPlaces);
    }

    [[nodiscard]] uint32_t child(uint32_t caller, uint32_t pc_id) noexcept
    {
        const uint32_t last = nodes_[caller].last_child;
        if (last != 0 && nodes_[last].pc_id == pc_id) return last;
        const uint32_t found = find_or_add(caller, pc_id);
        nodes_[caller].last_child = found;
        return found;
    }
    [[nodiscard]] uint32_t caller(uint32_t node) const noexcept { return nodes_[node].caller; }

    // Of a stack that an event has.
    [[nodiscard]] uint32_t account_of(uint32_t node) noexcept
    {
        uint32_t& account = nodes_[node].account;
        if (account == 0) account = accounts_.open();
        return account;
    }
    [[nodiscard]] Accounts& accounts() noexcept { return accounts_; }
    [[nodiscard]] const Accounts& accounts() const noexcept { return accounts_; }
    [[nodiscard]] size_t stacks() const noexcept { return accounts_.size() - Accounts::kFirstStack; }

    [[nodiscard]] const MappedArray<Node>& nodes() const noexcept { return nodes_; }
    [[nodiscard]] bool out_of_memory() const noexcept
    {
        bool is_out = nodes_.out_of_memory() || places_.out_of_memory();
        accounts_.for_each_array([&](const auto& array) { is_out = is_out || array.out_of_memory(); });
        return is_out;
    }

private:
    static constexpr size_t kFewestPlaces = 4096;

    [[nodiscard]] size_t home_of(uint32_t caller, uint32_t pc_id) const noexcept
    {
        return (uint64_t{caller} << 32 | pc_id) * 0x9e3779b97f4a7c15u >> (64 - std::countr_zero(places_.size()));
    }
    [[nodiscard]] uint32_t find_or_add(uint32_t caller, uint32_t pc_id) noexcept
    {
        if (nodes_.size() * 4 > places_.size() * 3 && !rehash(places_.size() * 2)) return 0;
        size_t place = home_of(caller, pc_id);
        for (; places_[place] != 0; place = (place + 1) & (places_.size() - 1)) {
            const Node& node = nodes_[places_[place]];
            if (node.caller == caller && node.pc_id == pc_id) return places_[place];
        }
        nodes_.push_back({caller, pc_id, 0, 0});
        if (nodes_.out_of_memory()) return 0;
        return places_[place] = static_cast<uint32_t>(nodes_.size() - 1);
    }
    bool rehash(size_t places) noexcept
    {
        MappedArray<uint32_t> fresh; // zero
        if (!fresh.resize(places)) return false;
        places_ = std::move(fresh);
        for (size_t i = 1; i < nodes_.size(); ++i) {
            size_t place = home_of(nodes_[i].caller, nodes_[i].pc_id);
            while (places_[place] != 0) place = (place + 1) & (places_.size() - 1);
            places_[place] = static_cast<uint32_t>(i);
        }
        return true;
    }

    MappedArray<Node> nodes_;
    Accounts accounts_;
    MappedArray<uint32_t> places_; // number of a node; 0: empty. Its size is a power of two
};

} // namespace leak::preload
