// oneDNN 2.6, and the OpenMP calls that set how many threads its kernels use.
#pragma once
#include <dnnl.h>

void omp_set_num_threads(int threads);
int omp_get_max_threads(void);
