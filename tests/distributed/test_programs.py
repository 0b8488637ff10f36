"""Each process's categories against the sums over its own objects, and against the allocator."""

from __future__ import annotations

import pytest

from memprof.analyze.compare import compare
from memprof.attribute import attribute
from memprof.trace import CATEGORIES
from tests.distributed.conftest import Rank, RanksOf
from tests.distributed.programs import BLOCK_BYTES, PROGRAMS, WIDTH

UNATTRIBUTED = 0.02
TOLERANCE = 0.01
FLAT_BUFFERS = 4 * 2 * WIDTH  # of a BatchNorm, to be broadcast
TRAINING = {"weights", "gradients", "optimizer_state"}
every_program = pytest.mark.parametrize("program", PROGRAMS)


def names_in(rank: Rank, category: str) -> set[str]:
    trace, found = rank.analysis.trace, attribute(rank.analysis.trace)
    chosen = found.category == CATEGORIES.index(category)
    return {trace.strings[number] for number in found.name[chosen]} - {""}


@every_program
def test_categories_hold_what_the_objects_hold(ranks_of: RanksOf, program: str) -> None:
    for rank in ranks_of(program):
        device, claims = rank.analysis.device("cpu"), rank.account.claims
        for claim in claims:
            claim.measured = device.at_time(claim.time_ns).by_category[claim.category]
        wrong = [claim for claim in claims if claim.measured != claim.expected]
        assert not wrong, rank.number
        claimed = {claim.category for claim in claims if claim.expected}
        assert claimed >= ({"communication"} if "collectives" in program else TRAINING)
        assert ("communication" in claimed) != (program == "DDP, gradients in buckets")


@every_program
def test_little_is_unattributed_and_nothing_fails(ranks_of: RanksOf, program: str) -> None:
    for rank in ranks_of(program):
        peak = rank.analysis.device("cpu").peak
        assert peak.by_category["unattributed"] < UNATTRIBUTED * peak.requested_bytes
        assert not rank.analysis.trace.warnings


@every_program
def test_a_recording_changes_no_result(ranks_of: RanksOf, program: str) -> None:
    for rank in ranks_of(program):
        assert len(rank.account.results) > 3
        assert rank.account.results == rank.account.untraced_results


@pytest.mark.parametrize("program", [name for name in PROGRAMS if not PROGRAMS[name].late])
def test_peak_and_end_against_the_allocator(ranks_of: RanksOf, program: str) -> None:
    known = PROGRAMS[program]
    for rank in ranks_of(program):
        device, account = rank.analysis.device("cpu"), rank.account
        seen = device.peak_with_workspaces.bytes
        assert device.peak.requested_bytes <= account.true_peak
        assert account.true_peak <= (seen + known.gloo_copies) * (1 + TOLERANCE)
        assert device.end.requested_bytes == pytest.approx(account.true_end, rel=TOLERANCE)


@every_program
def test_each_rank_writes_a_file_of_its_own(ranks_of: RanksOf, program: str) -> None:
    for rank in ranks_of(program):
        trace = rank.analysis.trace
        assert trace.complete
        assert trace.header["rank"] == rank.number
        assert trace.source.endswith(f"trace.rank{rank.number}.json")


@pytest.mark.parametrize("program", ["fully_shard", "tensor parallel"])
def test_estimates_are_of_each_process_s_own_part(ranks_of: RanksOf, program: str) -> None:
    for rank in ranks_of(program):
        rows = {row.category: row for row in compare(rank.analysis) if row.device == "cpu"}
        assert rows["weights"].measured_bytes > 0
        assert rows["weights"].error_bytes == 0
        assert rows["optimizer_state"].error_bytes == 0


def test_buckets_are_told_apart_by_number(ranks_of: RanksOf) -> None:
    for rank in ranks_of("DDP"):
        assert rank.account.facts["buckets"] > 2
        expected = {f"reducer.bucket.{n}" for n in range(rank.account.facts["buckets"])}
        assert names_in(rank, "communication") == expected


def test_a_bucket_of_gradients_has_no_single_gradient_s_name(ranks_of: RanksOf) -> None:
    for rank in ranks_of("DDP, gradients in buckets"):
        assert all(name.startswith("reducer.bucket.") for name in names_in(rank, "gradients"))
        assert rank.analysis.device("cpu").category_peaks["gradients"].bytes > 2 * BLOCK_BYTES


def test_gradients_in_half_precision_take_half_a_bucket_more(ranks_of: RanksOf) -> None:
    for rank in ranks_of("DDP, half precision"):
        halves = rank.account.facts["half_bytes"]
        device, begun_ns = rank.analysis.device("cpu"), rank.account.claims[0].time_ns
        highest = device.series("communication")[device.time_ns > begun_ns].max()
        assert 3 * halves <= highest <= 3 * halves + FLAT_BUFFERS


def test_full_copies_are_called_after_their_weights(ranks_of: RanksOf) -> None:
    weights = {f"{block}.{part}" for block in "02" for part in ("up.weight", "down.bias")}
    for rank in ranks_of("fully_shard"):
        assert {f"{weight}.gathered" for weight in weights} <= names_in(rank, "communication")
        assert weights | {"1.weight"} <= names_in(rank, "weights")
        assert weights | {"0.*", "1.*", "2.*"} <= names_in(rank, "gradients")
        assert "0.up.weight.exp_avg" in names_in(rank, "optimizer_state")


def test_each_process_keeps_its_own_states(ranks_of: RanksOf) -> None:
    ranks = ranks_of("ZeroRedundancyOptimizer")
    held = [rank.analysis.device("cpu").category_peaks["optimizer_state"].bytes for rank in ranks]
    assert held == [rank.account.facts["state_bytes"] for rank in ranks]
    counters = 4 * ranks[0].account.facts["parameters"]
    assert sum(held) == 2 * ranks[0].account.facts["weight_bytes"] + counters


def test_a_stage_has_a_buffer_for_every_part_of_the_batch(ranks_of: RanksOf) -> None:
    for rank in ranks_of("pipeline"):
        assert rank.account.facts["buffers"] == 4
