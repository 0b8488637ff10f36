"""Every program of a library is run under every recorder."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import torch

from tests.libraries.harness import RECORDERS, Recorded, record

Record = Callable[..., Recorded]


@pytest.fixture(params=RECORDERS, name="record")
def recording(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Record]:
    gc.collect()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the models are too small for more
    gc.freeze()  # what other tests and libraries left behind is none of this program's
    yield partial(record, folder=tmp_path, recorder=request.param)
    gc.unfreeze()
    torch.set_num_threads(threads)
