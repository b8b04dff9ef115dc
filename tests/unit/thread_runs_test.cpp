// Sets of thread indexes, and numbers by key, against those of the standard library.
#include "preload/fold/thread_runs.hpp"

#include "analyzer/decode/thread_runs.hpp"
#include "preload/fold/number_table.hpp"

#include <doctest/doctest.h>

#include <map>
#include <random>
#include <set>

using namespace leak;

TEST_CASE("runs of threads hold what was added, in as few runs as there are gaps")
{
    std::mt19937 random(1);
    for (int round = 0; round < 50; ++round) {
        preload::ThreadRuns runs;
        std::set<uint32_t> expected;
        for (int step = 0; step < 20; ++step) {
            preload::MappedArray<uint32_t> threads;
            for (auto i = random() % 30; i > 0; --i) {
                const auto thread = static_cast<uint32_t>(random() % 200);
                if (expected.insert(thread).second) threads.push_back(thread);
            }
            runs.add(threads);
            size_t gaps = 0;
            for (uint32_t thread = 0; thread < 210; ++thread) {
                REQUIRE(runs.has(thread) == expected.contains(thread));
                gaps += expected.contains(thread) && !expected.contains(thread + 1);
            }
            CHECK(runs.runs().size() == gaps);
        }
        analyzer::ThreadRuns read;
        for (const auto& run : runs.runs()) read.add(run.first, run.end - run.first);
        for (uint32_t thread = 0; thread < 210; ++thread) CHECK(read.has(thread) == expected.contains(thread));
        CHECK(read.end() == (expected.empty() ? 0 : *expected.rbegin() + uint64_t{1}));
    }
}

TEST_CASE("numbers are found by their keys")
{
    std::mt19937 random(2);
    preload::NumberTable table;
    CHECK_FALSE(table.has(0));
    for (int round = 0; round < 3; ++round) {
        std::map<uint64_t, uint32_t> expected;
        for (uint32_t i = 0; i < 5000; ++i) {
            const uint64_t key = random() % 8000;
            expected[key] = i;
            table.put(key, i);
        }
        for (uint64_t key = 0; key < 8000; ++key) {
            const auto at = expected.find(key);
            REQUIRE(table.find(key) == (at == expected.end() ? preload::NumberTable::kNone : at->second));
        }
        table.clear();
        CHECK_FALSE(table.has(expected.begin()->first));
    }
}
