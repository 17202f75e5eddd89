/*
 * raw: one bare process that does nothing but C_SignInit and C_Sign on a key
 * of the token: the physical limit that signetd is held against.
 *
 *     raw MODULE TOKEN PIN_FILE KEY_LABEL_PREFIX ES256|RS256 SECONDS
 *
 * Prints "COUNT MEDIAN_NS": signatures made, and the median of one.
 */
#include <dlfcn.h>
#include <p11-kit/pkcs11.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_SAMPLES 4000000u
#define MAX_SLOTS 64u

static CK_FUNCTION_LIST *f;

static void must(CK_RV rv, const char *what)
{
    if (rv == CKR_OK)
        return;
    fprintf(stderr, "raw: %s: 0x%lx\n", what, rv);
    exit(1);
}

static CK_SLOT_ID slot_of(const char *label)
{
    CK_SLOT_ID slots[MAX_SLOTS];
    CK_ULONG n = MAX_SLOTS;
    CK_TOKEN_INFO info;

    must(f->C_GetSlotList(CK_TRUE, slots, &n), "C_GetSlotList");
    for (CK_ULONG i = 0; i < n; i++)
        if (f->C_GetTokenInfo(slots[i], &info) == CKR_OK && strncmp((char *)info.label, label, strlen(label)) == 0)
            return slots[i];
    fprintf(stderr, "raw: no token '%s'\n", label);
    exit(1);
}

static CK_SESSION_HANDLE login(CK_SLOT_ID slot, const char *pin_file)
{
    CK_SESSION_HANDLE session;
    char pin[256] = "";
    FILE *in = fopen(pin_file, "r");

    if (!in || !fgets(pin, sizeof pin, in)) {
        fprintf(stderr, "raw: no PIN in '%s'\n", pin_file);
        exit(1);
    }
    fclose(in);
    pin[strcspn(pin, "\n")] = '\0';
    must(f->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &session), "C_OpenSession");
    must(f->C_Login(session, CKU_USER, (CK_UTF8CHAR *)pin, strlen(pin)), "C_Login");
    return session;
}

static CK_OBJECT_HANDLE key_of(CK_SESSION_HANDLE session, const char *prefix)
{
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_ATTRIBUTE template = { CKA_CLASS, &class, sizeof class };
    CK_OBJECT_HANDLE found[64];
    CK_ULONG n = 0;

    must(f->C_FindObjectsInit(session, &template, 1), "C_FindObjectsInit");
    must(f->C_FindObjects(session, found, 64, &n), "C_FindObjects");
    f->C_FindObjectsFinal(session);
    for (CK_ULONG i = 0; i < n; i++) {
        char label[256] = "";
        CK_ATTRIBUTE a = { CKA_LABEL, label, sizeof label - 1 };
        if (f->C_GetAttributeValue(session, found[i], &a, 1) == CKR_OK && strncmp(label, prefix, strlen(prefix)) == 0)
            return found[i];
    }
    fprintf(stderr, "raw: no key '%s'\n", prefix);
    exit(1);
}

static long long now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;

    return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
    CK_C_INITIALIZE_ARGS locking = { .flags = CKF_OS_LOCKING_OK };
    static const unsigned char info[] = { 0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                                          0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20 };
    unsigned char input[sizeof info + 32] = { 0 }, signature[1024];
    unsigned *samples = malloc(MAX_SAMPLES * sizeof *samples), n = 0;

    if (argc != 7 || !samples)
        return 2;
    void *module = dlopen(argv[1], RTLD_NOW);
    CK_C_GetFunctionList list = module ? (CK_C_GetFunctionList)dlsym(module, "C_GetFunctionList") : NULL;
    if (!list)
        return 2;
    must(list(&f), "C_GetFunctionList");
    must(f->C_Initialize(&locking), "C_Initialize");
    CK_SESSION_HANDLE session = login(slot_of(argv[2]), argv[3]);
    CK_OBJECT_HANDLE key = key_of(session, argv[4]);
    bool rsa = argv[5][0] == 'R';
    CK_MECHANISM mechanism = { rsa ? CKM_RSA_PKCS : CKM_ECDSA, NULL, 0 };
    size_t len = rsa ? sizeof input : 32;
    memcpy(input, info, rsa ? sizeof info : 0);
    /* Both processes of a round begin together, when the other end of stdin says so. */
    puts("ready");
    fflush(stdout);
    if (getchar() == EOF)
        return 1;
    long long begin = now_ns(), end = begin + atoll(argv[6]) * 1000000000ll, at = begin;
    while (at < end && n < MAX_SAMPLES) {
        CK_ULONG got = sizeof signature;
        input[len - 1]++;
        must(f->C_SignInit(session, &mechanism, key), "C_SignInit");
        must(f->C_Sign(session, input, len, signature, &got), "C_Sign");
        long long then = now_ns();
        samples[n++] = (unsigned)(then - at);
        at = then;
    }
    qsort(samples, n, sizeof *samples, by_value);
    printf("%.1f %u\n", n * 1e9 / (double)(at - begin), samples[n / 2]);
    return 0;
}
