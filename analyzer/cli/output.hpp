// Where a report goes: a file that is opened before the long work begins, or standard output.
//
// One thread.
#pragma once

#include "analyzer/render/paint.hpp"

#include <fstream>
#include <ostream>
#include <string>

namespace leak::analyzer {

class Output {
public:
    // `path` empty or "-": standard output. Throws UserError when the file can't be opened.
    explicit Output(const std::string& path);

    [[nodiscard]] std::ostream& stream() { return *stream_; }

    // Whoever reads has gone (`leakan dump | head`): no need to go on.
    [[nodiscard]] bool closed() const;

    // Throws UserError when not everything could be written; a reader that has gone is no error.
    void finish();

    // `color`: "auto", "always" or "never". Auto is a terminal, unless NO_COLOR is set (https://no-color.org).
    [[nodiscard]] Paint paint(const std::string& color) const;

private:
    std::string path_;
    std::ofstream file_;
    std::ostream* stream_;
};

} // namespace leak::analyzer
