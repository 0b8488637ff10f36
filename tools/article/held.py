"""Claims of what is held: weights, KV cache, training, attention. 5 to 13, 16, 17, 34 to 37."""

from __future__ import annotations

from tools.article.claim import Claim, Evidence, Value, Verdict
from tools.article.models import (
    BATCH,
    GB,
    LENGTH,
    adam,
    cache_per_token,
    decode,
    weights,
)

LONG, MILLION = 65_536, 10**6


def claims() -> list[Claim]:
    return [*of_weights(), *of_the_cache(), of_training(), *of_attention(), *of_a_million()]


def of_weights() -> list[Claim]:
    names = {
        "Llama 2 7B": "llama-2-7b",
        "Llama 2 13B": "llama-2-13b",
        "Qwen2.5 32B": "qwen2.5-32b",
        "Llama 3 70B": "llama-3-70b",
        "Llama 3.1 405B": "llama-3.1-405b",
    }
    packed, whole = weights("llama-2-7b", "int4"), weights("llama-2-7b")
    return [
        Claim(
            5,
            "“FP16: 7B 14, 13B 26, 32B 64, 70B 140, 130B 260, 405B 810 GB”",
            "2 B × parameters",
            tuple(Value(what, weights(name), "GB") for what, name in names.items()),
            Verdict.RIGHT,
            "Exact for the numbers in the names, and near for the models that bear them.",
            (Evidence("weights", "FP16"), Evidence("weights", "FP32")),
        ),
        Claim(
            16,
            "“INT4: 3.5 GB for a 7B model, 75 % less”",
            "4 bits and 20 more for each group of 128 (AWQ); embeddings, norms and head in 16 bits",
            (
                Value("Llama 2 7B", packed, "GB"),
                Value("", 100 * (1 - packed / whole), "% less"),
            ),
            Verdict.OPEN,
            "No file is so small: scales, zero points and what stays 16-bit are left out.",
            (Evidence("quantised_weights", "INT4"), Evidence("quantised_weights", "INT8")),
        ),
        Claim(
            17,
            "“perplexity FP16 5.50, INT8 5.52, GPTQ 5.58, naive INT4 6.20”",
            "none: perplexity is measured on a trained model",
            (),
            Verdict.OPEN,
            "Without a model, a context length and a source it can be neither upheld nor denied.",
        ),
    ]


def of_the_cache() -> list[Claim]:
    each = cache_per_token()
    example = each * BATCH * LENGTH
    held = weights("llama-3-70b") * GB
    return [
        Claim(
            6,
            "“327,680 bytes per token ≈ 0.33 MB”",
            "2 × 80 layers × 8 KV heads × 128 × 2 B",
            (Value("", each, "B"),),
            Verdict.RIGHT,
            "To the byte.",
            (Evidence("kv_cache", "per token"),),
        ),
        Claim(
            7,
            "“batch 32, 4096 tokens: 43 GB”",
            "327,680 B × 32 × 4096",
            (Value("", example / GB, "GB"), Value("", example / 2**30, "GiB")),
            Verdict.RIGHT,
            "Rounded.",
            (Evidence("kv_cache", "grows linearly"),),
        ),
        Claim(
            8,
            "“The KV cache can exceed the model weights themselves!”",
            "bytes of weights / 327,680 B",
            (
                Value("the example's cache", 100 * example / held, "% of the weights"),
                Value("as much as the weights from", held / each, "cached tokens"),
            ),
            Verdict.OPEN,
            "True, but not of the example it is said of, where it is less than a third.",
        ),
    ]


def of_training() -> Claim:
    return Claim(
        9,
        "“7B with Adam: 14 + 14 + 28 + 28 = 84 GB minimum”",
        "(2 + 2 + 4 + 4) B × parameters; PyTorch's gradients and moments are as wide as weights",
        (
            Value("12 B × 7e9", 12 * 7.0, "GB"),
            Value("Llama 2 7B, all bfloat16 (8 B)", adam("llama-2-7b", "bf16"), "GB"),
            Value("all float32 (16 B)", adam("llama-2-7b", "fp32"), "GB"),
            Value(
                "16-bit with a float32 copy (16 B)",
                adam("llama-2-7b", "bf16", master=True),
                "GB",
            ),
        ),
        Verdict.WRONG,
        "The sum is right, as bitsandbytes keeps it. “Minimum” is not: AdamW on bfloat16 weights "
        "takes 8 B a parameter, mixed precision 16; and activations come on top.",
        (
            Evidence("training", "7B, 16-bit"),
            Evidence("training", "7B, 32-bit"),
            Evidence("training", "Adam stores"),
            Evidence("training", "beside it: AdamW"),
        ),
    )


def of_attention() -> list[Claim]:
    scores = 2 * LONG**2  # bytes of one head's, in 16 bits
    return [
        Claim(
            10,
            "“scores: 32 × 32 × 4096 × 4096 × 2 bytes = 34 GB”",
            "batch × heads × n² × 2 B",
            (
                Value("", 2 * 32 * 32 * LENGTH**2 / GB, "GB"),
                Value("", 2 * 32 * 32 * LENGTH**2 / 2**30, "GiB"),
            ),
            Verdict.RIGHT,
            "For one layer. transformers' eager attention has a float32 copy and the softmax "
            "beside it: 5 times as much at once.",
            (Evidence("attention", "scores:"),),
        ),
        Claim(
            11,
            "“64K tokens, standard attention: terabytes”",
            "heads × n² × 2 B, of one sequence in one layer",
            (
                Value("32 heads", 32 * scores / 1e12, "TB"),
                Value("64 heads", 64 * scores / 1e12, "TB"),
                Value("32 heads, batch 32", 32 * 32 * scores / 1e12, "TB"),
            ),
            Verdict.OPEN,
            "Of several sequences, or of several layers that keep them for backward; of one, a "
            "quarter of a terabyte.",
        ),
        Claim(
            12,
            "“64K tokens, Flash Attention: ~100 MB”",
            "n × heads × (width × 2 B of output + 4 B of log-sum-exp), a sequence and layer",
            (
                Value("32 heads of 128", LONG * 32 * (256 + 4) / 1e6, "MB"),
                Value("64 heads of 128", LONG * 64 * (256 + 4) / 1e6, "MB"),
                Value("12 heads of 64", LONG * 12 * (128 + 4) / 1e6, "MB"),
            ),
            Verdict.OPEN,
            "Right for a model as narrow as GPT-2 small; the article names none.",
            (Evidence("attention", "65,536 tokens with Flash"),),
        ),
        Claim(
            13,
            "“standard attention: O(n²) memory; Flash Attention: O(n)”",
            "scores are n × n for each head; output and log-sum-exp n",
            (Value("exponents", 2), Value("and", 1)),
            Verdict.RIGHT,
            "Both as measured.",
            (Evidence("attention", "standard attention"), Evidence("attention", "Flash Attention")),
        ),
    ]


def of_a_million() -> list[Claim]:
    scores = 2.0 * 64 * MILLION**2
    return [
        Claim(
            34,
            "“Sparse attention mechanisms like Mamba, RWKV, Hyena … reduce KV cache from O(n²)”",
            "KV cache n; scores n²; state of Mamba and RWKV constant",
            (Value("exponents of cache", 1), Value("scores", 2), Value("state", 0)),
            Verdict.WRONG,
            "The KV cache is O(n) already: what is O(n²) are the scores. Mamba and RWKV are no "
            "attention, sparse or not, and have no cache; Hyena is a convolution, and generating "
            "with it keeps all inputs unless it is distilled.",
            (Evidence("recurrent", "RWKV"),),
        ),
        Claim(
            35,
            "“1M tokens with Flash Attention: KV cache 330 GB”",
            "327,680 B × 1,000,000",
            (Value("", cache_per_token() * MILLION / GB, "GB"),),
            Verdict.RIGHT,
            "Rounded; of Llama 3 70B in 16 bits.",
            (Evidence("recurrent", "Transformer"),),
        ),
        Claim(
            36,
            "“1M tokens without Flash Attention: > 500 TB”",
            "64 heads × n² × 2 B; × 80 layers where all are kept",
            (
                Value("one layer", scores / 1e12, "TB"),
                Value("80 layers", 80 * scores / 1e12, "TB"),
            ),
            Verdict.OPEN,
            "One layer at a time needs a quarter of that, all layers twenty times as much.",
        ),
        Claim(
            37,
            "“Linear attention (Mamba): O(n) KV cache = 330 GB. But … state is fixed size!”",
            "layers × inner width × (state + convolution), at any length",
            (
                Value("Mamba 2.8B", decode_state("mamba-2.8b"), "MB"),
                Value("Mamba-2 2.7B", decode_state("mamba2-2.7b"), "MB"),
            ),
            Verdict.WRONG,
            "The two sentences contradict each other, and the second is right.",
            (Evidence("recurrent", "Mamba:"), Evidence("recurrent", "Mamba-2:")),
        ),
    ]


def decode_state(model: str) -> float:
    """MB of the recurrent state of one sequence."""
    return (decode(model).by_category["recurrent_state"].bytes or 0) / 1e6
