// outgrown MODE: large blocks that were full once and are nearly empty since.
//   scratch            of a burst before load; scratch-steady: each request fills it
//   text               of a page that was built; text-full: it is kept
//   index              buckets of entries that were erased; index-in-use: they are still there
#include "retention_parts.hpp"

namespace {

using namespace corpus;

class Scratch {
public:
    [[gnu::noinline]] void fill(size_t numbers) { numbers_.assign(numbers, mixed(++filled_)); }
    void clear() { numbers_.clear(); }

private:
    std::vector<unsigned> numbers_;
    unsigned filled_ = 0;
};

class Page {
public:
    [[gnu::noinline]] void build(size_t bytes)
    {
        while (text_.size() < bytes) text_ += "<p>a line of the page that is not short</p>\n";
    }
    void clear() { text_.clear(); }
    std::span<char> text() { return text_; }

private:
    std::string text_;
};

class Index {
public:
    [[gnu::noinline]] void build(unsigned entries)
    {
        for (unsigned key = 0; key < entries; ++key) entries_.try_emplace(key);
    }
    void clear() { entries_.clear(); }
    // Some entries go and come again, all over the table.
    void renew(unsigned round)
    {
        for (unsigned key = round % 10; key < entries_.size(); key += 10) {
            entries_.erase(key);
            entries_.try_emplace(key);
        }
    }

private:
    std::unordered_map<unsigned, unsigned> entries_;
};

} // namespace

int main(int argc, char** argv)
{
    const std::string_view mode = Arguments(argc, argv).mode;
    Driver driver;
    if (mode.starts_with("scratch")) {
        Scratch scratch;
        scratch.fill(4 * kMegabyte);
        if (mode == "scratch") scratch.clear();
        short_load(driver, [&](unsigned) {
            if (mode == "scratch-steady") scratch.fill(4 * kMegabyte);
        });
        leave();
    }
    if (mode.starts_with("text")) {
        Page page;
        page.build(14 * kMegabyte);
        if (mode == "text") page.clear();
        short_load(driver, [&](unsigned number) { write_tenth(page.text(), number); });
        leave();
    }
    Index index;
    index.build(300'000);
    if (mode == "index") index.clear();
    short_load(driver, [&](unsigned number) {
        if (mode == "index-in-use") index.renew(number);
    });
    leave();
}
