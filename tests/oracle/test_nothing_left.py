"""After a recording the process is as it was: nothing replaced, nothing hooked, nothing kept."""

from __future__ import annotations

import contextlib
import gc
import importlib
import sys
import threading
import warnings
import weakref
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
from torch.nn.modules import module as torch_module
from torch.optim import optimizer as torch_optimizer

import memprof
from tests.oracle.programs.plain import GPT, batch, loss_of

#: Owners of everything that could be replaced: modules and classes, by the module they are in.
WATCHED = {
    "sys": [""],
    "threading": ["", "Thread"],
    "warnings": [""],
    "torch": ["", "Tensor", "UntypedStorage"],
    "torch.autograd": [""],
    "torch.autograd.graph": [""],
    "torch.autograd.profiler": [""],
    "torch.nn": ["Module"],
    "torch.nn.modules.module": [""],
    "torch.optim": ["", "Optimizer", "AdamW"],
    "torch.optim.optimizer": [""],
    "torch.utils.checkpoint": [""],
    "torch.utils._python_dispatch": ["", "TorchDispatchMode"],
    "torch._inductor.output_code": ["", "CompiledFxGraph"],
    "transformers.cache_utils": ["", "Cache", "DynamicCache", "StaticCache"],
    "transformers.generation.utils": ["", "GenerationMixin"],
}
HOOKS = {
    torch_module: [name for name in vars(torch_module) if name.startswith("_global_")],
    torch_optimizer: [name for name in vars(torch_optimizer) if name.startswith("_global_")],
}
#: What Python itself changes as it goes.
RESTLESS = {"last_exc", "last_type", "last_value", "last_traceback", "__warningregistry__"}


def attributes() -> dict[tuple[str, str, str], int]:
    """The identity of every attribute of what is watched."""
    found = {}
    for place, names in WATCHED.items():
        for name in names:
            owner: Any = importlib.import_module(place)
            owner = getattr(owner, name) if name else owner
            for attribute, value in vars(owner).items():
                if not isinstance(value, ModuleType) and attribute not in RESTLESS:
                    found[place, name, attribute] = id(value)
    return found


def changes(
    before: dict[tuple[str, str, str], int], after: dict[tuple[str, str, str], int]
) -> set[tuple[str, str, str]]:
    """What is gone, new or another object."""
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def process_state() -> dict[str, Any]:
    """Lists and registers of the process that a hook could be in."""
    return {
        "filters": list(warnings.filters),
        "meta_path": list(sys.meta_path),
        "modes": torch._C._len_torch_dispatch_stack(),
        "function modes": torch._C._len_torch_function_stack(),
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "gc": list(gc.callbacks),
        "hooks": {
            f"{owner.__name__}.{name}": len(value)
            for owner, names in HOOKS.items()
            for name in names
            if isinstance(value := getattr(owner, name), dict)
        },
        "trace": (sys.gettrace(), sys.getprofile(), threading.gettrace()),
        "saved tensor hooks": torch._C._autograd._saved_tensors_hooks_is_enabled(),
        "grad": torch.is_grad_enabled(),
    }


def train_and_generate() -> None:
    model = GPT()
    optimizer = torch.optim.AdamW(model.parameters())
    loss_of(model, batch()).backward()
    optimizer.step()
    thread = threading.Thread(target=lambda: loss_of(model, batch()))
    thread.start()
    thread.join()
    with memprof.phase("evaluation"), torch.no_grad():
        model(batch(), [])
    memprof.step()


def fail() -> None:
    train_and_generate()
    raise ZeroDivisionError


def leave() -> None:
    train_and_generate()
    sys.exit(3)


@pytest.mark.parametrize(
    ("program", "ending"),
    [(train_and_generate, None), (fail, ZeroDivisionError), (leave, SystemExit)],
)
def test_everything_is_put_back(
    recorder: str, program: Callable[[], None], ending: type[BaseException] | None
) -> None:
    train_and_generate()  # lets PyTorch import what it imports late
    names, state = attributes(), process_state()
    with contextlib.ExitStack() as expected:
        if ending is not None:
            expected.enter_context(pytest.raises(ending))
        with memprof.trace(recorder=recorder):
            program()
    assert not changes(names, attributes())
    assert process_state() == state


def test_what_is_watched_would_show_a_change(recorder: str) -> None:
    names, state = attributes(), process_state()
    with memprof.trace(recorder=recorder):
        during = attributes()
        assert process_state() != state
        assert process_state()["modes"] == state["modes"] + (recorder == "dispatch")
    changed = {place for place, _, _ in changes(names, during)}
    assert {"threading", "torch.autograd.graph", "transformers.cache_utils"} <= changed


def test_models_and_tensors_are_let_go(recorder: str) -> None:
    with memprof.trace(recorder=recorder) as traced:
        model = GPT()
        optimizer = torch.optim.AdamW(model.parameters())
        loss = loss_of(model, batch())
        loss.backward()
        optimizer.step()
    kept = [weakref.ref(held) for held in (model, optimizer, loss, model.head.weight)]
    del model, optimizer, loss
    gc.collect()
    assert [ref() for ref in kept] == [None] * 4
    assert traced.trace.complete


def test_nothing_is_kept_while_recording(recorder: str) -> None:
    """A program's memory goes when it would go without a recording, with no collector's help."""
    gc.collect()
    gc.disable()
    try:
        with memprof.trace(recorder=recorder):
            model = GPT()
            kept = weakref.ref(model.blocks[0].mlp[0].weight), weakref.ref(model)
            loss_of(model, batch()).backward()
            del model
            assert [ref() for ref in kept] == [None, None]
    finally:
        gc.enable()


def test_the_session_itself_is_let_go(recorder: str) -> None:
    with memprof.trace(recorder=recorder) as traced:
        train_and_generate()
        session = weakref.ref(traced._session)
    gc.collect()
    assert session() is None
