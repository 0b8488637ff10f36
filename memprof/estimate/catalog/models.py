"""The configurations of well-known models, by name."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from memprof.errors import UsageError
from memprof.estimate.closest import closest

#: What an entry says about itself, and not about the model.
_OWN = ("base", "aliases", "repository")


def model_names() -> tuple[str, ...]:
    """The names of all models of the catalogue."""
    return tuple(_entries())


def model_config(name: str) -> Mapping[str, Any]:
    """The configuration of a model of the catalogue.

    Args:
        name: its name, an alias or its repository, in any case: "llama-3-70b",
            "meta-llama/Meta-Llama-3-70B".

    Raises:
        UsageError: if there is none of that name; the closest names are in the message.
    """
    entries, found = _entries(), _names().get(_plain(name))
    if found is None:
        raise UsageError(
            f"model {name!r} is not in the catalogue and is no file; "
            f"{closest(_plain(name), tuple(entries))}"
        )
    return _resolved(entries, found)


def repository(name: str) -> str:
    """Where a model's configuration is published, or "" where it is not in the catalogue."""
    found = _names().get(_plain(name))
    return str(_entries()[found]["repository"]) if found else ""


def _plain(name: str) -> str:
    return name.strip().lower().replace("_", "-").replace(" ", "-")


def _resolved(entries: Mapping[str, Mapping[str, Any]], name: str) -> dict[str, Any]:
    entry = entries[name]
    inherited = _resolved(entries, entry["base"]) if "base" in entry else {}
    own = {key: value for key, value in entry.items() if key not in _OWN}
    return {**inherited, **own, "_name": name}


@cache
def _entries() -> dict[str, Mapping[str, Any]]:
    text = files("memprof.estimate.catalog").joinpath("models.toml").read_text("utf-8")
    return tomllib.loads(text)


@cache
def _names() -> dict[str, str]:
    """Every name, alias and repository that an entry is found under."""
    found = {}
    for name, entry in _entries().items():
        repository = _plain(entry["repository"])
        for each in (repository.rpartition("/")[2], repository, *entry.get("aliases", ()), name):
            found[each] = name
    return found
