#pragma once

typedef float cvector_float16 __attribute__((ext_vector_type(16)));

// Swift's SIMD16.squareRoot() calls the C library for one lane after another.
static inline cvector_float16 cvector_square_root(cvector_float16 x) {
    // One instruction for all lanes, where the compiler may leave errno alone (-fno-math-errno).
    for (int lane = 0; lane < 16; lane++) x[lane] = __builtin_sqrtf(x[lane]);
    return x;
}
