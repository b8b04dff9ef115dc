#include "analyzer/decode/file_reader.hpp"

#include "analyzer/user_error.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace leak::analyzer {

FileReader::FileReader(const std::filesystem::path& path, std::string_view what, std::string_view wanted)
    : path_(path.string())
{
    // O_NONBLOCK: opening a FIFO by mistake must not wait for a writer.
    fd_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd_ < 0)
        throw UserError(path_, 0,
                        "the " + std::string(what) + " can't be opened: " + std::strerror(errno) +
                            "; check the name and the permissions");
    struct stat status = {};
    if (::fstat(fd_, &status) != 0 || !S_ISREG(status.st_mode)) {
        ::close(fd_);
        throw UserError(path_, 0, "this is no regular file; name " + std::string(wanted));
    }
}

FileReader::~FileReader()
{
    if (fd_ >= 0) ::close(fd_);
}

FileReader::FileReader(FileReader&& other) noexcept : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1))
{
}

FileReader& FileReader::operator=(FileReader&& other) noexcept
{
    std::swap(path_, other.path_);
    std::swap(fd_, other.fd_);
    return *this;
}

FileReader FileReader::again() const
{
    const int fd = ::fcntl(fd_, F_DUPFD_CLOEXEC, 0);
    if (fd < 0) throw UserError(path_, 0, std::string("the trace can't be opened again: ") + std::strerror(errno));
    return {path_, fd};
}

FileReader FileReader::copy() const
{
    const std::string folder = std::filesystem::temp_directory_path().string();
    int fd = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0) fd = ::memfd_create("leakan trace", MFD_CLOEXEC);
    FileReader result(path_, fd);
    std::vector<std::byte> bytes(size_t{1} << 20);
    for (uint64_t offset = 0;; offset += bytes.size()) {
        const size_t got = read_at(offset, bytes);
        if (got == 0) return result;
        if (::pwrite(fd, bytes.data(), got, static_cast<off_t>(offset)) != static_cast<ssize_t>(got))
            throw UserError(path_, offset,
                            "the trace of a running process can't be copied to " + folder + ": " +
                                std::strerror(errno) + "; set TMPDIR to a folder with room for it");
    }
}

int FileReader::open_for_writing() const
{
    return ::open(("/proc/self/fd/" + std::to_string(fd_)).c_str(), O_RDWR | O_CLOEXEC);
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

std::optional<FileRange> FileReader::next_data(uint64_t offset) const
{
    const uint64_t size = size_bytes();
    if (offset >= size) return std::nullopt;
    const off_t begin = ::lseek(fd_, static_cast<off_t>(offset), SEEK_DATA);
    if (begin < 0) return errno == ENXIO ? std::nullopt : std::optional(FileRange{offset, size});
    const off_t end = ::lseek(fd_, begin, SEEK_HOLE);
    return FileRange{static_cast<uint64_t>(begin), end < begin ? size : static_cast<uint64_t>(end)};
}

uint64_t FileReader::modified_unix_ns() const
{
    struct stat status = {};
    if (::fstat(fd_, &status) != 0 || status.st_mtim.tv_sec < 0) return 0;
    return static_cast<uint64_t>(status.st_mtim.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(status.st_mtim.tv_nsec);
}

} // namespace leak::analyzer
