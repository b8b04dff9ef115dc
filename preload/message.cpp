#include "preload/message.hpp"

#include "preload/os.hpp"
#include "preload/text.hpp"

#include <sys/ioctl.h>
#include <termios.h>

namespace leak::preload {

namespace {

struct FileIdentity {
    bool known = false;
    dev_t device = 0;
    ino_t inode = 0;
    dev_t special = 0;
};

[[nodiscard]] FileIdentity identity_of(int fd) noexcept
{
    struct stat status{};
    if (os::status(fd, status) < 0) return {};
    return {true, status.st_dev, status.st_ino, status.st_rdev};
}

constinit FileIdentity g_standard_error;

} // namespace

void remember_standard_error() noexcept
{
    g_standard_error = identity_of(2);
}

void say(std::initializer_list<std::string_view> parts) noexcept
{
    const FileIdentity now = identity_of(2);
    if (!g_standard_error.known || !now.known || now.device != g_standard_error.device ||
        now.inode != g_standard_error.inode || now.special != g_standard_error.special)
        return;
    Text<1024> line;
    line.add("libleak: ");
    for (const std::string_view part : parts) line.add(part);
    if (line.cut()) line.resize(Text<1024>::capacity() - 2);
    line.add('\n');
    os::write(2, line.c_str(), line.view().size());
}

bool standard_error_is_terminal() noexcept
{
    struct termios settings{};
    return os::call(SYS_ioctl, 2, TCGETS, os::word(&settings)) >= 0;
}

} // namespace leak::preload
