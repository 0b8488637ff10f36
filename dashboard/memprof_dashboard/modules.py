"""The modules that hold the memory of a moment, as a treemap."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

from memprof.analyze import DeviceAnalysis, ModuleRow, Moment, module_table
from memprof.palette import CATEGORY_COLORS
from memprof_dashboard.amounts import format_bytes
from memprof_dashboard.theme import base_layout, label

MOST_TILES = 250
_DEEPEST = 12
_LEVELS = 3  # of tiles in tiles drawn at once; a click goes deeper
_ALL = "all"
_FRAME = "rgba(128,136,148,0.22)"

_Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tile:
    """One module of the map.

    Attributes:
        path: its parts; () for the whole.
        parent: path of the tile around it.
        by_category: bytes of it and all below it.
        leaf: whether no other tile lies in it.
        level: number of tiles around it.
    """

    path: _Path
    parent: _Path
    by_category: dict[str, int]
    leaf: bool
    level: int

    @property
    def bytes(self) -> int:
        """Bytes of all categories."""
        return sum(self.by_category.values())

    @property
    def largest(self) -> str:
        """The category that holds most of it."""
        return max(self.by_category, key=lambda category: self.by_category[category])

    @property
    def name(self) -> str:
        """The part of its path that its parent's name does not say."""
        return ".".join(self.path[len(self.parent) :]) or _ALL

    @property
    def told(self) -> str:
        """Its bytes in words."""
        mostly = "" if self.by_category[self.largest] == self.bytes else "mostly "
        return f"{format_bytes(self.bytes)} · {mostly}{label(self.largest)}"


def module_map(device: DeviceAnalysis, moment: Moment) -> dict[str, Any]:
    """One tile a module, in the colour of the category that holds most of it."""
    tiles = module_tiles(_rows(device, moment))
    trace = {
        "type": "treemap",
        "branchvalues": "total",
        "ids": [_identifier(tile.path) for tile in tiles],
        "parents": [_identifier(tile.parent) if tile.path else "" for tile in tiles],
        "labels": [escape(tile.name) for tile in tiles],
        "values": [tile.bytes for tile in tiles],
        "customdata": [_told(tile) for tile in tiles],
        "marker": {
            "colors": [_FRAME if _is_frame(t) else CATEGORY_COLORS[t.largest] for t in tiles],
            "pad": {"t": 18, "l": 2, "r": 2, "b": 2},
            "line": {"width": 0},
        },
        "maxdepth": _LEVELS + 1,
        "texttemplate": "%{label}<br>%{customdata[3]}",
        "hovertemplate": "<b>%{customdata[2]}</b><br>%{customdata[0]}<extra></extra>",
        "pathbar": {"visible": False},
        "tiling": {"pad": 2, "packing": "squarify"},
        "textfont": {"size": 12, "color": [_text_color(tile) for tile in tiles]},
    }
    layout = base_layout(uirevision=None, uniformtext={"mode": "hide", "minsize": 10})
    return {"data": [trace] if tiles else [], "layout": layout}


def module_tiles(rows: list[ModuleRow]) -> list[Tile]:
    """The tree of the modules in `rows`; one that holds but one other is merged with it."""
    held: dict[_Path, dict[str, int]] = {(): {}}
    for row in (row for row in rows if row.bytes):
        for category, nbytes in row.by_category.items():
            path = tuple(row.module.split(".")) if row.module else (_homeless(category),)
            for length in range((len(path) + 1) if nbytes else 0):
                sums = held.setdefault(path[:length], {})
                sums[category] = sums.get(category, 0) + nbytes
    return _tiles(held) if held[()] else []


def _tiles(held: dict[_Path, dict[str, int]]) -> list[Tile]:
    inside: dict[_Path, list[_Path]] = {path: [] for path in held}
    for path in held:
        if path:
            inside[path[:-1]].append(path)
    tiles = []

    def add(path: _Path, parent: _Path, level: int) -> None:
        while path and len(inside[path]) == 1 and held[inside[path][0]] == held[path]:
            path = inside[path][0]
        tiles.append(Tile(path, parent, held[path], not inside[path], level))
        for child in inside[path]:
            add(child, path, level + 1)

    add((), (), 0)
    return tiles


def _rows(device: DeviceAnalysis, moment: Moment) -> list[ModuleRow]:
    """The finest table that is not too long to draw."""
    best = module_table(device, moment, 1)
    for depth in range(2, _DEEPEST):
        rows = module_table(device, moment, depth)
        if len(rows) > MOST_TILES or rows == best:
            break
        best = rows
    return best[:MOST_TILES]


def _homeless(category: str) -> str:
    """Stands for the module of tensors that belong to none."""
    return f"{label(category)}, no module"


def _is_frame(tile: Tile) -> bool:
    return not tile.leaf and tile.level < _LEVELS


def _text_color(tile: Tile) -> str:
    """Dark or light, whichever reads better on the tile; grey on a frame."""
    if _is_frame(tile):
        return "#7d8794"
    color = CATEGORY_COLORS[tile.largest]
    red, green, blue = (int(color[place : place + 2], 16) for place in (1, 3, 5))
    return "#14171b" if 0.299 * red + 0.587 * green + 0.114 * blue > 130 else "#ffffff"


def _identifier(path: _Path) -> str:
    return escape(".".join(path)) or _ALL


def _told(tile: Tile) -> list[str]:
    """What the hover, a click and the tile's own text say."""
    path = escape(".".join(tile.path)) or "all modules"
    return [tile.told, _filter(tile), path, format_bytes(tile.bytes)]


def _filter(tile: Tile) -> str:
    """What the table is to be filtered by on a click."""
    path = ".".join(tile.path)
    if not path.endswith(", no module"):
        return f"module:{path}" if path else ""
    return f"module: category:{tile.largest}"
