#include "analyzer/decode/file_reader.hpp"

#include "analyzer/user_error.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace leak::analyzer {

FileReader::FileReader(const std::filesystem::path& path) : path_(path.string())
{
    // O_NONBLOCK: opening a FIFO by mistake must not wait for a writer.
    fd_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd_ < 0)
        throw UserError(path_, 0,
                        std::string("the trace can't be opened: ") + std::strerror(errno) +
                            "; check the name and the permissions");
    struct stat status = {};
    if (::fstat(fd_, &status) != 0 || !S_ISREG(status.st_mode)) {
        ::close(fd_);
        throw UserError(path_, 0, "this is no regular file; name a trace that libleak.so wrote");
    }
}

FileReader::~FileReader()
{
    if (fd_ >= 0) ::close(fd_);
}

FileReader::FileReader(FileReader&& other) noexcept : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1))
{
}

uint64_t FileReader::size_bytes() const
{
    struct stat status = {};
    return ::fstat(fd_, &status) == 0 ? static_cast<uint64_t>(status.st_size) : 0;
}

size_t FileReader::read_at(uint64_t offset, std::span<std::byte> to) const
{
    size_t done = 0;
    while (done < to.size()) {
        const ssize_t got = ::pread(fd_, to.data() + done, to.size() - done, static_cast<off_t>(offset + done));
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        done += static_cast<size_t>(got);
    }
    return done;
}

} // namespace leak::analyzer
