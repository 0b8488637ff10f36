"""``memprof doctor``: what this machine has for memprof, and what it lacks."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any, Final

import memprof
from memprof.cli.options import AsJson, Color, Debug, Force, Output, Quiet
from memprof.cli.output import Destination, emit
from memprof.config import VARIABLE, read_config
from memprof.health import BROKEN, MISSING, OK, Check

_DASHBOARD: Final = ("dash", "plotly", "dash-ag-grid", "waitress")


def doctor(
    as_json: AsJson = False,
    output: Output = None,
    force: Force = False,
    quiet: Quiet = False,
    color: Color = None,
    debug: Debug = False,
) -> int:
    """Build the allocator observer and say what this machine has and what it lacks."""
    del debug
    destination = Destination(as_json, output, force, quiet, color)
    destination.check()

    from memprof.cli.render.doctor import doctor_text

    document = doctor_document(checks(read_config().recorder))
    emit(document, doctor_text(document), destination)
    return 0 if document["healthy"] else 1


def doctor_document(found: Iterable[Check]) -> dict[str, Any]:
    """Tells as plain data how things stand; nothing that is broken is healthy."""
    listed = [asdict(check) for check in found]
    healthy = all(check["state"] != BROKEN for check in listed)
    return {"schema": 1, "healthy": healthy, "checks": listed}


def checks(wanted: str) -> Iterator[Check]:
    """Looks at everything that recording and viewing need.

    Args:
        wanted: the recorder that the settings ask for.
    """
    from memprof.record.nvml.diagnosis import diagnose_nvml

    yield Check("memprof", OK, memprof.__version__)
    yield Check("python", OK, f"{sys.version.split()[0]}, {sys.executable}")
    yield from _recording(wanted)
    yield diagnose_nvml()
    yield _packages("nvtx", ("nvtx",), "phases are no ranges in Nsight Systems", "nvtx")
    yield _packages(
        "dashboard", _DASHBOARD, "memprof view has no pages", "'torch-memprof[dashboard]'"
    )


def _recording(wanted: str) -> Iterator[Check]:
    try:
        from memprof.record.diagnosis import diagnose
    except ImportError as error:
        install = "install it: https://pytorch.org/get-started"
        yield Check("torch", BROKEN, f"does not import ({error}): nothing is recorded", install)
        return
    found = list(diagnose(_say))
    yield from found
    yield _recorder(wanted, native=found[-1].state == OK)


def _recorder(wanted: str, *, native: bool) -> Check:
    asked = f"{VARIABLE} or pyproject.toml asks for it"
    if wanted == "native" and not native:
        return Check("recorder", BROKEN, f"native cannot be had, and {asked}")
    used = "native" if native and wanted != "dispatch" else "dispatch"
    return Check("recorder", OK, f"{used}, as {asked}" if used == wanted else used)


def _packages(name: str, packages: Iterable[str], without: str, install: str) -> Check:
    versions, absent = [], []
    for package in packages:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            absent.append(package)
    if absent:
        text = f"without {', '.join(absent)} {without}"
        return Check(name, MISSING, text, f"pip install {install}")
    return Check(name, OK, ", ".join(versions))


def _say(text: str) -> None:
    print(f"memprof: {text}", file=sys.stderr)
