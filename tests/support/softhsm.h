/*
 * softhsm: a true SoftHSM token in a temporary directory, gone with the test.
 * SOFTHSM2_CONF points at it, in this process and in all that it starts.
 */
#ifndef SIGNET_TESTS_SOFTHSM_H
#define SIGNET_TESTS_SOFTHSM_H

#define SOFTHSM_MODULE "/usr/lib/softhsm/libsofthsm2.so"
#define SOFTHSM_PIN "1234"

/* Makes the directory and the token `label`; aborts with a sentence where it cannot. */
void softhsm_begin(const char *label);
/* Another token in the same directory. */
void softhsm_add(const char *label);
/* The directory: for a PIN file and the like. */
const char *softhsm_dir(void);

#endif
