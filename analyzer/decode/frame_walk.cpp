#include "analyzer/decode/frame_walk.hpp"

#include "format/checksum.hpp"

#include <algorithm>

namespace leak::analyzer {

using format::FrameHeader;
using format::FrameKind;

namespace {

class Walk {
public:
    Walk(const SlotBytes& slot, const FrameSink& sink) : slot_(slot), sink_(sink) {}

    uint64_t run()
    {
        while (at_ < slot_.bytes.size())
            if (!step() && !recover()) break;
        return used_;
    }

private:
    [[nodiscard]] std::span<const std::byte> left() const { return slot_.bytes.subspan(at_); }

    // False when what lies here is no frame.
    [[nodiscard]] bool step()
    {
        format::PaddingHeader padding = {};
        if (!copy_front(left(), padding)) return slot_.cut ? finish() : false;
        if (padding.magic == format::kPaddingMagic) return skip_padding(padding);
        FrameHeader header = {};
        if (!copy_front(left(), header)) return slot_.cut ? finish() : false;
        if (!is_ours(header)) return false;
        return take(header);
    }

    [[nodiscard]] static bool is_ours(const FrameHeader& header)
    {
        return header.magic == format::kFrameMagic && header.tag == format::kFrameTag &&
               format::frame_bytes(header) >= sizeof(FrameHeader);
    }

    [[nodiscard]] bool finish()
    {
        at_ = slot_.bytes.size();
        return true;
    }

    [[nodiscard]] bool skip_padding(const format::PaddingHeader& padding)
    {
        const uint64_t bytes = uint64_t{padding.content_bytes} + format::kSkippablePrefixBytes;
        if (bytes > left().size()) return slot_.cut ? finish() : false;
        at_ += bytes;
        return true;
    }

    [[nodiscard]] bool take(const FrameHeader& header)
    {
        const uint64_t bytes = format::frame_bytes(header);
        const bool cut = bytes > left().size();
        if (cut && !slot_.cut) return false;
        FrameView view;
        view.header = header;
        view.offset = slot_.offset + at_;
        view.bytes = left().first(std::min<uint64_t>(bytes, left().size()));
        view.rest = left().subspan(view.bytes.size());
        view.cut = cut;
        used_ += view.bytes.size();
        at_ += view.bytes.size();
        if (header.kind == FrameKind::events) skip_compressed(view);
        sink_.on_frame(view);
        return true;
    }

    // A chunk's zstd frame has no length of its own that is cheap to find: the chunk header says it.
    void skip_compressed(FrameView& view)
    {
        format::EventChunkHeader chunk = {};
        if (!copy_front(view.bytes, chunk) || LEAK_CHECKSUM_UP_TO(chunk, checksum) != chunk.checksum) return;
        const uint64_t bytes = std::min<uint64_t>(chunk.compressed_bytes, view.rest.size());
        view.cut = view.cut || (slot_.cut && chunk.compressed_bytes > view.rest.size());
        used_ += bytes;
        at_ += bytes;
    }

    // Finds the next frame of ours behind damage; frames lie at 8-byte boundaries.
    [[nodiscard]] bool recover()
    {
        sink_.on_damage(slot_.offset + at_, "what lies here is no frame of a trace");
        if (!slot_.resync) return false;
        for (at_ = (at_ + 8) & ~size_t{7}; at_ + sizeof(FrameHeader) <= slot_.bytes.size(); at_ += 8) {
            FrameHeader header = {};
            if (copy_front(left(), header) && is_ours(header)) return true;
        }
        return false;
    }

    const SlotBytes& slot_;
    const FrameSink& sink_;
    size_t at_ = 0;
    uint64_t used_ = 0;
};

} // namespace

uint64_t walk_frames(const SlotBytes& slot, const FrameSink& sink)
{
    return Walk(slot, sink).run();
}

} // namespace leak::analyzer
