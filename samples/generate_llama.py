"""Generates text with a small, randomly initialised Llama and records where its memory goes.

python samples/generate_llama.py --output generate.json
memprof report generate.json
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
    max_position_embeddings=1024,
    pad_token_id=0,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("generate.json"))
    parser.add_argument("--force", action="store_true", help="overwrite the output")
    parser.add_argument("--requests", type=int, default=8)
    parser.add_argument("--prompt", type=int, default=256, help="tokens of each prompt")
    parser.add_argument("--new", type=int, default=32, help="tokens to generate")
    options = parser.parse_args()

    torch.manual_seed(0)
    model = LlamaForCausalLM(CONFIG).eval()
    prompts = torch.randint(1, CONFIG.vocab_size, (options.requests, options.prompt))
    with memprof.trace(options.output, force=options.force, detail="ops"):
        model.generate(
            prompts,
            attention_mask=torch.ones_like(prompts),
            min_new_tokens=options.new,
            max_new_tokens=options.new,
            do_sample=False,
        )


if __name__ == "__main__":
    main()
