// kept_parts MODE: large blocks of which a small part is needed.
//   thumbnails         four images stay because of a row of pixels of each; thumbnails-copied: the rows are copied
//   titles             a text stays because of a view of its title; words: there are views of all of it
//   arena              an arena stays because of one object in it; arena-in-use: there are objects all over it
#include "retention_parts.hpp"

namespace {

using namespace corpus;

struct Image {
    char pixels[8 * kMegabyte];
};

class Gallery {
public:
    // Not in the frame of main, which would keep a pointer to the last image.
    [[gnu::noinline]] void add(bool copies)
    {
        if (copies) {
            rows_.push_back(std::make_shared<char>()); // before the image, so that it isn't behind it in the heap
            *rows_.back() = *row_of(*decode());
        } else {
            const std::shared_ptr<Image> image = decode();
            rows_.emplace_back(image, row_of(*image));
        }
    }

private:
    [[gnu::noinline]] static std::shared_ptr<Image> decode()
    {
        auto image = std::make_shared<Image>();
        std::memset(image->pixels, 'p', sizeof image->pixels);
        return image;
    }
    static char* row_of(Image& image) { return image.pixels + sizeof image.pixels / 2; }

    std::vector<std::shared_ptr<char>> rows_;
};

class Library {
public:
    void add(bool all_words)
    {
        char* text = read();
        const size_t step = all_words ? 4000 : kTextBytes;
        for (size_t at = 1000; at < kTextBytes; at += step) views_.emplace_back(text + at, 20u);
    }
    // Another tenth of the words.
    void count_words(unsigned round)
    {
        if (views_.size() == 1) return;
        for (size_t i = round % 10; i < views_.size(); i += 10) ++views_[i].front();
    }

private:
    static constexpr size_t kTextBytes = 16 * kMegabyte;
    [[gnu::noinline]] static char* read()
    {
        char* text = static_cast<char*>(std::malloc(kTextBytes));
        return static_cast<char*>(std::memset(text, 't', kTextBytes));
    }
    std::vector<std::span<char>> views_;
};

class Arena {
public:
    Arena() : memory_(allocate()) {}
    char* take(size_t bytes)
    {
        char* object = memory_ + used_;
        used_ += bytes;
        std::memset(object, 'o', bytes);
        return object;
    }
    static constexpr size_t kBytes = 16 * kMegabyte;

private:
    [[gnu::noinline]] static char* allocate() { return new char[kBytes]; }
    char* memory_;
    size_t used_ = 0;
};

// Objects of one arena; all, or one of them, stay.
std::vector<char*> make_objects(bool all_stay)
{
    constexpr size_t kObjectBytes = 4000;
    constexpr size_t kObjects = Arena::kBytes / kObjectBytes;
    Arena arena;
    std::vector<char*> objects;
    for (size_t i = 0; i < kObjects; ++i) {
        char* object = arena.take(kObjectBytes);
        if (all_stay || i == kObjects / 2) objects.push_back(object);
    }
    return objects;
}

} // namespace

int main(int argc, char** argv)
{
    const std::string_view mode = Arguments(argc, argv).mode;
    Driver driver;
    if (mode.starts_with("thumbnails")) {
        Gallery gallery;
        for (int i = 0; i < 4; ++i) gallery.add(mode == "thumbnails-copied");
        short_load(driver);
        leave();
    }
    if (mode.starts_with("arena")) {
        const std::vector<char*> objects = make_objects(mode == "arena-in-use");
        short_load(driver, [&](unsigned number) {
            if (objects.size() > 1)
                for (size_t i = number % 10; i < objects.size(); i += 10) ++*objects[i];
        });
        leave();
    }
    Library library;
    library.add(mode == "words");
    short_load(driver, [&](unsigned number) { library.count_words(number); });
    leave();
}
