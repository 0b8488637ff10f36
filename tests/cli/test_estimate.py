"""``memprof estimate``: its tables, its JSON, and what it says to what cannot be."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from memprof.cli.main import main
from memprof.cli.sweep import values_of
from memprof.errors import UsageError
from memprof.trace import CATEGORIES
from tests.cli.terminal import ROOT, memprof
from tools.readme import PLACE


def document(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    assert main(["estimate", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def lines(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    assert main(["estimate", *words]) == 0
    return capsys.readouterr().out.splitlines()


def test_the_command_of_the_documentation(tmp_path: Path) -> None:
    words = "llama-3-70b --batch 32 --seq 4096 --gpu h100 --tp 4"
    answer = memprof("estimate", *words.split(), cwd=tmp_path)
    assert answer.returncode == 0
    assert answer.stderr == ""
    found = answer.stdout.splitlines()
    assert found[0] == (
        "llama-3-70b · 70,553,706,496 parameters · decode, batch 32 × 1 token after 4,095 · "
        "4 devices"
    )
    assert found[2].startswith("Peak 42.9")
    assert any(line.split()[:5] == ["weights", "32.86", "GiB", "35.28", "GB"] for line in found)
    assert any(line.split()[:4] == ["h100-80gb", "79.11", "GiB", "yes"] for line in found)
    assert found[-1] == "Next: memprof estimate llama-3-70b --explain"


def test_json_has_every_category_and_they_make_up_the_peak(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = document(capsys, "llama-3-8b", "--optimizer", "adamw", "--seq", "512")
    assert found["schema"] == 1
    assert found["parameters"] == 8_030_261_248
    assert list(found["by_category"]) == list(CATEGORIES)
    assert sum(found["by_category"].values()) == found["peak_bytes"]
    assert found["peak_bytes"] == max(found["peaks"].values())
    assert set(found["peaks"]) == {"loss", "backward", "optimizer"}
    assert found["run"]["mode"] == "train"
    assert found["fits"]["h100-80gb"] is True
    assert found["fits"]["rtx-4090-24gb"] is False
    assert found["machines"]["h100-80gb"]["roofline"]["bound"] in ("memory", "compute")


def test_json_of_generation(capsys: pytest.CaptureFixture[str]) -> None:
    words = "llama-3-70b --batch 32 --seq 4096 --gpu h100 --tp 4 --kv-cache paged"
    found = document(capsys, *words.split())
    assert found["kv_cache_bytes_per_token"] == 327_680 // 4
    assert found["by_category"]["kv_cache"] == 10 * 2**30
    assert found["tokens_per_second_bound"] == pytest.approx(2360, rel=0.01)
    assert found["run"]["devices"] == 4


def test_stages_of_a_pipeline_have_a_table_each(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("llama-3-8b", "--pp", "2", "--optimizer", "sgd", "--gpu", "h100", "--seq", "64")
    text = "\n".join(lines(capsys, *words))
    assert "stage 1 of 2" in text
    assert "stage 2 of 2" in text
    assert len(document(capsys, *words)["devices"]) == 2


def test_explain_prints_formulas_with_their_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    text = " ".join(" ".join(lines(capsys, "llama-3-8b", "--explain", "--seq", "100")).split())
    assert "8,030,261,248 bfloat16 parameters × 2 B" in text
    assert "32 layers × 8 heads × 2 × 128 × 2 B × batch 1 × 100 tokens" in text


def test_activations_that_no_formula_knows_are_not_guessed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ("falcon-7b", "--mode", "train", "--optimizer", "adamw", "--gpu", "h100")
    text = "\n".join(lines(capsys, *words))
    assert "Peak at least" in text
    assert "not estimated: no activation formula" in " ".join(text.split())
    found = document(capsys, *words)
    assert found["peak_bytes"] is None
    assert found["highest_by_category"]["activations"]["bytes"] is None
    assert "falcon" in found["highest_by_category"]["activations"]["formula"]


def test_sweep_has_a_row_a_value(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("llama-3-8b", "--sweep", "batch=1,2,4,8", "--gpu", "h100", "--kv-cache", "paged")
    rows = [line.split() for line in lines(capsys, *words)[1:5]]
    assert [row[0] for row in rows] == ["1", "2", "4", "8"]
    assert [row["batch"] for row in document(capsys, *words)["rows"]] == [1, 2, 4, 8]
    caches = [row["by_category"]["kv_cache"] for row in document(capsys, *words)["rows"]]
    assert caches == [caches[0] * batch for batch in (1, 2, 4, 8)]


def test_more_answers(capsys: pytest.CaptureFixture[str]) -> None:
    words = (
        *("mixtral-8x7b", "--batch", "2", "--requests", "512+128,64+300", "--longest", "1024"),
        *("--draft", "mistral-7b", "--resident", "4", "--largest", "batch", "--gpu", "h100"),
    )
    text = " ".join(" ".join(lines(capsys, *words)).split())
    for part in (
        "3.5 of 8 experts",
        "contiguous 2,048",
        "3.36 tokens a round",
        "on the host, fetched in every call",
        "The largest batch that fits",
    ):
        assert part in text, part
    found = document(capsys, *words)
    assert found["serving"]["contiguous"]["waste"] == 1 - (640 + 364) / 2048
    assert found["offload"]["resident"] == 4
    assert found["largest"]["by_machine"]["h100-80gb"] > 0


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("lama-3-70b", "did you mean llama-3-70b"),
        ("llama-3-8b --tp 5", "32 attention heads cannot be split evenly among 5 devices"),
        ("llama-3-8b --gpu h1000", "did you mean h100"),
        ("llama-3-8b --sweep batch=1,x", "whole numbers"),
        ("llama-3-8b --sweep speed=1", "choose one of batch"),
        ("llama-3-8b --sweep batch", "write it like"),
        ("llama-3-8b --dtype int3", "dtype 'int3' is unknown"),
        ("llama-3-8b --mode infer", "choose train, prefill or decode"),
        ("llama-3-8b --seq 0", "at least 1"),
        ("llama-3-8b --optimizer lion", "optimizer 'lion' is unknown"),
        ("llama-3-8b --optimizer-impl fast", "choose foreach, fused or for-loop"),
        ("llama-3-8b --requests 5", "write them like"),
        ("llama-3-8b --resident 99", "the model has 32"),
        ("llama-3-8b --largest gpu", "choose batch, seq or model"),
        ("llama-3-8b --draft llama-9", "did you mean"),
        ("none.json", "there is no such file"),
    ],
)
def test_what_cannot_be_is_one_line(
    capsys: pytest.CaptureFixture[str], words: str, reason: str
) -> None:
    assert main(["estimate", *words.split()]) == 2
    caught = capsys.readouterr()
    assert caught.out == ""
    assert reason in caught.err
    assert caught.err.count("\n") == 1


def test_a_configuration_without_a_size_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"model_type": "llama", "hidden_size": 64, "vocab_size": 9}')
    assert main(["estimate", str(path)]) == 2
    told = capsys.readouterr().err
    assert str(path) in told
    assert '"num_hidden_layers" is missing' in told


def test_values_of_a_sweep() -> None:
    assert values_of("batch=1, 2,4", ("batch",)) == ("batch", [1, 2, 4])
    assert values_of("--dtype=bf16,int4", ("dtype",)) == ("dtype", ["bf16", "int4"])
    with pytest.raises(UsageError, match="write it like"):
        values_of("batch=", ("batch",))


def test_the_page_shows_what_its_commands_print() -> None:
    page = (ROOT / "docs" / "estimates.md").read_text("utf-8")
    places = [place for place in PLACE.finditer(page) if "memprof estimate" in place["command"]]
    assert places
    for place in places:
        words = shlex.split(place["command"])[1:]
        assert memprof(*words, cwd=ROOT).stdout.rstrip() in place["output"]
