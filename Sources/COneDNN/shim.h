// oneDNN 2 and 3 under one set of names, and the OpenMP calls that set how many threads its kernels use, and that start
// work on them (what GCC makes of `#pragma omp parallel`).
//
// oneDNN 3 has no operation descriptors and keeps what a memory descriptor holds to itself. All that differs between the
// two is in this file. Arguments are those of oneDNN 3.
#pragma once
#include <dnnl.h>
#include <stdlib.h>

#if DNNL_VERSION_MAJOR >= 3
typedef const_dnnl_memory_desc_t MemoryDescription;
#else
typedef const dnnl_memory_desc_t *MemoryDescription;
#endif

/// Sizes, type and layout of an array. To be given to `memory_description_destroy`.
static inline dnnl_status_t memory_description_create(
    MemoryDescription *result, int dimensions, const dnnl_dims_t sizes, dnnl_data_type_t type, dnnl_format_tag_t layout
) {
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_memory_desc_create_with_tag((dnnl_memory_desc_t *)result, dimensions, sizes, type, layout);
#else
    dnnl_memory_desc_t *made = malloc(sizeof *made);
    if (!made) return dnnl_out_of_memory;
    dnnl_status_t status = dnnl_memory_desc_init_by_tag(made, dimensions, sizes, type, layout);
    if (status != dnnl_success) free(made);
    else *result = made;
    return status;
#endif
}

/// Of a matrix whose elements lie so far apart, by rows and by columns.
static inline dnnl_status_t matrix_description_create(
    MemoryDescription *result, const dnnl_dims_t sizes, dnnl_data_type_t type, const dnnl_dims_t strides
) {
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_memory_desc_create_with_strides((dnnl_memory_desc_t *)result, 2, sizes, type, strides);
#else
    dnnl_memory_desc_t *made = malloc(sizeof *made);
    if (!made) return dnnl_out_of_memory;
    dnnl_status_t status = dnnl_memory_desc_init_by_strides(made, 2, sizes, type, strides);
    if (status != dnnl_success) free(made);
    else *result = made;
    return status;
#endif
}

static inline void memory_description_destroy(MemoryDescription description) {
#if DNNL_VERSION_MAJOR >= 3
    dnnl_memory_desc_destroy((dnnl_memory_desc_t)description);
#else
    free((void *)description);
#endif
}

/// A convolution and its two gradients. Strides, padding above and on the left, and padding below and on the right are two
/// numbers each; without dilation and bias.
typedef enum { convolution_forward, convolution_input_gradient, convolution_weight_gradient } ConvolutionPass;

/// - hint: the description of the forward pass, for gradients.
static inline dnnl_status_t convolution_description_create(
    dnnl_primitive_desc_t *result, dnnl_engine_t engine, ConvolutionPass pass, MemoryDescription input,
    MemoryDescription weights, MemoryDescription output, const dnnl_dims_t strides, const dnnl_dims_t padding,
    const dnnl_dims_t padding_after, const_dnnl_primitive_desc_t hint, const_dnnl_primitive_attr_t attributes
) {
    const dnnl_alg_kind_t direct = dnnl_convolution_direct;
#if DNNL_VERSION_MAJOR >= 3
    const dnnl_dims_t dilation = {0, 0};
    switch (pass) {
    case convolution_forward:
        return dnnl_convolution_forward_primitive_desc_create(
            result, engine, dnnl_forward_training, direct, input, weights, NULL, output, strides, dilation, padding,
            padding_after, attributes);
    case convolution_input_gradient:
        return dnnl_convolution_backward_data_primitive_desc_create(
            result, engine, direct, input, weights, output, strides, dilation, padding, padding_after, hint,
            attributes);
    case convolution_weight_gradient:
        return dnnl_convolution_backward_weights_primitive_desc_create(
            result, engine, direct, input, weights, NULL, output, strides, dilation, padding, padding_after, hint,
            attributes);
    }
    return dnnl_invalid_arguments;
#else
    dnnl_convolution_desc_t operation;
    dnnl_status_t status = dnnl_invalid_arguments;
    switch (pass) {
    case convolution_forward:
        status = dnnl_convolution_forward_desc_init(
            &operation, dnnl_forward_training, direct, input, weights, NULL, output, strides, padding, padding_after);
        break;
    case convolution_input_gradient:
        status = dnnl_convolution_backward_data_desc_init(
            &operation, direct, input, weights, output, strides, padding, padding_after);
        break;
    case convolution_weight_gradient:
        status = dnnl_convolution_backward_weights_desc_init(
            &operation, direct, input, weights, NULL, output, strides, padding, padding_after);
        break;
    }
    if (status != dnnl_success) return status;
    return dnnl_primitive_desc_create(result, &operation, attributes, engine, hint);
#endif
}

/// A product of two matrices, of any types and layouts, plus a row `bias` unless it is NULL.
static inline dnnl_status_t product_description_create(
    dnnl_primitive_desc_t *result, dnnl_engine_t engine, MemoryDescription first, MemoryDescription second,
    MemoryDescription bias, MemoryDescription output, const_dnnl_primitive_attr_t attributes
) {
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_matmul_primitive_desc_create(result, engine, first, second, bias, output, attributes);
#else
    dnnl_matmul_desc_t operation;
    dnnl_status_t status = dnnl_matmul_desc_init(&operation, first, second, bias, output);
    if (status != dnnl_success) return status;
    return dnnl_primitive_desc_create(result, &operation, attributes, engine, NULL);
#endif
}

/// What a primitive does with its result: writes it, adds it to its output, or writes max(result, 0).
typedef enum { finish_writing, finish_adding, finish_rectifying } Finish;

static inline dnnl_status_t attributes_set_finish(dnnl_primitive_attr_t attributes, Finish finish) {
    if (finish == finish_writing) return dnnl_success;
    dnnl_post_ops_t operations = NULL;
    dnnl_status_t status = dnnl_post_ops_create(&operations);
    if (status != dnnl_success) return status;
#if DNNL_VERSION_MAJOR >= 3
    status = finish == finish_adding ? dnnl_post_ops_append_sum(operations, 1, 0, dnnl_data_type_undef)
                                     : dnnl_post_ops_append_eltwise(operations, dnnl_eltwise_relu, 0, 0);
#else
    status = finish == finish_adding ? dnnl_post_ops_append_sum(operations, 1)
                                     : dnnl_post_ops_append_eltwise(operations, 1, dnnl_eltwise_relu, 0, 0);
#endif
    if (status == dnnl_success) status = dnnl_primitive_attr_set_post_ops(attributes, operations);
    dnnl_post_ops_destroy(operations);
    return status;
}

void omp_set_num_threads(int threads);
int omp_get_max_threads(void);
int omp_get_num_threads(void);
int omp_get_thread_num(void);
void GOMP_parallel(void (*work)(void *), void *data, unsigned threads, unsigned flags);
