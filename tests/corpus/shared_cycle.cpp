// shared_cycle [CYCLES]: an order and its shipment own each other, so that neither is ever released (held; ratchet over
// several cycles). One order in four is shipped.
#include "parts.hpp"

namespace {

using namespace corpus;

struct Shipment;

struct Order {
    std::shared_ptr<Shipment> shipment;
    char articles[1000] = {};
};

struct Shipment {
    std::shared_ptr<Order> order;
    char address[400] = {};
};

class OrderDesk {
public:
    [[gnu::noinline]] static std::shared_ptr<Order> place() { return std::make_shared<Order>(); }
    [[gnu::noinline]] static void ship(const std::shared_ptr<Order>& order)
    {
        order->shipment = std::make_shared<Shipment>();
        order->shipment->order = order;
    }
};

void serve(unsigned number)
{
    answer(number);
    const std::shared_ptr<Order> order = OrderDesk::place();
    if (number % 4 == 0) OrderDesk::ship(order);
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
