// The code addresses of a trace by pc id (FORMAT.md, section 6).
//
// One thread. Memory is bounded by the entries in the file: ids far beyond what the file holds are refused as damage.
#pragma once

#include "analyzer/decode/damage_log.hpp"
#include "analyzer/decode/frame_walk.hpp"
#include "analyzer/replay/trace_model.hpp"

#include <cstdint>
#include <vector>

namespace leak::analyzer {

class PcTable {
public:
    // Takes the entries of one pcs frame.
    void add_frame(const FrameView& frame, DamageLog& damage);

    // Takes over the frames that were added to `other`.
    void merge(PcTable&& other);

    // After the last frame: puts the parts in order. module_count: indexes from there on are taken as no module.
    void finish(size_t module_count, DamageLog& damage);

    // The address with this id; an empty Pc when the file has none (a stack from a damaged part).
    [[nodiscard]] Pc operator[](uint32_t pc_id) const { return pc_id < pcs_.size() ? pcs_[pc_id] : Pc{}; }

    [[nodiscard]] size_t size() const { return pcs_.size(); }

private:
    struct Part {
        uint64_t offset = 0;
        uint32_t first_id = 0;
        std::vector<Pc> pcs;
    };
    std::vector<Part> parts_;
    std::vector<Pc> pcs_;
};

} // namespace leak::analyzer
