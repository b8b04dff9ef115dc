// documents pinned|pinned-threads|cached|returned: a batch of 32 MiB of documents is read under load and released at
// its end (drained). What then becomes of the memory:
//
//   pinned           each document left its title in an index: a few bytes on every page     (fragmentation, held)
//   pinned-threads   the same, read by four threads in arenas of their own
//   cached           a dictionary was read and dropped at the start, so that malloc trims its top later    (allocator)
//   cached-alone     the same in a program of one thread, which is quite silent after load
//   returned         the program asks malloc to give back what is free                                     (returned)
#include "parts.hpp"

#include <malloc.h>

namespace {

using namespace corpus;

class DocumentBatch {
public:
    [[gnu::noinline]] void read() { documents_.emplace_back(); }
    void take_over(DocumentBatch& other) { documents_.splice(documents_.end(), other.documents_); }
    void release() { documents_.clear(); }

private:
    struct Document {
        char text[4000] = {};
    };
    std::list<Document> documents_;
};

class TitleIndex {
public:
    [[gnu::noinline]] void remember() { titles_.emplace_back(); }
    void take_over(TitleIndex& other) { titles_.splice(titles_.end(), other.titles_); }

private:
    struct Title {
        char text[80] = {};
    };
    std::list<Title> titles_;
};

class Library {
public:
    explicit Library(bool with_titles) : with_titles_(with_titles) {}

    void read_document(unsigned number)
    {
        answer(number);
        DocumentBatch batch;
        TitleIndex index;
        batch.read();
        if (with_titles_) index.remember();
        const std::lock_guard lock(mutex_);
        batch_.take_over(batch);
        index_.take_over(index);
    }
    void release_batch()
    {
        const std::lock_guard lock(mutex_);
        batch_.release();
    }

private:
    const bool with_titles_;
    std::mutex mutex_;
    DocumentBatch batch_;
    TitleIndex index_;
};

[[gnu::noinline]] void consult_dictionary()
{
    const std::vector<char> dictionary(24 << 20);
}

} // namespace

int main(int argc, char** argv)
{
    const Arguments arguments(argc, argv);
    Library library(arguments.mode.starts_with("pinned"));
    std::optional<Timer> statistics;
    if (arguments.mode != "cached-alone") statistics.emplace(50ms, [] { answer(0); });
    std::optional<Workers<unsigned>> pool;
    if (arguments.mode == "pinned-threads")
        pool.emplace(4u, size_t{64}, [&](unsigned number) { library.read_document(number); });
    if (arguments.mode.starts_with("cached")) consult_dictionary();
    Driver driver;
    driver.idle(500ms);
    driver.load(2000ms, 4000, [&](unsigned number) {
        if (pool)
            pool->submit(number);
        else
            library.read_document(number);
    });
    library.release_batch();
    if (arguments.mode == "returned") malloc_trim(0);
    driver.idle(2000ms);
    Driver::end();
}
