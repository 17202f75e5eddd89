#include "client/cli/screen.h"

#include "client/cli/cli.h"

#include <ctype.h>
#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <wchar.h>

#define MIN_WIDTH 1u
#define MAX_WIDTH 1000u
#define MAX_HEIGHT 1000u
#define MAX_PAGE (4u * 1024 * 1024)      /* bytes: every cell of the largest in a colour of its own */
#define MAX_PUT 1024u                    /* bytes put at once */

/* The other screen, no cursor, no wrapping; and back. */
static const char enter_text[] = "\033[?1049h\033[?25l\033[?7l", leave_text[] = "\033[0m\033[?7h\033[?25h\033[?1049l";

static struct {
    volatile sig_atomic_t open, changed;
    bool typed;                          /* stdin is a terminal: keys come from it */
    bool utf8, colours, exit_known;
    struct termios before, ours;
    unsigned width, height, row, column;
    struct buf page;
} s;

/* --- enter and leave, from handlers too: system calls alone ---------------------------------- */

static bool send_all(const char *at, size_t len)
{
    while (len) {
        ssize_t n = write(STDOUT_FILENO, at, len);
        if (n < 0 && errno == EAGAIN) {
            struct pollfd p = { .fd = STDOUT_FILENO, .events = POLLOUT };
            if (poll(&p, 1, -1) < 0 && errno != EINTR)
                return false;
        } else if (n < 0 && errno != EINTR) {
            return false;
        }
        at += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

static void enter(void)
{
    if (s.typed)
        tcsetattr(STDIN_FILENO, TCSANOW, &s.ours);
    s.open = send_all(enter_text, sizeof enter_text - 1);
}

static void leave(void)
{
    if (!s.open)
        return;
    s.open = false;
    send_all(leave_text, sizeof leave_text - 1);
    if (s.typed)
        tcsetattr(STDIN_FILENO, TCSANOW, &s.before);
}

/* The signal does what it would have done, once we have left. */
static void on_end(int number)
{
    leave();
    signal(number, SIG_DFL);
    raise(number);
}

static void on_stop(int number)
{
    int was = errno;

    leave();
    raise(SIGSTOP);
    enter();                             /* somebody let us go on */
    s.changed = true;
    errno = was;
}

static void on_resize(int number)
{
    s.changed = true;
}

static void on_signal(int number, void (*handler)(int))
{
    struct sigaction old, sa = { .sa_handler = handler };

    /* What whoever started us has ignored stays so. */
    if (sigaction(number, NULL, &old) == 0 && old.sa_handler != SIG_IGN)
        sigaction(number, &sa, NULL);
}

static void block_resize(int how, sigset_t *out)
{
    sigset_t one;

    sigemptyset(&one);
    sigaddset(&one, SIGWINCH);
    sigprocmask(how, &one, out);
}

/* Of those in use: the old ones of glass, and what calls itself monochrome. */
static bool has_colours(const char *term)
{
    size_t len = strlen(term);

    return !(strncmp(term, "vt", 2) == 0 && isdigit((unsigned char)term[2])) &&
           !(len > 2 && strcmp(term + len - 2, "-m") == 0) && !strstr(term, "mono");
}

bool screen_open(void)
{
    const char *term = getenv("TERM");

    if (!isatty(STDOUT_FILENO) || !term || !*term || strcmp(term, "dumb") == 0)
        return false;
    s.colours = has_colours(term);
    setlocale(LC_CTYPE, "");
    s.utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    s.typed = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &s.before) == 0;
    s.ours = s.before;
    s.ours.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    s.ours.c_cc[VMIN] = s.ours.c_cc[VTIME] = 0;
    buf_init(&s.page, MAX_PAGE);
    block_resize(SIG_BLOCK, NULL);       /* seen in screen_wait alone, where none is missed */
    on_signal(SIGWINCH, on_resize);
    on_signal(SIGTSTP, on_stop);
    for (size_t i = 0; i < 4; i++)
        on_signal((const int[]){ SIGINT, SIGTERM, SIGHUP, SIGQUIT }[i], on_end);
    if (!s.exit_known)
        s.exit_known = atexit(leave) == 0;
    enter();
    return s.open;
}

void screen_close(void)
{
    leave();
    buf_clear(&s.page);
}

bool screen_has_utf8(void)
{
    return s.utf8;
}

/* --- a page ------------------------------------------------------------------------------------- */

static unsigned within(unsigned n, unsigned least, unsigned most)
{
    return n < least ? least : n > most ? most : n;
}

void screen_begin(void)
{
    struct winsize size = { 0 };
    bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col && size.ws_row;

    s.width = within(known ? size.ws_col : 80, MIN_WIDTH, MAX_WIDTH);
    s.height = within(known ? size.ws_row : 24, 1, MAX_HEIGHT);
    s.row = s.column = 0;
    s.page.len = 0;
    buf_append_str(&s.page, "\033[H");
}

unsigned screen_width(void)
{
    return s.width;
}

unsigned screen_left(void)
{
    return s.height - s.row;
}

/* Cut at the width. */
static void add(const char *bytes, size_t len, unsigned columns)
{
    if (s.row < s.height && s.column + columns <= s.width && buf_append(&s.page, bytes, len))
        s.column += columns;
    else
        s.column = s.width;              /* nothing narrower slips in behind it */
}

static void add_escaped(const char *bytes, size_t len)
{
    char text[5];

    for (size_t i = 0; i < len; i++) {
        snprintf(text, sizeof text, "\\x%02X", (uint8_t)bytes[i]);
        add(text, 4, 4);
    }
}

/* Turns the direction of what stands around it, or is not to be seen. */
static bool is_hidden(uint32_t c)
{
    return (c >= 0x80 && c < 0xA0) || c == 0xAD || c == 0x61C || (c >= 0x200B && c <= 0x200F) || (c >= 0x2028 && c <= 0x202E) ||
           (c >= 0x2060 && c <= 0x206F) || c == 0xFEFF || (c >= 0xFFF0 && c <= 0xFFFB) || c >= 0xE0000;
}

static size_t letter_len(uint8_t first)
{
    if (first < 0x80)
        return 1;
    if (first < 0xC2 || first >= 0xF5)
        return 0;
    return first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
}

/* Bytes of the letter that begins there, at most len; 0: none. */
static size_t letter(const char *at, size_t len, uint32_t *out)
{
    const uint8_t *b = (const uint8_t *)at;
    size_t n = letter_len(b[0]);
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };

    if (n == 0 || n > len)
        return 0;
    *out = n == 1 ? b[0] : b[0] & (0x7Fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((b[i] & 0xC0) != 0x80)
            return 0;
        *out = *out << 6 | (b[i] & 0x3F);
    }
    return *out >= least[n] && *out <= 0x10FFFF && !(*out >= 0xD800 && *out < 0xE000) ? n : 0;
}

static void add_text(const char *text, size_t len)
{
    for (size_t i = 0; i < len;) {
        uint32_t c = 0;
        size_t n = letter(text + i, len - i, &c);
        int columns = n > 1 ? wcwidth((wchar_t)c) : 1;
        if (n == 0 || c < 0x20 || c == 0x7F || is_hidden(c))
            add_escaped(text + i, n ? n : 1);
        else if (n > 1 && !s.utf8)
            add("?", 1, 1);
        else
            add(text + i, n, columns < 0 ? 1 : (unsigned)columns);
        i += n ? n : 1;
    }
}

void screen_put(const char *colour, const char *fmt, ...)
{
    char text[MAX_PUT];
    va_list args;

    va_start(args, fmt);
    int len = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (len < 0)
        return;
    if (colour && s.colours)
        buf_append_str(&s.page, paint(colour));
    add_text(text, (size_t)len < sizeof text ? (size_t)len : sizeof text - 1);
    if (colour && s.colours)
        buf_append_str(&s.page, paint_off());
}

void screen_at(unsigned column)
{
    do
        add(" ", 1, 1);
    while (s.column < column && s.column < s.width);
}

void screen_row(void)
{
    if (s.row < s.height)
        buf_append_str(&s.page, s.row + 1 < s.height ? "\033[K\r\n" : "\033[K");
    s.row += s.row < s.height;
    s.column = 0;
}

bool screen_show(void)
{
    if (s.row < s.height)
        buf_append_str(&s.page, "\033[J");
    return send_all((const char *)s.page.data, s.page.len);
}

/* --- what happens meanwhile ------------------------------------------------------------------------ */

static enum screen_event typed(short revents)
{
    char keys[64];
    ssize_t n = read(STDIN_FILENO, keys, sizeof keys);

    for (ssize_t i = 0; i < n; i++)
        if (keys[i] == 'q' || keys[i] == 'Q')
            return SCREEN_QUIT;
    if ((n < 0 && errno != EINTR && errno != EAGAIN) || (n <= 0 && revents & (POLLHUP | POLLERR | POLLNVAL)))
        return SCREEN_QUIT;
    return SCREEN_CHANGED;
}

enum screen_event screen_wait(int64_t ms)
{
    struct pollfd p = { .fd = s.typed ? STDIN_FILENO : -1, .events = POLLIN };
    struct timespec left = { .tv_sec = ms > 0 ? ms / 1000 : 0, .tv_nsec = ms > 0 ? ms % 1000 * 1000000 : 0 };
    sigset_t mask;

    block_resize(SIG_BLOCK, &mask);
    sigdelset(&mask, SIGWINCH);
    int n = s.changed ? 0 : ppoll(&p, 1, &left, &mask);
    if (n > 0)
        return typed(p.revents);
    if (s.changed || n < 0) {
        s.changed = false;
        return SCREEN_CHANGED;
    }
    return SCREEN_DUE;
}
