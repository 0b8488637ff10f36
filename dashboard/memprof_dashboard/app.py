"""The Dash app of one or several analysed traces."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import dash
import flask

from memprof.analyze import Analysis
from memprof.palette import CATEGORY_COLORS
from memprof_dashboard import following
from memprof_dashboard.amounts import COOKIE, choose_units
from memprof_dashboard.callbacks import register
from memprof_dashboard.layout import page
from memprof_dashboard.state import Shown


def create_app(analysis: Analysis | Sequence[Analysis] | Shown) -> dash.Dash:
    """Makes the app; it serves no request by itself.

    Args:
        analysis: what to show; of several, each device of each trace gets a tab.
    """
    analyses = [analysis] if isinstance(analysis, Analysis) else analysis
    shown = analyses if isinstance(analyses, Shown) else Shown(analyses)
    app = dash.Dash(
        "memprof_dashboard",
        title=f"{shown.title} · memprof",
        update_title="",
        serve_locally=True,
        suppress_callback_exceptions=True,
    )
    app.index_string = app.index_string.replace("{%css%}", f"{{%css%}}<style>{_swatches()}</style>")
    app.layout = partial(page, shown)  # anew for each visitor, in the units of choice
    app.server.before_request(_read_units)
    if shown.subjects or shown.followed:
        register(app, shown)
    if shown.followed:
        following.register(app, shown)
    return app


def _read_units() -> None:
    choose_units(flask.request.cookies.get(COOKIE))


def _swatches() -> str:
    """Style rules for the small squares in the table."""
    return "".join(
        f".swatch-{category}{{--swatch:{color}}}" for category, color in CATEGORY_COLORS.items()
    )
