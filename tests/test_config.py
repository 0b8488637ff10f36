"""Settings of a project in pyproject.toml."""

from __future__ import annotations

from pathlib import Path

import pytest

import memprof
from memprof.config import Config, read_config
from memprof.errors import UsageError


def settings(folder: Path, text: str) -> Config:
    (folder / "pyproject.toml").write_text(text)
    return read_config(folder)


def test_without_a_file_defaults_hold(tmp_path: Path) -> None:
    assert read_config(tmp_path) == Config("auto", 65536, "modules", "auto")


def test_without_a_table_defaults_hold(tmp_path: Path) -> None:
    assert settings(tmp_path, "[tool.other]\nrecorder = 7\n") == Config()


def test_every_key(tmp_path: Path) -> None:
    text = '[tool.memprof]\nrecorder = "dispatch"\nstack_bytes = "1 MiB"\n'
    text += 'detail = "ops"\ncolor = "never"\n'
    assert settings(tmp_path, text) == Config("dispatch", 1 << 20, "ops", "never")


def test_the_environment_counts_before_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMPROF_RECORDER", "native")
    assert settings(tmp_path, '[tool.memprof]\nrecorder = "dispatch"\n').recorder == "native"
    monkeypatch.setenv("MEMPROF_RECORDER", "magic")
    with pytest.raises(UsageError, match="MEMPROF_RECORDER: recorder 'magic' is unknown"):
        read_config(tmp_path)


def test_bytes_as_a_number(tmp_path: Path) -> None:
    assert settings(tmp_path, "[tool.memprof]\nstack_bytes = 12\n").stack_bytes == 12


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('recoder = "auto"', "unknown key 'recoder'; did you mean 'recorder'?"),
        (
            "xyzzy = 1",
            "unknown key 'xyzzy'; it may have recorder, stack_bytes, detail, color, pytest",
        ),
        ('recorder = "magic"', "recorder 'magic' is unknown: choose one of auto, native, dispatch"),
        ('detail = "lines"', "detail 'lines' is unknown: choose one of modules, ops"),
        ("recorder = 1", "recorder 1 is unknown"),
        ('color = "pink"', "color 'pink' is unknown: choose one of auto, always, never"),
        ("stack_bytes = true", "stack_bytes True is not a size"),
        ("stack_bytes = 1.5", "stack_bytes 1.5 is not a size"),
        ('stack_bytes = "much"', "'much' is not a size"),
        ("stack_bytes =", "not TOML"),
        ("pytest = 3", "pytest: is not a table"),
    ],
)
def test_what_means_nothing_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        settings(tmp_path, f"[tool.memprof]\n{text}\n")
    assert message in str(refused.value)
    assert str(tmp_path / "pyproject.toml") in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_table_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a table"):
        settings(tmp_path, "[tool]\nmemprof = 3\n")


def test_a_recording_follows_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text("[tool.memprof]\nrecoder = 1\n")
    with pytest.raises(UsageError, match="unknown key 'recoder'"):
        memprof.trace()


def test_a_recording_refuses_a_recorder_there_is_not() -> None:
    with pytest.raises(UsageError, match="choose one of auto, native, dispatch"):
        memprof.trace(recorder="magic")
