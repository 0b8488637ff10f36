"""One fixed colour a category, the same on every view; told apart by colour-blind readers too.

Paul Tol's muted scheme (https://personal.sron.nl/~pault/), its blue lightened for dark terminals.
"""

from __future__ import annotations

from typing import Final

CATEGORY_COLORS: Final = {
    "weights": "#4477AA",
    "buffers": "#88CCEE",
    "gradients": "#CC6677",
    "optimizer_state": "#117733",
    "activations": "#DDCC77",
    "kv_cache": "#AA4499",
    "recurrent_state": "#882255",
    "inputs": "#44AA99",
    "communication": "#999933",
    "temporary": "#BBBBBB",
    "unattributed": "#777777",
}
