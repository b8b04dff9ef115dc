// The journal's records whose slots are used again, but for those of threads of which nothing is left.
//
// One thread. Memory: the records that are kept.
#pragma once

#include "format/layout.hpp"
#include "preload/fold/number_table.hpp"
#include "preload/mapped_array.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace leak::preload {

class FoldJournal {
public:
    // Takes over the records of a journal frame to which nothing is added any more.
    void take(std::span<const std::byte> frame) noexcept;

    // Drops what is said of threads that ended up to `stamp` and are not needed, and of marks and switchings all but
    // the newest. needed: has the index of each thread that is.
    void drop_old(uint64_t stamp, const NumberTable& needed) noexcept;

    // The records as they were, one behind the other, each filled up to 8 bytes.
    [[nodiscard]] const MappedArray<uint64_t>& words() const noexcept { return words_; }
    [[nodiscard]] bool out_of_memory() const noexcept { return words_.out_of_memory() || ended_.out_of_memory(); }

private:
    MappedArray<uint64_t> words_;
    MappedArray<uint32_t> ended_; // threads to be dropped, in order
};

} // namespace leak::preload
