/* label: one spelling: what parses is written again as the same bytes. */
#include "tests/fuzz/fuzz.h"

#include "daemon/ring/label.h"

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t len)
{
    struct label l;
    if (!label_parse(&l, (const char *)in, len))
        return 0;
    char again[LABEL_MAX];
    MUST(label_write(&l, again));
    MUST(strlen(again) == len && memcmp(again, in, len) == 0);
    MUST(ring_name_ok(l.ring, strlen(l.ring)) && l.at >= 0 && l.at <= LABEL_MAX_TIME);
    return 0;
}
