// mmap, munmap, mremap: kept, given back, grown, moved, failed. The host checks the contents it owns.
#include "host.hpp"

namespace {

constexpr size_t kPage = 4096;

HOST_FRAME char* map_pages(size_t pages)
{
    void* range = mmap(nullptr, pages * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    HOST_CHECK(range != MAP_FAILED);
    return static_cast<char*>(range);
}

} // namespace

int main()
{
    map_pages(5);                                     // stays
    HOST_CHECK(munmap(map_pages(6), 6 * kPage) == 0); // goes
    char* grown = map_pages(7);
    grown[0] = 'g';
    void* moved = mremap(grown, 7 * kPage, 300 * kPage, MREMAP_MAYMOVE);
    HOST_CHECK(moved != MAP_FAILED);
    HOST_CHECK(static_cast<char*>(moved)[0] == 'g');
    for (size_t at = kPage; at < 300 * kPage; at += 64) HOST_CHECK(static_cast<char*>(moved)[at] == 0);
    // A fixed mremap and a fixed mmap over one's own range.
    char* target = map_pages(8);
    char* source = map_pages(8);
    source[9] = 's';
    HOST_CHECK(mremap(source, 8 * kPage, 8 * kPage, MREMAP_MAYMOVE | MREMAP_FIXED, target) == target);
    HOST_CHECK(target[9] == 's');
    HOST_CHECK(mmap(target, 8 * kPage, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == target);
    HOST_CHECK(target[9] == 0);
    HOST_CHECK(munmap(target, 8 * kPage) == 0);
    errno = 0;
    HOST_CHECK(mremap(moved, 300 * kPage, size_t{1} << 47, MREMAP_MAYMOVE) == MAP_FAILED);
    HOST_CHECK(errno == ENOMEM || errno == EINVAL);
    HOST_CHECK(static_cast<char*>(moved)[0] == 'g');
    HOST_CHECK(mmap64(nullptr, 9 * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED); // stays
    return 0;
}
