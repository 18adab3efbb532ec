#pragma once

typedef float cvector_float16 __attribute__((ext_vector_type(16)));

// Swift's SIMD16.squareRoot() calls the C library for one lane after another.
static inline cvector_float16 cvector_square_root(cvector_float16 x) { return __builtin_elementwise_sqrt(x); }
