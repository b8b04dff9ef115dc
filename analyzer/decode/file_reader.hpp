// Reads a trace, or another file, by position. Never maps it: a mapped file that is cut short while we read raises
// SIGBUS.
//
// One thread (position-free, so several may share it). Allocates nothing but the path.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace leak::analyzer {

// Bytes of a file from `begin` on, below `end`.
struct FileRange {
    uint64_t begin = 0;
    uint64_t end = 0;
};

class FileReader {
public:
    // Throws UserError when `path` is no regular file that can be read. what: the file is taken for, in the error;
    // wanted: what to name instead.
    explicit FileReader(const std::filesystem::path& path, std::string_view what = "trace",
                        std::string_view wanted = "a trace that libleak.so wrote");
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

    // The next bytes from `offset` on that are no hole of the file; nothing: only a hole follows, or the end. Where the
    // file system tells no holes there are none.
    [[nodiscard]] std::optional<FileRange> next_data(uint64_t offset) const;

    // When the file was last written, by the clock of the day; 0: not known.
    [[nodiscard]] uint64_t modified_unix_ns() const;

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
