"""Each test runs under both recorders, without what earlier tests left in reference cycles."""

import gc

import pytest


@pytest.fixture(autouse=True, params=["native", "dispatch"])
def recorder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    gc.collect()
    monkeypatch.setenv("MEMPROF_RECORDER", request.param)
    return str(request.param)
