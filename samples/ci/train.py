"""A few steps of training, for `memprof run` and `memprof diff`."""

from __future__ import annotations

import torch
from model import build, train_step

model = build()
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4)
for _ in range(3):
    train_step(model, optimizer, size=8)
