// Philox4x32-10 (Salmon et al. 2011): four 32-bit words from a key and a counter, as a plain function.
#pragma once
#include <Random123/philox.h>

static inline void crandom_philox(uint32_t key0, uint32_t key1, uint32_t counter0, uint32_t counter1,
                                  uint32_t counter2, uint32_t counter3, void *words) {
    philox4x32_key_t key = {{key0, key1}};
    philox4x32_ctr_t counter = {{counter0, counter1, counter2, counter3}};
    philox4x32_ctr_t result = philox4x32(counter, key);
    for (int i = 0; i < 4; i++) ((uint32_t *)words)[i] = result.v[i];
}
