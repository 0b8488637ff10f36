"""What benchmarks/gpu.py runs on a card."""
