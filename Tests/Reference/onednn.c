// What oneDNN's products and convolutions reach here, in GFLOP/s, float32 and bfloat16, on one core: to hold versions of
// it against each other. Uses Sources/COneDNN/shim.h as the program does.
//
//   cc -O2 -o /tmp/onednn Tests/Reference/onednn.c -ldnnl -lgomp && OMP_NUM_THREADS=1 /tmp/onednn
//
// Each row is the median of 9 rounds of 0.1 seconds or more. Layouts are what oneDNN chooses for weights, NHWC for images.
#include "../../Sources/COneDNN/shim.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { rounds = 9, most_arguments = 4 };

static dnnl_engine_t engine;
static dnnl_stream_t stream;

static void check(dnnl_status_t status, const char *what) {
    if (status == dnnl_success) return;
    fprintf(stderr, "%s failed with oneDNN status %d\n", what, status);
    exit(1);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + 1e-9 * time.tv_nsec;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static MemoryDescription describe(int dimensions, const dnnl_dims_t sizes, dnnl_data_type_t type, dnnl_format_tag_t layout) {
    MemoryDescription result = NULL;
    check(memory_description_create(&result, dimensions, sizes, type, layout), "memory_description_create");
    return result;
}

/// Median GFLOP/s of a primitive whose arguments have these numbers and are what it says of them.
static double speed(dnnl_primitive_desc_t description, double operations, const int *numbers, const dnnl_query_t *kinds,
                    int count) {
    dnnl_primitive_t primitive;
    check(dnnl_primitive_create(&primitive, description), "dnnl_primitive_create");
    dnnl_exec_arg_t arguments[most_arguments];
    for (int i = 0; i < count; i++) {
        MemoryDescription memory = dnnl_primitive_desc_query_md(description, kinds[i], 0);
        size_t bytes = dnnl_memory_desc_get_size(memory);
        void *data = aligned_alloc(64, (bytes + 63) / 64 * 64);
        memset(data, 0, bytes);
        arguments[i].arg = numbers[i];
        check(dnnl_memory_create(&arguments[i].memory, memory, engine, data), "dnnl_memory_create");
    }
    double speeds[rounds];
    int repeats = 1;
    for (int round = -1; round < rounds;) {
        double began = now();
        for (int i = 0; i < repeats; i++)
            check(dnnl_primitive_execute(primitive, stream, count, arguments), "dnnl_primitive_execute");
        dnnl_stream_wait(stream);
        double seconds = now() - began;
        if (round < 0 && seconds < 0.1) {
            repeats *= 2;
            continue;
        }
        if (round >= 0) speeds[round] = 1e-9 * operations * repeats / seconds;
        round++;
    }
    qsort(speeds, rounds, sizeof *speeds, ascending);
    for (int i = 0; i < count; i++) {
        void *data;
        dnnl_memory_get_data_handle(arguments[i].memory, &data);
        dnnl_memory_destroy(arguments[i].memory);
        free(data);
    }
    dnnl_primitive_destroy(primitive);
    return speeds[rounds / 2];
}

static double product(int64_t rows, int64_t inner, int64_t columns, dnnl_data_type_t type) {
    const dnnl_dims_t a = {rows, inner}, b = {inner, columns}, c = {rows, columns};
    MemoryDescription first = describe(2, a, type, dnnl_ab), second = describe(2, b, type, dnnl_ab),
                      output = describe(2, c, dnnl_f32, dnnl_ab);
    dnnl_primitive_desc_t description;
    if (product_description_create(&description, engine, first, second, output, NULL) != dnnl_success) return 0;
    const int numbers[] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST};
    const dnnl_query_t kinds[] = {dnnl_query_src_md, dnnl_query_weights_md, dnnl_query_dst_md};
    double result = speed(description, 2.0 * rows * inner * columns, numbers, kinds, 3);
    dnnl_primitive_desc_destroy(description);
    memory_description_destroy(first);
    memory_description_destroy(second);
    memory_description_destroy(output);
    return result;
}

typedef struct { int64_t images, side, inputs, outputs, kernel, stride, padding; } Shape;

static double convolution(Shape s, ConvolutionPass pass, dnnl_data_type_t type) {
    int64_t side = (s.side + 2 * s.padding - s.kernel) / s.stride + 1;
    const dnnl_dims_t x = {s.images, s.inputs, s.side, s.side}, w = {s.outputs, s.inputs, s.kernel, s.kernel},
                      y = {s.images, s.outputs, side, side}, strides = {s.stride, s.stride},
                      padding = {s.padding, s.padding};
    MemoryDescription input = describe(4, x, type, dnnl_nhwc), weights = describe(4, w, type, dnnl_format_tag_any),
                      output = describe(4, y, type, dnnl_nhwc);
    dnnl_primitive_desc_t forward, description;
    if (convolution_description_create(
            &forward, engine, convolution_forward, input, weights, output, strides, padding, NULL, NULL))
        return 0;
    if (convolution_description_create(
            &description, engine, pass, input, weights, output, strides, padding, forward, NULL))
        return 0;
    static const int numbers[][3] = {
        {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST},
        {DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_DST},
        {DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_DST}};
    static const dnnl_query_t kinds[][3] = {
        {dnnl_query_src_md, dnnl_query_weights_md, dnnl_query_dst_md},
        {dnnl_query_diff_src_md, dnnl_query_weights_md, dnnl_query_diff_dst_md},
        {dnnl_query_src_md, dnnl_query_diff_weights_md, dnnl_query_diff_dst_md}};
    double operations = 2.0 * s.images * s.outputs * side * side * s.inputs * s.kernel * s.kernel;
    double result = speed(description, operations, numbers[pass], kinds[pass], 3);
    dnnl_primitive_desc_destroy(description);
    dnnl_primitive_desc_destroy(forward);
    memory_description_destroy(input);
    memory_description_destroy(weights);
    memory_description_destroy(output);
    return result;
}

/// A row of the table: what a type has no kernel for here is a dash.
static void print_row(const char *name, double float32, double bfloat16) {
    printf("%-36s%8.1f", name, float32);
    if (bfloat16 > 0) printf("%10.1f\n", bfloat16);
    else printf("         -\n");
    fflush(stdout);
}

int main(void) {
    check(dnnl_engine_create(&engine, dnnl_cpu, 0), "dnnl_engine_create");
    check(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags), "dnnl_stream_create");
    const dnnl_version_t *version = dnnl_version();
    printf("oneDNN %d.%d.%d, GFLOP/s            float32  bfloat16\n", version->major, version->minor, version->patch);
    const int64_t products[][3] = {{1024, 1024, 1024}, {4096, 512, 512}, {64, 4096, 1024}};
    for (int i = 0; i < 3; i++) {
        const int64_t *p = products[i];
        char name[64];
        snprintf(name, sizeof name, "product %ldx%ldx%ld", (long)p[0], (long)p[1], (long)p[2]);
        print_row(name, product(p[0], p[1], p[2], dnnl_f32), product(p[0], p[1], p[2], dnnl_bf16));
    }
    const Shape shapes[] = {{64, 32, 3, 64, 4, 2, 1}, {64, 16, 64, 128, 4, 2, 1}, {64, 8, 128, 256, 4, 2, 1}};
    const char *passes[] = {"", ", by input", ", by weights"};
    for (int i = 0; i < 3; i++)
        for (int pass = 0; pass < 3; pass++) {
            char name[64];
            snprintf(name, sizeof name, "convolution %ld to %ld at %ld%s", (long)shapes[i].inputs,
                     (long)shapes[i].outputs, (long)shapes[i].side, passes[pass]);
            print_row(name, convolution(shapes[i], pass, dnnl_f32), convolution(shapes[i], pass, dnnl_bf16));
        }
    dnnl_stream_destroy(stream);
    dnnl_engine_destroy(engine);
    return 0;
}
