// two_services leaky-last|leaky-first: two services of one process have their load in turn. Billing forgets every
// fourth invoice (held), the catalogue is clean.
#include "parts.hpp"

namespace {

using namespace corpus;

class Catalogue {
public:
    [[gnu::noinline]] static void look_up(unsigned number)
    {
        const Request request = answer(number);
        const std::list<std::string> articles(10, request.line + " found");
    }
};

class Billing {
public:
    [[gnu::noinline]] static void bill(unsigned number)
    {
        char* invoice = new char[2000];
        const Request request = answer(number);
        invoice[request.line.copy(invoice, 1999)] = '\0';
        if (number % 4 != 0) delete[] invoice;
    }
};

} // namespace

int main(int argc, char** argv)
{
    const Arguments arguments(argc, argv);
    const bool leaky_first = arguments.mode == "leaky-first";
    Driver driver;
    driver.idle(500ms);
    for (const bool leaky : {leaky_first, !leaky_first}) {
        driver.load(1200ms, 4000, leaky ? Billing::bill : Catalogue::look_up);
        driver.idle(1000ms);
    }
    Driver::end();
}
