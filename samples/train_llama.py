"""Trains a small, randomly initialised Llama and records where its memory goes.

python samples/train_llama.py --output train.json
memprof report train.json
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

import memprof

CONFIG = LlamaConfig(
    vocab_size=4096,
    hidden_size=256,
    intermediate_size=704,
    num_hidden_layers=6,
    num_attention_heads=8,
    num_key_value_heads=4,
    max_position_embeddings=512,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("train.json"))
    parser.add_argument("--force", action="store_true", help="overwrite the output")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=128)
    options = parser.parse_args()

    torch.manual_seed(0)
    with memprof.trace(options.output, force=options.force, detail="ops"):
        model = LlamaForCausalLM(CONFIG)
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4)
        tokens = torch.randint(CONFIG.vocab_size, (options.batch, options.tokens))
        for _ in range(options.steps):
            loss = model(input_ids=tokens, labels=tokens).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            with memprof.phase("evaluation"), torch.no_grad():
                loss = model(input_ids=tokens, labels=tokens, use_cache=False).loss
            print(f"loss {loss.item():.3f}")
            memprof.step()


if __name__ == "__main__":
    main()
