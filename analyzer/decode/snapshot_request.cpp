#include "analyzer/decode/snapshot_request.hpp"

#include "analyzer/decode/file_header.hpp"
#include "analyzer/decode/running_here.hpp"
#include "analyzer/user_error.hpp"

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstring>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>

namespace leak::analyzer {

namespace {

constexpr auto kPoll = std::chrono::milliseconds(5);

// The header of a trace, shared with its process.
class SharedHeader {
public:
    explicit SharedHeader(const FileReader& file)
    {
        const int fd = file.open_for_writing();
        if (fd >= 0) {
            void* at = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
            if (at != MAP_FAILED) first_ = static_cast<std::byte*>(at);
        }
        const int error = errno;
        if (fd >= 0) ::close(fd);
        if (first_ == nullptr)
            throw UserError(file.path(), 0,
                            std::string("no snapshot can be asked for, the trace can't be written: ") +
                                std::strerror(error) + "; run leakan as the user of the process or as root");
    }
    ~SharedHeader() { ::munmap(first_, kBytes); }
    SharedHeader(const SharedHeader&) = delete;
    SharedHeader& operator=(const SharedHeader&) = delete;

    format::FileHeader* operator->() const
    {
        return reinterpret_cast<format::FileHeader*>(first_ + format::kFileHeaderOffset);
    }

private:
    static constexpr size_t kBytes = 4096;
    std::byte* first_ = nullptr;
};

} // namespace

format::StateRef request_snapshot(const std::filesystem::path& trace, std::chrono::seconds patience)
{
    const FileReader file(trace);
    const format::FileHeader before = read_file_header(file);
    const std::string what = "no snapshot can be taken";
    if (format::file_header_bytes(before.version_major, before.version_minor) < sizeof before)
        throw UserError(file.path(), format::kFileHeaderOffset,
                        what + ": there are snapshots since version 3.4 of the format; trace with the libleak.so that "
                               "belongs to this leakan");
    check_running_here(file, before, what);
    const SharedHeader header(file);
    std::atomic_ref wanted(header->snapshot_wanted);
    const uint32_t number = wanted.fetch_add(1) + 1;
    ::syscall(SYS_futex, &header->snapshot_wanted, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
    const auto give_up = std::chrono::steady_clock::now() + patience;
    const auto is_answered = [&] {
        return static_cast<int32_t>(std::atomic_ref(header->snapshot_answered).load() - number) >= 0;
    };
    while (!is_answered() && std::chrono::steady_clock::now() < give_up) {
        check_running_here(file, read_file_header(file), what);
        std::this_thread::sleep_for(kPoll);
    }
    if (!is_answered())
        throw UserError(
            file.path(), format::kFileHeaderOffset,
            what + ": the process has not answered for " + std::to_string(patience.count()) +
                " s: it is stopped, has recorded too little so far to have a thread that listens, or has "
                "LEAK_WRITER=inline; let it go on, start it with LEAK_SNAPSHOT=SECONDS, or call leak_mark() "
                "in it");
    const format::FileHeader after = read_file_header(file);
    const auto had = snapshot_ref(before), has = snapshot_ref(after);
    if (has && (!had || has->number != had->number)) return *has;
    const std::string_view why = words_of(after.snapshot_failure);
    throw UserError(file.path(), format::kFileHeaderOffset,
                    what + ": " + (why.empty() ? "another one was being taken; try again" : std::string(why)));
}

} // namespace leak::analyzer
