"""Formats of others: what PyTorch and its tools write."""
