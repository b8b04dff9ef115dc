#include "preload/journal.hpp"

#include "preload/tracer.hpp"

namespace leak::preload {

void Journal::write(format::RecordType type, std::initializer_list<format::Piece> payload, uint64_t stamp,
                    uint16_t flags) noexcept
{
    if (!g_tracer.file.exists()) return;
    if (stamp == 0) stamp = g_tracer.now();
    g_tracer.clock.beat();
    if (writer_.append(type, stamp, payload, flags)) return;
    const Slot slot = g_tracer.new_slot(format::SlotKind::journal);
    if (!slot) return;
    writer_ = format::JournalWriter(slot.body<format::JournalHeader>());
    if (slot_) g_tracer.file.close_slot(slot_);
    slot_ = slot;
    // A record larger than a slot can only be a list of arguments, which is cut before it comes here.
    static_cast<void>(writer_.append(type, stamp, payload, flags));
}

bool Journal::try_write(format::RecordType type) noexcept
{
    const uint64_t stamp = g_tracer.now();
    g_tracer.clock.beat();
    return writer_.append(type, stamp, {});
}

} // namespace leak::preload
