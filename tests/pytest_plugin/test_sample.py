"""samples/ci: its tests pass, its baseline is true, its workflow asks for what there is."""

from __future__ import annotations

import json
import re
import shutil

import pytest
import torch
import yaml

from memprof.cli.app import VERBS
from memprof.pytest_plugin.options import OPTIONS
from tests.cli.terminal import ROOT
from tests.pytest_plugin.conftest import Project

SAMPLE = ROOT / "samples" / "ci"
HERE = f"cpu, torch {torch.__version__}"


@pytest.fixture
def sample(project: Project) -> Project:
    pytest.importorskip("transformers.models.llama.modeling_llama")
    ignored = shutil.ignore_patterns("__pycache__", ".pytest_cache")
    shutil.copytree(SAMPLE, project.path, dirs_exist_ok=True, ignore=ignored)
    return project


def test_its_tests_and_its_baseline(sample: Project) -> None:
    committed = json.loads((SAMPLE / "memory-baseline.json").read_text())
    (known,) = committed["environments"].values()
    (sample.path / "memory-baseline.json").write_text('{"schema": 1, "environments": {}}')
    chosen = ("-k", "a_training_step or cache or card")
    sample.again("--memprof-update-baseline", *chosen).assert_outcomes(
        passed=2, skipped=1, deselected=4
    )
    measured = json.loads((sample.path / "memory-baseline.json").read_text())
    assert set(measured["environments"][HERE]) < set(known)
    if HERE in committed["environments"]:
        for test, figures in measured["environments"][HERE].items():
            assert figures == known[test]

    model = sample.path / "model.py"
    model.write_text(model.read_text().replace("intermediate_size=176", "intermediate_size=208"))
    result = sample.again("-k", "a_training_step")
    assert result.parseoutcomes() == {"memory": 1, "deselected": 6}
    result.stdout.fnmatch_lines(["activations peaked at * on cpu, baseline 6.41 MiB (+*, +*%; *"])


def test_its_workflow() -> None:
    path = SAMPLE / ".github" / "workflows" / "memory.yml"
    steps = yaml.safe_load(path.read_text())["jobs"]["memory"]["steps"]
    commands = "\n".join(step.get("run", "") for step in steps)
    flags = set(re.findall(r"--memprof[a-z-]*", commands))
    assert flags
    assert flags <= {option.flag for option in OPTIONS}
    verbs = set(re.findall(r"(?<!-)memprof (run|diff) ", commands))
    assert verbs == {"run", "diff"} & set(VERBS)
