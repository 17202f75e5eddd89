/*
 * screen: a whole terminal that is drawn again and again, a row at a time.
 *
 * The page takes the terminal's other screen, which is put back however this
 * ends: by screen_close, Ctrl-C, Ctrl-Z, TERM, HUP or exit. A page is sent in one
 * piece over the last one, so that nothing flickers. Whatever is put is cut at the
 * terminal's width, and what could drive it is shown as \xNN.
 */
#ifndef SIGNET_CLI_SCREEN_H
#define SIGNET_CLI_SCREEN_H

#include <stdbool.h>
#include <stdint.h>

/* False: stdout is no terminal that can do that. Once at a time. */
bool screen_open(void);
void screen_close(void);
/* The terminal's encoding has letters beyond ASCII; without, they are shown as '?'. */
bool screen_has_utf8(void);

/* Begins a page of the size that the terminal has now. */
void screen_begin(void);
unsigned screen_width(void);
/* Rows of this page that are left. */
unsigned screen_left(void);
/* More on this row: in a colour (cli.h's PAINT_…, where it has any), or NULL. */
void screen_put(const char *colour, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Goes on at that column, at least one further than what stands there. */
void screen_at(unsigned column);
/* The row's end. */
void screen_row(void);
/* Shows the page. False: the terminal is gone. */
bool screen_show(void);

enum screen_event {
    SCREEN_DUE,        /* the moment has come */
    SCREEN_CHANGED,    /* draw again: its size is another, or it was left for a while */
    SCREEN_QUIT,       /* 'q', or the terminal is gone */
};
enum screen_event screen_wait(int64_t ms);

#endif
