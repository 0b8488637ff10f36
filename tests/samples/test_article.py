"""docs/article.md: made from formulas and the lab, and right by arithmetic done here by hand."""

from __future__ import annotations

import re

import pytest

from tools.article.__main__ import PAGE, all_claims, lab_results, page
from tools.article.claim import Claim, Evidence, found
from tools.lab import SCRIPTS, TEXT, document

CLAIMS = {claim.number: claim for claim in all_claims()}

LAYERS, KV_HEADS, HEAD, EMBEDDING = 80, 8, 128, 128_256 * 8192  # of Llama 3 70B
PER_TOKEN = 2 * LAYERS * KV_HEADS * HEAD * 2
ATTENTION = 8192 * 8192 * 2 + 8192 * 1024 * 2
LAYER = ATTENTION + 3 * 8192 * 28_672 + 2 * 8192
LLAMA_70B = LAYERS * LAYER + 2 * EMBEDDING + 8192
LLAMA_405B = 126 * (2 * 16_384**2 + 2 * 16_384 * 1024 + 3 * 16_384 * 53_248 + 2 * 16_384)
LLAMA_405B += 2 * 128_256 * 16_384 + 16_384
LLAMA_7B = 32 * (4 * 4096**2 + 3 * 4096 * 11_008 + 2 * 4096) + 2 * 32_000 * 4096 + 4096
LLAMA_13B = 40 * (4 * 5120**2 + 3 * 5120 * 13_824 + 2 * 5120) + 2 * 32_000 * 5120 + 5120
LINEAR_7B = 32 * (4 * 4096**2 + 3 * 4096 * 11_008)
AWQ = (4 + 20 / 128) / 8
LINEAR_70B = LAYERS * (LAYER - 2 * 8192)
EXPERT = 3 * 4096 * 14_336
MIXTRAL = 32 * (2 * 4096**2 + 2 * 4096 * 1024 + 8 * EXPERT + 8 * 4096 + 2 * 4096)
MIXTRAL += 2 * 32_000 * 4096 + 4096
MET = {tokens: 8 * (1 - 0.75**tokens) for tokens in (1, 8, 16)}
READ = {
    tokens: 2 * (MIXTRAL - 32 * (8 - met) * EXPERT - (32_000 - tokens) * 4096)
    for tokens, met in MET.items()
}
QWEN_32B = 32_763_876_352  # as published
EXAMPLE = PER_TOKEN * 32 * 4096
PASS = {alpha: sum(alpha**guess for guess in range(5)) for alpha in (0.6, 0.8, 1.0)}

#: What each number is, worked out without memprof.
BY_HAND: dict[int, list[float]] = {
    1: [1978.9 / 2, 1978.9],
    2: [
        140 / 3.35,
        3350 / 140,
        2 * (LLAMA_70B - 128_255 * 8192) / 3.35e9,
        3.35e12 / 2 / (LLAMA_70B - 128_255 * 8192),
    ],
    3: [989.4 * 0.140 / 3.35],
    4: [100 / 295.34, 29.534, 59.068],
    5: [2e-9 * each for each in (LLAMA_7B, LLAMA_13B, QWEN_32B, LLAMA_70B, LLAMA_405B)],
    6: [327_680],
    7: [42.94967296, 40],
    8: [100 * EXAMPLE / (2 * LLAMA_70B), 2 * LLAMA_70B / 327_680],
    9: [84, 8e-9 * LLAMA_7B, 16e-9 * LLAMA_7B, 16e-9 * LLAMA_7B],
    10: [34.359738368, 32],
    11: [0.274877906944, 0.549755813888, 8.796093022208],
    12: [545.25952, 1090.51904, 103.809024],
    13: [2, 1],
    14: [
        *(3350 / size for size in (2, 14, 26, 140, 202.5)),
        3.35e12 / (2 * 128_256 * 16_384 + AWQ * (LLAMA_405B - 2 * 128_256 * 16_384)),
    ],
    15: [295.34, 1],
    16: [
        1e-9 * (AWQ * LINEAR_7B + 2 * (LLAMA_7B - LINEAR_7B)),
        100 * (1 - (AWQ * LINEAR_7B + 2 * (LLAMA_7B - LINEAR_7B)) / (2 * LLAMA_7B)),
    ],
    17: [],
    18: [100 * 7.5 / 135.5, 100 * 7.5 / 519.5, 100 * 7.5 / 2055.5],
    19: [50, 90],
    20: [],
    21: [
        35.5,
        *(148 / each for each in PASS.values()),
        *(140 * each / 148 for each in PASS.values()),
    ],
    22: [1e-9 * MIXTRAL, 2e-9 * MIXTRAL],
    23: [1e-9 * (MIXTRAL - 32 * 6 * EXPERT), 2e-9 * (MIXTRAL - 32 * 6 * EXPERT)],
    24: [2e-9 * MIXTRAL, *(1e-9 * each for each in READ.values()), MET[8]],
    25: [256, 132 * 128 * 1.83e-3],
    26: [50],
    27: [64, 7, 32],
    28: [
        4e-9 * LAYER,
        2e-9 * (LLAMA_70B - LAYERS * LAYER),
        4096e-9 * PER_TOKEN,
        156e-9 * LAYER,
        160 * LAYER / 64e9,
        160 * LAYER / 32e9,
    ],
    29: [450, 450 / 64],
    30: [
        1e-9 * (2 * LLAMA_70B + 3 * 161 * 2 * 8192) / 4,
        1e-9 * EXAMPLE / 4,
        80e9 / PER_TOKEN,
    ],
    31: [
        1e-9 * (AWQ * LINEAR_70B + 4 * EMBEDDING + 2 * 161 * 2 * 8192) / 2,
        1e-9 * EXAMPLE / 2 / 2,
        20,
    ],
    32: [2048 * 8 / 8 / 1000, 64, 2048 * 8 / 1000],
    33: [128, 3350 / 128, 140 / 128, 0.140 / 3.35],
    34: [1, 2, 0],
    35: [327.68],
    36: [128, 10_240],
    37: [
        1e-6 * 64 * 5120 * (16 * 4 + 4 * 2),
        1e-6 * 64 * (80 * 64 * 128 * 4 + (5120 + 2 * 128) * 4 * 2),
    ],
    38: [3.35e12 / (2 * LLAMA_70B)],
}


def test_all_38_are_there() -> None:
    assert list(CLAIMS) == list(BY_HAND) == list(range(1, 39))


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=lambda claim: str(claim.number))
def test_values(claim: Claim) -> None:
    by_hand = pytest.approx(BY_HAND[claim.number], rel=1e-3)
    assert [value.amount for value in claim.values] == by_hand


def test_the_pages_are_what_their_data_make() -> None:
    results, text = lab_results(), TEXT.read_text("utf-8")
    machine = re.search(r"Measured on (.+)\. `computed`", text)
    assert machine
    assert text == document(results, machine[1])
    assert list(results) == list(SCRIPTS)
    assert PAGE.read_text("utf-8") == page(all_claims(), results)


def test_nothing_in_the_results_is_off() -> None:
    wrong = [row for result in lab_results().values() for row in result.rows if not row.holds]
    assert wrong == []


def test_evidence_that_is_missing_is_an_error() -> None:
    with pytest.raises(LookupError, match="no measured row of weights"):
        found(Evidence("weights", "FP17"), lab_results())
