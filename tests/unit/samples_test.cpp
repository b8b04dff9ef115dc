#include "analyzer/decode/samples.hpp"

#include "format/checksum.hpp"

#include <doctest/doctest.h>

#include <cstring>

using namespace leak::analyzer;
using namespace leak::format;

namespace {

SampleRecord sample_at(uint64_t stamp, uint64_t known)
{
    SampleRecord sample{};
    sample.stamp = stamp;
    sample.known = known;
    sample.rss_bytes = 1;
    sample.pss_bytes = 2;
    sample.top_bytes = 3;
    sample.memory_limit_bytes = 4;
    sample.address_space_limit_pages = UINT32_MAX;
    sample.checksum = LEAK_CHECKSUM_UP_TO(sample, checksum);
    return sample;
}

// A frame with room for two samples in each half, of which the second holds.
std::vector<std::byte> frame_of(const SampleRecord& first, const SampleRecord& second)
{
    struct {
        SamplesHeader header;
        SampleRecord samples[4];
    } image{};
    image.header = {make_frame(FrameKind::samples, sizeof image, kIgnorable), 2, 1};
    image.samples[2] = first;
    image.samples[3] = second;
    std::vector<std::byte> bytes(sizeof image);
    std::memcpy(bytes.data(), &image, sizeof image);
    return bytes;
}

std::vector<ProcessSample> read(const std::vector<std::byte>& bytes, DamageLog& damage)
{
    FrameView frame;
    frame.bytes = bytes;
    std::vector<SampleRecord> records;
    read_samples(frame, records, damage);
    return process_samples(records, StampConverter(0));
}

} // namespace

TEST_CASE("a sample has the figures that were asked for, and the limits that there are")
{
    DamageLog damage;
    const auto samples = read(frame_of(sample_at(200, kSampleRss | kSampleMemoryLimit),
                                       sample_at(100, kSampleRollup | kSampleAllocator | kSampleAddressSpaceLimit)),
                              damage);
    CHECK(damage.empty());
    REQUIRE(samples.size() == 2);
    CHECK(samples[0].at_ns == 100);
    CHECK(samples[0].pss_bytes == 2);
    CHECK(samples[0].top_bytes == 3);
    CHECK(samples[0].address_space_limit_bytes == uint64_t{UINT32_MAX} * 4096);
    CHECK_FALSE(samples[0].rss_bytes.has_value());
    CHECK_FALSE(samples[0].memory_limit_bytes.has_value());
    CHECK(samples[1].rss_bytes == 1);
    CHECK(samples[1].memory_limit_bytes == 4);
    CHECK_FALSE(samples[1].address_space_limit_bytes.has_value());
}

TEST_CASE("a damaged sample is counted, the others are read")
{
    DamageLog damage;
    auto bytes = frame_of(sample_at(100, kSampleRss), sample_at(200, kSampleRss));
    bytes[sizeof(SamplesHeader) + 2 * sizeof(SampleRecord) + 20] ^= std::byte{1};
    const auto samples = read(bytes, damage);
    CHECK(damage.entries().size() == 1);
    REQUIRE(samples.size() == 1);
    CHECK(samples[0].at_ns == 200);
}
