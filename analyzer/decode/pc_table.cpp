#include "analyzer/decode/pc_table.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace leak::analyzer {

void PcTable::add_frame(const FrameView& frame, DamageLog& damage)
{
    format::PcsHeader header = {};
    if (!copy_front(frame.bytes, header)) {
        damage.add(frame.offset, "a table of code addresses is shorter than its header");
        return;
    }
    auto left = frame.bytes.subspan(sizeof header);
    if (header.capacity > left.size() / sizeof(format::PcEntry) && !frame.cut)
        damage.add(frame.offset, "a table of code addresses is shorter than it says");
    Part part{frame.offset, header.first_id, {}};
    format::PcEntry entry = {};
    // Entries are taken in order; the last ones of the newest table are still empty.
    for (uint32_t i = 0; i < header.capacity && copy_front(left, entry); ++i) {
        part.pcs.push_back({entry.address, ModuleId{entry.module_index}});
        left = left.subspan(sizeof entry);
    }
    while (!part.pcs.empty() && part.pcs.back().address == 0) part.pcs.pop_back();
    if (!part.pcs.empty()) parts_.push_back(std::move(part));
}

void PcTable::merge(PcTable&& other)
{
    std::ranges::move(other.parts_, std::back_inserter(parts_));
    other.parts_.clear();
}

void PcTable::finish(size_t module_count, DamageLog& damage)
{
    // Ids are given densely: holes come from damaged parts of the file, and they may not fill the memory.
    uint64_t holes_left = 1024 * 1024;
    std::ranges::sort(parts_, {}, [](const Part& part) { return std::pair(part.first_id, part.offset); });
    for (Part& part : parts_) {
        const uint64_t hole = part.first_id > pcs_.size() ? part.first_id - pcs_.size() : 0;
        if (hole > holes_left) {
            damage.add(part.offset, "a table of code addresses has ids far beyond the others");
            continue;
        }
        holes_left -= hole;
        const size_t end = part.first_id + part.pcs.size();
        if (pcs_.size() < end) pcs_.resize(end);
        for (size_t i = 0; i < part.pcs.size(); ++i) {
            Pc& pc = part.pcs[i];
            if (pc.module.value >= module_count) pc.module = ModuleId{};
            if (pc.address != 0) pcs_[part.first_id + i] = pc;
        }
        part.pcs = {};
    }
    parts_.clear();
}

} // namespace leak::analyzer
