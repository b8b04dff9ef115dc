#include "analyzer/cli/terminal.hpp"

#include "analyzer/cli/follow.hpp"

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <poll.h>
#include <string_view>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

namespace leak::analyzer {

namespace {

constexpr std::string_view kEnter = "\033[?1049h\033[?25l\033[H\033[2J"; // alternate screen, no cursor, cleared
constexpr std::string_view kLeave = "\033[?25h\033[?1049l";
constexpr std::array kFatal = {SIGINT,  SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGABRT,
                               SIGSEGV, SIGBUS,  SIGFPE, SIGILL,  SIGXCPU};

// What the handlers need.
termios g_before;           // as it was
bool g_has_keys = false;    // it was changed
std::atomic<bool> g_redraw; // lock-free

void write_all(std::string_view text)
{
    while (!text.empty()) {
        const ssize_t done = write(STDOUT_FILENO, text.data(), text.size());
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) return;
        text.remove_prefix(static_cast<size_t>(done));
    }
}

void enter()
{
    if (g_has_keys) {
        termios raw = g_before;
        raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
        raw.c_cc[VMIN] = 0;
        raw.c_cc[VTIME] = 0;
        tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    }
    write_all(kEnter);
}

void leave()
{
    write_all(kLeave);
    if (g_has_keys) tcsetattr(STDIN_FILENO, TCSANOW, &g_before); // a stopped terminal must not hold us up
}

void handle(int signal, void (*handler)(int), int flags)
{
    struct sigaction action{};
    action.sa_handler = handler;
    action.sa_flags = flags;
    sigfillset(&action.sa_mask);
    sigaction(signal, &action, nullptr);
}

void raise_unblocked(int signal)
{
    sigset_t one;
    sigset_t before;
    sigemptyset(&one);
    sigaddset(&one, signal);
    raise(signal);
    sigprocmask(SIG_UNBLOCK, &one, &before); // here it is delivered
    sigprocmask(SIG_SETMASK, &before, nullptr);
}

// All of these call what signal-safety(7) allows.
void on_fatal(int signal)
{
    leave();
    if (signal == SIGINT) _exit(0);
    handle(signal, SIG_DFL, 0);
    raise_unblocked(signal);
}

void on_resize(int)
{
    g_redraw = true;
}

void on_suspend(int)
{
    const int error = errno;
    leave();
    handle(SIGTSTP, SIG_DFL, 0);
    raise_unblocked(SIGTSTP);
    // Beyond this point somebody has continued us.
    handle(SIGTSTP, on_suspend, 0);
    enter();
    g_redraw = true;
    errno = error;
}

} // namespace

bool Terminal::is_there()
{
    const char* name = std::getenv("TERM");
    return isatty(STDOUT_FILENO) == 1 && name != nullptr && *name != '\0' && std::string_view(name) != "dumb";
}

Terminal::Terminal() : has_keys_(isatty(STDIN_FILENO) == 1 && tcgetattr(STDIN_FILENO, &g_before) == 0)
{
    g_has_keys = has_keys_;
    g_redraw = false;
    const HeldSignals held; // from the first change on the handlers are there
    for (const int signal : kFatal) handle(signal, on_fatal, 0);
    handle(SIGWINCH, on_resize, 0);
    handle(SIGTSTP, on_suspend, 0);
    enter();
}

Terminal::~Terminal()
{
    const HeldSignals held;
    leave();
    for (const int signal : kFatal) handle(signal, SIG_DFL, 0);
    handle(SIGWINCH, SIG_DFL, 0);
    handle(SIGTSTP, SIG_DFL, 0);
}

Terminal::Size Terminal::size() const
{
    winsize window{};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) != 0 || window.ws_col == 0 || window.ws_row == 0) return {};
    return {window.ws_col, window.ws_row};
}

void Terminal::draw(const std::vector<std::string>& lines) const
{
    std::string screen = "\033[H";
    for (size_t i = 0; i < lines.size(); ++i) screen += (i == 0 ? "" : "\r\n") + lines[i] + "\033[K";
    screen += "\033[J";
    const HeldSignals held;
    write_all(screen);
}

char Terminal::wait_for_key(std::chrono::milliseconds most)
{
    pollfd input{has_keys_ ? STDIN_FILENO : -1, POLLIN, 0};
    if (g_redraw || poll(&input, 1, static_cast<int>(most.count())) <= 0) return 0;
    char key = 0;
    if (read(STDIN_FILENO, &key, 1) == 1) return key;
    has_keys_ = false; // nobody is there any more
    return 0;
}

bool Terminal::must_redraw()
{
    return g_redraw.exchange(false);
}

} // namespace leak::analyzer
