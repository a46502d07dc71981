/* Stands in for CUDA's runtime 10.0 and a card of compute capability 9.0, as far as CNTK calls it:
   the card's memory is the host's, and CNTK's own kernels do nothing. So CNTK can be seen to call
   cuDNN and cuBLAS where there is no card; what it computes means nothing. */

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* cudaDeviceProp of CUDA 10.0, as far as it is filled in. */
struct properties {
    char name[256], uuid[16], luid[8];
    unsigned luid_mask;
    size_t memory, shared_memory;
    int registers, warp;
    size_t pitch;
    int threads, block[3], grid[3], clock;
    size_t constant_memory;
    int major, minor;
    size_t texture[2];
    int overlap, processors;
};

int cudaGetDeviceProperties(struct properties *p, int device)
{
    memset(p, 0, sizeof *p);
    strcpy(p->name, "Stand-in");
    p->memory = 8ul << 30;
    p->shared_memory = 48 << 10;
    p->registers = 65536;
    p->warp = 32;
    p->threads = 1024;
    p->block[0] = p->block[1] = p->block[2] = 1024;
    p->grid[0] = p->grid[1] = p->grid[2] = 65535;
    p->major = 9;
    p->processors = 10;
    return device != 0;
}

int cudaGetDeviceCount(int *count) { *count = 1; return 0; }
int cudaGetDevice(int *device) { *device = 0; return 0; }
int cudaDeviceGetAttribute(int *value) { *value = 1; return 0; }
int cudaRuntimeGetVersion(int *version) { *version = 10000; return 0; }
int cudaMemGetInfo(size_t *available, size_t *total) { *available = *total = 8ul << 30; return 0; }
const char *cudaGetErrorString(int status) { return status ? "failed" : "no error"; }

int cudaMalloc(void **made, size_t size) { *made = calloc(1, size + 64); return 0; }
int cudaMallocHost(void **made, size_t size) { return cudaMalloc(made, size); }
int cudaHostAlloc(void **made, size_t size) { return cudaMalloc(made, size); }
int cudaFree(void *made) { free(made); return 0; }
int cudaFreeHost(void *made) { free(made); return 0; }
int cudaMemcpy(void *to, const void *from, size_t size) { memmove(to, from, size); return 0; }
int cudaMemcpyAsync(void *to, const void *from, size_t size) { memmove(to, from, size); return 0; }
int cudaMemset(void *at, int value, size_t size) { memset(at, value, size); return 0; }

int cudaEventCreate(void **made) { *made = (void *)1; return 0; }
int cudaEventCreateWithFlags(void **made) { *made = (void *)1; return 0; }
int cudaEventElapsedTime(float *milliseconds) { *milliseconds = 1; return 0; }
int cudaStreamCreateWithFlags(void **made) { *made = (void *)1; return 0; }
int cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *count) { *count = 8; return 0; }
int cudaFuncGetAttributes(char *attributes) { memset(attributes, 0, 48); return 0; }

#define NOTHING(name) int name(void) { return 0; }
NOTHING(__cudaPopCallConfiguration)
NOTHING(__cudaPushCallConfiguration)
NOTHING(cudaDeviceSynchronize)
NOTHING(cudaEventDestroy)
NOTHING(cudaEventQuery)
NOTHING(cudaEventRecord)
NOTHING(cudaEventSynchronize)
NOTHING(cudaGetLastError)
NOTHING(cudaLaunchKernel)
NOTHING(cudaPeekAtLastError)
NOTHING(cudaSetDevice)
NOTHING(cudaStreamDestroy)
NOTHING(cudaStreamSynchronize)
NOTHING(cudaStreamWaitEvent)
