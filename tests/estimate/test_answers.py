"""Serving, speculation, experts, offload and the roofline against numbers worked out by hand."""

import random

import pytest

from memprof.errors import UsageError
from memprof.estimate import (
    Drafting,
    ModelSpec,
    Offloading,
    Parallelism,
    Request,
    RunSpec,
    Serving,
    estimate,
    hardware,
)
from memprof.estimate.catalog.models import model_config
from memprof.estimate.experts import touched_experts
from memprof.estimate.fits import fits, fullest_device, largest_model, largest_run
from memprof.estimate.offload import offload
from memprof.estimate.serving import (
    contiguous,
    continuous_batching,
    expected_page_waste,
    paged,
    static_batching,
)
from memprof.estimate.speculation import accepted_tokens, speculation

REQUESTS = (Request(100, 50), Request(10, 10), Request(30, 90))


def test_contiguous_and_paged_reservations() -> None:
    whole, pages = contiguous(REQUESTS, 256), paged(REQUESTS, 16)
    assert (whole.reserved, whole.used) == (768, 290)
    assert pages.reserved == (10 + 2 + 8) * 16
    assert whole.waste == 1 - 290 / 768
    assert pages.bytes(327_680) == 320 * 327_680


def test_a_common_beginning_is_kept_once() -> None:
    requests = [Request(40, 8)] * 3
    assert paged(requests, 16, prefix=37).reserved == (2 + 3 * 1) * 16
    assert paged(requests, 16).reserved == 3 * 3 * 16


def test_pages_waste_half_a_page_on_average() -> None:
    chance = random.Random(0)
    requests = [Request(chance.randint(1, 2000), chance.randint(1, 2000)) for _ in range(4000)]
    found = paged(requests, 16)
    average = (found.reserved - found.used) / len(requests)
    assert average == pytest.approx(expected_page_waste(16), abs=0.25)


def test_a_request_that_is_too_long_is_refused() -> None:
    with pytest.raises(UsageError, match="longer than the 100 tokens"):
        contiguous(REQUESTS, 100)


def test_static_batches_last_as_long_as_their_longest() -> None:
    found = static_batching(REQUESTS, 2)
    assert found.steps == 50 + 90
    assert found.tokens == 150
    assert found.utilisation == 150 / 280
    assert found.peak_tokens == 2 * (100 + 50)


def test_continuous_batching_fills_a_place_at_once() -> None:
    found = continuous_batching(REQUESTS, 2)
    assert found.steps == 10 + 90  # the third follows the second
    assert found.utilisation == 150 / 200
    assert found.peak_tokens == 100 + 50 + 30 + 40


def test_continuous_is_never_slower_than_static() -> None:
    chance = random.Random(1)
    for _ in range(50):
        requests = [Request(1, chance.randint(1, 40)) for _ in range(chance.randint(1, 30))]
        places = chance.randint(1, 6)
        one, other = continuous_batching(requests, places), static_batching(requests, places)
        assert one.steps <= other.steps
        assert one.tokens == other.tokens == sum(request.new for request in requests)


@pytest.mark.parametrize(
    ("acceptance", "gigabytes"), [(0.6, 64.2), (0.7, 53.4), (0.8, 44.0), (0.9, 36.1), (1.0, 29.6)]
)
def test_speculation_of_70_by_1_billion(acceptance: float, gigabytes: float) -> None:
    found = speculation(
        target=140_000_000_000, draft=2_000_000_000, proposals=4, acceptance=acceptance
    )
    assert found.bytes_per_token / 1e9 == pytest.approx(gigabytes, abs=0.06)


def test_accepted_tokens_against_drawing_them() -> None:
    chance = random.Random(2)
    drawn = []
    for _ in range(20_000):
        run = 0
        while run < 5 and chance.random() < 0.7:
            run += 1
        drawn.append(run + 1)
    assert accepted_tokens(0.7, 5) == pytest.approx(sum(drawn) / len(drawn), rel=0.02)
    with pytest.raises(UsageError, match="no probability"):
        accepted_tokens(1.2, 5)


def test_a_drafting_model_is_resident_with_its_cache() -> None:
    alone = RunSpec(mode="decode", batch=2, context=99, device="cuda")
    both = RunSpec(
        mode="decode", batch=2, context=99, device="cuda", drafting=Drafting("llama-3.2-1b")
    )
    one, other = estimate("llama-3-8b", alone), estimate("llama-3-8b", both)
    assert one.peak_bytes is not None
    assert other.peak_bytes is not None
    draft = estimate("llama-3.2-1b", alone).by_category
    more = (draft["weights"].bytes or 0) + (draft["kv_cache"].bytes or 0)
    assert other.peak_bytes - one.peak_bytes == more
    assert other.answers.speculation is not None


@pytest.mark.parametrize(("tokens", "touched"), [(1, 2.0), (2, 3.5), (4, 5.47), (8, 7.2)])
def test_experts_that_tokens_touch(tokens: int, touched: float) -> None:
    assert touched_experts(8, 2, tokens) == pytest.approx(touched, abs=0.01)
    chance = random.Random(3)
    drawn = [
        len({expert for _ in range(tokens) for expert in chance.sample(range(8), 2)})
        for _ in range(20_000)
    ]
    assert touched_experts(8, 2, tokens) == pytest.approx(sum(drawn) / len(drawn), rel=0.01)


def test_resident_and_moved_bytes_of_mixtral() -> None:
    experts = estimate("mixtral-8x7b", RunSpec(mode="decode", batch=1)).answers.experts
    assert experts is not None
    assert experts.resident_bytes == 93_405_585_408
    table = 32_000 * 4096 * 2  # of the embedding a token reads one row
    assert experts.moved_bytes == 2 * 12_879_925_248 - table + 4096 * 2


def test_offload_of_llama_3_70b() -> None:
    """A layer has 1.711 GB; 78 of them over 64 GB/s take 2.09 s."""
    spec = ModelSpec.from_config(model_config("llama-3-70b"))
    found = offload(spec, 2)
    layer = 2 * (2 * 8192**2 + 2 * 8192 * 1024 + 3 * 8192 * 28_672 + 2 * 8192)
    assert found.host_bytes == 78 * layer
    assert found.device_bytes == 2 * 70_553_706_496 - 78 * layer + 2 * layer
    assert found.seconds(64e9) == pytest.approx(2.086, abs=0.001)
    assert found.seconds(64e9, 1.0, overlapped=False) == pytest.approx(3.086, abs=0.001)
    with pytest.raises(UsageError, match="the model has 80"):
        offload(spec, 81)


def test_an_offloaded_run_fits_where_the_whole_does_not() -> None:
    run = RunSpec(mode="decode", device="cuda", offloading=Offloading(2))
    found = estimate("llama-3-70b", run, "h100")
    assert found.fits == {"h100-80gb": True}
    assert found.answers.seconds_offloaded is not None
    assert found.answers.seconds_offloaded["h100-80gb"] == pytest.approx(2.086, abs=0.001)


def test_decode_of_llama_3_70b_on_an_h100_reads_its_weights() -> None:
    """140 GB at 3.35 TB/s: 41.5 ms a token without the embedding, whatever the FLOPS."""
    line = estimate("llama-3-70b", RunSpec(mode="decode"), "h100").rooflines["h100-80gb"]
    weights = 2 * (70_553_706_496 - 128_256 * 8192 + 8192)
    assert line.bytes_moved == weights + 327_680
    assert line.bound == "memory"
    assert line.seconds == pytest.approx(0.04149, rel=0.001)
    assert line.bandwidth_utilisation(line.tokens_per_second, 3.35e12) == pytest.approx(1)
    assert line.bandwidth_utilisation(line.tokens_per_second / 2, 3.35e12) == pytest.approx(0.5)


def test_prefill_is_bound_by_compute_past_the_ridge() -> None:
    def bound(tokens: int) -> str:
        run = RunSpec(mode="prefill", tokens=tokens)
        return estimate("llama-3-8b", run, "h100").rooflines["h100-80gb"].bound

    assert bound(64) == "memory"
    assert bound(1024) == "compute"


def test_training_takes_6_operations_a_parameter_and_token() -> None:
    run = RunSpec(mode="train", batch=1, tokens=128, dtype="bf16")
    flops = estimate("llama-3-8b", run, "h100").rooflines["h100-80gb"].flops
    used = 8_030_261_248 - 128_256 * 4096
    attention = 3 * 4 * 4096 * 32 * 128 * 64.5
    assert flops == pytest.approx(6 * used * 128 + attention)


def test_replicas_and_stages_in_the_bound() -> None:
    def speed(parallel: Parallelism) -> float:
        run = RunSpec(mode="decode", batch=4, context=100, parallel=parallel)
        return estimate("llama-3-8b", run, "h100").rooflines["h100-80gb"].tokens_per_second

    one = speed(Parallelism())
    assert speed(Parallelism(dp=3)) == pytest.approx(3 * one)
    assert speed(Parallelism(pp=2)) == pytest.approx(one, rel=0.1)
    assert speed(Parallelism(tp=2)) == pytest.approx(2 * one, rel=0.05)


def test_the_largest_batch_fits_and_one_more_does_not() -> None:
    run, machine = RunSpec(mode="decode", context=8191, device="cuda"), hardware("h100")
    most = largest_run("llama-3-8b", run, machine, "batch")
    assert most is not None
    spec = ModelSpec.from_config(model_config("llama-3-8b"))

    def fitting(batch: int) -> bool | None:
        run = RunSpec(mode="decode", batch=batch, context=8191, device="cuda")
        return fits(fullest_device(spec, run), machine)

    assert fitting(most)
    assert not fitting(most + 1)


def test_the_largest_model_and_length() -> None:
    run = RunSpec(mode="decode", dtype="bf16", context=1023, device="cuda")
    assert largest_model(run, hardware("rtx4090")) == "mistral-nemo-12b"
    assert largest_run("llama-3-70b", run, hardware("h100"), "seq") == 0
    assert largest_run("mamba-130m", run, hardware("h100"), "seq") is None


def test_what_is_not_known_leaves_fitting_open() -> None:
    found = estimate("falcon-7b", RunSpec(tokens=8, optimizer="adamw", device="cuda"))
    assert found.fits["mi300x-192gb"] is None
    assert found.fits["rtx-4090-24gb"] is False


def test_serving_is_part_of_an_estimate() -> None:
    run = RunSpec(mode="decode", batch=2, serving=Serving(REQUESTS, longest=256))
    served = estimate("llama-3-8b", run).answers.serving
    assert served is not None
    assert served.contiguous.reserved == 512
    assert served.continuous.steps == 100
