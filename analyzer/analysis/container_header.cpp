#include "analyzer/analysis/container_header.hpp"

#include <algorithm>

namespace leak::analyzer {

namespace {

constexpr uint64_t kWord = sizeof(uint64_t);
constexpr uint64_t kMostUnusedEnd = 64; // room that is no multiple of an element's size

// Words of memory by address, near a known one.
class WordsNear {
public:
    WordsNear(const PointerGraph& graph, uint32_t word) : graph_(graph), word_(word) {}

    // Of the word so many bytes behind the known one; nothing: it is not a pointer.
    [[nodiscard]] std::optional<uint64_t> value(uint64_t bytes) const
    {
        const auto words = graph_.words();
        const uint64_t address = words[word_].address + bytes;
        for (size_t i = word_; i < words.size() && words[i].address <= address; ++i)
            if (words[i].address == address) return words[i].value;
        return std::nullopt;
    }

private:
    const PointerGraph& graph_;
    uint32_t word_;
};

struct Header {
    OffsetRange contents;
    uint64_t bytes = 0; // of the header
};

[[nodiscard]] std::optional<Header> vector_at(const PointerGraph& graph, const GraphBlock& block, uint32_t word)
{
    const WordsNear words(graph, word);
    const auto end = words.value(kWord), room = words.value(2 * kWord);
    if (!end || !room || *end < block.begin || *end > *room || *room > block.end ||
        block.end - *room > kMostUnusedEnd || *room == block.begin)
        return std::nullopt;
    return Header{{0, *end - block.begin}, 3 * kWord};
}

// Of an iterator of std::deque: it lies in a node, and the map has the node.
struct DequeIterator {
    std::optional<uint64_t> current, first, last, node;

    DequeIterator(const WordsNear& words, uint64_t at)
        : current(words.value(at)), first(words.value(at + kWord)), last(words.value(at + 2 * kWord)),
          node(words.value(at + 3 * kWord))
    {
    }
    [[nodiscard]] bool is_sound(const PointerGraph& graph, const GraphBlock& block) const
    {
        if (!current || !first || !last || !node || *first > *current || *current > *last) return false;
        if (*node < block.begin || *node >= block.end) return false;
        const auto words = graph.words().subspan(block.words_begin, block.words_end - block.words_begin);
        const auto entry = std::ranges::lower_bound(words, *node, {}, &format::SnapshotWord::address);
        return entry != words.end() && entry->address == *node && entry->value == *first;
    }
};

[[nodiscard]] std::optional<Header> deque_at(const PointerGraph& graph, const GraphBlock& block, uint32_t word)
{
    const WordsNear words(graph, word);
    const DequeIterator begin(words, 2 * kWord), end(words, 6 * kWord);
    if (!begin.is_sound(graph, block) || !end.is_sound(graph, block) || *begin.node > *end.node) return std::nullopt;
    return Header{{*begin.node - block.begin, *end.node - block.begin + kWord}, 10 * kWord};
}

} // namespace

std::optional<OffsetRange> contents_of(const PointerGraph& graph, BlockNumber number, std::span<const uint32_t> words)
{
    const GraphBlock& block = graph.blocks()[number];
    std::optional<OffsetRange> contents;
    uint64_t header_end = 0; // the words before it belong to a header
    std::optional<OffsetRange> others;
    for (const uint32_t word : words) {
        const auto [address, value] = graph.words()[word];
        if (address < header_end) continue;
        if (value == block.begin) {
            auto header = vector_at(graph, block, word);
            if (!header) header = deque_at(graph, block, word);
            if (!header) continue;
            if (!contents) contents = header->contents;
            contents->from = std::min(contents->from, header->contents.from);
            contents->to = std::max(contents->to, header->contents.to);
            header_end = address + header->bytes;
        } else {
            const uint64_t offset = value - block.begin;
            if (!others) others = {offset, offset};
            others->from = std::min(others->from, offset);
            others->to = std::max(others->to, offset);
        }
    }
    if (contents && others && (others->from < contents->from || others->to > contents->to)) return std::nullopt;
    return contents;
}

} // namespace leak::analyzer
