// A growing array in memory of its own: no allocator of the host's is involved.
//
// One thread at a time. It grows by an eighth, so that what is not in use stays small. When there is no memory,
// push_back() leaves the array as it is and out_of_memory() says so from then on.
#pragma once

#include "preload/own_memory.hpp"

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

namespace leak::preload {

template <typename T> class MappedArray {
    static_assert(std::is_trivially_copyable_v<T>);

public:
    MappedArray() noexcept = default;
    ~MappedArray()
    {
        if (data_ != nullptr) unmap_own(data_, mapped_bytes_);
    }
    MappedArray(const MappedArray&) = delete;
    MappedArray& operator=(const MappedArray&) = delete;
    MappedArray(MappedArray&& other) noexcept { swap(other); }
    MappedArray& operator=(MappedArray&& other) noexcept
    {
        swap(other);
        return *this;
    }

    [[nodiscard]] size_t size() const noexcept { return size_; }
    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
    [[nodiscard]] T* begin() noexcept { return data_; }
    [[nodiscard]] T* end() noexcept { return data_ + size_; }
    [[nodiscard]] const T* begin() const noexcept { return data_; }
    [[nodiscard]] const T* end() const noexcept { return data_ + size_; }
    [[nodiscard]] T& operator[](size_t i) noexcept { return data_[i]; }
    [[nodiscard]] const T& operator[](size_t i) const noexcept { return data_[i]; }
    [[nodiscard]] T& back() noexcept { return data_[size_ - 1]; }
    [[nodiscard]] bool out_of_memory() const noexcept { return out_of_memory_; }
    void set_out_of_memory() noexcept { out_of_memory_ = true; }

    void push_back(const T& value) noexcept
    {
        if (size_ * sizeof(T) + sizeof(T) > mapped_bytes_ && !reserve(size_ + 1)) return;
        data_[size_++] = value;
    }
    void pop_back() noexcept { --size_; }
    void clear() noexcept { size_ = 0; }
    // Items beyond the old size are zero bytes if they were never in use. False: no memory.
    [[nodiscard]] bool resize(size_t size) noexcept
    {
        if (!reserve(size)) return false;
        size_ = size;
        return true;
    }
    void erase(size_t at) noexcept
    {
        for (size_t i = at + 1; i < size_; ++i) data_[i - 1] = data_[i];
        --size_;
    }
    void insert(size_t at, const T& value) noexcept
    {
        const size_t before = size_;
        push_back(value);
        if (size_ == before) return;
        for (size_t i = size_ - 1; i > at; --i) data_[i] = data_[i - 1];
        data_[at] = value;
    }

    // Gives the pages of the items from `first` on, as far as they lie before `end`, back to the kernel: they are zero
    // bytes then. first: at the start of a page.
    void give_back(size_t first, size_t end) noexcept
    {
        os::advise(data_ + first, (end - first) * sizeof(T) / kPageBytes * kPageBytes, MADV_DONTNEED);
    }

    bool reserve(size_t size) noexcept
    {
        if (size * sizeof(T) <= mapped_bytes_) return true;
        constexpr size_t kLeast = 64 * 1024;
        size_t bytes =
            size * sizeof(T) > mapped_bytes_ + mapped_bytes_ / 8 ? size * sizeof(T) : mapped_bytes_ + mapped_bytes_ / 8;
        bytes = (bytes + kLeast - 1) / kLeast * kLeast;
        void* memory = data_ == nullptr ? map_own(bytes) : grow_own(data_, mapped_bytes_, bytes);
        if (memory == nullptr) {
            out_of_memory_ = true;
            return false;
        }
        data_ = static_cast<T*>(memory);
        mapped_bytes_ = bytes;
        return true;
    }

private:
    void swap(MappedArray& other) noexcept
    {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        std::swap(mapped_bytes_, other.mapped_bytes_);
        std::swap(out_of_memory_, other.out_of_memory_);
    }

    T* data_ = nullptr;
    size_t size_ = 0;
    size_t mapped_bytes_ = 0;
    bool out_of_memory_ = false;
};

// A MappedArray of a static object. When exit() destroys those, threads of ours go on: nothing is given back.
template <typename T> class LastingArray {
public:
    constexpr LastingArray() noexcept : array_() {}
    ~LastingArray() {} // not array_'s
    LastingArray(const LastingArray&) = delete;
    LastingArray& operator=(const LastingArray&) = delete;

    [[nodiscard]] MappedArray<T>& operator*() noexcept { return array_; }
    [[nodiscard]] MappedArray<T>* operator->() noexcept { return &array_; }

private:
    union {
        MappedArray<T> array_;
    };
};

} // namespace leak::preload
