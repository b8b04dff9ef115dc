// journal vector|text: every request is entered in a journal in one block, which grows under load (held).
//
//   vector   doubled whenever it is full, the last time at the end of load
//   text     made longer by 64 KiB
#include "parts.hpp"
#include "text_buffer.h"

namespace {

using namespace corpus;

class EventJournal {
public:
    [[gnu::noinline]] void append(unsigned number) { events_.emplace_back(number); }

private:
    struct Event {
        unsigned number;
        char text[252] = {};
    };
    std::vector<Event> events_;
};

} // namespace

int main(int argc, char** argv)
{
    const Arguments arguments(argc, argv);
    EventJournal events;
    text_buffer text = {};
    Driver driver;
    driver.cycles(1, 4400, [&](unsigned number) {
        const std::string response = render_response(parse_request(number));
        if (arguments.mode == "vector")
            events.append(number);
        else
            for (int line = 0; line < 3; ++line) text_buffer_append(&text, response.data(), response.size());
    });
    Driver::end();
    std::free(text.text);
}
