// oversized MODE: large blocks of which a part was never touched.
//   batch              room for many records and few of them; batch-fitting: room for what is there
//   ring               a mapped ring whose last three quarters are never reached; ring-full: it goes round
//   slots              a table of slots by number of which only the first are used; slots-being-filled: more each
//   moment
#include "retention_parts.hpp"

#include <sys/mman.h>

namespace {

using namespace corpus;

class Batch {
public:
    [[gnu::noinline]] void make_room(size_t bytes) { records_.reserve(bytes); }
    void add(size_t bytes) { records_.resize(records_.size() + bytes, 'r'); }
    std::span<char> records() { return records_; }

private:
    std::vector<char> records_;
};

class Ring {
public:
    // The ring turns at `reach`.
    void write(size_t bytes, size_t reach)
    {
        constexpr size_t kPacketBytes = 512;
        for (; bytes >= kPacketBytes; bytes -= kPacketBytes) {
            ++memory_[at_];
            at_ = (at_ + kPacketBytes) % reach;
        }
    }
    static constexpr size_t kBytes = 16 * kMegabyte;

private:
    [[gnu::noinline]] static char* map()
    {
        void* memory = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        return memory == MAP_FAILED ? nullptr : static_cast<char*>(memory);
    }
    char* memory_ = map();
    size_t at_ = 0;
};

class SlotTable {
public:
    SlotTable() : slots_(allocate()) {}
    void use_up_to(size_t count)
    {
        if (count <= used_) return;
        std::memset(slots_ + used_ * kSlotBytes, 's', (count - used_) * kSlotBytes);
        used_ = count;
    }
    static constexpr size_t kSlots = 8192;

private:
    static constexpr size_t kSlotBytes = 4096;
    [[gnu::noinline]] static char* allocate() { return static_cast<char*>(std::calloc(kSlots, kSlotBytes)); }
    char* slots_;
    size_t used_ = 0;
};

} // namespace

int main(int argc, char** argv)
{
    const std::string_view mode = Arguments(argc, argv).mode;
    Driver driver;
    if (mode.starts_with("batch")) {
        Batch batch;
        batch.make_room(mode == "batch" ? 32 * kMegabyte : 2 * kMegabyte);
        batch.add(2 * kMegabyte);
        short_load(driver, [&](unsigned number) { write_tenth(batch.records(), number); });
        leave();
    }
    if (mode.starts_with("ring")) {
        const size_t reach = mode == "ring" ? Ring::kBytes / 4 : Ring::kBytes;
        Ring ring;
        ring.write(Ring::kBytes, reach);
        short_load(driver, [&](unsigned) { ring.write(Ring::kBytes / 8, reach); });
        leave();
    }
    SlotTable table;
    table.use_up_to(100);
    unsigned uses = 0;
    short_load(driver, [&](unsigned) {
        ++uses;
        table.use_up_to(mode == "slots" ? 100 : uses * SlotTable::kSlots / 50);
    });
    leave();
}
