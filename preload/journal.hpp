// The journal of a trace: modules, threads, marks and what else happens rarely. Under the state lock.
#pragma once

#include "format/journal.hpp"
#include "preload/trace_file.hpp"

#include <initializer_list>

namespace leak::preload {

class Journal {
public:
    // In the first slot of a file.
    void begin(format::JournalHeader& frame) noexcept
    {
        writer_ = format::JournalWriter(frame);
        slot_ = {};
    }

    // Stamps the record with this moment, or with `stamp`. A full journal goes on in a new slot; when there is none the
    // trace fails as it does for events.
    void write(format::RecordType type, std::initializer_list<format::Piece> payload, uint64_t stamp = 0,
               uint16_t flags = 0) noexcept;

    // A record of this moment without payload, where there is room for it at once. False: there is none.
    [[nodiscard]] bool try_write(format::RecordType type) noexcept;

private:
    format::JournalWriter writer_;
    Slot slot_; // none: the file's first
};

} // namespace leak::preload
