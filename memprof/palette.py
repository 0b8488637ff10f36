"""One fixed colour a category, the same on every view.

Chosen from the schemes of Paul Tol and of Okabe and Ito so that no two are nearer than 12 in
CIE L*a*b*, to full colour vision and to each kind of dichromacy.
"""

from __future__ import annotations

from typing import Final

CATEGORY_COLORS: Final = {
    "weights": "#0077BB",
    "buffers": "#99DDFF",
    "gradients": "#D55E00",
    "optimizer_state": "#228833",
    "activations": "#CCBB44",
    "kv_cache": "#882255",
    "recurrent_state": "#CC79A7",
    "inputs": "#33BBEE",
    "communication": "#EE8866",
    "temporary": "#C8C8C8",
    "unattributed": "#777777",
}
