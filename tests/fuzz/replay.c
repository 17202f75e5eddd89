/*
 * replay: a harness over the files of its corpus, without clang: every one is
 * also a plain test. A crash names its file, since that was printed first.
 */
#include "tests/fuzz/fuzz.h"

#include "proto/buf.h"
#include "proto/cleanup.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>

#define REPLAY_MAX (1024u * 1024)    /* bytes; a corpus has small files */

static void fclosep(FILE **f) { if (*f) fclose(*f); }
static void closedirp(DIR **d) { if (*d) closedir(*d); }

static bool replay_file(const char *path)
{
    CLEANUP(fclosep) FILE *f = fopen(path, "rb");
    if (!f)
        return false;
    CLEANUP(freep) uint8_t *all = malloc(REPLAY_MAX);
    if (!all)
        return false;
    size_t len = fread(all, 1, REPLAY_MAX, f);
    /* A block of exactly this size: one byte too far is seen. */
    CLEANUP(freep) uint8_t *exact = malloc(len ? len : 1);
    if (!exact || ferror(f) || !feof(f))
        return false;
    memcpy(exact, all, len);
    LLVMFuzzerTestOneInput(exact, len);
    return true;
}

int main(int argc, char **argv)
{
    CLEANUP(closedirp) DIR *corpus = argc == 2 ? opendir(argv[1]) : NULL;
    if (!corpus) {
        fprintf(stderr, "usage: replay CORPUS_DIRECTORY\n");
        return 2;
    }
    size_t passed = 0, failed = 0;
    for (struct dirent *d; (d = readdir(corpus)); ) {
        if (d->d_name[0] == '.')
            continue;
        char path[PATH_MAX];
        snprintf(path, sizeof path, "%s/%s", argv[1], d->d_name);
        printf("%s\n", path);
        fflush(stdout);
        if (replay_file(path))
            passed++;
        else
            failed++;
    }
    printf("%zu passed, %zu failed\n", passed, failed);
    return failed || !passed;
}
