// One way in which much memory stays although little of it is needed, or which only looks like that: large_blocks CASE
// The block is made, and used or not while load goes on and after it has stopped. Truth: retention_test.py.
#include "immortal.hpp"
#include "leak.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <memory>
#include <string>
#include <sys/wait.h>
#include <unordered_map>
#include <vector>

namespace {

constexpr size_t kMegabyte = 1 << 20;

char* volatile slots[32];
volatile unsigned sum = 0; // of what was read

HOST_FRAME char* filled_block(size_t bytes)
{
    return static_cast<char*>(memset(malloc(bytes), 1, bytes));
}
void write_pages(char* from, size_t bytes)
{
    for (size_t offset = 0; offset < bytes; offset += 1024) {
        volatile char& byte = from[offset];
        byte = static_cast<char>(byte + 1);
    }
}
void read_pages(const char* from, size_t bytes)
{
    for (size_t offset = 0; offset < bytes; offset += 1024)
        sum = sum + static_cast<unsigned char>(*static_cast<const volatile char*>(from + offset));
}

// -- Kept by a small part of itself -----------------------------------------------------------------------------------

struct Film {
    char frames[64 * kMegabyte];
};
Immortal<std::shared_ptr<char>> frame;
HOST_FRAME std::shared_ptr<Film> load_film()
{
    return std::make_shared<Film>();
}
HOST_FRAME std::shared_ptr<Film> load_film_apart()
{
    return std::shared_ptr<Film>(new Film());
}
void alias_film()
{
    const auto film = load_film();
    frame.make(film, &film->frames[12'345'678]);
}
void alias_film_apart()
{
    const auto film = load_film_apart();
    frame.make(film, &film->frames[12'345'678]);
}

struct Slice {
    const char* text;
    size_t bytes;
};
Immortal<Slice> title;
HOST_FRAME char* read_document()
{
    return filled_block(48 * kMegabyte);
}
void slice_document()
{
    title.make(read_document() + 20 * kMegabyte, 100u);
}

struct Item {
    Item* next;
    char text[56];
};
constexpr size_t kArenaItems = 16 * kMegabyte / sizeof(Item);
HOST_FRAME Item* make_arena()
{
    return static_cast<Item*>(calloc(kArenaItems, sizeof(Item)));
}
void survive_in_arena()
{
    Item* items = make_arena();
    for (size_t i = 0; i < kArenaItems; ++i) memset(items[i].text, 'x', sizeof items[i].text);
    slots[0] = reinterpret_cast<char*>(&items[kArenaItems / 3]);
}

// -- Larger than what is in it ----------------------------------------------------------------------------------------

Immortal<std::vector<char>> bytes;
HOST_FRAME void reserve_bytes()
{
    bytes.make().reserve(64 * kMegabyte);
}
void reserve_too_much()
{
    reserve_bytes();
    bytes->resize(1000, 'x');
}

HOST_FRAME char* map_ring()
{
    void* map = mmap(nullptr, 34 * kMegabyte, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    HOST_CHECK(map != MAP_FAILED);
    // Both ends go back, as where it shall be aligned: the owner's pointer is not what mmap() gave.
    auto* const first = static_cast<char*>(map);
    HOST_CHECK(munmap(first, kMegabyte) == 0 && munmap(first + 33 * kMegabyte, kMegabyte) == 0);
    return first + kMegabyte;
}
void touch_half_of_ring()
{
    slots[0] = map_ring();
    memset(slots[0], 1, 16 * kMegabyte);
}

// Doubled until 33 MiB fit in, which were needed for a moment.
struct Buffer {
    char* text;
    size_t used;
    size_t capacity;
};
Buffer buffer;
HOST_FRAME void double_buffer()
{
    buffer.capacity *= 2;
    buffer.text = static_cast<char*>(realloc(buffer.text, buffer.capacity));
}
void grow_buffer()
{
    buffer = {static_cast<char*>(malloc(kMegabyte)), 0, kMegabyte};
    while (buffer.used < 33 * kMegabyte) {
        if (buffer.used == buffer.capacity) double_buffer();
        memset(buffer.text + buffer.used, 'x', kMegabyte);
        buffer.used += kMegabyte;
    }
    buffer.used = 10;
    keep(&buffer);
}

Immortal<std::vector<long>> numbers;
HOST_FRAME void fill_numbers()
{
    numbers.make(32 * kMegabyte / sizeof(long), 7);
}
void clear_numbers()
{
    fill_numbers();
    numbers->clear();
}

Immortal<std::deque<long>> queue;
HOST_FRAME void queue_numbers()
{
    for (size_t i = 0; i < 128 * kMegabyte / sizeof(long); ++i) queue->push_back(7);
}
void burst_of_queue()
{
    queue.make();
    queue_numbers();
    while (queue->size() > 10) queue->pop_back();
}

Immortal<std::unordered_map<unsigned, unsigned>> index_of;
HOST_FRAME void index_numbers()
{
    for (unsigned i = 0; i < 600'000; ++i) index_of->try_emplace(i);
}
void burst_of_index()
{
    index_of.make();
    index_numbers();
    index_of->clear();
}

// -- Left over --------------------------------------------------------------------------------------------------------

constexpr size_t kTables = 200;
char* volatile tables[kTables];
HOST_FRAME char* make_table()
{
    return filled_block(kMegabyte / 4);
}
void survive_of_tables()
{
    for (auto& table : tables) table = make_table();
    for (size_t i = 0; i < kTables; ++i) {
        if (i == kTables / 2) continue;
        free(tables[i]);
        tables[i] = nullptr;
    }
}
void use_survivor()
{
    write_pages(tables[kTables / 2], kMegabyte / 4);
}

// -- Not used any more ------------------------------------------------------------------------------------------------

HOST_FRAME char* fill_cache()
{
    return filled_block(32 * kMegabyte);
}
void make_cache()
{
    slots[0] = fill_cache();
}

// Of its pages every twentieth changes.
void write_twentieth()
{
    for (size_t offset = 0; offset < 32 * kMegabyte; offset += size_t{20} * 4096) ++slots[0][offset + 4000];
}
// A copy of the process changes all of it, and has snapshots of its own.
void write_in_child()
{
    const pid_t child = fork();
    if (child == 0) {
        leak_mark("load start");
        write_pages(slots[0], 32 * kMegabyte);
        leak_mark("load stop");
        exit(0);
    }
    HOST_CHECK(child > 0 && waitpid(child, nullptr, 0) == child);
}

// -- In use -----------------------------------------------------------------------------------------------------------

void write_cache()
{
    write_pages(slots[0], 32 * kMegabyte);
}
void read_cache()
{
    read_pages(slots[0], 32 * kMegabyte);
}

// Its objects are in a chain, by pointers to the inside, and all of them change.
void use_arena()
{
    for (Item* item = reinterpret_cast<Item*>(slots[0]); item; item = item->next) ++item->text[0];
}
void fill_arena()
{
    Item* items = make_arena();
    for (size_t i = 0; i + 1 < kArenaItems; ++i) items[i].next = &items[i + 1];
    slots[0] = reinterpret_cast<char*>(items);
}
void use_numbers()
{
    for (size_t i = 0; i < numbers->size(); i += 100) ++(*numbers)[i];
}
Immortal<std::string> text;
HOST_FRAME void fill_text()
{
    text.make(16 * kMegabyte, 'x');
}
void use_text()
{
    write_pages(text->data(), text->size());
}
// Of many that come and go some are always there.
void renew_tables()
{
    static size_t made = 0;
    for (int i = 0; i < 20; ++i, ++made) {
        free(tables[made % 4]);
        tables[made % 4] = make_table();
    }
}
void fill_reserve()
{
    bytes->resize(bytes->size() + 3 * kMegabyte, 'x');
}

struct Case {
    const char* name;
    void (*build)();
    void (*use)() = nullptr;
};
constexpr Case kCases[] = {
    {"alias", alias_film},
    {"alias_apart", alias_film_apart},
    {"slice", slice_document},
    {"arena_survivor", survive_in_arena},
    {"reserve", reserve_too_much},
    {"ring", touch_half_of_ring},
    {"grown", grow_buffer},
    {"cleared", clear_numbers},
    {"queue_burst", burst_of_queue},
    {"index_burst", burst_of_index},
    {"survivor", survive_of_tables, use_survivor},
    {"idle", make_cache},
    {"idle_mostly", make_cache, write_twentieth},
    {"idle_beside_child", make_cache, write_in_child},
    {"written", make_cache, write_cache},
    {"read", make_cache, read_cache},
    {"arena_in_use", fill_arena, use_arena},
    {"full", fill_numbers, use_numbers},
    {"text", fill_text, use_text},
    {"renewed", renew_tables, renew_tables},
    {"being_filled", reserve_bytes, fill_reserve},
};

void go_on(const Case& chosen, useconds_t pause_us = 50'000)
{
    for (int round = 0; round < 4; ++round) {
        if (chosen.use) chosen.use();
        for (int i = 0; i < 2000; ++i) free(keep(malloc(200)));
        usleep(pause_us);
    }
}

} // namespace

int main(int argc, char** argv)
{
    HOST_CHECK(argc == 2);
    for (const Case& chosen : kCases) {
        if (strcmp(chosen.name, argv[1]) != 0) continue;
        const auto begin = std::chrono::steady_clock::now();
        chosen.build();
        // However slow the machine, the block is made in the first half of the run.
        const auto half = (std::chrono::steady_clock::now() - begin) / 2;
        const auto pause_us = std::chrono::duration_cast<std::chrono::microseconds>(half).count();
        scrub_stack();
        leak_mark("load start");
        go_on(chosen);
        leak_mark("load stop");
        go_on(chosen, std::max(useconds_t{50'000}, static_cast<useconds_t>(pause_us)));
        end_host();
    }
    return 1;
}
