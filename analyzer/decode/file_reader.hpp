// Reads a trace by position. Never maps it: a mapped file that is cut short while we read raises SIGBUS.
//
// One thread (position-free, so several may share it). Allocates nothing but the path.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <utility>

namespace leak::analyzer {

class FileReader {
public:
    // Throws UserError when `path` is no regular file that can be read.
    explicit FileReader(const std::filesystem::path& path);
    ~FileReader();
    FileReader(FileReader&& other) noexcept;
    FileReader& operator=(FileReader&& other) noexcept;
    FileReader(const FileReader&) = delete;
    FileReader& operator=(const FileReader&) = delete;

    // Another reader of the same file, whatever its name leads to by now. Throws UserError without descriptors.
    [[nodiscard]] FileReader again() const;

    // A reader of a copy as the file is now, which nobody else sees; read_at() and size_bytes() are the copy's. Bytes
    // are copied in their order, so that what a process publishes by a store in front of it is there or not. Throws
    // UserError when there is no room for it.
    [[nodiscard]] FileReader copy() const;

    // A descriptor of the same file for reading and writing, which the caller closes; -1 and errno where there is none
    // to be had.
    [[nodiscard]] int open_for_writing() const;

    // As the file is now; a running process extends it.
    [[nodiscard]] uint64_t size_bytes() const;

    // Bytes read from `offset` into `to`; fewer than asked for at the end of the file or on an I/O error.
    [[nodiscard]] size_t read_at(uint64_t offset, std::span<std::byte> to) const;

    // Whether all of a trivially copyable value could be read.
    template <typename T> [[nodiscard]] bool read_value(uint64_t offset, T& value) const
    {
        return read_at(offset, std::as_writable_bytes(std::span(&value, 1))) == sizeof(T);
    }

    [[nodiscard]] const std::string& path() const { return path_; }

private:
    FileReader(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}

    std::string path_;
    int fd_ = -1;
};

} // namespace leak::analyzer
