// Text in a fixed buffer, for messages and paths: no allocation, no stdio, no locale. Too long a text is cut and says
// so.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace leak::preload {

// std::string_view::substr can throw and so needs the C++ runtime; these can't. at, count: at most text.size().
[[nodiscard]] constexpr std::string_view head(std::string_view text, size_t count) noexcept
{
    text.remove_suffix(text.size() - count);
    return text;
}
[[nodiscard]] constexpr std::string_view tail(std::string_view text, size_t at) noexcept
{
    text.remove_prefix(at);
    return text;
}

// The decimal number behind blanks at `text`, which is moved behind it; 0: there is none.
[[nodiscard]] constexpr uint64_t take_number(const char*& text) noexcept
{
    while (*text == ' ' || *text == '\t') ++text;
    uint64_t number = 0;
    for (; *text >= '0' && *text <= '9'; ++text) number = number * 10 + static_cast<uint64_t>(*text - '0');
    return number;
}

// What a line of a /proc file says in kilobytes, in bytes; 0: there is no such line. label: its beginning with the
// colon, behind the line feed before.
[[nodiscard]] inline uint64_t bytes_of(const char* text, const char* label) noexcept
{
    const char* at = std::strstr(text, label);
    if (at == nullptr) return 0;
    at += std::strlen(label);
    return take_number(at) * 1024;
}

template <size_t Capacity> class Text {
public:
    Text& add(std::string_view more) noexcept
    {
        const size_t room = Capacity - 1 - size_;
        const size_t taken = more.size() < room ? more.size() : room;
        cut_ = cut_ || taken < more.size();
        std::memcpy(bytes_ + size_, more.data(), taken);
        size_ += taken;
        bytes_[size_] = 0;
        return *this;
    }
    Text& add(char byte) noexcept { return add(std::string_view(&byte, 1)); }
    Text& add_number(uint64_t number) noexcept
    {
        char digits[20];
        size_t at = sizeof digits;
        do digits[--at] = static_cast<char>('0' + number % 10);
        while ((number /= 10) != 0);
        return add(std::string_view(digits + at, sizeof digits - at));
    }
    void clear() noexcept
    {
        size_ = 0;
        bytes_[0] = 0;
        cut_ = false;
    }
    // For what writes into the buffer itself: `bytes` of it are now in use.
    void resize(size_t bytes) noexcept
    {
        size_ = bytes < Capacity ? bytes : Capacity - 1;
        bytes_[size_] = 0;
    }

    [[nodiscard]] bool cut() const noexcept { return cut_; }
    [[nodiscard]] const char* c_str() const noexcept { return bytes_; }
    [[nodiscard]] char* data() noexcept { return bytes_; }
    [[nodiscard]] static constexpr size_t capacity() noexcept { return Capacity; }
    [[nodiscard]] std::string_view view() const noexcept { return {bytes_, size_}; }
    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }

private:
    size_t size_ = 0;
    bool cut_ = false;
    char bytes_[Capacity] = {};
};

using Path = Text<4096>;

} // namespace leak::preload
