"""All programs under study, by the group that runs in one process."""

import pytest

from tests.oracle.outcome import Program
from tests.oracle.programs import (
    autograd,
    compiled,
    generation,
    memory,
    modes,
    optimizers,
    plain,
    training,
)

GROUPS: dict[str, dict[str, Program]] = {
    "plain": plain.PROGRAMS,
    "training": training.PROGRAMS,
    "generation": generation.PROGRAMS,
    "autograd": autograd.PROGRAMS,
    "memory": memory.PROGRAMS,
    "modes": modes.PROGRAMS,
    "optimizers": optimizers.PROGRAMS,
    "compiled": compiled.PROGRAMS,
}

every_program = pytest.mark.parametrize(
    ("group", "name", "program"),
    [
        pytest.param(group, name, program, id=f"{group}: {name}")
        for group, programs in GROUPS.items()
        for name, program in programs.items()
    ],
)
