// A C++ plugin for a host without libstdc++: new, delete, exceptions.
#include <stdexcept>
#include <string>
#include <vector>

namespace {

struct Record {
    std::string name;
    std::vector<int> values;
};

__attribute__((noinline)) Record* leak_record()
{
    auto* volatile record = new Record{"a name that does not fit into the string itself", std::vector<int>(100)};
    return record;
}

__attribute__((noinline)) void fail_at(int depth)
{
    const std::string local(static_cast<size_t>(depth) + 50, 'd');
    if (depth == 0) throw std::runtime_error("from " + local);
    fail_at(depth - 1);
    asm volatile("");
}

} // namespace

extern "C" __attribute__((visibility("default"))) int plugin_cxx_run(int rounds)
{
    int caught = 0;
    for (int i = 0; i < rounds; ++i) {
        try {
            fail_at(20);
        } catch (const std::exception& error) {
            if (error.what()[0] == 'f') ++caught;
        }
        delete new Record{"another name that does not fit into the string itself", std::vector<int>(10)};
    }
    leak_record();
    return caught;
}
