"""Traces that are still being written: read as they grow, shown as they are."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dash
from dash import Input, Output, State, dcc, no_update

from memprof.analyze import Analysis, analyze
from memprof.errors import MemprofError
from memprof.trace import Trace
from memprof.trace.follow import Follower
from memprof_dashboard.legend import events_text, legend
from memprof_dashboard.notices import about, notices
from memprof_dashboard.state import Shown

_SECONDS = 1.0
_SHARE = 4  # of the time a reading takes is waited at least: what is recorded needs the machine
_POLL_MS = 1_500
TICK, WAITING = "tick", "waiting"


class Following:
    """Keeps what is shown as new as the files are.

    Args:
        paths: the files, at least one.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._followers = [Follower(path) for path in paths]
        self._traces: list[Trace | None] = [None] * len(paths)
        self.shown = Shown(self._read() or [], followed=not self._complete)

    def start(self) -> None:
        """Begins to read in a thread of its own."""
        threading.Thread(target=self._run, daemon=True).start()

    def read(self) -> bool:
        """Takes over what has been written since the last time; says whether there was any."""
        analyses = self._read()
        if analyses is None:
            return False
        self.shown.renew(analyses, followed=not self._complete)
        return True

    @property
    def _complete(self) -> bool:
        return all(follower.complete for follower in self._followers)

    def _read(self) -> list[Analysis] | None:
        found = [follower.poll() for follower in self._followers]
        if not any(found):
            return None
        self._traces = [new or old for new, old in zip(found, self._traces, strict=True)]
        return [analyze(trace) for trace in self._traces if trace is not None]

    def _run(self) -> None:
        wait = _SECONDS
        while self.shown.followed:
            time.sleep(wait)
            begun = time.monotonic()
            try:
                self.read()
            except MemprofError as error:
                print(f"memprof: {error}", file=sys.stderr, flush=True)
                return
            wait = max(_SECONDS, _SHARE * (time.monotonic() - begun))


def ticker(shown: Shown) -> list[Any]:
    """What asks again and again whether the trace has grown; nothing for one that is closed."""
    if not shown.followed:
        return []
    ready = {"generation": shown.generation, "subjects": len(shown.subjects)}
    if shown.subjects:
        ready["peak"] = shown.subjects[0].peak.event
    interval = TICK if shown.subjects else WAITING
    return [dcc.Interval(id=interval, interval=_POLL_MS), dcc.Store(id="generation", data=ready)]


def register(app: dash.Dash, shown: Shown) -> None:
    """Connects the ticker with what it renews."""

    def grow(
        _tick: int,
        known: dict[str, int],
        tab: str,
        chosen: dict[str, int],
        window: Sequence[float] | None,
        hidden: Sequence[str],
    ) -> Any:
        if known["generation"] == shown.generation:
            return (no_update,) * 9
        now = {"generation": shown.generation, "subjects": len(shown.subjects)}
        if known["subjects"] != now["subjects"]:
            return (*(no_update,) * 7, now, False)  # the script opens the page anew
        number = shown.number(int(tab))
        subject, chart = shown.subject(number), shown.timeline(number)
        now["peak"] = subject.peak.event
        at_peak = chosen["event"] == known.get("peak")
        event = now["peak"] if at_peak else chosen["event"]
        timeline = chart.sample(*subject.span_ns(window), hidden)
        return (
            chart.figure(timeline, shown.moment(number, event), hidden),
            legend(chart, hidden),
            events_text(timeline),
            about(subject.trace),
            notices(shown),
            {"subject": number, "event": event} if event != chosen["event"] else no_update,
            window,
            now,
            not shown.followed,
        )

    def begin(_tick: int, known: dict[str, int]) -> Any:
        now = {"generation": shown.generation, "subjects": len(shown.subjects)}
        return now if known["subjects"] != now["subjects"] else no_update

    # By itself: a page that still waits has none of the parts that `grow` renews.
    app.callback(
        Output("generation", "data"),
        Input(WAITING, "n_intervals"),
        State("generation", "data"),
        prevent_initial_call=True,
    )(begin)
    outputs = [("timeline", "figure"), ("legend", "children"), ("events", "children")]
    outputs += [("about", "children"), ("notices", "children"), ("moment", "data")]
    outputs += [("window", "data"), ("generation", "data"), (TICK, "disabled")]
    states = [("generation", "data"), ("tab", "value"), ("moment", "data"), ("window", "data")]
    app.callback(
        *(Output(*each, allow_duplicate=True) for each in outputs),
        Input(TICK, "n_intervals"),
        *(State(*each) for each in [*states, ("hidden", "data")]),
        prevent_initial_call=True,
    )(grow)
    app.clientside_callback(
        dash.ClientsideFunction("memprof", "reopen"),
        Output("generation", "clear_data"),
        Input("generation", "data"),
        prevent_initial_call=True,
    )
