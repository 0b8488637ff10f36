"""What the page answers to a click, a zoom, and a word typed into the filter.

Every method is the body of one callback: its arguments are the values of the callback's inputs
and states, its results those of the outputs, in the order in which `callbacks` lists them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dash import Patch, ctx, no_update

from memprof.analyze import Timeline
from memprof_dashboard.address import Address, read_address, write_address
from memprof_dashboard.blocks import STACK
from memprof_dashboard.gestures import (
    Window,
    clicked_event,
    neighbour,
    neighbour_step,
    within,
    zoomed_to,
)
from memprof_dashboard.legend import events_text, legend
from memprof_dashboard.levels import level_bars
from memprof_dashboard.modules import module_map
from memprof_dashboard.moments import category_bars, headline
from memprof_dashboard.notices import about
from memprof_dashboard.selection import chosen_tensors
from memprof_dashboard.state import Shown
from memprof_dashboard.tensors import count_text, tensor_rows
from memprof_dashboard.views.navigation import is_pressed
from memprof_dashboard.views.view import MOMENT

Chosen = Mapping[str, int]


class Actions:
    """Answers for one set of open traces.

    Args:
        shown: what is open.
    """

    def __init__(self, shown: Shown) -> None:
        self.shown = shown

    def choose(
        self,
        click: Any,
        _peak: Any,
        _before: Any,
        _after: Any,
        _before_step: Any,
        _after_step: Any,
        tab: str,
        search: str,
        jump: Sequence[Any] | None,
        now: Chosen,
        window: Sequence[float] | None,
    ) -> Any:
        """Chooses a moment, and the tab that an address or a view asks for."""
        said, number = read_address(search), self.shown.number(int(tab))
        subject = self.shown.subject(number)
        match ctx.triggered_id:
            case "timeline":
                event = clicked_event(subject, click, window)
            case "previous":
                event = neighbour(subject, now["event"], -1)
            case "next":
                event = neighbour(subject, now["event"], +1)
            case "previous-step":
                event = neighbour_step(subject, now["event"], -1)
            case "next-step":
                event = neighbour_step(subject, now["event"], +1)
            case "tab" | "go-to-peak":
                event = subject.peak.event
            case "jump":
                number, event = (jump or (number, None))[:2]
            case _:
                number = number if said.tab is None else self.shown.number(said.tab)
                event = said.event
        if event is None:
            return no_update, no_update
        chosen = {"subject": number, "event": event}
        shown_tab = no_update if number == int(tab) else str(number)
        return no_update if chosen == now else chosen, shown_tab

    def show(self, chosen: Chosen, text: str | None) -> Any:
        """Shows the chosen moment."""
        subject = self.shown.subject(chosen["subject"])
        moment = self.shown.moment(chosen["subject"], chosen["event"])
        live = chosen_tensors(self.shown, chosen["subject"], chosen["event"], text)
        return (
            headline(subject, moment),
            [*category_bars(subject, moment), *level_bars(subject, moment)],
            tensor_rows(live),
            count_text(live, moment),
            module_map(subject.device, moment),
        )

    def mark(self, chosen: Chosen) -> Any:
        """Moves the timeline's line to the chosen moment."""
        change = Patch()
        line = change["layout"]["shapes"][0]
        line["x0"] = line["x1"] = self.shown.moment(chosen["subject"], chosen["event"]).seconds
        return change

    def zoom(
        self,
        relayout: Any,
        relayout_blocks: Any,
        _whole: Any,
        chosen: Chosen,
        now: Sequence[float] | None,
        hidden: Sequence[str],
    ) -> Any:
        """Shows another window of the timeline."""
        match ctx.triggered_id:
            case "timeline":
                wanted = zoomed_to(relayout)
            case "blocks":
                wanted = zoomed_to(relayout_blocks)
            case "whole":
                wanted = ()
            case _:
                at = self.shown.moment(chosen["subject"], chosen["event"]).seconds
                wanted = () if now and not now[0] <= at <= now[1] else None
        return self._window(wanted, chosen, now, hidden)

    def restore(
        self,
        search: str,
        chosen: Chosen,
        now: Sequence[float] | None,
        hidden: Sequence[str],
        words: str | None,
    ) -> Any:
        """Shows the window, layers and words of an address; `change_tab` does so on another tab."""
        said, number = read_address(search), chosen["subject"]
        if (said.tab or 0) != number:
            return (no_update,) * 7
        wanted = self._hidden(said, number) if said.hidden is not None else list(hidden)
        window = within(self.shown.subject(number), said.window) if said.window else now
        typed = no_update if said.words in (None, words) else said.words
        if window == now and wanted == hidden:
            return (*(no_update,) * 6, typed)
        change, timeline = self._redrawn(chosen, window, wanted)
        change["layout"]["xaxis"]["range"] = [timeline.seconds[0], timeline.seconds[-1]]
        buttons = legend(self.shown.timeline(number), wanted)
        drawn = (change, events_text(timeline), window, window is None)
        return (*drawn, wanted, buttons, typed)

    def _window(
        self,
        wanted: Window | None,
        chosen: Chosen,
        now: Sequence[float] | None,
        hidden: Sequence[str],
    ) -> Any:
        window = within(self.shown.subject(chosen["subject"]), wanted)
        if wanted is None or window == now:
            return no_update, no_update, no_update, no_update
        change, timeline = self._redrawn(chosen, window, hidden)
        change["layout"]["xaxis"]["range"] = [timeline.seconds[0], timeline.seconds[-1]]
        return change, events_text(timeline), window, window is None

    def switch(
        self,
        _clicks: Any,
        alone: Sequence[Any] | None,
        chosen: Chosen,
        window: Sequence[float] | None,
        hidden: Sequence[str],
    ) -> Any:
        """Hides or shows a layer of the timeline, or shows one category alone."""
        if not is_pressed():
            return no_update, no_update, no_update, no_update
        if "alone.data" in ctx.triggered_prop_ids:  # together with the two clicks, perhaps
            hidden = self._all_but(chosen["subject"], str(alone and alone[0]), hidden)
        else:
            hidden = sorted(set(hidden) ^ {ctx.triggered_id["key"]})
        change, timeline = self._redrawn(chosen, window, hidden)
        buttons = legend(self.shown.timeline(chosen["subject"]), hidden)
        return hidden, change, buttons, events_text(timeline)

    def _all_but(self, number: int, kept: str, hidden: Sequence[str]) -> list[str]:
        """All categories but one; none of them where that one was shown alone already."""
        chart = self.shown.timeline(number)
        if kept not in chart.categories:
            return list(hidden)
        others = set(chart.categories) - {kept}
        lines = set(hidden) - set(chart.categories)
        return sorted(lines if others == set(hidden) - lines else lines | others)

    def change_tab(self, tab: str, search: str, chosen: Chosen) -> Any:
        """Shows another device or trace."""
        number, said = self.shown.number(int(tab)), read_address(search)
        subject, chart = self.shown.subject(number), self.shown.timeline(number)
        window = within(subject, said.window) if said.tab == number else None
        event = chosen["event"] if chosen["subject"] == number else subject.peak.event
        hidden = self._hidden(said, number)
        timeline = chart.sample(*subject.span_ns(window), hidden)
        return (
            chart.figure(timeline, self.shown.moment(number, event), hidden),
            legend(chart, hidden),
            hidden,
            events_text(timeline),
            about(subject.trace),
            window,
            window is None,
        )

    def search(self, text: str | None, chosen: Chosen) -> Any:
        """Filters the live tensors."""
        moment = self.shown.moment(chosen["subject"], chosen["event"])
        live = chosen_tensors(self.shown, chosen["subject"], chosen["event"], text)
        return tensor_rows(live), count_text(live, moment)

    def narrow(self, _bars: Any, tile: Any) -> Any:
        """Filters the live tensors by the category or the module that was clicked."""
        if isinstance(ctx.triggered_id, Mapping):
            return f"category:{ctx.triggered_id['category']}" if is_pressed() else no_update
        points = (tile or {}).get("points") or []
        return points[0]["customdata"][1] if points else no_update

    def write(
        self,
        chosen: Chosen,
        window: Sequence[float] | None,
        hidden: Sequence[str],
        view: str,
        words: str | None,
        mode: str,
        tensor: int | None,
    ) -> str:
        """Writes what is shown into the address."""
        at_first = self.shown.timeline(chosen["subject"]).hidden_at_first
        begin, end = window or (None, None)
        said = Address(
            tab=chosen["subject"],
            event=chosen["event"],
            begin=begin,
            end=end,
            view=None if view == MOMENT else view,
            words=words,
            hidden=None if sorted(hidden) == sorted(at_first) else tuple(hidden),
            mode=None if mode == STACK else mode,
            tensor=tensor,
        )
        return write_address(said)

    def _hidden(self, said: Address, number: int) -> list[str]:
        """The layers that an address hides on a tab, or those that are hidden at first."""
        chart = self.shown.timeline(number)
        if said.hidden is None or (said.tab or 0) != number:
            return list(chart.hidden_at_first)
        names = {*chart.categories, *(line.name for line in chart.lines)}
        return sorted(names & set(said.hidden))

    def _redrawn(
        self, chosen: Chosen, window: Sequence[float] | None, hidden: Sequence[str]
    ) -> tuple[Patch, Timeline]:
        subject, chart = (
            self.shown.subject(chosen["subject"]),
            self.shown.timeline(chosen["subject"]),
        )
        timeline = chart.sample(*subject.span_ns(window), hidden)
        moment = self.shown.moment(chosen["subject"], chosen["event"])
        return chart.change(timeline, moment, hidden), timeline
