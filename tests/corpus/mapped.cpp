// mapped kept|closed|images: large pieces of memory, one for every 128th request.
//
//   kept     segments of 256 KiB, mapped by the program itself      (held, mapped)
//   closed   the same, unmapped after load                          (drained, returned)
//   images   512 KB each, allocated: malloc maps them               (held)
#include "parts.hpp"

#include <sys/mman.h>

namespace {

using namespace corpus;

class SegmentStore {
public:
    [[gnu::noinline]] void map_segment()
    {
        void* segment =
            mmap(nullptr, kSegmentBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
        if (segment != MAP_FAILED) segments_.push_back(segment);
    }
    void close()
    {
        for (void* segment : segments_) munmap(segment, kSegmentBytes);
        segments_.clear();
    }

private:
    static constexpr size_t kSegmentBytes = 256 << 10;
    std::vector<void*> segments_;
};

class ImageStore {
public:
    [[gnu::noinline]] void decode() { images_.push_back(std::make_unique<Image>()); }

private:
    struct Image {
        char pixels[512000] = {};
    };
    std::vector<std::unique_ptr<Image>> images_;
};

} // namespace

int main(int argc, char** argv)
{
    const Arguments arguments(argc, argv);
    SegmentStore segments;
    ImageStore images;
    Driver driver;
    driver.idle(500ms);
    driver.load(2000ms, 4000, [&](unsigned number) {
        answer(number);
        if (number % 128 != 0) return;
        if (arguments.mode == "images")
            images.decode();
        else
            segments.map_segment();
    });
    if (arguments.mode == "closed") segments.close();
    driver.idle(2000ms);
    Driver::end();
}
