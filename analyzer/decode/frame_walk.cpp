#include "analyzer/decode/frame_walk.hpp"

#include "format/checksum.hpp"

#include <algorithm>

namespace leak::analyzer {

using format::EventChunkHeader;
using format::FrameHeader;
using format::FrameKind;

namespace {

class Walk {
public:
    Walk(const SlotBytes& slot, const FrameSink& sink) : slot_(slot), sink_(sink) {}

    uint64_t run()
    {
        while (at_ < slot_.bytes.size())
            if (const char* fault = step(); fault != nullptr && !recover(fault)) break;
        return used_;
    }

private:
    static constexpr const char* kNoFrame = "what lies here is no frame of a trace";
    static constexpr const char* kBadChunk = "the checksum of an event chunk's header is wrong";

    [[nodiscard]] std::span<const std::byte> left() const { return slot_.bytes.subspan(at_); }

    // Goes over one frame. nullptr, or what is wrong with the one that lies here.
    [[nodiscard]] const char* step()
    {
        format::PaddingHeader padding = {};
        if (!copy_front(left(), padding)) return run_into_end(kNoFrame);
        if (padding.magic == format::kPaddingMagic) return skip_padding(padding);
        FrameHeader header = {};
        if (!copy_front(left(), header)) return run_into_end(kNoFrame);
        return is_ours(header) ? take(header) : kNoFrame;
    }

    [[nodiscard]] static bool is_ours(const FrameHeader& header)
    {
        return header.magic == format::kFrameMagic && header.tag == format::kFrameTag &&
               format::frame_bytes(header) >= sizeof(FrameHeader);
    }

    // A frame that reaches beyond what there is: no fault of its own where the file was cut.
    [[nodiscard]] const char* run_into_end(const char* fault)
    {
        if (!slot_.cut) return fault;
        at_ = slot_.bytes.size();
        return nullptr;
    }

    [[nodiscard]] const char* skip_padding(const format::PaddingHeader& padding)
    {
        const uint64_t bytes = uint64_t{padding.content_bytes} + format::kSkippablePrefixBytes;
        if (bytes > left().size()) return run_into_end(kNoFrame);
        if (sink_.on_padding) sink_.on_padding(slot_.offset + at_);
        at_ += bytes;
        return nullptr;
    }

    [[nodiscard]] const char* take(const FrameHeader& header)
    {
        // A slot frame has one size: its length is not believed, so that a wrong one hides nothing.
        const uint64_t bytes =
            header.kind == FrameKind::slot ? sizeof(format::SlotHeader) : format::frame_bytes(header);
        FrameView view;
        view.cut = bytes > left().size();
        if (view.cut && !slot_.cut) return kNoFrame;
        view.header = header;
        view.offset = slot_.offset + at_;
        view.bytes = left().first(std::min<uint64_t>(bytes, left().size()));
        view.rest = left().subspan(view.bytes.size());
        uint64_t compressed_bytes = 0;
        if (format::is_chunk(header.kind) && !view.cut) {
            EventChunkHeader chunk = {};
            if (!copy_front(view.bytes, chunk) || LEAK_CHECKSUM_UP_TO(chunk, checksum) != chunk.checksum)
                return kBadChunk;
            compressed_bytes = std::min<uint64_t>(chunk.compressed_bytes, view.rest.size());
        }
        if (format::has_part_header(header.kind) && !view.cut) {
            format::PartHeader part = {};
            if (!copy_front(view.bytes, part) || LEAK_CHECKSUM_UP_TO(part, checksum) != part.checksum)
                return "the checksum of a part of the carried state or of a snapshot is wrong";
            compressed_bytes = std::min<uint64_t>(part.compressed_bytes, view.rest.size());
        }
        used_ += view.bytes.size() + compressed_bytes;
        at_ += view.bytes.size() + compressed_bytes;
        sink_.on_frame(view);
        return nullptr;
    }

    // Finds the next frame of ours behind damage; frames lie at 8-byte boundaries.
    [[nodiscard]] bool recover(const char* fault)
    {
        sink_.on_damage(slot_.offset + at_, fault);
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
