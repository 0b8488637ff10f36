"""What the NVIDIA driver tells of the devices (NVML): memory, processes, load, temperature."""
