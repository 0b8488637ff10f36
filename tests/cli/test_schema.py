"""The stable part of every ``--json``: its keys and the types of their values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from memprof.trace import CATEGORIES
from tests.cli.terminal import memprof
from tests.cli.traces import graphics_card, training

BYTES_BY_CATEGORY = dict.fromkeys(CATEGORIES, int)
MOMENT = {
    "time_ns": int,
    "seconds": float,
    "step": int | None,
    "phase": str,
    "requested_bytes": int,
    "by_category": BYTES_BY_CATEGORY,
}
TENSOR = {"bytes": int, "category": str, "name": str, "module": str, "op": str, "stack": [str]}
FINDING = {
    "kind": str,
    "bytes": int,
    "device": str,
    "event": int,
    "text": str,
    "fix": str,
    "allocations": [int],
}
REMARK = {"code": str, "text": str, "count": int}
ESTIMATE = {"bytes": int | None, "formula": str, "assumptions": [str]}
SCHEMAS: dict[str, Any] = {
    "report": {
        "schema": 1,
        "trace": {"source": str, "program": [str], "torch": str, "events": int, "steps": int},
        "complete": bool,
        "warnings": [REMARK],
        "devices": {
            "*": {
                "peak": {
                    **MOMENT,
                    "top": [TENSOR],
                    "estimated": dict.fromkeys(CATEGORIES, ESTIMATE),
                },
                "end": {"by_category": BYTES_BY_CATEGORY},
                "waterfall": dict.fromkeys(
                    ("requested", "allocated", "reserved", "process", "device"), int | None
                ),
                "unseen": {"workspaces_peak_bytes": int, "op": str},
            }
        },
        "findings": [FINDING],
    },
    "compare": {
        "schema": 1,
        "trace": {"source": str, "program": [str]},
        "devices": {
            "*": {
                "categories": {
                    category: {
                        "measured_bytes": int,
                        "estimated_bytes": int | None,
                        "error_bytes": int | None,
                        "error_percent": float | None,
                        "explanation": str,
                        "formula": str,
                    }
                    for category in CATEGORIES
                }
            }
        },
    },
    "info": {
        "schema": 1,
        "source": str,
        "complete": bool,
        "header": {"program": [str], "pid": int, "devices": {"*": {"name": str}}},
        "counts": {"events": int, "allocations": int, "phases": int, "steps": int, "samples": int},
        "nvml": {
            "devices": [{"uuid": str, "name": str | None, "samples": int, "max_used_bytes": int}]
        },
        "warnings": [REMARK],
    },
}


def check(value: Any, schema: Any, place: str) -> None:
    """Raises AssertionError where a document lacks a key or has another type than promised."""
    if isinstance(schema, dict):
        assert isinstance(value, dict), place
        expected = dict.fromkeys(value, schema["*"]) if "*" in schema else schema
        for key, inner in expected.items():
            assert key in value, f"{place}.{key} is missing"
            check(value[key], inner, f"{place}.{key}")
    elif isinstance(schema, list):
        assert isinstance(value, list), place
        for number, item in enumerate(value):
            check(item, schema[0], f"{place}[{number}]")
    elif isinstance(schema, int):
        assert value == schema, place
    elif not (schema == float | None and isinstance(value, int)):
        assert isinstance(value, schema), f"{place} is {value!r}"


@pytest.mark.parametrize("verb", SCHEMAS)
@pytest.mark.parametrize("make", [training, graphics_card])
def test_json_is_what_was_promised(verb: str, make: Any, tmp_path: Path) -> None:
    make(tmp_path / "t.json")
    answer = memprof(verb, "t.json", "--json", cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    document = json.loads(answer.stdout)
    check(document, SCHEMAS[verb], verb)
    for device in document.get("devices", {}).values():
        if "peak" in device:
            assert list(device["peak"]["by_category"]) == list(CATEGORIES)
            total = device["peak"]["requested_bytes"]
            assert sum(device["peak"]["by_category"].values()) == total


def test_the_check_can_fail() -> None:
    with pytest.raises(AssertionError, match="missing"):
        check({"a": {}}, {"a": {"b": int}}, "x")
    with pytest.raises(AssertionError):
        check({"a": ["1"]}, {"a": [int]}, "x")
