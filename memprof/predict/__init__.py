"""Prediction without the hardware: a program runs on fake tensors, recorded as a real one is."""
