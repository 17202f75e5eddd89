/* signer_says: what a signer answers the broker, in place of what is true: the caller has one answer, and no wrong signature. */
#include "tests/fuzz/says.h"

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t len)
{
    static const uint8_t fields[] = { 30, 31, 32, 33, 34, 50, 51, 12 };

    says(WHOLE_SIGNER, fields, sizeof fields, in, len);
    return 0;
}
