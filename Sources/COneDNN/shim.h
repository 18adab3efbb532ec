// oneDNN 2.6, and the OpenMP calls that set how many threads its kernels use, and that start work on them (what GCC makes
// of `#pragma omp parallel`).
#pragma once
#include <dnnl.h>

void omp_set_num_threads(int threads);
int omp_get_max_threads(void);
int omp_get_num_threads(void);
int omp_get_thread_num(void);
void GOMP_parallel(void (*work)(void *), void *data, unsigned threads, unsigned flags);
