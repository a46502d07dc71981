"""The system: CNTK and its kernels, devices, processes, disk, terminal, signals."""
