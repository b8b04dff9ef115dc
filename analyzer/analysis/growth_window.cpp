#include "analyzer/analysis/growth_window.hpp"

namespace leak::analyzer {

void GrowthWindow::look(int64_t at_ns, const std::vector<LiveAmount>& amounts)
{
    now_ns_ = at_ns;
    if (window_ns_)
        while (pictures_.size() > 1 && pictures_[1].at_ns <= at_ns - *window_ns_) pictures_.pop_front();
    const bool is_due = pictures_.empty() || (window_ns_ && at_ns - pictures_.back().at_ns >= *window_ns_ / kPictures);
    if (!is_due) return;
    Picture& picture = pictures_.emplace_back();
    picture.at_ns = at_ns;
    picture.bytes.reserve(amounts.size());
    for (const LiveAmount& amount : amounts) picture.bytes.push_back(amount.bytes);
}

int64_t GrowthWindow::growth(StackId stack, uint64_t bytes) const
{
    if (pictures_.empty()) return 0;
    const std::vector<uint64_t>& then = pictures_.front().bytes;
    return static_cast<int64_t>(bytes - (stack.value < then.size() ? then[stack.value] : 0));
}

} // namespace leak::analyzer
