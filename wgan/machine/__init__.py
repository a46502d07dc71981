"""The machine and the user: CNTK and its kernels, devices, processes, disk, terminal, signals."""
