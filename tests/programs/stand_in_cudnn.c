/* Stands in for cuDNN 9 (with -DCUDNN) or cuBLAS 12 (with -DCUBLAS), with known answers. It computes
   nothing. What is asked of it stands in a text, which stand_in_said() gives and empties. Functions
   whose answer does not matter are not here: tests/test_cudnn.py adds them. */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char said[1 << 16], given[1 << 16];

const char *stand_in_said(void)
{
    strcpy(given, said);
    said[0] = 0;
    return given;
}

static int say(const char *format, ...)
{
    size_t used = strlen(said);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(said + used, sizeof said - used, format, arguments);
    va_end(arguments);
    return 0;
}

#ifdef CUBLAS

int cublasGetProperty(int which, int *value)
{
    *value = (int[]){12, 9, 1}[which];
    return 0;
}

int cublasCreate_v2(void **handle)
{
    *handle = (void *)77;
    return say("cublasCreate_v2\n");
}

int cublasGetMatrix(int rows, int columns, int size, const char *from, int from_rows, char *to,
                    int to_rows)
{
    for (long i = 0; i < columns; i++)
        memcpy(to + i * to_rows * size, from + i * from_rows * size, rows * size);
    return 0;
}

int cublasSetMathMode(void *handle, int mode)
{
    return say("cublasSetMathMode %ld %d\n", (long)handle, mode);
}

int cublasGemmEx(long handle, int ta, int tb, int m, int n, int k, float *alpha, long a, int a_type,
                 int lda, long b, int b_type, int ldb, float *beta, long c, int c_type, int ldc,
                 int compute_type, int algorithm)
{
    return say("cublasGemmEx %ld %d %d %d %d %d %g %ld %d %d %ld %d %d %g %ld %d %d %d %d\n", handle,
               ta, tb, m, n, k, *alpha, a, a_type, lda, b, b_type, ldb, *beta, c, c_type, ldc,
               compute_type, algorithm) + 14;
}

#else

struct performance { int algorithm, status; float time; size_t memory; int determinism, math,
                     reserved[3]; };
/* Of a tensor its type and sizes; of a convolution its math type. */
struct descriptor { int math, type, n, sizes[8], strides[8]; };

size_t cudnnGetVersion(void) { return 91002; }
size_t cudnnGetCudartVersion(void) { return 12090; }

const char *cudnnGetErrorString(int status)
{
    static char text[40];
    sprintf(text, "text of cuDNN 9 for %d", status);
    return text;
}

#define CREATE(name) int name(void **made) { *made = calloc(1, sizeof(struct descriptor)); return 0; }
#define DESTROY(name) int name(void *made) { free(made); return 0; }
CREATE(cudnnCreate) DESTROY(cudnnDestroy)
CREATE(cudnnCreateConvolutionDescriptor) DESTROY(cudnnDestroyConvolutionDescriptor)
CREATE(cudnnCreateDropoutDescriptor) DESTROY(cudnnDestroyDropoutDescriptor)
CREATE(cudnnCreateFilterDescriptor) DESTROY(cudnnDestroyFilterDescriptor)
CREATE(cudnnCreatePoolingDescriptor) DESTROY(cudnnDestroyPoolingDescriptor)
CREATE(cudnnCreateRNNDescriptor) DESTROY(cudnnDestroyRNNDescriptor)
CREATE(cudnnCreateReduceTensorDescriptor) DESTROY(cudnnDestroyReduceTensorDescriptor)
CREATE(cudnnCreateTensorDescriptor) DESTROY(cudnnDestroyTensorDescriptor)

int cudnnDropoutGetStatesSize(void *handle, size_t *size) { (void)handle; *size = 16; return 0; }

int cudnnSetTensorNdDescriptor(struct descriptor *d, int type, int n, const int *sizes,
                               const int *strides)
{
    d->type = type;
    d->n = n;
    memcpy(d->sizes, sizes, n * sizeof(int));
    memcpy(d->strides, strides, n * sizeof(int));
    return 0;
}

int cudnnGetTensorNdDescriptor(struct descriptor *d, int most, int *type, int *n, int *sizes,
                               int *strides)
{
    if (d->n > most)
        return 2000;
    *type = d->type;
    *n = d->n;
    memcpy(sizes, d->sizes, d->n * sizeof(int));
    memcpy(strides, d->strides, d->n * sizeof(int));
    return 0;
}

int cudnnSetConvolutionNdDescriptor(struct descriptor *d, int n, const int *pads, const int *strides,
                                    const int *dilations, int mode, int type)
{
    return say("cudnnSetConvolutionNdDescriptor %d, %d %d, %d %d, %d %d, %d %d\n", n, pads[0],
               pads[1], strides[0], strides[1], dilations[0], dilations[1], mode, type)
           + (mode == 9 ? 2000 : 0) + 0 * d->math;
}

int cudnnSetConvolutionMathType(struct descriptor *d, int math)
{
    d->math = math;
    return say("cudnnSetConvolutionMathType %d\n", math);
}

int cudnnGetConvolutionMathType(struct descriptor *d, int *math)
{
    *math = d->math;
    return 0;
}

/* The six algorithms that there are: their memory is 100 for each number, 8 more in FMA_MATH;
   the first needs none. */
static int memory_of(int algorithm, int math, size_t *size)
{
    if (algorithm < 0 || algorithm > 5)
        return 2000;
    *size = algorithm ? 100 * algorithm + (math == 3 ? 8 : 0) : 0;
    return 0;
}

/* What the next search finds: pairs of an algorithm and a math type; a negative one has failed. */
int stand_in_found[10][2] = {{5, 0}, {-4, 3}, {3, 0}, {1, 3}, {0, 3}}, stand_in_count = 5,
    stand_in_status = 0;

static int search(int most, int *count, struct performance *performances)
{
    *count = stand_in_count < most ? stand_in_count : most;
    for (int i = 0; i < *count; i++) {
        int algorithm = stand_in_found[i][0], math = stand_in_found[i][1];
        memset(&performances[i], 0, sizeof performances[i]);
        performances[i].algorithm = abs(algorithm);
        performances[i].status = algorithm < 0 ? 3000 : 0;
        performances[i].time = i + 1;
        performances[i].math = math;
        memory_of(abs(algorithm), math, &performances[i].memory);
    }
    return stand_in_status;
}

#define COMPUTATION(name, compute) \
int cudnnGet##name##WorkspaceSize(long handle, long a, long b, struct descriptor *d, long c, \
                                  int algorithm, size_t *size) \
{ \
    (void)handle, (void)a, (void)b, (void)c; \
    return memory_of(algorithm, d->math, size); \
} \
\
int cudnnGet##name##Algorithm_v7(long handle, long a, long b, struct descriptor *d, long c, int most, \
                                 int *count, struct performance *performances) \
{ \
    say(#name "Algorithm_v7 %d %d %d %d\n", handle != 0, a != b && b != c, d->math, most); \
    return search(most, count, performances); \
} \
\
int cudnnFind##name##AlgorithmEx(long handle, long a, long a_data, long b, long b_data, \
                                 struct descriptor *d, long c, long c_data, int most, int *count, \
                                 struct performance *performances, long workspace, size_t size) \
{ \
    say("Find" #name " %d %d %d %d %d %d %d\n", handle != 0, a != b && b != c, \
        a_data != b_data && b_data != c_data, d->math, most, workspace != 0, (int)size); \
    return search(most, count, performances); \
} \
\
int compute(long handle, float *alpha, long a, long a_data, long b, long b_data, \
            struct descriptor *d, int algorithm, long workspace, size_t size, float *beta, long c, \
            long c_data) \
{ \
    size_t memory; \
    (void)handle, (void)a, (void)a_data, (void)b, (void)b_data, (void)workspace, (void)c, (void)c_data; \
    say(#compute " %g %g: algorithm %d, math %d, %d\n", *alpha, *beta, algorithm, d->math, (int)size); \
    return memory_of(algorithm, d->math, &memory) || memory > size ? 2000 : 0; \
}

COMPUTATION(ConvolutionForward, cudnnConvolutionForward)
COMPUTATION(ConvolutionBackwardData, cudnnConvolutionBackwardData)
COMPUTATION(ConvolutionBackwardFilter, cudnnConvolutionBackwardFilter)

#endif
