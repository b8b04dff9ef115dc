// A pool of 4 threads runs 1,000 tasks; every tenth task leaks 64 bytes, the others release what they made.
#include "host.hpp"

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace {

HOST_FRAME void leaking_task()
{
    keep(malloc(64));
}
HOST_FRAME void clean_task()
{
    std::vector<std::string> texts;
    for (int i = 0; i < 20; ++i) texts.push_back(std::string(static_cast<size_t>(i + 20), 'x'));
    keep(texts.data());
}

class Pool {
public:
    explicit Pool(int threads)
    {
        for (int i = 0; i < threads; ++i) workers_.emplace_back([this] { work(); });
    }
    ~Pool()
    {
        {
            const std::lock_guard lock(mutex_);
            closed_ = true;
        }
        wake_.notify_all();
        for (std::thread& worker : workers_) worker.join();
    }
    void submit(std::function<void()> task)
    {
        {
            const std::lock_guard lock(mutex_);
            tasks_.push_back(std::move(task));
        }
        wake_.notify_one();
    }

private:
    void work()
    {
        for (;;) {
            std::function<void()> task;
            {
                std::unique_lock lock(mutex_);
                wake_.wait(lock, [this] { return closed_ || !tasks_.empty(); });
                if (tasks_.empty()) return;
                task = std::move(tasks_.front());
                tasks_.pop_front();
            }
            task();
        }
    }
    std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<std::function<void()>> tasks_;
    bool closed_ = false;
    std::vector<std::thread> workers_;
};

} // namespace

int main()
{
    Pool pool(4);
    for (int i = 0; i < 1000; ++i) {
        const std::string payload(static_cast<size_t>(100 + i), 'p'); // too big for std::function's inside
        pool.submit([i, payload] {
            keep(const_cast<char*>(payload.data()));
            if (i % 10 == 0)
                leaking_task();
            else
                clean_task();
        });
    }
    return 0;
}
