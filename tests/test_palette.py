"""The colours of categories."""

from __future__ import annotations

import re
from itertools import combinations

from memprof.palette import CATEGORY_COLORS
from memprof.trace import CATEGORIES

# What linear RGB becomes without one kind of cones (Machado, Oliveira, Fernandes 2009, severity 1).
DEFICIENCIES = {
    "protan": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deutan": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritan": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}
DISTANCE = 12


def linear(color: str) -> tuple[float, ...]:
    channels = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    return tuple(c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)


def lab(rgb: tuple[float, ...]) -> tuple[float, float, float]:
    """CIE L*a*b* of linear sRGB under D65."""
    matrix = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
    white = (0.9505, 1.0, 1.089)
    xyz = [sum(m * c for m, c in zip(row, rgb, strict=True)) for row in matrix]
    x, y, z = (_lab_root(max(v, 0.0) / w) for v, w in zip(xyz, white, strict=True))
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def _lab_root(value: float) -> float:
    return value ** (1 / 3) if value > 0.008856 else 7.787 * value + 16 / 116


def distance(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) ** 0.5


def test_every_category_has_a_colour_of_its_own() -> None:
    assert list(CATEGORY_COLORS) == list(CATEGORIES)
    assert len(set(CATEGORY_COLORS.values())) == len(CATEGORIES)
    assert all(re.fullmatch("#[0-9A-F]{6}", color) for color in CATEGORY_COLORS.values())


def test_colours_are_told_apart_with_and_without_all_cones() -> None:
    for cones in (None, *DEFICIENCIES.values()):
        seen = {}
        for category, color in CATEGORY_COLORS.items():
            rgb = linear(color)
            if cones:
                rgb = tuple(sum(m * c for m, c in zip(row, rgb, strict=True)) for row in cones)
            seen[category] = lab(rgb)
        for one, other in combinations(seen, 2):
            assert distance(seen[one], seen[other]) > DISTANCE, (one, other, cones)
