"""Small models only, one thread, nothing printed."""

from collections.abc import Iterator

import pytest
import torch
import transformers


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True, scope="package")
def tensors_alone() -> Iterator[None]:
    """Formulas speak of tensors, which the dispatch hook sees alone; the allocator sees more."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEMPROF_RECORDER", "dispatch")
        yield
