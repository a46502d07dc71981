/* Stands in for the two libraries of NVIDIA's driver, which cntk-gpu can't be imported without:
   libcuda.so.1 reports no card, libnvidia-ml.so.1 that no driver is loaded. */

int cuInit(unsigned flags) { (void)flags; return 100; }             /* CUDA_ERROR_NO_DEVICE */
int cuDriverGetVersion(int *version) { *version = 12090; return 0; }

const char *nvmlErrorString(int result) { (void)result; return "driver not loaded"; }

#define NOT_LOADED(name) int name(void) { return 9; }               /* NVML_ERROR_DRIVER_NOT_LOADED */
NOT_LOADED(nvmlInit_v2)
NOT_LOADED(nvmlShutdown)
NOT_LOADED(nvmlSystemGetProcessName)
NOT_LOADED(nvmlDeviceGetHandleByIndex_v2)
NOT_LOADED(nvmlDeviceGetUUID)
NOT_LOADED(nvmlDeviceGetPciInfo_v3)
NOT_LOADED(nvmlDeviceGetMemoryInfo)
NOT_LOADED(nvmlDeviceGetUtilizationRates)
NOT_LOADED(nvmlDeviceGetComputeRunningProcesses)
