#include "analyzer/decode/running_here.hpp"

#include "analyzer/decode/process_state.hpp"
#include "analyzer/user_error.hpp"

namespace leak::analyzer {

void check_running_here(const FileReader& file, const format::FileHeader& header, const std::string& what)
{
    const auto refuse = [&](const std::string& why) {
        throw UserError(file.path(), format::kFileHeaderOffset, what + ": " + why);
    };
    const std::string process = "its process " + std::to_string(header.pid);
    if (!written_on_this_boot(header))
        refuse("it is of another machine, or from before this one was started; name a process that runs here");
    if (header.end_state == format::EndState::exec)
        refuse(process + " has become another program, which has a trace of its own if it is traced; give the number "
                         "of the process instead of the trace");
    if (!still_running(header))
        refuse(process + " has ended; where it runs in another PID namespace (a container), run leakan there");
}

} // namespace leak::analyzer
