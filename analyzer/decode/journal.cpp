#include "analyzer/decode/journal.hpp"

#include "analyzer/user_error.hpp"
#include "format/checksum.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <map>
#include <string_view>
#include <utility>

namespace leak::analyzer {

using format::RecordHeader;
using format::RecordType;

size_t read_journal_frame(const FrameView& frame, std::vector<JournalRecord>& records, DamageLog& damage)
{
    constexpr size_t kHeader = sizeof(format::JournalHeader);
    if (frame.bytes.size() < kHeader) return frame.bytes.size();
    return kHeader +
           read_journal_records(frame.bytes.subspan(kHeader), frame.offset + kHeader, frame.cut, records, damage);
}

size_t read_journal_records(std::span<const std::byte> bytes, uint64_t offset_of_first, bool is_cut,
                            std::vector<JournalRecord>& records, DamageLog& damage)
{
    size_t at = 0;
    while (at + sizeof(RecordHeader) <= bytes.size()) {
        const auto left = bytes.subspan(at);
        RecordHeader header = {};
        if (!copy_front(left, header) || header.bytes == 0) break;
        const uint64_t offset = offset_of_first + at;
        if (header.bytes < sizeof(RecordHeader) || header.bytes > left.size()) {
            if (!is_cut) damage.add(offset, "a journal record's length is wrong: the records behind it are lost");
            break;
        }
        constexpr size_t covered_from = offsetof(RecordHeader, type);
        const auto covered = left.subspan(covered_from, header.bytes - covered_from);
        at += format::align8(header.bytes);
        if (format::checksum(covered.data(), covered.size()) != header.checksum) {
            damage.add(offset, "a journal record's checksum is wrong");
            continue;
        }
        const auto payload = left.subspan(sizeof(RecordHeader), header.bytes - sizeof(RecordHeader));
        records.push_back({header.type, header.flags, header.stamp, offset, {payload.begin(), payload.end()}});
    }
    return at;
}

namespace {

// Reads the front of a payload; every length is checked.
class PayloadReader {
public:
    explicit PayloadReader(const std::vector<std::byte>& payload) : left_(payload) {}

    template <typename T> [[nodiscard]] bool take(T& value)
    {
        if (!copy_front(left_, value)) return false;
        left_ = left_.subspan(sizeof(T));
        return true;
    }
    [[nodiscard]] bool take_text(size_t bytes, std::string& text)
    {
        if (left_.size() < bytes) return false;
        text.assign(reinterpret_cast<const char*>(left_.data()), bytes);
        left_ = left_.subspan(bytes);
        return true;
    }
    [[nodiscard]] std::string rest()
    {
        std::string text;
        static_cast<void>(take_text(left_.size(), text));
        return text;
    }
    [[nodiscard]] size_t bytes_left() const { return left_.size(); }

private:
    std::span<const std::byte> left_;
};

class JournalParser {
public:
    JournalParser(const JournalContext& context, DamageLog& damage) : context_(context), damage_(damage)
    {
        facts_.modules.resize(1);
    }

    void apply(const JournalRecord& record)
    {
        PayloadReader payload(record.payload);
        if (!read(record, payload)) damage_.add(record.offset, "a journal record does not hold what its type says");
    }

    [[nodiscard]] JournalFacts finish()
    {
        if (paused_since_) facts_.paused.emplace_back(*paused_since_, std::numeric_limits<int64_t>::max());
        for (auto& [index, thread] : threads_) facts_.threads.push_back(std::move(thread));
        return std::move(facts_);
    }

private:
    [[nodiscard]] bool read(const JournalRecord& record, PayloadReader& payload)
    {
        const int64_t at_ns = context_.clock.to_ns(record.stamp);
        switch (record.type) {
        case RecordType::process:
            return read_process(payload);
        case RecordType::parent:
            return read_parent(record, payload);
        case RecordType::module_loaded:
            return read_module(at_ns, payload);
        case RecordType::module_unloaded:
            return read_unloaded(at_ns, payload);
        case RecordType::thread_started:
        case RecordType::thread_named:
        case RecordType::thread_ended:
            return read_thread(record.type, at_ns, payload);
        case RecordType::mark:
            facts_.marks.push_back({at_ns, payload.rest()});
            return true;
        case RecordType::recording_stopped:
            if (!paused_since_) paused_since_ = at_ns;
            return true;
        case RecordType::recording_started:
            if (paused_since_) facts_.paused.emplace_back(*paused_since_, at_ns);
            paused_since_.reset();
            return true;
        case RecordType::exec:
            facts_.exec_path = payload.rest();
            return true;
        case RecordType::setting:
            facts_.settings.push_back(payload.rest());
            return true;
        case RecordType::stack_difference:
            return read_difference(at_ns, payload);
        }
        return read_unknown(record);
    }

    [[nodiscard]] bool read_unknown(const JournalRecord& record) const
    {
        if ((record.flags & format::kIgnorable) != 0) return true;
        throw UserError(context_.path, record.offset,
                        "a journal record of the unknown type " + std::to_string(static_cast<unsigned>(record.type)) +
                            "; use the version of leakan that belongs to the libleak.so that wrote the trace");
    }

    [[nodiscard]] bool read_process(PayloadReader& payload)
    {
        const std::string text = payload.rest();
        std::vector<std::string> parts;
        for (size_t at = 0; at < text.size();) {
            const size_t end = std::min(text.find('\0', at), text.size());
            parts.push_back(text.substr(at, end - at));
            at = end + 1;
        }
        if (parts.size() < 2) return false;
        facts_.exe = parts[0];
        facts_.working_directory = parts[1];
        facts_.args.assign(parts.begin() + 2, parts.end());
        return true;
    }

    [[nodiscard]] bool read_parent(const JournalRecord& record, PayloadReader& payload)
    {
        format::ParentRecord parent = {};
        if (!payload.take(parent)) return false;
        facts_.parent = ParentLink{parent.trace_id, parent.pid, record.stamp, payload.rest()};
        return true;
    }

    [[nodiscard]] bool read_module(int64_t at_ns, PayloadReader& payload)
    {
        format::ModuleRecord record = {};
        if (!payload.take(record) || record.module_index == format::kNoModule) return false;
        if (record.module_index > index_bound(context_.file_bytes)) return false;
        if (record.segment_count > payload.bytes_left() / sizeof(format::SegmentRecord)) return false;
        Module module;
        module.id = ModuleId{record.module_index};
        module.bias = record.bias;
        module.start = record.start;
        module.end = record.end;
        module.loaded_ns = at_ns;
        for (uint32_t i = 0; i < record.segment_count; ++i) {
            format::SegmentRecord segment = {};
            if (!payload.take(segment)) return false;
            module.segments.push_back({segment.start, segment.end, segment.flags});
        }
        std::string build_id;
        if (record.build_id_bytes > format::kMaxBuildIdBytes || !payload.take_text(record.build_id_bytes, build_id) ||
            !payload.take_text(record.path_bytes, module.path))
            return false;
        module.build_id.assign(build_id.begin(), build_id.end());
        if (facts_.modules.size() <= record.module_index) facts_.modules.resize(record.module_index + size_t{1});
        facts_.modules[record.module_index] = std::move(module);
        return true;
    }

    [[nodiscard]] bool read_unloaded(int64_t at_ns, PayloadReader& payload)
    {
        uint32_t index = 0;
        if (!payload.take(index) || index == format::kNoModule) return false;
        // The record of its loading may be lost with a damaged part of the file.
        if (index < facts_.modules.size()) facts_.modules[index].unloaded_ns = at_ns;
        return true;
    }

    [[nodiscard]] bool read_thread(RecordType type, int64_t at_ns, PayloadReader& payload)
    {
        format::ThreadRecord record = {};
        if (!payload.take(record) || record.thread_index > context_.thread_bound) return false;
        Thread& thread = threads_[record.thread_index];
        thread.id = ThreadId{record.thread_index};
        thread.tid = record.tid;
        if (type == RecordType::thread_started) thread.started_ns = at_ns;
        if (std::string name = payload.rest(); !name.empty()) thread.name = std::move(name);
        return true;
    }

    [[nodiscard]] bool read_difference(int64_t at_ns, PayloadReader& payload)
    {
        format::StackDifferenceRecord record = {};
        if (!payload.take(record)) return false;
        StackDifference difference;
        difference.at_ns = at_ns;
        return read_stack(payload, record.walked_frames, difference.walked) &&
               read_stack(payload, record.libunwind_frames, difference.libunwind) &&
               (facts_.differences.push_back(std::move(difference)), true);
    }

    [[nodiscard]] bool read_stack(PayloadReader& payload, uint32_t frames, std::vector<Pc>& stack) const
    {
        if (frames > payload.bytes_left() / sizeof(uint64_t)) return false;
        for (uint32_t i = 0; i < frames; ++i) {
            uint64_t address = 0;
            if (!payload.take(address)) return false;
            stack.push_back({address, module_at(address)});
        }
        return true;
    }

    // The module mapped there now, in the order of the journal.
    [[nodiscard]] ModuleId module_at(uint64_t address) const
    {
        for (size_t i = facts_.modules.size(); i-- > 1;) {
            const Module& module = facts_.modules[i];
            if (!module.unloaded_ns && address >= module.start && address < module.end)
                return ModuleId{static_cast<uint32_t>(i)};
        }
        return ModuleId{format::kNoModule};
    }

    const JournalContext& context_;
    DamageLog& damage_;
    JournalFacts facts_;
    std::map<uint32_t, Thread> threads_; // by index
    std::optional<int64_t> paused_since_;
};

// A record that was carried forward may still be in its old slot. records: in order of their stamps.
[[nodiscard]] bool was_there_before(const std::vector<JournalRecord>& records, size_t at)
{
    const JournalRecord& record = records[at];
    for (size_t i = at; i-- > 0 && records[i].stamp == record.stamp;)
        if (records[i].type == record.type && records[i].payload == record.payload) return true;
    return false;
}

} // namespace

JournalFacts read_journal(std::vector<JournalRecord> records, const JournalContext& context, DamageLog& damage)
{
    std::ranges::sort(records, {}, [](const JournalRecord& record) { return std::pair(record.stamp, record.offset); });
    JournalParser parser(context, damage);
    for (size_t i = 0; i < records.size(); ++i)
        if (!was_there_before(records, i)) parser.apply(records[i]);
    JournalFacts facts = parser.finish();
    for (uint32_t i = 0; i < facts.modules.size(); ++i) facts.modules[i].id = ModuleId{i};
    return facts;
}

} // namespace leak::analyzer
