"""Claims that no run on one card of this kind settles, and why."""

from __future__ import annotations

from .claim import NOT_DECIDABLE, Seen

_PACKAGE = "the package is not part of PyTorch, and a card's machine is used as found"
_PAPER = "a figure of a paper, for programs and data that are not at hand"
_OTHER_CARD = "needs that card"
#: Claim, source, reason.
UNDECIDABLE = (
    ("Only 20.4 to 38.2 % of KV memory held tokens before paging", "vLLM's paper", _PAPER),
    ("Paged caches waste less than 4 %", "vLLM's paper", _PAPER),
    ("vLLM: graphs take 0.5 to 1.9 GiB, the rest 0.13 to 0.25 GiB", "vLLM's logs", _PACKAGE),
    ("GH200: 96 or 144 GB, 4.0 or 4.9 TB/s, 450 GB/s to the host", "hardware", _OTHER_CARD),
    ("RTX 4090: 24 GB, 1.008 TB/s, 165 TFLOPS", "hardware", _OTHER_CARD),
    ("A100, B200, MI300X: capacity, bandwidth, TFLOPS", "hardware", _OTHER_CARD),
    ("cuBLAS workspaces on Blackwell and under ROCm", "hardware", _OTHER_CARD),
    ("torchao's int4 takes 4 + 32/G bits a weight, its int8 8 + 16 to 32/in", "torchao", _PACKAGE),
    ("LLM.int8 takes 8 + 32/in bits a weight", "bitsandbytes", _PACKAGE),
    ("8-bit Adam keeps 2.03125 bytes a parameter", "bitsandbytes", _PACKAGE),
    (
        "fp8 in 128x128 blocks takes 8 + 32/16384 bits a weight",
        "checkpoints",
        "a layout of files, which no device decides",
    ),
    ("Absolute errors of xMem and DNNMem", "their papers", _PAPER),
    (
        "A quantised cache keeps its last 128 tokens in 16 bits",
        "Transformers with quanto or HQQ",
        _PACKAGE,
    ),
    (
        "NCCL takes 0.05 to 2 GiB outside the allocator",
        "the waterfall: other libraries",
        "needs two ranks on two cards; one rank opens no channel",
    ),
    (
        "An allocator trace tracker runs under the allocator's lock and must not take the GIL",
        "PyTorch's sources",
        "a check would be a deadlock; memprof attaches none",
    ),
    (
        "memory_viz colours entries by category and reads pickle protocol 4",
        "PyTorch's viewer",
        "decided by the viewer in a browser, not by a card",
    ),
    (
        "The closed form of a whole step is within 2 % of the peak",
        "memprof estimate",
        "the parts 'training' record peak and categories, to be compared with the estimate",
    ),
)


def undecidable() -> dict[str, Seen]:
    """Their answers, as those of the claims that are put to the test."""
    return {
        claim: {
            "claim": claim,
            "source": source,
            "measured": {},
            "verdict": NOT_DECIDABLE,
            "reason": reason,
        }
        for claim, source, reason in UNDECIDABLE
    }
