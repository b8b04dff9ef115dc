// log_buffer [CYCLES]: lines are collected and written when there is a MiB of them, or after 0.2 s (clean).
#include "parts.hpp"

namespace {

using namespace corpus;

class LogBuffer {
public:
    [[gnu::noinline]] void append(const Request& request)
    {
        const std::lock_guard lock(mutex_);
        lines_.emplace_back(request.line + std::string(400, '.'));
        bytes_ += lines_.back().size();
        if (bytes_ > (1 << 20)) write_out();
    }
    void flush()
    {
        const std::lock_guard lock(mutex_);
        write_out();
    }

private:
    void write_out()
    {
        lines_.clear();
        bytes_ = 0;
    }

    std::mutex mutex_;
    std::list<std::string> lines_;
    size_t bytes_ = 0;
};

} // namespace

int main(int argc, char** argv)
{
    const Arguments arguments(argc, argv);
    LogBuffer log;
    const Timer flusher(200ms, [&] { log.flush(); });
    Driver driver;
    driver.cycles(arguments.cycles, 4000, [&](unsigned number) { log.append(answer(number)); });
    Driver::end();
}
