"""Replaced attributes come back exactly, in whatever order things happened."""

import importlib
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from memprof.record.imports import ImportWatch
from memprof.record.patches import Patches


class Base:
    def method(self) -> str:
        return "base"


class Derived(Base):
    pass


def test_own_attribute_is_restored() -> None:
    owner, patches = SimpleNamespace(value=1), Patches()
    patches.replace(owner, "value", lambda value: value + 1)
    assert owner.value == 2
    patches.undo()
    assert owner.value == 1


def test_inherited_attribute_is_deleted_again() -> None:
    patches = Patches()
    patches.replace(Derived, "method", lambda method: lambda self: "wrapped " + method(self))
    assert Derived().method() == "wrapped base"
    patches.undo()
    assert "method" not in vars(Derived)
    assert Derived().method() == "base"


def test_a_later_patch_by_someone_else_stays() -> None:
    owner, patches = SimpleNamespace(value="original"), Patches()
    patches.replace(owner, "value", lambda _: "ours")
    owner.value = "theirs"
    patches.undo()
    assert owner.value == "theirs"


def test_missing_attribute_is_left_missing() -> None:
    owner, patches = SimpleNamespace(), Patches()
    patches.replace(owner, "absent", lambda value: value)
    assert not hasattr(owner, "absent")
    patches.undo()


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "watched_library.py").write_text("VALUE = 3\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "watched_library", raising=False)
    return "watched_library"


def test_import_watch_calls_back_after_the_import(library: str) -> None:
    seen: list[int] = []
    before = list(sys.meta_path)
    watch = ImportWatch({library: lambda module: seen.append(module.VALUE)})
    watch.start()
    module = importlib.import_module(library)
    importlib.reload(module)
    watch.stop()
    assert seen == [3]
    assert sys.meta_path == before
    assert type(module.__spec__.loader).__module__.startswith("_frozen_importlib")  # type: ignore[union-attr]


def test_import_watch_calls_back_at_once_for_what_is_imported(library: str) -> None:
    importlib.import_module(library)
    seen: list[ModuleType] = []
    watch = ImportWatch({library: seen.append})
    watch.start()
    watch.stop()
    assert [module.__name__ for module in seen] == [library]
