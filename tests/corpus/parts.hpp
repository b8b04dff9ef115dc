// What services are made of: requests, queues, worker threads, timers, caches, sessions. None of these leaks by itself.
#pragma once

#include "driver.hpp"

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

namespace corpus {

// A number that looks random and is the same in every run.
constexpr unsigned mixed(unsigned number)
{
    number = (number ^ number >> 16) * 0x45d9f3bu;
    number = (number ^ number >> 16) * 0x45d9f3bu;
    return number ^ number >> 16;
}

struct Request {
    unsigned number;
    std::string line;
    std::vector<std::string> headers;
};

[[gnu::noinline]] inline Request parse_request(unsigned number)
{
    const std::string client = std::to_string(mixed(number) % 6000);
    return {number,
            "GET /articles/" + std::to_string(mixed(number) % 5000) + " HTTP/1.1",
            {"Host: shop.example.com", "X-Client-Identification: " + client, "Accept: application/json"}};
}

[[gnu::noinline]] inline std::string render_response(const Request& request)
{
    std::string response = "HTTP/1.1 200 OK\r\n";
    for (const std::string& header : request.headers) response += "X-Seen-" + header + "\r\n";
    return response + "\r\n{\"seen\": \"" + request.line + "\"}";
}

// What every request costs and gives back: its own strings, and a response that nobody reads here.
inline Request answer(unsigned number)
{
    Request request = parse_request(number);
    render_response(request);
    return request;
}

// Push waits for room, where room is limited; pop for an item, and has none once the queue is closed and empty.
template <class Item> class Queue {
public:
    static constexpr size_t kUnbounded = SIZE_MAX;

    explicit Queue(size_t room) : room_(room) {}
    void push(Item item)
    {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return items_.size() < room_; });
        items_.push_back(std::move(item));
        changed_.notify_all();
    }
    std::optional<Item> pop()
    {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return closed_ || !items_.empty(); });
        if (items_.empty()) return std::nullopt;
        std::optional<Item> item = std::move(items_.front());
        items_.pop_front();
        changed_.notify_all();
        return item;
    }
    void close()
    {
        const std::lock_guard lock(mutex_);
        closed_ = true;
        changed_.notify_all();
    }

private:
    const size_t room_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<Item> items_;
    bool closed_ = false;
};

// Threads that serve what is submitted, from one queue.
template <class Item> class Workers {
public:
    Workers(unsigned count, size_t room, std::function<void(Item)> serve) : queue_(room), serve_(std::move(serve))
    {
        for (unsigned i = 0; i < count; ++i) threads_.emplace_back([this] { work(); });
    }
    ~Workers()
    {
        queue_.close();
        for (std::thread& thread : threads_) thread.join();
    }
    void submit(Item item) { queue_.push(std::move(item)); }

private:
    void work()
    {
        while (std::optional<Item> item = queue_.pop()) serve_(std::move(*item));
    }

    Queue<Item> queue_;
    const std::function<void(Item)> serve_;
    std::vector<std::thread> threads_;
};

// Calls `work` every `period` on a thread of its own, until it is destroyed.
class Timer {
public:
    Timer(milliseconds period, std::function<void()> work) : thread_([this, period, work] { run(period, work); }) {}
    ~Timer()
    {
        {
            const std::lock_guard lock(mutex_);
            stopped_ = true;
        }
        stop_.notify_all();
        thread_.join();
    }

private:
    void run(milliseconds period, const std::function<void()>& work)
    {
        Clock::time_point next = Clock::now();
        std::unique_lock lock(mutex_);
        while (!stop_.wait_until(lock, next += period, [this] { return stopped_; })) work();
    }

    std::mutex mutex_;
    std::condition_variable stop_;
    bool stopped_ = false;
    std::thread thread_; // the last member: it uses the others
};

// The pages used last, at most `room` of them.
class PageCache {
public:
    explicit PageCache(size_t room) : room_(room) { index_.reserve(room); }

    char first_byte_of(unsigned key)
    {
        if (const auto found = index_.find(key); found != index_.end())
            pages_.splice(pages_.begin(), pages_, found->second);
        else
            load(key);
        if (pages_.size() > room_) evict();
        return pages_.front().text[0];
    }

private:
    struct Page {
        unsigned key;
        char text[4000];
    };

    [[gnu::noinline]] void load(unsigned key)
    {
        pages_.emplace_front(key);
        index_[key] = pages_.begin();
    }
    [[gnu::noinline]] void evict()
    {
        index_.erase(pages_.back().key);
        pages_.pop_back();
    }

    const size_t room_;
    std::list<Page> pages_;
    std::unordered_map<unsigned, std::list<Page>::iterator> index_;
};

// A session for each client, until somebody expires it. For any thread.
class SessionMap {
public:
    [[gnu::noinline]] void open(unsigned client)
    {
        const std::lock_guard lock(mutex_);
        sessions_.try_emplace(client);
    }
    // Those not used for `age`, at most `most` of them, the oldest first.
    [[gnu::noinline]] void expire(milliseconds age, size_t most = SIZE_MAX)
    {
        const std::lock_guard lock(mutex_);
        const Clock::time_point limit = Clock::now() - age;
        for (; most > 0 && !sessions_.empty() && sessions_.begin()->second.opened < limit; --most)
            sessions_.erase(sessions_.begin());
    }

private:
    struct Session {
        Clock::time_point opened = Clock::now();
        char state[1000] = {};
    };

    std::mutex mutex_;
    std::map<unsigned, Session> sessions_; // clients are numbered as they come
};

} // namespace corpus
