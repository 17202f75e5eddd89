/* page_private: what the files of the page share. */
#ifndef SIGNET_PUBLISHER_PAGE_PRIVATE_H
#define SIGNET_PUBLISHER_PAGE_PRIVATE_H

#include "daemon/publisher/page.h"

/* A page being written; after the first failure nothing more is. */
struct page {
    struct buf *out;
    bool ok;
    const struct shown *shown;
    int64_t now;
};

void page_put(struct page *p, const char *html);
void page_printf(struct page *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A stranger's text. */
void page_text(struct page *p, const char *text);
/* 12 345 */
void page_count(struct page *p, uint64_t n);

/* page_rings.c: the section of rings. */
void page_rings(struct page *p);

/* page_look.c */
extern const char page_style[], page_script[];

#endif
