"""A stream of requests for transformers' continuous batching, and what its paged cache held."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM
from transformers.generation.configuration_utils import ContinuousBatchingConfig

import memprof
from memprof.api import Tracing

CONFIG = LlamaConfig(
    vocab_size=512,
    hidden_size=128,
    intermediate_size=256,
    num_hidden_layers=4,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=2048,
)
NEVER = -1  # no token ends a request: its length does
GREEDY = GenerationConfig(do_sample=False, eos_token_id=NEVER, pad_token_id=0)
BYTES_PER_TOKEN = 2 * 4 * 2 * 32 * 4  # keys and values, layers, KV heads, width, float32


@dataclass(frozen=True)
class Request:
    """A prompt and how many tokens follow it."""

    prompt: list[int]
    new: int

    @property
    def cached(self) -> int:
        """Tokens in the cache at its end: the last one is never fed back."""
        return len(self.prompt) + self.new - 1


@dataclass(frozen=True)
class Call:
    """The cache at one call of the model: tokens of each request, and blocks that hold them."""

    tokens: list[int]
    blocks: int


@dataclass(frozen=True)
class Served:
    """What serving a stream came to."""

    tracing: Tracing
    calls: list[Call]

    @property
    def fullest(self) -> Call:
        """The call with the most blocks in use."""
        return max(self.calls, key=lambda call: call.blocks)


def model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(CONFIG).eval()


def stream(number: int, longest: int, new: Sequence[int], prefix: int = 0) -> list[Request]:
    """Requests of all lengths up to `longest`, their first `prefix` tokens the same."""
    chance = random.Random(0)
    shared = [chance.randrange(1, CONFIG.vocab_size) for _ in range(prefix)]
    return [
        Request(
            shared + [chance.randrange(1, CONFIG.vocab_size) for _ in range(own)],
            chance.choice(new),
        )
        for own in (chance.randint(1, longest) for _ in range(number))
    ]


def serve(requests: Sequence[Request], paging: ContinuousBatchingConfig) -> Served:
    """Serves all requests by continuous batching, and looks at the block tables in every call."""
    llama, calls = model(), list[Call]()
    with memprof.trace() as tracing, watched(llama, calls):
        manager = llama.init_continuous_batching(
            generation_config=GREEDY, continuous_batching_config=paging
        )
        for request in requests:  # all of them wait when it starts
            manager.add_request(request.prompt, max_new_tokens=request.new)
        manager.start()
        left = len(requests)
        while left and manager.is_running():
            result = manager.get_result(timeout=1)
            left -= result is not None and result.is_finished()
        manager.stop(block=True)
        manager.destroy()
    return Served(tracing, calls)


@contextmanager
def watched(llama: LlamaForCausalLM, calls: list[Call]) -> Iterator[None]:
    def called(module: Any, args: Any, kwargs: Any, output: Any) -> None:
        tables = kwargs["cache"].cache_allocators["full_attention"].block_table
        ends = kwargs["cu_seq_lens_k"]["full_attention"]
        in_use = {block for table in tables.values() for block in table}
        calls.append(Call(ends.diff().tolist(), len(in_use)))

    handle = llama.register_forward_hook(called, with_kwargs=True)
    yield
    handle.remove()
