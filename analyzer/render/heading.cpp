#include "analyzer/render/heading.hpp"

#include "analyzer/render/words.hpp"

namespace leak::analyzer {

std::string heading(const Paint& paint, const std::string& title, size_t shown, size_t all, std::string_view noun)
{
    const std::string count = shown < all
                                  ? count_words(shown) + " of " + count_words(all) + " " + std::string(noun) + "s shown"
                                  : plural(all, noun, std::string(noun) + "s");
    return "\n" + paint.bold(title) + "  " + paint.dim(count) + "\n";
}

} // namespace leak::analyzer
