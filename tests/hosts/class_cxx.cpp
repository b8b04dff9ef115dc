// What objects of C++ hold: by their containers, and by pointers to their inside that are what the language makes of
// pointers to an object. The containers are in memory of static storage duration and are never destroyed.
#include "immortal.hpp"

#include <deque>
#include <exception>
#include <forward_list>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

namespace {

void* volatile slots[32];
size_t slots_used = 0;
void hold(const void* pointer)
{
    slots[slots_used++] = const_cast<void*>(pointer);
}

// -- Containers -------------------------------------------------------------------------------------------------------

const char kLongText[] = "a text that is too long for the inside of a string";

Immortal<std::string> text;
HOST_FRAME void by_string()
{
    text.make(kLongText);
}
Immortal<std::vector<int>> vector;
HOST_FRAME void by_vector()
{
    vector.make(300u);
}
Immortal<std::map<int, int>> map;
HOST_FRAME void by_map()
{
    auto& made = map.make();
    for (int i = 0; i < 7; ++i) made.try_emplace(i);
}
Immortal<std::set<std::string>> set;
HOST_FRAME void by_set_of_strings()
{
    auto& made = set.make();
    for (int i = 0; i < 3; ++i) made.insert(kLongText + std::to_string(i));
}
Immortal<std::unordered_map<int, int>> unordered_map;
HOST_FRAME void by_unordered_map()
{
    auto& made = unordered_map.make();
    for (int i = 0; i < 3; ++i) made.try_emplace(i);
}
Immortal<std::deque<int>> deque;
HOST_FRAME void by_deque()
{
    deque.make(500u);
}
Immortal<std::list<int>> list;
HOST_FRAME void by_list()
{
    list.make(3u);
}
Immortal<std::forward_list<int>> forward_list;
HOST_FRAME void by_forward_list()
{
    forward_list.make(3u);
}
struct Pair {
    int numbers[50];
};
Immortal<std::shared_ptr<Pair>> shared;
HOST_FRAME void by_shared_ptr()
{
    shared.make(new Pair);
}
Immortal<std::shared_ptr<Pair>> made_shared;
HOST_FRAME void by_make_shared()
{
    made_shared.make(std::make_shared<Pair>());
}
Immortal<std::unique_ptr<Pair>> unique;
HOST_FRAME void by_unique_ptr()
{
    unique.make(new Pair);
}
Immortal<std::function<int()>> function;
HOST_FRAME void by_function()
{
    function.make([pair = Pair()] { return pair.numbers[0]; });
}
Immortal<std::map<std::string, std::vector<std::string>>> nested;
HOST_FRAME void by_nested_containers()
{
    nested.make()[kLongText] = std::vector<std::string>(3, kLongText);
}

// -- Pointers to the inside -------------------------------------------------------------------------------------------

struct WithDestructor {
    ~WithDestructor() { keep(this); }
    void* slots[10] = {};
};
HOST_FRAME void by_array_cookie()
{
    hold(new WithDestructor[7]);
}
HOST_FRAME void by_array_of_bytes()
{
    hold(new char[560]() + 8);
}
HOST_FRAME void by_array_element()
{
    hold(new WithDestructor[7] + 1);
}

struct First {
    virtual ~First() = default;
    long numbers[3] = {};
};
struct Second {
    virtual ~Second() = default;
    long numbers[3] = {};
};
struct Third {
    long numbers[3] = {};
};
struct All : First, Second, Third {};
struct Shared : virtual First {
    long more[2] = {};
};
HOST_FRAME void by_first_base()
{
    hold(static_cast<First*>(new All));
}
HOST_FRAME void by_second_base()
{
    hold(static_cast<Second*>(new All));
}
HOST_FRAME void by_virtual_base()
{
    hold(static_cast<First*>(new Shared));
}
// Without virtual functions there is nothing by which a base class could be told from any other member.
HOST_FRAME void by_plain_base()
{
    hold(static_cast<Third*>(new All));
}
HOST_FRAME void by_member()
{
    hold((new First)->numbers);
}
HOST_FRAME void by_weak_ptr_alone()
{
    static Immortal<std::weak_ptr<Pair>> weak;
    weak.make(std::make_shared<Pair>());
}
// The C++ runtime points to the exception, behind a header of its own.
Immortal<std::exception_ptr> exception;
HOST_FRAME void by_exception_ptr()
{
    exception.make(std::make_exception_ptr(Pair()));
}
// A shared_ptr to a part keeps the whole: by its control block.
Immortal<std::shared_ptr<int>> part;
HOST_FRAME void by_aliasing_shared_ptr()
{
    auto whole = std::make_shared<Pair>();
    part.make(whole, &whole->numbers[20]);
}
HOST_FRAME void by_nothing()
{
    keep(new All);
}

} // namespace

int main()
{
    void (*const all[])() = {
        by_string,
        by_vector,
        by_map,
        by_set_of_strings,
        by_unordered_map,
        by_deque,
        by_list,
        by_forward_list,
        by_shared_ptr,
        by_make_shared,
        by_unique_ptr,
        by_function,
        by_nested_containers,
        by_array_cookie,
        by_array_of_bytes,
        by_array_element,
        by_first_base,
        by_second_base,
        by_virtual_base,
        by_plain_base,
        by_member,
        by_weak_ptr_alone,
        by_exception_ptr,
        by_aliasing_shared_ptr,
        by_nothing,
    };
    for (const auto leave_blocks : all) {
        leave_blocks();
        scrub_stack();
    }
    end_host();
}
