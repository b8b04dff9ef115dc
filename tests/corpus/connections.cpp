// connections [CYCLES]: one request in a hundred is malformed, and its connection is forgotten on that path (held;
// ratchet over several cycles).
#include "parts.hpp"

namespace {

using namespace corpus;

struct Connection {
    unsigned number;
    char received[16000];
};

class Acceptor {
public:
    // The caller owns the connection.
    [[gnu::noinline]] static Connection* accept(unsigned number)
    {
        auto* connection = new Connection;
        connection->number = number;
        return connection;
    }
};

void serve(unsigned number)
{
    const Connection* connection = Acceptor::accept(number);
    answer(connection->number);
    if (number % 100 == 0) return; // malformed
    delete connection;
}

} // namespace

int main(int argc, char** argv)
{
    const Arguments arguments(argc, argv);
    Workers<unsigned> pool(4, 64, serve);
    Driver driver;
    driver.cycles(arguments.cycles, 4000, [&](unsigned number) { pool.submit(number); });
    Driver::end();
}
