"""Keeps Dynamo from compiling memprof's own code when the program under study compiles.

PyTorch's way is to wrap each dispatch mode's handler in `torch._dynamo.disable`, which every
operator then pays for. Marking our code objects as ones to skip does the same for nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType

import torch

_eval_frame = torch._C._dynamo.eval_frame
CAN_SKIP = hasattr(_eval_frame, "set_code_exec_strategy")


def keep_out(package: str) -> None:
    """Marks every function of a package's imported modules as one that Dynamo leaves alone."""
    if not CAN_SKIP:
        return
    action = _eval_frame._FrameAction
    strategy = _eval_frame._FrameExecStrategy(action.SKIP, action.DEFAULT)
    for name, module in list(sys.modules.items()):
        if name.startswith(package):
            for code in _codes_of(module):
                _eval_frame.set_code_exec_strategy(code, strategy)


def _codes_of(module: ModuleType) -> Iterator[CodeType]:
    for value in vars(module).values():
        if isinstance(value, type) and value.__module__ == module.__name__:
            for member in vars(value).values():
                yield from _codes_in(getattr(member, "__func__", member))
        else:
            yield from _codes_in(value)


def _codes_in(value: object) -> Iterator[CodeType]:
    if isinstance(value, FunctionType):
        yield from _nested(value.__code__)


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)
