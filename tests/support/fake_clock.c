#include "tests/support/fake_clock.h"

int64_t fake_clock_ms = 1800000000000;

int64_t clock_wall_ms(void)
{
    return fake_clock_ms;
}

int64_t clock_now(void)
{
    return fake_clock_ms / 1000;
}

int64_t clock_steady_ms(void)
{
    return fake_clock_ms;
}

int64_t clock_mono_ms(void)
{
    return fake_clock_ms;
}

int64_t clock_mono_us(void)
{
    return fake_clock_ms * 1000;
}

int64_t clock_cpu_us(void)
{
    return fake_clock_ms * 1000;
}
