"""Claims of serving: pages, batches, speculation, experts. 18 to 24."""

from __future__ import annotations

from memprof.estimate.experts import read_bytes, touched_experts
from memprof.estimate.serving import expected_page_waste
from memprof.estimate.speculation import Speculation, speculation
from tools.article.claim import Claim, Evidence, Value, Verdict
from tools.article.models import GB, decode, weights

PAGE, GUESSES = 16, 4
TARGET, DRAFT = 140 * 10**9, 2 * 10**9  # bytes


def claims() -> list[Claim]:
    return [*of_pages(), *of_speed(), *of_experts()]


def of_pages() -> list[Claim]:
    wasted = expected_page_waste(PAGE)
    return [
        Claim(
            18,
            "“PagedAttention eliminates internal fragmentation … 5–10% fragmentation”",
            f"(page - 1) / 2 tokens a sequence: {wasted} / (n + {wasted}) with pages of 16 tokens",
            tuple(Value(f"n = {n}", 100 * wasted / (n + wasted), "%") for n in (128, 512, 2048)),
            Verdict.WRONG,
            "What pages eliminate is external fragmentation; the internal is what stays, and it is "
            "5 to 10 % of sequences of 70 to 140 tokens alone. The article says both at once.",
            (Evidence("paged_cache", "5–10%"), Evidence("paged_cache", "PagedAttention")),
        ),
        Claim(
            19,
            "“Traditional KV cache: 30–50% memory fragmentation is common”",
            "1 - mean length / reserved length",
            (Value("all lengths alike likely", 50, "%"), Value("a tenth of it used", 90, "%")),
            Verdict.OPEN,
            "A matter of the requests alone; reserving a model's whole context for short answers "
            "wastes far more.",
            (Evidence("paged_cache", "30–50%"),),
        ),
    ]


def of_speed() -> list[Claim]:
    told = {alpha: at_acceptance(alpha) for alpha in (0.6, 0.8, 1.0)}
    return [
        Claim(
            20,
            "“continuous batching: 2–5x higher throughput in heterogeneous workloads”",
            "calls of static / of continuous batching; at most longest / mean length",
            (),
            Verdict.OPEN,
            "A matter of how unlike the answers are: nothing is won where they are equally long.",
            (Evidence("batching", "2–5x"),),
        ),
        Claim(
            21,
            "“Memory per verified token: (140 GB + 2 GB) / 4 = 35.5 GB, 4x reduction”",
            "(target + 4 × draft) / (1 + α + … + α⁴): a pass adds the right guesses and one token",
            (
                Value("the article's", (TARGET + DRAFT) / GUESSES / GB, "GB"),
                *(
                    Value(f"α = {alpha}", each.bytes_per_token / GB, "GB")
                    for alpha, each in told.items()
                ),
                *(Value(f"α = {alpha}", each.gain, "x") for alpha, each in told.items()),
            ),
            Verdict.OPEN,
            "Between what 80 % and what all guesses right would give, stated as a fact: the draft "
            "is read for every guess, wrong guesses are paid for, and the target's own token is "
            "forgotten.",
            (Evidence("speculation", "Memory per verified"), Evidence("speculation", "4x")),
        ),
    ]


def at_acceptance(alpha: float) -> Speculation:
    return speculation(target=TARGET, draft=DRAFT, proposals=GUESSES, acceptance=alpha)


def of_experts() -> list[Claim]:
    mixtral = decode("mixtral-8x7b")
    return [
        Claim(
            22,
            "“Mixtral 8x7B: 47B total FP16 = 94 GB”",
            "2 B × parameters",
            (
                Value("", (mixtral.parameters or 0) / 1e9, "billion"),
                Value("", weights("mixtral-8x7b"), "GB"),
            ),
            Verdict.RIGHT,
            "Rounded.",
            (Evidence("experts", "Mixtral 8x7B"),),
        ),
        Claim(
            23,
            "“Active experts per token: 2 (12B = 24 GB)”, “~25 GB”",
            "2 B × (all that is not an expert, and 2 of 8 experts)",
            (
                Value("", (mixtral.active_parameters or 0) / 1e9, "billion"),
                Value("", 2 * (mixtral.active_parameters or 0) / GB, "GB"),
            ),
            Verdict.RIGHT,
            "12.9 billion are rounded down, ~25 is near.",
            (Evidence("experts", "Active experts"),),
        ),
        Claim(
            24,
            "“Total active memory: ~25 GB vs 94 GB total”",
            "resident is the whole; a step of T tokens reads E·(1 - (1 - K/E)^T) experts a layer",
            (
                Value("resident", weights("mixtral-8x7b"), "GB"),
                *(
                    Value(f"{tokens} tokens read", read_bytes(mixtral.model, tokens) / GB, "GB")
                    for tokens in (1, 8, 16)
                ),
                Value("experts of 8 tokens", touched_experts(8, 2, 8), "of 8"),
            ),
            Verdict.OPEN,
            "True of what one token reads. 94 GB stay resident, since the next token chooses anew, "
            "and a batch of 8 reads most of them in every step.",
            (
                Evidence("experts", "beside it: a step of 8"),
                Evidence("experts", "beside it: a step of 16"),
            ),
        ),
    ]
