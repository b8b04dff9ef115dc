#include "analyzer/symbolize/demangle.hpp"

#include <array>
#include <cstdlib>
#include <libiberty/demangle.h>
#include <memory>

namespace leak::analyzer {
namespace {

struct FreeDeleter {
    void operator()(char* text) const noexcept { std::free(text); }
};

void replace_all(std::string& text, std::string_view from, std::string_view to)
{
    for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
        text.replace(at, from.size(), to);
    }
}

// The position behind the template argument list that opens at `open`, or npos when it never closes (operator<).
size_t behind_template_arguments(std::string_view text, size_t open)
{
    int depth = 0;
    for (size_t at = open; at < text.size(); ++at) {
        if (text[at] == '<') {
            ++depth;
        } else if (text[at] == '>' && --depth == 0) {
            return at + 1;
        }
    }
    return std::string_view::npos;
}

// Removes ", NAME<...>" wherever it stands: the trailing default arguments of std's containers.
void remove_argument(std::string& text, std::string_view name)
{
    const std::string wanted = ", " + std::string(name) + "<";
    size_t at = text.find(wanted);
    while (at != std::string::npos) {
        const size_t end = behind_template_arguments(text, at + wanted.size() - 1);
        if (end == std::string::npos) {
            return;
        }
        const size_t next = text.find_first_not_of(' ', end);
        // Only a whole argument: "std::allocator<T>::rebind" is something else.
        if (next != std::string::npos && (text[next] == '>' || text[next] == ',')) {
            text.erase(at, end - at);
            at = text.find(wanted, at);
        } else {
            at = text.find(wanted, at + 1);
        }
    }
}

} // namespace

std::string simplify_name(std::string_view name)
{
    std::string text(name);
    replace_all(text, "std::__cxx11::", "std::");
    replace_all(text, "std::__1::", "std::"); // libc++'s inline namespace
    if (text.find('<') == std::string::npos) {
        return text;
    }
    for (const std::string_view defaulted :
         {"std::allocator", "std::char_traits", "std::default_delete", "std::less", "std::hash", "std::equal_to"}) {
        remove_argument(text, defaulted);
    }
    replace_all(text, " >", ">");
    replace_all(text, "std::basic_string<char>", "std::string");
    return text;
}

std::string demangle(const char* linkage_name)
{
    // Without DMGL_PARAMS the demangler leaves parameters, return type and clone suffix out.
    const std::unique_ptr<char, FreeDeleter> plain(cplus_demangle(linkage_name, DMGL_ANSI | DMGL_AUTO));
    return plain ? simplify_name(plain.get()) : std::string(linkage_name);
}

} // namespace leak::analyzer
