"""Fake tensors, and answers to what a program asks of their values."""
