"""Module paths (`model.layers.3.mlp.up_proj`), and where in them the program is."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import torch
from torch.nn.modules import module as torch_module

from memprof.record.guard import Guard
from memprof.record.nvtx_ranges import NvtxRanges
from memprof.record.patches import Patches
from memprof.record.rows import Strings
from memprof.record.scopes import Scope, Scopes

Module = torch.nn.Module
RootCall = Callable[[Scope, Module], None]
EnterInner = Callable[[dict[int, Scope], dict[int, Any], Module], Scope | None]
LeaveInner = Callable[[Scope, Module], bool]
RootReturn = Callable[[Scope, Module, tuple[Any, ...], dict[str, Any], Any], None]
is_compiling = torch.compiler.is_compiling
_WRAPPED = ("_orig_mod",)  # under this name torch.compile's wrapper holds the user's module


def enter_by_python(
    threads: dict[int, Scope], known: dict[int, Any], module: Module
) -> Scope | None:
    """Leaves it to Python to note every call."""
    return None


def leave_by_python(scope: Scope, module: Module) -> bool:
    """Leaves it to Python to note every return."""
    return False


def _unheard(kwargs: dict[str, Any], result: Any) -> None:
    pass


def _untold(error: BaseException) -> None:
    pass


class Paths:
    """Knows which module holds which, and so every module's full path from the outermost one.

    Attributes:
        known: by a module's identity itself, its path and the path's string number.
    """

    def __init__(self, strings: Strings) -> None:
        self.number = strings.number
        self.text = strings.__getitem__
        self._parents: dict[int, tuple[weakref.ref[Module], str]] = {}
        self.known: dict[int, tuple[weakref.ref[Module], str, int]] = {}
        self._owners: list[weakref.ref[Module]] = []

    def adopt(self, parent: Module, name: str, child: Module | None) -> None:
        """Notes that `parent` holds `child`; the first parent stays for as long as it holds it."""
        if child is not None and self._holder(child) is None:
            self._parents[id(child)] = (weakref.ref(parent), name)
            self.known.clear()

    def number_of(self, module: Module) -> int:
        """The string number of a module's path."""
        known = self.known.get(id(module))
        if known is None or known[0]() is not module:
            path = self.path_of(module)
            known = self.known[id(module)] = (weakref.ref(module), path, self.number(path))
        return known[2]

    def number_within(self, module: Module, scope: Scope) -> int:
        """As `number_of`; a module that no other holds is named after the one that calls it."""
        known = self.known.get(id(module))
        if known is not None and known[0]() is module:
            return known[2]
        if known is not None or id(module) in self._parents or not scope.calls:
            return self.number_of(module)
        return self.number(f"{self.text(scope.module)}.{type(module).__name__}")

    def path_of(self, module: Module) -> str:
        """A module's path: names from its owner down, or the class name for an owner itself."""
        names: list[str] = []
        owner = self._climb(module, names)
        prefix = self._prefix(owner)
        if not names:
            return prefix.rstrip(".") or type(owner).__name__
        return prefix + ".".join(reversed(names))

    def name_in(self, module: Module, name: str) -> str:
        """The full name of what `module` holds as `name`, as in the owner's state_dict."""
        names = [name]
        owner = self._climb(module, names)
        return self._prefix(owner) + ".".join(reversed(names))

    def owner_of(self, module: Module) -> Module:
        """The outermost module that holds `module`, or itself."""
        return self._climb(module, [])

    def _climb(self, module: Module, names: list[str]) -> Module:
        for _ in range(200):
            held = self._holder(module)
            if held is None:
                break
            module, name = held
            if name not in _WRAPPED:
                names.append(name)
        return module

    def _holder(self, module: Module) -> tuple[Module, str] | None:
        """The module that holds `module`, and under what name; None where none still does."""
        known = self._parents.get(id(module))
        parent = known[0]() if known else None
        if known is None or parent is None or parent._modules.get(known[1]) is not module:
            return None
        return parent, known[1]

    def _prefix(self, owner: Module) -> str:
        """Empty for the first owner; the class name, numbered if need be, for the others."""
        living = [ref() for ref in self._owners]
        if not any(known is owner for known in living):
            self._owners.append(weakref.ref(owner))
            living.append(owner)
        if living[0] is owner:
            return ""
        alike = [known for known in living if type(known) is type(owner)]
        place = next(i for i, known in enumerate(alike, start=1) if known is owner)
        return f"{type(owner).__name__}{'' if place == 1 else f'#{place}'}."


class ModuleCalls:
    """Follows every call of a module; the outermost call of a thread is a root call.

    Replacing `Module.__call__` costs a tenth of what global hooks do, which also make Dynamo
    compile again what it had compiled: inside compiled code it looks at `forward` alone.

    Args:
        enter_inner, leave_inner: note a call inside a model and its return where all is as usual;
            the rest is noted here.
    """

    def __init__(
        self,
        scopes: Scopes,
        paths: Paths,
        guard: Guard,
        on_call: RootCall,
        on_return: RootReturn,
        enter_inner: EnterInner,
        leave_inner: LeaveInner,
    ) -> None:
        self._scopes = scopes
        self._paths = paths
        self._guard = guard
        self._current, self._number_within = scopes.current, paths.number_within
        self._enter_module, self._leave_module = scopes.enter_module, scopes.leave_module
        self._on_call = on_call
        self._on_return = on_return
        self._enter_inner = partial(enter_inner, scopes.threads, paths.known)
        self._leave_inner = leave_inner
        self._open = True
        self._unrecorded = 0
        self.root_returned: Callable[[dict[str, Any], Any], None] = _unheard
        self.raised: Callable[[BaseException], None] = _untold

    def install(self, patches: Patches) -> None:
        """Wraps the call; undoing `patches` restores it."""
        patches.replace(Module, "__call__", self._wrap)
        patches.on_undo(self._close)
        registered = torch_module.register_module_module_registration_hook(self._registered)
        patches.on_undo(registered.remove)

    def show(self, nvtx: NvtxRanges) -> None:
        """Makes every call of a module a range."""
        enter, leave, text = self._enter_module, self._leave_module, self._paths.text

        def enter_module(scope: Scope, key: object, module: int) -> None:
            enter(scope, key, module)
            nvtx.nest(len(scope.calls), text(module))

        def leave_module(scope: Scope, key: object) -> bool:
            left = leave(scope, key)
            nvtx.nest(len(scope.calls))
            return left

        self._enter_module, self._leave_module = enter_module, leave_module
        self._enter_inner = partial(enter_by_python, {}, {})
        self._leave_inner = leave_by_python

    def _close(self) -> None:
        self._open = False  # a bound method that somebody kept goes straight through

    def _wrap(self, call: Callable[..., Any]) -> Callable[..., Any]:
        enter, leave = self._enter, self._leave
        enter_inner, leave_inner = self._enter_inner, self._leave_inner

        @wraps(call)
        def __call__(module: Module, *args: Any, **kwargs: Any) -> Any:  # noqa: N807
            if is_compiling() or not self._open:
                return call(module, *args, **kwargs)
            if self._scopes.paused:
                return self._let_through(call, module, args, kwargs)
            scope = enter_inner(module) or enter(module)
            try:
                result = call(module, *args, **kwargs)
            except BaseException as error:
                self.raised(error)
                leave(scope, module, args, kwargs, None)
                raise
            if scope is None or not leave_inner(scope, module):
                leave(scope, module, args, kwargs, result)
            return result

        return __call__

    def _let_through(self, call: Callable[..., Any], module: Module, args: Any, kwargs: Any) -> Any:
        self._unrecorded += 1
        try:
            result = call(module, *args, **kwargs)
        finally:
            self._unrecorded -= 1
        if not self._unrecorded:
            self.root_returned(kwargs, result)
        return result

    def _registered(self, parent: Module, name: str, child: Module | None) -> None:
        if not is_compiling():  # even while paused: it is noted nowhere else
            self._paths.adopt(parent, name, child)

    def _enter(self, module: Module) -> Scope | None:
        try:
            scope = self._current()
            if not scope.calls:
                self._on_call(scope, module)
            self._enter_module(scope, module, self._number_within(module, scope))
            return scope
        except Exception as error:
            self._guard.note(error, "module call")
            return None

    def _leave(
        self, scope: Scope | None, module: Module, args: Any, kwargs: Any, result: Any
    ) -> None:
        try:
            if scope and self._leave_module(scope, module) and not scope.calls:
                self._on_return(scope, module, args, kwargs, result)
                self.root_returned(kwargs, result)
        except Exception as error:
            self._guard.note(error, "module return")
