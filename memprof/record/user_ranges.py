"""The program's own NVTX ranges become phases of the trace, under the names it gave them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import wraps
from types import ModuleType
from typing import Any, Final

import torch.cuda.nvtx

from memprof.record.guard import Guard
from memprof.record.journal import Journal
from memprof.record.patches import Patches
from memprof.record.scopes import OpenPhase, Scope, Scopes

MOST: Final = 100_000
Opened = tuple[Scope, OpenPhase]


class UserRanges:
    """Follows `torch.cuda.nvtx`, and `annotate`, `push_range` and `start_range` of nvtx.

    A call that fails, as those of PyTorch do without CUDA, opens nothing.
    """

    def __init__(self, scopes: Scopes, journal: Journal, guard: Guard) -> None:
        self._scopes = scopes
        self._journal = journal
        self._open = guard(self._begin)
        self._close = guard(self._end)
        self._opened: dict[object, list[Opened]] = {}
        self._count = 0

    def install(self, patches: Patches) -> None:
        """Wraps PyTorch's functions; undoing `patches` restores them."""
        nvtx = torch.cuda.nvtx
        patches.replace(nvtx, "range_push", self._pushing)
        patches.replace(nvtx, "range_pop", self._popping)
        patches.replace(nvtx, "range_start", self._starting)
        patches.replace(nvtx, "range_end", self._ending)

    def watched(self, patches: Patches) -> Mapping[str, Callable[[ModuleType], None]]:
        """The package nvtx, to be followed once the program imports it."""

        def install(nvtx: ModuleType) -> None:
            patches.replace(nvtx, "push_range", self._pushing)
            patches.replace(nvtx, "pop_range", self._popping)
            patches.replace(nvtx, "start_range", self._starting)
            patches.replace(nvtx, "end_range", self._ending)
            if isinstance(nvtx.annotate, type):
                patches.replace(nvtx.annotate, "__enter__", self._entering)
                patches.replace(nvtx.annotate, "__exit__", self._leaving)

        return {"nvtx": install}

    def _begin(self, key: object, name: object) -> None:
        if not isinstance(name, str):
            return
        self._count += 1
        if self._count > MOST:
            self._journal.warn("nvtx_ranges", f"of the program's NVTX ranges {MOST:,} are noted")
            return
        scope = self._scopes.current()
        opened = scope, self._scopes.begin_range(scope, name)
        self._opened.setdefault(key, []).append(opened)

    def _end(self, key: object) -> None:
        opened = self._opened.get(key)
        if opened:
            self._scopes.end(*opened.pop())
        if not opened:
            self._opened.pop(key, None)

    def _pushing(self, push: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(push)
        def range_push(*args: Any, **kwargs: Any) -> Any:
            result = push(*args, **kwargs)
            self._open(_stack(_domain(args, kwargs, 2)), _message(args, kwargs))
            return result

        return range_push

    def _popping(self, pop: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(pop)
        def range_pop(*args: Any, **kwargs: Any) -> Any:
            self._close(_stack(_domain(args, kwargs, 0)))
            return pop(*args, **kwargs)

        return range_pop

    def _starting(self, start: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(start)
        def range_start(*args: Any, **kwargs: Any) -> Any:
            handle = start(*args, **kwargs)
            self._open(("started", handle), _message(args, kwargs))
            return handle

        return range_start

    def _ending(self, end: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(end)
        def range_end(handle: Any, *args: Any, **kwargs: Any) -> Any:
            self._close(("started", handle))
            return end(handle, *args, **kwargs)

        return range_end

    def _entering(self, enter: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(enter)
        def __enter__(annotation: Any) -> Any:  # noqa: N807
            result = enter(annotation)
            name = getattr(annotation, "init_args", (None,))[0]
            self._open(_stack(id(annotation)), name)
            return result

        return __enter__

    def _leaving(self, leave: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(leave)
        def __exit__(annotation: Any, *error: Any) -> Any:  # noqa: N807
            self._close(_stack(id(annotation)))
            return leave(annotation, *error)

        return __exit__


def _stack(what: object) -> object:
    return threading.get_ident(), what


def _message(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> object:
    return args[0] if args else kwargs.get("message", kwargs.get("msg"))


def _domain(args: tuple[Any, ...], kwargs: Mapping[str, Any], place: int) -> object:
    return args[place] if len(args) > place else kwargs.get("domain")
