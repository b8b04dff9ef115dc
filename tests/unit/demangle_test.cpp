#include "analyzer/symbolize/demangle.hpp"

#include <doctest/doctest.h>

using namespace leak::analyzer;

TEST_CASE("C++ names lose parameters, return types and clone suffixes")
{
    CHECK(demangle("_ZN7Session5trackEi") == "Session::track");
    CHECK(demangle("_Z3fooIiEvT_") == "foo<int>");
    CHECK(demangle("_ZNK3Foo3barEv.constprop.0") == "Foo::bar");
    CHECK(demangle("_ZN7SessionC4Ev") == "Session::Session");
    CHECK(demangle("_ZZ4mainENKUlvE_clEv") == "main::{lambda()#1}::operator()");
    CHECK(demangle("_ZN12_GLOBAL__N_14leakEi") == "(anonymous namespace)::leak");
    CHECK(demangle("_Znwm") == "operator new");
}

TEST_CASE("Rust names are read in both manglings")
{
    CHECK(demangle("_ZN4core3fmt9Formatter3pad17h0123456789abcdefE") == "core::fmt::Formatter::pad");
    CHECK(demangle("_RNvCs1234_7mycrate4main") == "mycrate::main");
}

TEST_CASE("a name that is not mangled stays")
{
    CHECK(demangle("main") == "main");
    CHECK(demangle("") == "");
    CHECK(demangle("_Z") == "_Z");
}

TEST_CASE("the defaults of std's templates are left out")
{
    CHECK(demangle("_ZNSt6vectorI7SessionSaIS0_EE9push_backERKS0_") == "std::vector<Session>::push_back");
    CHECK(demangle("_ZNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEE9_M_assignERKS4_") ==
          "std::string::_M_assign");
    CHECK(simplify_name("std::map<int, A, std::less<int>, std::allocator<std::pair<int const, A> > >") ==
          "std::map<int, A>");
    CHECK(simplify_name("std::unique_ptr<A, std::default_delete<A> >::reset") == "std::unique_ptr<A>::reset");
}

TEST_CASE("what looks like a default but is not one stays")
{
    CHECK(simplify_name("f<int, std::allocator<int>::value_type>") == "f<int, std::allocator<int>::value_type>");
    CHECK(simplify_name("operator<") == "operator<");
    CHECK(simplify_name("a, std::allocator<") == "a, std::allocator<");
}
