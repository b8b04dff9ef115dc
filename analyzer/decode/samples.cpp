#include "analyzer/decode/samples.hpp"

#include "format/checksum.hpp"

#include <algorithm>
#include <cstring>

namespace leak::analyzer {

using format::SampleRecord;

void read_samples(const FrameView& frame, std::vector<SampleRecord>& samples, DamageLog& damage)
{
    format::SamplesHeader header{};
    if (frame.bytes.size() < sizeof header) return damage.add(frame.offset, "the file ends inside the samples");
    std::memcpy(&header, frame.bytes.data(), sizeof header);
    uint64_t at = sizeof header + uint64_t{header.current} * header.capacity * sizeof(SampleRecord);
    if (header.current > 1) return damage.add(frame.offset, "the header of the samples is not sound");
    for (uint32_t i = 0; i < header.capacity; ++i, at += sizeof(SampleRecord)) {
        if (at + sizeof(SampleRecord) > frame.bytes.size()) {
            if (!frame.cut) damage.add(frame.offset, "the header of the samples is not sound");
            return;
        }
        SampleRecord sample{};
        std::memcpy(&sample, frame.bytes.data() + at, sizeof sample);
        if (sample.stamp == 0) return;
        if (LEAK_CHECKSUM_UP_TO(sample, checksum) == sample.checksum)
            samples.push_back(sample);
        else
            damage.add(frame.offset + at, "the checksum of a sample of the process is wrong");
    }
}

std::vector<ProcessSample> process_samples(std::vector<SampleRecord> records, const StampConverter& clock)
{
    std::ranges::sort(records, {}, &SampleRecord::stamp);
    std::vector<ProcessSample> samples;
    for (const SampleRecord& record : records) {
        const auto known = [&](uint32_t group, uint64_t value) {
            return (record.known & group) != 0 ? std::optional(value) : std::nullopt;
        };
        samples.push_back(
            {.at_ns = clock.to_ns(record.stamp),
             .rss_bytes = known(format::kSampleRss, record.rss_bytes),
             .pss_bytes = known(format::kSampleRollup, record.pss_bytes),
             .swap_bytes = known(format::kSampleRollup, record.swap_bytes),
             .anonymous_bytes = known(format::kSampleRollup, record.anonymous_bytes),
             .minor_faults = known(format::kSampleFaults, record.minor_faults),
             .major_faults = known(format::kSampleFaults, record.major_faults),
             .arena_bytes = known(format::kSampleAllocator, record.arena_bytes),
             .mmapped_bytes = known(format::kSampleAllocator, record.mmapped_bytes),
             .used_bytes = known(format::kSampleAllocator, record.used_bytes),
             .free_bytes = known(format::kSampleAllocator, record.free_bytes),
             .top_bytes = known(format::kSampleAllocator, record.top_bytes),
             .memory_limit_bytes = known(format::kSampleMemoryLimit, record.memory_limit_bytes),
             .address_space_limit_bytes =
                 known(format::kSampleAddressSpaceLimit, record.address_space_limit_pages * format::kLimitPageBytes)});
    }
    return samples;
}

} // namespace leak::analyzer
