// Open MPI spells its handles as casts of addresses, and Swift's importer skips such macros.
// Delete these functions when it imports them. Nothing else belongs here, but for atomics in memory that ranks share.
#pragma once
#include <mpi.h>
#include <stdint.h>

static inline MPI_Comm cmpi_world(void) { return MPI_COMM_WORLD; }
static inline MPI_Datatype cmpi_float(void) { return MPI_FLOAT; }
static inline MPI_Datatype cmpi_double(void) { return MPI_DOUBLE; }
static inline MPI_Datatype cmpi_byte(void) { return MPI_BYTE; }
static inline MPI_Op cmpi_sum(void) { return MPI_SUM; }
static inline MPI_Op cmpi_maximum(void) { return MPI_MAX; }
static inline const void *cmpi_in_place(void) { return MPI_IN_PLACE; }
static inline MPI_Datatype cmpi_int(void) { return MPI_INT; }
static inline MPI_Op cmpi_minimum(void) { return MPI_MIN; }
static inline MPI_Info cmpi_no_info(void) { return MPI_INFO_NULL; }
static inline MPI_Errhandler cmpi_errors_return(void) { return MPI_ERRORS_RETURN; }
static inline void cmpi_publish(int64_t *place, int64_t value) { __atomic_store_n(place, value, __ATOMIC_RELEASE); }
static inline int64_t cmpi_published(const int64_t *place) { return __atomic_load_n(place, __ATOMIC_ACQUIRE); }
