#include "analyzer/cli/run_target.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <elf.h>
#include <fstream>
#include <sstream>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

namespace leak::analyzer {
namespace {

constexpr int kMaxInterpreters = 4; // of scripts whose interpreter is a script (as the kernel: BINPRM_BUF)
constexpr size_t kMaxProgramHeaders = 1024;

bool is_executable_file(const std::filesystem::path& file)
{
    std::error_code ignored;
    return std::filesystem::is_regular_file(file, ignored) && access(file.c_str(), X_OK) == 0;
}

template <typename T> bool read_at(std::ifstream& input, uint64_t offset, T& value)
{
    input.seekg(static_cast<std::streamoff>(offset));
    input.read(reinterpret_cast<char*>(&value), sizeof value);
    return static_cast<bool>(input);
}

// Privileged programs are started in the loader's secure mode, which ignores LD_PRELOAD with a path.
bool gains_privileges(const std::filesystem::path& file)
{
    struct stat status{};
    if (stat(file.c_str(), &status) != 0) {
        return false;
    }
    const bool other_user = (status.st_mode & S_ISUID) != 0 && status.st_uid != geteuid();
    const bool other_group = (status.st_mode & S_ISGID) != 0 && status.st_gid != getegid();
    const bool capabilities =
        geteuid() != 0 && getxattr(file.c_str(), "security.capability", nullptr, 0) > 0; // root has them anyway
    return other_user || other_group || capabilities;
}

bool has_loader(std::ifstream& input, const Elf64_Ehdr& header)
{
    for (size_t i = 0; i < std::min<size_t>(header.e_phnum, kMaxProgramHeaders); ++i) {
        Elf64_Phdr segment{};
        if (!read_at(input, header.e_phoff + i * sizeof segment, segment)) {
            return false;
        }
        if (segment.p_type == PT_INTERP) {
            return true;
        }
    }
    return false;
}

std::optional<std::string> elf_fault(std::ifstream& input)
{
    Elf64_Ehdr header{};
    if (!read_at(input, 0, header) || std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) {
        return std::nullopt; // execvp gives it to the shell, or says what is wrong
    }
    if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != EM_X86_64) {
        return "is a program for another architecture than libleak.so";
    }
    if (!has_loader(input, header)) {
        return "is statically linked, so libleak.so can't be loaded into it; link it dynamically";
    }
    return std::nullopt;
}

// The interpreter of "#!/usr/bin/env python3" is python3, as env replaces itself by it.
std::optional<std::filesystem::path> interpreter_of(std::ifstream& input)
{
    std::array<char, 2> magic{};
    std::string line;
    if (!read_at(input, 0, magic) || magic != std::array{'#', '!'} || !std::getline(input, line)) {
        return std::nullopt;
    }
    std::istringstream words(line);
    std::string interpreter;
    std::string argument;
    words >> interpreter >> argument;
    const bool through_env = std::filesystem::path(interpreter).filename() == "env" && !argument.empty();
    return through_env && argument.front() != '-' ? find_program(argument).value_or(argument)
                                                  : std::filesystem::path(interpreter);
}

} // namespace

std::optional<std::filesystem::path> find_program(const std::string& program)
{
    if (program.find('/') != std::string::npos) {
        std::error_code ignored;
        return std::filesystem::exists(program, ignored) ? std::optional(std::filesystem::path(program)) : std::nullopt;
    }
    const char* path = std::getenv("PATH");
    std::istringstream directories(path == nullptr ? "/bin:/usr/bin" : path);
    for (std::string directory; std::getline(directories, directory, ':');) {
        auto file = std::filesystem::path(directory.empty() ? "." : directory) / program;
        if (is_executable_file(file)) {
            return file;
        }
    }
    return std::nullopt;
}

std::optional<std::string> why_untraceable(const std::filesystem::path& file)
{
    std::filesystem::path current = file;
    for (int depth = 0; depth < kMaxInterpreters; ++depth) {
        if (gains_privileges(current)) {
            return current.string() + " runs with other privileges (set-user-ID, set-group-ID or file capabilities), "
                                      "for which the loader ignores libleak.so";
        }
        std::ifstream input(current, std::ios::binary);
        if (!input) {
            return std::nullopt; // may be started although it can't be read
        }
        const auto interpreter = interpreter_of(input);
        if (!interpreter) {
            input.clear();
            const auto fault = elf_fault(input);
            return fault ? std::optional(current.string() + " " + *fault) : std::nullopt;
        }
        current = *interpreter;
    }
    return std::nullopt;
}

} // namespace leak::analyzer
