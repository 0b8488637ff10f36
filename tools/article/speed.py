"""Claims of bandwidth, FLOPS and what bounds inference: 1 to 4, 14, 15, 38."""

from __future__ import annotations

from tools.article.claim import Claim, Evidence, Value, Verdict
from tools.article.models import GB, decode, h100, tokens_per_second, weights

NOMINAL = 140 * GB
SIZES = {"1B": 2.0, "7B": 14.0, "13B": 26.0, "70B": 140.0, "405B, INT4": 202.5}


def claims() -> list[Claim]:
    dense = h100().flops_of("float16") or 0.0
    bandwidth, ridge = h100().bandwidth, h100().ridge("float16") or 0.0
    (bound,) = decode("llama-3-70b").rooflines.values()
    seconds = NOMINAL / bandwidth
    return [
        Claim(
            1,
            "“H100: 1,979 teraFLOPS (FP16)”",
            "dense FLOPS; a data sheet prints twice as much, for matrices of which half is zero",
            (Value("dense", dense / 1e12, "TFLOPS"), Value("sparse", 2 * dense / 1e12, "TFLOPS")),
            Verdict.WRONG,
            "Twice what a language model can have: its matrices are not 2:4 sparse.",
        ),
        Claim(
            2,
            "“140 GB / 3.35 TB/s = 42 ms”, “24 tokens per second”",
            "bytes of weights / bandwidth",
            (
                Value("140 GB", 1e3 * seconds, "ms"),
                Value("", 1 / seconds, "tokens/s"),
                Value("Llama 3 70B, of its table one row", 1e3 * bound.seconds, "ms"),
                Value("", bound.tokens_per_second, "tokens/s"),
            ),
            Verdict.RIGHT,
            "Rounded; with Llama 3 70B as it is, nearly the same.",
            (Evidence("roofline", "reading all weights once"),),
        ),
        Claim(
            3,
            "“1,979 TFLOPS × 0.042 s = 83 TFLOPS of work”",
            "dense FLOPS × 140 GB / bandwidth",
            (Value("", dense * seconds / 1e12, "TFLOP"),),
            Verdict.WRONG,
            "Twice too much, as 1, and work is FLOP, not FLOPS.",
        ),
        Claim(
            4,
            "“serving a single 70 billion parameter model often achieves only 10–20% of peak”",
            "intensity of a step / ridge; a step of n tokens does n FLOP a byte of 16-bit weights",
            (
                Value("1 sequence", 100 * bound.intensity / ridge, "% of dense peak"),
                Value("10 % needs", 0.1 * ridge, "sequences at once"),
                Value("20 % needs", 0.2 * ridge, "sequences at once"),
            ),
            Verdict.OPEN,
            "Of batches of that size with short contexts. The single stream of 2 is far below it.",
        ),
        Claim(
            14,
            "“1B 200–300, 7B 80–120, 13B 45–60, 70B 20–30, 405B (quantized) 5–10 tokens/s”",
            "bandwidth / bytes of weights: the most that one sequence can get",
            (
                *(Value(name, bandwidth / GB / size, "tokens/s") for name, size in SIZES.items()),
                Value(
                    "Llama 3.1 405B, AWQ", tokens_per_second("llama-3.1-405b", "int4"), "tokens/s"
                ),
            ),
            Verdict.WRONG,
            "70B at up to 30 exceeds its own bound of 24, and 140 GB do not fit in 80. Nor is "
            "speed inverse to size: from 1B to 7B seven times the size takes 2.5 times as long, so "
            "what bounds 1B is not memory.",
        ),
        Claim(
            15,
            "“Compute-bound only in: very small models, extremely long sequences, training”",
            "dense FLOPS / bandwidth: tokens of a step from which 16-bit weights are not the bound",
            (Value("H100", ridge, "tokens"), Value("one sequence", bound.intensity, "FLOP/B")),
            Verdict.WRONG,
            "What decides is how many tokens a step has, whatever the model's size: prefill of "
            "a few hundred tokens is compute-bound, decoding of one is not, of a 1B model neither.",
            (
                Evidence("roofline", "beside it: prefill is"),
                Evidence("roofline", "inference is almost always memory-bound"),
            ),
        ),
        Claim(
            38,
            "“the most important metric … memory bandwidth per parameter”",
            "bandwidth / (bytes a parameter × active parameters)",
            (
                Value(
                    "Llama 3 70B on an H100", bandwidth / (weights("llama-3-70b") * GB), "tokens/s"
                ),
            ),
            Verdict.RIGHT,
            "For one sequence. With more, FLOPS and capacity for their caches count as much.",
        ),
    ]
