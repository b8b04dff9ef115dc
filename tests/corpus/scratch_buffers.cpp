// scratch_buffers [CYCLES]: each thread has a buffer as large as its largest request was (plateau).
#include "parts.hpp"

namespace {

using namespace corpus;

class ScratchBuffer {
public:
    char* with_room_for(size_t bytes)
    {
        if (bytes > room_) make_room(bytes);
        return text_.get();
    }

private:
    [[gnu::noinline]] void make_room(size_t bytes)
    {
        text_.reset();
        text_ = std::make_unique<char[]>(bytes);
        room_ = bytes;
    }

    std::unique_ptr<char[]> text_;
    size_t room_ = 0;
};

void serve(unsigned number)
{
    static thread_local ScratchBuffer scratch;
    answer(number);
    scratch.with_room_for((1 + mixed(number) % 16) << 14)[0] = 'x';
}

} // namespace

int main(int argc, char** argv)
{
    const Arguments arguments(argc, argv);
    Workers<unsigned> pool(4, 64, serve);
    Driver driver;
    driver.cycles(arguments.cycles, 4000, [&](unsigned number) { pool.submit(number); });
    Driver::end();
}
