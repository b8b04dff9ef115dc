// arena [CYCLES]: each request takes an arena from a pool, allocates from it and puts it back empty; the arenas and
// their chunks are made once, when load begins (clean).
#include "parts.hpp"

namespace {

using namespace corpus;

class Arena {
public:
    char* take(size_t bytes)
    {
        if (used_ + bytes > kChunkBytes) {
            ++chunk_;
            used_ = 0;
        }
        if (chunk_ == chunks_.size()) grow();
        used_ += bytes;
        return chunks_[chunk_].get() + used_ - bytes;
    }
    void reset() { chunk_ = used_ = 0; }

private:
    static constexpr size_t kChunkBytes = 64 << 10;

    [[gnu::noinline]] void grow() { chunks_.push_back(std::make_unique<char[]>(kChunkBytes)); }

    std::vector<std::unique_ptr<char[]>> chunks_;
    size_t chunk_ = 0;
    size_t used_ = 0;
};

class ArenaPool {
public:
    std::unique_ptr<Arena> take()
    {
        const std::lock_guard lock(mutex_);
        if (free_.empty()) return std::make_unique<Arena>();
        std::unique_ptr<Arena> arena = std::move(free_.back());
        free_.pop_back();
        return arena;
    }
    void put_back(std::unique_ptr<Arena> arena)
    {
        arena->reset();
        const std::lock_guard lock(mutex_);
        free_.push_back(std::move(arena));
    }

private:
    std::mutex mutex_;
    std::vector<std::unique_ptr<Arena>> free_;
};

constexpr unsigned kThreads = 4;

void use(Arena& arena)
{
    for (int i = 0; i < 100; ++i) arena.take(4000)[0] = 'x';
}

void serve(ArenaPool& arenas, unsigned number)
{
    std::unique_ptr<Arena> arena = arenas.take();
    answer(number);
    use(*arena);
    arenas.put_back(std::move(arena));
}

// As many as are ever in use at once: when that happens by itself is up to the scheduler.
void fill(ArenaPool& arenas)
{
    std::unique_ptr<Arena> taken[kThreads];
    for (auto& arena : taken) use(*(arena = arenas.take()));
    for (auto& arena : taken) arenas.put_back(std::move(arena));
}

} // namespace

int main(int argc, char** argv)
{
    const Arguments arguments(argc, argv);
    ArenaPool arenas;
    Workers<unsigned> pool(kThreads, 64, [&](unsigned number) { serve(arenas, number); });
    Driver driver;
    driver.cycles(arguments.cycles, 4000, [&](unsigned number) {
        if (number == 1) fill(arenas);
        pool.submit(number);
    });
    Driver::end();
}
