"""Each rule by a program of a few lines that it decides, and one that it must not."""

from __future__ import annotations

import pytest

from memprof.attribute import REASONS, RULES, attribute
from memprof.trace import LABELS
from tests.attribute.verdicts import verdicts
from tests.trace_builder import TraceBuilder

EXPECTED = {
    "parameter": "weights",
    "buffer": "buffers",
    "gradient": "gradients",
    "optimizer_state": "optimizer_state",
    "saved_for_backward": "activations",
    "kv_cache": "kv_cache",
    "recurrent_state": "recurrent_state",
    "input": "inputs",
    "output": "temporary",
    "communication": "communication",
    "gathered": "communication",
    "exchanged": "communication",
}


@pytest.mark.parametrize("label", LABELS)
def test_a_label_decides(label: str) -> None:
    build = TraceBuilder()
    build.alloc(1, label=label)
    build.alloc(2)

    labelled, plain = verdicts(build)

    assert labelled[0] == (EXPECTED.get(label) or label.removeprefix("tag:"))
    assert plain == ("unattributed", "unknown")


ORDER = (
    "tag:inputs",
    "gathered",
    "parameter",
    "optimizer_state",
    "gradient",
    "kv_cache",
    "recurrent_state",
    "buffer",
    "communication",
    "input",
    "saved_for_backward",
    "exchanged",
    "output",
)


@pytest.mark.parametrize("place", range(len(ORDER) - 1))
def test_the_stronger_of_two_labels_decides_whichever_came_first(place: int) -> None:
    stronger, weaker = ORDER[place], ORDER[place + 1]
    build = TraceBuilder()
    one, other = build.alloc(1, label=stronger), build.alloc(2, label=weaker)
    build.label(one, weaker)
    build.label(other, stronger)
    alone = TraceBuilder()
    alone.alloc(1, label=stronger)

    assert verdicts(build) == verdicts(alone) * 2


def test_the_latest_tag_counts() -> None:
    build = TraceBuilder()
    cache = build.alloc(1, label="tag:kv_cache", name="draft")
    build.label(cache, "tag:weights", name="copy")
    build.label(cache, "tag:unattributed", name="mine")

    trace = build.trace()

    assert verdicts(build) == [("unattributed", "tag")]
    assert trace.strings[attribute(trace).name[0]] == "mine"


def test_a_forward_tensor_that_lives_into_backward_is_an_activation() -> None:
    build = TraceBuilder()
    build.step()
    with build.phase("forward"):
        kept, gone = build.alloc(1), build.alloc(2)
        build.free(gone)
    outside = build.alloc(3)
    with build.phase("backward"):
        build.free(kept)
    build.free(outside)

    assert verdicts(build) == [
        ("activations", "alive_at_backward"),
        ("temporary", "within_phase"),
        ("temporary", "short_lived"),
    ]


def test_a_users_phase_inside_forward_is_still_forward() -> None:
    build = TraceBuilder()
    with build.phase("forward"), build.phase("attention"):
        kept, gone = build.alloc(1), build.alloc(2)
    build.free(gone)
    with build.phase("backward"):
        build.free(kept)

    assert verdicts(build)[0] == ("activations", "alive_at_backward")
    assert verdicts(build)[1] == ("temporary", "short_lived")


def test_a_tensor_of_an_evaluation_is_no_activation_of_a_later_training_step() -> None:
    build = TraceBuilder()
    build.step()
    with build.phase("forward"):
        build.alloc(1)
    for _ in range(3):
        build.step()
    with build.phase("backward"):
        pass

    assert verdicts(build) == [("unattributed", "unknown")]


def test_what_recomputation_leaves_behind_is_an_activation() -> None:
    build = TraceBuilder()
    with build.phase("backward"):
        with build.phase("recompute"):
            kept, gone = build.alloc(1), build.alloc(2)
            build.free(gone)
        build.free(kept)

    assert verdicts(build) == [("activations", "recomputed"), ("temporary", "within_phase")]


def test_a_tensor_that_dies_by_the_end_of_the_next_step_is_temporary_and_later_is_not() -> None:
    build = TraceBuilder()
    build.step()
    logits, kept = build.alloc(1), build.alloc(2)
    build.step()
    build.free(logits)
    build.step()
    build.free(kept)

    assert verdicts(build) == [("temporary", "short_lived"), ("unattributed", "unknown")]


def test_a_long_phase_of_the_users_makes_nothing_temporary() -> None:
    build = TraceBuilder()
    with build.phase("epoch"):
        dataset = build.alloc(1)
        for _ in range(3):
            build.step()
            with build.phase("forward"):
                pass
        build.free(dataset)
    with build.phase("tokenize"):
        words = build.alloc(2)
        for _ in range(3):
            build.step()
        build.free(words)

    assert verdicts(build) == [("unattributed", "unknown"), ("temporary", "within_phase")]


def test_what_was_there_before_or_born_unseen_is_unattributed_unless_labelled() -> None:
    build = TraceBuilder()
    with build.phase("forward"):
        seen = [
            build.alloc(1, origin="before"),
            build.alloc(2, origin="found"),
            build.alloc(3, origin="found", label="output"),
            build.alloc(4, origin="before", label="parameter"),
            build.alloc(5, origin="compiled"),
        ]
        build.free(*seen)

    assert verdicts(build) == [
        ("unattributed", "unseen_birth"),
        ("unattributed", "unseen_birth"),
        ("temporary", "within_phase"),
        ("weights", "parameter"),
        ("temporary", "within_phase"),
    ]


def test_a_forward_without_its_backward_holds_activations_only_where_gradients_were_wanted() -> (
    None
):
    def after_forward(grad: bool) -> list[tuple[str, str]]:
        build = TraceBuilder()
        build.fact("call", {"root": "m", "phase": 1, "grad": grad})
        with build.phase("forward"):
            build.alloc(1)
            build.alloc(2, label="output")
        return verdicts(build)

    assert after_forward(True) == [("activations", "awaits_backward"), ("temporary", "output")]
    assert after_forward(False) == [("unattributed", "unknown"), ("temporary", "output")]


def test_what_a_forward_that_failed_leaves_behind_is_an_activation() -> None:
    def after_failure(*grads: bool) -> list[tuple[str, str]]:
        build = TraceBuilder()
        for grad in grads:
            build.fact("call", {"root": "m", "phase": 1, "grad": grad})
        build.step()
        with build.phase("forward"):
            build.free(build.alloc(1))
            kept, returned = build.alloc(2), build.alloc(3, label="output")
        build.free(kept, returned)
        return verdicts(build)

    inside, returned = ("temporary", "within_phase"), ("temporary", "short_lived")
    assert after_failure(True) == [inside, ("activations", "outlived_forward"), returned]
    for grads in ((), (False,), (True, False)):
        assert after_failure(*grads) == [inside, ("temporary", "short_lived"), returned]


def test_a_resized_storage_stays_what_it_was_through_a_long_chain() -> None:
    build = TraceBuilder()
    last = build.alloc(1, label="kv_cache", name="cache.0.keys", module="model")
    for size in range(2, 40):
        build.free(last)
        last = build.alloc(size, origin="resized", previous=last)
    build.alloc(9, origin="resized", previous=3, label="parameter")

    trace = build.trace()
    found = attribute(trace)

    assert verdicts(build)[:-1] == [("kv_cache", "kv_cache")] * 39
    assert verdicts(build)[-1] == ("weights", "parameter")
    assert {trace.strings[number] for number in found.name[:-1]} == {"cache.0.keys"}
    assert {trace.strings[number] for number in found.module[:-1]} == {"model"}


def test_names_come_from_the_strongest_label_that_has_one() -> None:
    build = TraceBuilder()
    weight = build.alloc(1, label="saved_for_backward", name="MmBackward0")
    build.label(weight, "parameter")
    named = build.alloc(2, label="parameter", name="lm_head.weight")
    build.label(named, "saved_for_backward", name="MmBackward0")
    kept = build.alloc(3, label="saved_for_backward", name="MulBackward0")
    logits = build.alloc(4, label="saved_for_backward", name="LogSoftmaxBackward0")
    build.label(logits, "output", name="output.logits")
    assert (kept, logits) == (2, 3)

    trace = build.trace()

    names = [trace.strings[number] for number in attribute(trace).name]
    assert names == ["", "lm_head.weight", "MulBackward0", "output.logits"]


def test_modules_in_backward_come_from_the_node_that_runs() -> None:
    build = TraceBuilder()
    build.sequence(20, "model.b")
    build.sequence(10, "model.a")
    build.sequence(25, "")
    for sequence in (9, 10, 19, 20, 24, 25, 99):
        build.alloc(1, sequence=sequence)
    build.alloc(2, sequence=12, module="model.checkpointed")
    build.alloc(3)

    trace = build.trace()
    found = [trace.strings[number] for number in attribute(trace).birth_module]

    assert found[:7] == ["", "model.a", "model.a", "model.b", "model.b", "", ""]
    assert found[7:] == ["model.checkpointed", ""]


def test_each_thread_has_nodes_numbered_by_itself() -> None:
    build = TraceBuilder()
    build.sequence(10, "of.first", thread=1)
    build.sequence(10, "of.second", thread=2)
    for thread in (1, 2, 3):
        with build.phase("backward", thread=thread):
            build.alloc(1, sequence=10)

    trace = build.trace()
    found = [trace.strings[number] for number in attribute(trace).birth_module]

    assert found == ["of.first", "of.second", ""]


def test_what_a_label_says_an_allocation_belongs_to_counts_more_than_where_it_was_born() -> None:
    build = TraceBuilder()
    gradient = build.alloc(1, module="model.mul")
    build.label(gradient, "gradient", module="model.linear")
    kept = build.alloc(2, module="model.mul")
    build.label(kept, "saved_for_backward", module="model.other")

    trace = build.trace()
    found = attribute(trace)

    assert [trace.strings[number] for number in found.module] == ["model.linear", "model.mul"]
    assert [trace.strings[number] for number in found.birth_module] == ["model.mul"] * 2


def test_every_rule_has_a_reason_that_reads_on_after_because() -> None:
    assert set(REASONS) == set(RULES)
    for reason in REASONS.values():
        assert reason[0].islower()
        assert not reason.endswith(".")


def test_an_empty_trace_has_nothing_to_attribute() -> None:
    assert verdicts(TraceBuilder()) == []
    assert verdicts(TraceBuilder(), complete=False) == []
