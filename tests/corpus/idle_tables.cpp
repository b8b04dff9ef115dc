// idle_tables MODE: large blocks that are filled before load.
//   cache              not used again; cache-hot: changed all the time; cache-read: read all the time
//   frames             a second frame that is not drawn any more; frames-in-turn: both are drawn
//   import             what was imported is looked at no more; import-again: it is imported again and again
#include "retention_parts.hpp"

namespace {

using namespace corpus;

class PriceCache {
public:
    [[gnu::noinline]] void fill() { prices_.assign(16 * kMegabyte, 'p'); }
    std::span<char> prices() { return prices_; }

private:
    std::vector<char> prices_;
};

class Frames {
public:
    Frames() : first_(make_first()), second_(make_second()) {}
    void draw(unsigned frame, unsigned round) { write_tenth({frame == 0 ? first_ : second_, kBytes}, round); }

private:
    static constexpr size_t kBytes = 12 * kMegabyte;
    [[gnu::noinline]] static char* make_first() { return make(); }
    [[gnu::noinline]] static char* make_second() { return make(); }
    static char* make() { return static_cast<char*>(std::memset(std::malloc(kBytes), 'f', kBytes)); }
    char* first_;
    char* second_;
};

class Import {
public:
    [[gnu::noinline]] void read(unsigned round)
    {
        rows_.resize(150'000);
        for (Row& row : rows_) row.values[0] = ++round;
    }

private:
    struct Row {
        unsigned values[32];
    };
    std::vector<Row> rows_;
};

} // namespace

int main(int argc, char** argv)
{
    const std::string_view mode = Arguments(argc, argv).mode;
    Driver driver;
    if (mode.starts_with("cache")) {
        PriceCache cache;
        cache.fill();
        volatile unsigned sum = 0;
        short_load(driver, [&](unsigned number) {
            if (mode == "cache-hot") write_tenth(cache.prices(), number);
            if (mode == "cache-read") sum = read_tenth(cache.prices(), number);
        });
        leave();
    }
    if (mode.starts_with("frames")) {
        Frames frames;
        short_load(driver, [&](unsigned number) {
            frames.draw(0, number);
            if (mode == "frames-in-turn") frames.draw(1, number);
        });
        leave();
    }
    Import import;
    import.read(0);
    short_load(driver, [&](unsigned number) {
        if (mode == "import-again") import.read(number);
    });
    leave();
}
