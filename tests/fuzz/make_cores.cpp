// Writes the files that core_fuzz begins with: make_cores KERNEL_CORE GCORE
#include "tests/unit/core_sample.hpp"

#include <fstream>

int main(int argc, char** argv)
{
    for (int i = 1; i < argc; ++i) {
        leak::test::CoreBuilder core = leak::test::sample_core();
        if (i > 1) core.as_gcore();
        const std::vector<std::byte> bytes = core.build();
        std::ofstream file(argv[i], std::ios::binary);
        file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
        if (!file.flush()) return 1;
    }
    return 0;
}
