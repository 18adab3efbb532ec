// BLAS as Debian's OpenBLAS ships it, and the one LAPACK routine used (Fortran, so declared here).
#pragma once
#include <cblas.h>

void ssyevr_(const char *jobz, const char *range, const char *uplo, const int *n, float *a, const int *lda,
             const float *vl, const float *vu, const int *il, const int *iu, const float *abstol, int *m, float *w,
             float *z, const int *ldz, int *isuppz, float *work, const int *lwork, int *iwork, const int *liwork,
             int *info);
char *openblas_get_corename(void);
