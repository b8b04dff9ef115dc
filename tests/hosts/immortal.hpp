// An object in static memory that nothing destroys: what it holds is still there when the program ends.
#pragma once

#include "host.hpp"

#include <new>
#include <utility>

template <class T> class Immortal {
public:
    template <class... Arguments> T& make(Arguments&&... arguments)
    {
        return *static_cast<T*>(keep(new (bytes_) T(std::forward<Arguments>(arguments)...)));
    }
    T& operator*() { return *std::launder(reinterpret_cast<T*>(bytes_)); }
    T* operator->() { return &**this; }

private:
    alignas(T) char bytes_[sizeof(T)];
};
