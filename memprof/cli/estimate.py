"""``memprof estimate``: what a run should need, from shapes alone."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from memprof.cli.options import AsJson, Color, Debug, Force, Output, Quiet
from memprof.cli.output import Destination, emit
from memprof.cli.run_options import run_of
from memprof.errors import UsageError

Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A name such as llama-3-70b, a config.json, a .safetensors or .gguf file.",
    ),
]
_WITH_OPTIMIZER = "With it, mode is train unless told."


_SWEPT = ("batch", "seq", "tp", "dp", "pp", "cp", "ep", "zero", "lora", "dtype", "checkpointing")
_TOLD = (
    *("mode", "batch", "seq", "dtype", "autocast", "kv_dtype", "kv_cache", "kv_block", "expanded"),
    *("optimizer", "optimizer_impl", "master_weights", "checkpointing", "attention"),
    *("lora", "lora_targets"),
    *("requests", "longest", "draft", "proposals", "acceptance", "resident"),
    *("tp", "sp", "dp", "zero", "pp", "cp", "ep", "device", "loss"),
)


def estimate(
    model: Model,
    mode: Annotated[str | None, typer.Option(help="train, prefill or decode.")] = None,
    batch: Annotated[int, typer.Option(help="Sequences in a call of one replica.")] = 1,
    seq: Annotated[int, typer.Option(help="Tokens of each; in decode, cached ones too.")] = 2048,
    dtype: Annotated[str, typer.Option(help="bf16, fp16, fp32, or of weights int8, int4, …")] = "",
    autocast: Annotated[str, typer.Option(help="The dtype of autocast.")] = "",
    kv_dtype: Annotated[str, typer.Option(help="The dtype of keys and values.")] = "",
    kv_cache: Annotated[str, typer.Option(help="dynamic, static, paged or quantised.")] = "dynamic",
    kv_block: Annotated[int, typer.Option(help="Tokens of a page.")] = 16,
    expanded: Annotated[bool, typer.Option(help="Cache heads instead of MLA's latent.")] = False,
    optimizer: Annotated[str, typer.Option(help=f"adamw, sgd, … {_WITH_OPTIMIZER}")] = "",
    optimizer_impl: Annotated[
        str, typer.Option(help="foreach, fused or for-loop; PyTorch's own choice unless told.")
    ] = "",
    master_weights: Annotated[bool, typer.Option(help="A float32 copy of the weights.")] = False,
    checkpointing: Annotated[str, typer.Option(help="none, selective or full.")] = "none",
    attention: Annotated[str, typer.Option(help="sdpa or eager.")] = "",
    lora_targets: Annotated[
        str, typer.Option(help="Ends of the names of the layers that have one.")
    ] = "q_proj,v_proj",
    lora: Annotated[int, typer.Option(help="Rank of adapters; the model is frozen.")] = 0,
    requests: Annotated[
        str, typer.Option(help="Served ones, as prompt+new: 512+128,64+300,…")
    ] = "",
    longest: Annotated[int, typer.Option(help="Tokens a contiguous cache has room for.")] = 0,
    draft: Annotated[str, typer.Option(help="A model that proposes tokens.")] = "",
    proposals: Annotated[int, typer.Option(help="How many in a round.")] = 4,
    acceptance: Annotated[float, typer.Option(help="How likely each is accepted.")] = 0.8,
    resident: Annotated[
        int | None, typer.Option(help="Layers on the device; the rest comes from the host.")
    ] = None,
    gpu: Annotated[list[str] | None, typer.Option(help="A machine; may be repeated.")] = None,
    tp: Annotated[int, typer.Option(help="Devices that split every matrix.")] = 1,
    sp: Annotated[bool, typer.Option(help="With --tp: split the norms' activations too.")] = False,
    dp: Annotated[int, typer.Option(help="Replicas.")] = 1,
    zero: Annotated[int, typer.Option(help="ZeRO stage 0 to 3; 3 is FSDP.")] = 0,
    pp: Annotated[int, typer.Option(help="Stages of a pipeline.")] = 1,
    cp: Annotated[int, typer.Option(help="Devices that split the sequence.")] = 1,
    ep: Annotated[int, typer.Option(help="Devices that split the experts.")] = 1,
    device: Annotated[str, typer.Option(help="cuda or cpu: their kernels differ.")] = "cuda",
    largest: Annotated[
        str, typer.Option(help="batch, seq or model: the largest that fits on each machine.")
    ] = "",
    loss: Annotated[
        str, typer.Option(help="model, cross_entropy or float32: who computes it, from what.")
    ] = "model",
    sweep: Annotated[str, typer.Option(help="A row for each value: batch=1,2,4,8.")] = "",
    explain: Annotated[bool, typer.Option(help="Print the formulas, numbers put in.")] = False,
    as_json: AsJson = False,
    output: Output = None,
    force: Force = False,
    quiet: Quiet = False,
    color: Color = None,
    debug: Debug = False,
) -> None:
    """Say what a run needs, without running it."""
    del debug
    destination = Destination(as_json, output, force, quiet, color)
    destination.check()
    told = {name: value for name, value in locals().items() if name in _TOLD}

    from memprof.cli.render.estimate import estimate_text, sweep_text
    from memprof.cli.sweep import values_of
    from memprof.estimate.document import estimate_document
    from memprof.estimate.estimate import estimate as estimate_run

    if sweep:
        name, values = values_of(sweep, _SWEPT)
        found = [estimate_run(model, run_of({**told, name: value}), gpu) for value in values]
        rows = [{name: v, **estimate_document(e)} for v, e in zip(values, found, strict=True)]
        emit({"schema": 1, "sweep": name, "rows": rows}, sweep_text(rows, name), destination)
        return
    document = estimate_document(estimate_run(model, run_of(told), gpu))
    if largest:
        document["largest"] = {"what": largest, "by_machine": largest_of(model, told, largest, gpu)}
    text = estimate_text(document, source=model, explain=explain, quiet=quiet)
    emit(document, text, destination)


def largest_of(
    model: str, told: dict[str, Any], what: str, gpu: list[str] | None
) -> dict[str, int | str | None]:
    """The largest batch, length or model that fits on each machine.

    Raises:
        UsageError: if it is something else that is asked for.
    """
    from memprof.estimate.estimate import machines
    from memprof.estimate.fits import largest_model, largest_run

    if what not in ("batch", "seq", "model"):
        raise UsageError(f"--largest {what!r}: choose batch, seq or model")
    run, chosen = run_of(told), machines(gpu)
    if what == "model":
        return {machine.key: largest_model(run, machine) for machine in chosen}
    return {
        machine.key: largest_run(model, run, machine, "batch" if what == "batch" else "seq")
        for machine in chosen
    }
