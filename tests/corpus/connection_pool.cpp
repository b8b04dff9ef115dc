// connection_pool [CYCLES]: connections to a database are opened when none is free, and kept: as many as were ever in
// use at once (plateau).
#include "parts.hpp"

namespace {

using namespace corpus;

struct Connection {
    char buffer[32000] = {};
};

class ConnectionPool {
public:
    std::unique_ptr<Connection> borrow()
    {
        if (free_.empty()) return open();
        std::unique_ptr<Connection> connection = std::move(free_.back());
        free_.pop_back();
        return connection;
    }
    void give_back(std::unique_ptr<Connection> connection) { free_.push_back(std::move(connection)); }

private:
    [[gnu::noinline]] static std::unique_ptr<Connection> open() { return std::make_unique<Connection>(); }

    std::vector<std::unique_ptr<Connection>> free_;
};

class Queries { // up to 60 at once
public:
    explicit Queries(ConnectionPool& pool) : pool_(pool) {}
    void start(unsigned number)
    {
        answer(number);
        running_.push_back(pool_.borrow());
        while (running_.size() > 20 + mixed(number) % 40) finish_one();
    }
    void finish_all()
    {
        while (!running_.empty()) finish_one();
    }

private:
    void finish_one()
    {
        pool_.give_back(std::move(running_.front()));
        running_.pop_front();
    }

    ConnectionPool& pool_;
    std::deque<std::unique_ptr<Connection>> running_;
};

} // namespace

int main(int argc, char** argv)
{
    const Arguments arguments(argc, argv);
    ConnectionPool pool;
    Queries queries(pool);
    Driver driver;
    driver.cycles(arguments.cycles, 4000, [&](unsigned number) {
        queries.start(number);
        if (number % 2000 == 0) queries.finish_all();
    });
    Driver::end();
}
