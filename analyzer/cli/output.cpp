#include "analyzer/cli/output.hpp"

#include "analyzer/user_error.hpp"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <string_view>
#include <unistd.h>

namespace leak::analyzer {
namespace {

bool terminal_shows_colors()
{
    const char* no_color = std::getenv("NO_COLOR");
    const char* terminal = std::getenv("TERM");
    return isatty(STDOUT_FILENO) == 1 && (no_color == nullptr || *no_color == '\0') && terminal != nullptr &&
           std::string_view(terminal) != "dumb";
}

} // namespace

Output::Output(const std::string& path) : path_(path == "-" ? "" : path), stream_(&std::cout)
{
    if (!path_.empty()) {
        file_.open(path_, std::ios::binary | std::ios::trunc);
        if (!file_) {
            throw UserError(path_ + ": can't be written: " + std::strerror(errno) + "; choose another file for -o");
        }
        stream_ = &file_;
    }
    errno = 0;
}

bool Output::closed() const
{
    return !stream_->good();
}

void Output::finish()
{
    errno = 0;
    stream_->flush();
    // A stream that failed earlier doesn't try again: errno tells only of this flush, EPIPE stays likely for a pipe.
    if (stream_->good() || (path_.empty() && (errno == EPIPE || errno == 0))) {
        return;
    }
    const std::string name = path_.empty() ? "standard output" : path_;
    throw UserError(name + ": can't be written: " + std::strerror(errno) + "; the report is not complete");
}

Paint Output::paint(const std::string& color) const
{
    return Paint(color == "always" || (color == "auto" && path_.empty() && terminal_shows_colors()));
}

} // namespace leak::analyzer
