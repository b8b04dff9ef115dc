// orderd: an order service in miniature, with the leaks such services have. Traced by scripts/quickstart.
//
//   - SessionStore::open      a session for every client that ever came; nothing closes them           (grows with
//   load)
//   - HealthCheck::run        every check opens one more session, also when there is no load            (grows for
//   ever)
//   - HeaderParser::parse     the parsed header is forgotten when the request turns out malformed       (error path)
//   - PriceCache              holds at most 500 prices and gives back the oldest: memory in use, not a leak
//
// The requests are the same in every run, whatever thread serves them.

#include "preload/leak.h"

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

namespace orderd {

using namespace std::chrono_literals;

struct Request {
    unsigned number;
    std::string text;
};

// Waits for room when full, and for requests when empty; ends when closed and empty.
class RequestQueue {
public:
    void push(Request request)
    {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return requests_.size() < kMostWaiting; });
        requests_.push_back(std::move(request));
        changed_.notify_all();
    }
    std::optional<Request> pop()
    {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return closed_ || !requests_.empty(); });
        if (requests_.empty()) return std::nullopt;
        Request request = std::move(requests_.front());
        requests_.pop_front();
        changed_.notify_all();
        return request;
    }
    void close()
    {
        const std::lock_guard lock(mutex_);
        closed_ = true;
        changed_.notify_all();
    }

private:
    static constexpr size_t kMostWaiting = 256;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<Request> requests_;
    bool closed_ = false;
};

struct Header {
    std::string client;
    unsigned article = 0;
    bool well_formed = false;
    char text[512]; // as it came
};

class HeaderParser {
public:
    // The caller owns the header.
    [[gnu::noinline]] static Header* parse(const Request& request)
    {
        auto* header = new Header;
        request.text.copy(header->text, sizeof header->text);
        const size_t colon = request.text.find(':');
        header->client = "client-identification/" + request.text.substr(0, colon);
        header->well_formed = colon != std::string::npos;
        if (header->well_formed) header->article = static_cast<unsigned>(std::stoul(request.text.substr(colon + 1)));
        return header;
    }
};

struct Session {
    std::string client;
    std::vector<unsigned> articles_seen;
};

class SessionStore {
public:
    [[gnu::noinline]] Session& open(const std::string& client)
    {
        const std::lock_guard lock(mutex_);
        auto& session = sessions_[client];
        if (!session) {
            session = std::make_unique<Session>();
            session->client = client;
            session->articles_seen.reserve(64);
        }
        return *session;
    }
    size_t size() const { return sessions_.size(); }

private:
    std::mutex mutex_;
    std::unordered_map<std::string, std::unique_ptr<Session>> sessions_;
};

class PriceCache {
public:
    [[gnu::noinline]] unsigned price_of(unsigned article)
    {
        const std::lock_guard lock(mutex_);
        if (const auto found = index_.find(article); found != index_.end()) return found->second->cents;
        prices_.push_front({article, article * 7 % 10000, std::string(100, 'd')});
        index_[article] = prices_.begin();
        if (prices_.size() > kMostPrices) {
            index_.erase(prices_.back().article);
            prices_.pop_back();
        }
        return prices_.front().cents;
    }

private:
    static constexpr size_t kMostPrices = 500;
    struct Price {
        unsigned article;
        unsigned cents;
        std::string description;
    };
    std::mutex mutex_;
    std::list<Price> prices_;
    std::unordered_map<unsigned, std::list<Price>::iterator> index_;
};

class Server {
public:
    void start(int threads)
    {
        for (int i = 0; i < threads; ++i) workers_.emplace_back([this] { work(); });
    }
    void submit(Request request) { queue_.push(std::move(request)); }
    void finish()
    {
        queue_.close();
        for (std::thread& worker : workers_) worker.join();
    }
    void print_summary() const
    {
        std::printf("orderd: %u orders, %u malformed requests, %zu sessions\n", orders_, malformed_, sessions_.size());
    }
    SessionStore& sessions() { return sessions_; }

private:
    void work()
    {
        while (std::optional<Request> request = queue_.pop()) serve(*request);
    }

    [[gnu::noinline]] void serve(const Request& request)
    {
        const Header* header = HeaderParser::parse(request);
        if (!header->well_formed) {
            const std::lock_guard lock(mutex_);
            ++malformed_;
            return; // the header is lost
        }
        Session& session = sessions_.open(header->client);
        const unsigned cents = prices_.price_of(header->article);
        const std::lock_guard lock(mutex_);
        if (session.articles_seen.size() < 64 && cents > 0) session.articles_seen.push_back(header->article);
        ++orders_;
        delete header;
    }

    RequestQueue queue_;
    SessionStore sessions_;
    PriceCache prices_;
    std::vector<std::thread> workers_;
    std::mutex mutex_;
    unsigned orders_ = 0;
    unsigned malformed_ = 0;
};

// Every check comes as a client nobody has seen before.
class HealthCheck {
public:
    [[gnu::noinline]] static void run(Server& server, unsigned number)
    {
        server.sessions().open("health-check/" + std::to_string(number));
    }
};

Request make_request(unsigned number)
{
    const unsigned mixed = number * 2654435761u >> 8;
    std::string text = std::to_string(mixed % 6000);
    if (number % 40 != 0) text += ":" + std::to_string(mixed % 5000);
    return {number, std::move(text)};
}

} // namespace orderd

int main()
{
    using namespace orderd;
    auto* server = new Server; // lives as long as the process, as servers do
    server->start(4);

    for (unsigned number = 1; number <= 60000; ++number) {
        server->submit(make_request(number));
        if (number % 600 == 0) std::this_thread::sleep_for(15ms);
    }
    server->finish();
    leak_mark("load stop");
    for (unsigned number = 0; number < 100; ++number) {
        HealthCheck::run(*server, number);
        std::this_thread::sleep_for(5ms);
    }
    server->print_summary();
    return 0;
}
