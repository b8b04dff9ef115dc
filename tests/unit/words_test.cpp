#include "analyzer/render/words.hpp"

#include <doctest/doctest.h>

using namespace leak::analyzer;

TEST_CASE("sizes are in binary units with three digits")
{
    CHECK(bytes_words(0) == "0 bytes");
    CHECK(bytes_words(1) == "1 byte");
    CHECK(bytes_words(1023) == "1023 bytes");
    CHECK(bytes_words(1024) == "1.00 KiB");
    CHECK(bytes_words(72'704) == "71.0 KiB");
    CHECK(bytes_words(1024 * 1024 - 1) == "1.00 MiB");
    CHECK(bytes_words(1'300'000'000) == "1.21 GiB");
    CHECK(bytes_words(UINT64_MAX) == "16.0 EiB");
    CHECK(signed_bytes_words(-12) == "-12 bytes");
    CHECK(signed_bytes_words(2048) == "+2.00 KiB");
}

TEST_CASE("times are in the units a person would use")
{
    CHECK(time_words(0) == "0 s");
    CHECK(time_words(571'000) == "571 µs");
    CHECK(time_words(1'150'000) == "1.15 ms");
    CHECK(time_words(210'000'000) == "0.21 s");
    CHECK(time_words(252'000'000'000) == "4 min 12 s");
    CHECK(time_words(22'320'000'000'000) == "6 h 12 min");
    CHECK(time_words(273'600'000'000'000) == "3 d 4 h");
    CHECK(time_words(-1'150'000) == "-1.15 ms");
}

TEST_CASE("counts have separators and their noun the right number")
{
    CHECK(count_words(999) == "999");
    CHECK(count_words(1'904'112'330) == "1,904,112,330");
    CHECK(plural(1, "block", "blocks") == "1 block");
    CHECK(plural(0, "block", "blocks") == "0 blocks");
    CHECK(signed_plural(-1, "block", "blocks") == "-1 block");
    CHECK(percent_words(0.004) == "< 1 %");
    CHECK(percent_words(0.999) == "99 %");
}

TEST_CASE("runs of thread ids are drawn together and long lists cut")
{
    CHECK(id_ranges({4711}) == "4711");
    CHECK(id_ranges({3, 4}) == "3, 4");
    CHECK(id_ranges({3, 4, 5, 9}) == "3-5, 9");
    CHECK(id_ranges({1, 3, 5, 7, 9, 11}) == "1, 3, 5, 7 and 2 more");
}
