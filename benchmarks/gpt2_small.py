"""What recording costs where operators have something to compute: GPT-2 small, 2 x 128 tokens.

    python benchmarks/gpt2_small.py

Trains as benchmarks/overhead.py does, on all cores, untraced and recorded in turns.
"""

from __future__ import annotations

import time
from collections import defaultdict

import torch
from overhead import NATIVE, OURS, UNTRACED, printed, unrecorded
from transformers import GPT2Config, GPT2LMHeadModel

BATCH, TOKENS = 2, 128
ROUNDS, STEPS, WARM_UP = 5, 5, 2
LIMIT = 1.03


def main() -> None:
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config())
    optimizer = torch.optim.AdamW(model.parameters())
    batch = torch.randint(model.config.vocab_size, (BATCH, TOKENS))
    seconds: defaultdict[str, list[float]] = defaultdict(list)
    for _ in range(ROUNDS):
        for name, variant in ((UNTRACED, unrecorded), (NATIVE, OURS[NATIVE])):
            with variant(None):
                for turn in range(WARM_UP + STEPS):
                    begun = time.perf_counter()
                    optimizer.zero_grad()
                    model(batch, labels=batch).loss.backward()
                    optimizer.step()
                    if turn >= WARM_UP:
                        seconds[name].append(time.perf_counter() - begun)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    print(f"native / untraced        {printed(seconds)[NATIVE]:.3f}  (at most {LIMIT})")


if __name__ == "__main__":
    main()
