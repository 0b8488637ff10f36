"""How far closed forms are from what training steps hold: saved activations and peak.

    python benchmarks/estimates.py [--quick]

Each configuration trains a small model of transformers for two steps under memprof's dispatch hook
on the CPU. Saved activations are compared with a walk over the autograd graph, or, where blocks are
recomputed, with the trace; the peak is compared with the trace.
"""

from __future__ import annotations

import gc
import statistics
import sys
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch
import transformers as hf

import memprof
from memprof.estimate import RunSpec, estimate
from memprof.trace import CATEGORIES

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.estimate.oracle import activation_bytes
from tests.estimate.zoo import fact_of

SHAPES = {
    "wide": {"hidden": 128, "inner": 352, "layers": 4, "heads": 4, "keys": 2, "vocabulary": 2000},
    "deep": {"hidden": 96, "inner": 192, "layers": 8, "heads": 4, "keys": 4, "vocabulary": 512},
    "words": {"hidden": 64, "inner": 224, "layers": 2, "heads": 4, "keys": 1, "vocabulary": 8000},
}
TOKENS = {"wide": (4, 96), "deep": (2, 160), "words": (3, 64)}
OPTIMIZERS: dict[str, tuple[str, dict[str, Any]]] = {
    "AdamW": ("AdamW", {}),
    "AdamW foreach": ("AdamW", {"foreach": True}),
    "SGD momentum": ("SGD", {"momentum": 0.9}),
    "SGD": ("SGD", {}),
    "Adafactor": ("Adafactor", {}),
}


@dataclass(frozen=True)
class Case:
    """One configuration: a model, and how it is trained."""

    family: str
    shape: str
    precision: str
    checkpointing: bool
    optimizer: str
    loss: str

    @property
    def name(self) -> str:
        recomputed = "checkpointed" if self.checkpointing else "plain"
        parts = (self.family, self.shape, self.precision, recomputed, self.optimizer, self.loss)
        return " ".join(parts)


@dataclass(frozen=True)
class Result:
    """What was measured and estimated of a case, in bytes."""

    case: Case
    activations: tuple[int, int]
    peak: tuple[int, int]
    signed: dict[str, int]
    moment: str


def cases() -> list[Case]:
    """Every family at every shape, the other choices taking turns."""
    found = []
    ways = list(product(("bf16", "fp32", "autocast"), (False, True)))
    turns = list(product(OPTIMIZERS, ("model", "cross_entropy", "float32")))
    place = 0
    for family, shape in product(("llama", "gpt2", "mixtral", "qwen3"), SHAPES):
        for precision, checkpointing in ways:
            optimizer, loss = turns[place % len(turns)]
            found.append(Case(family, shape, precision, checkpointing, optimizer, loss))
            place += 4
    return found


def model_of(case: Case) -> Any:
    sizes = SHAPES[case.shape]
    if case.family == "gpt2":
        config: Any = hf.GPT2Config(
            vocab_size=sizes["vocabulary"],
            n_embd=sizes["hidden"],
            n_inner=sizes["inner"],
            n_layer=sizes["layers"],
            n_head=sizes["heads"],
            n_positions=256,
            attn_pdrop=0.0,
        )
        model: Any = hf.GPT2LMHeadModel(config)
    else:
        kind = {"llama": "Llama", "mixtral": "Mixtral", "qwen3": "Qwen3"}[case.family]
        config = getattr(hf, f"{kind}Config")(
            vocab_size=sizes["vocabulary"],
            hidden_size=sizes["hidden"],
            intermediate_size=sizes["inner"],
            num_hidden_layers=sizes["layers"],
            num_attention_heads=sizes["heads"],
            num_key_value_heads=sizes["keys"],
            head_dim=sizes["hidden"] // sizes["heads"],
        )
        model = getattr(hf, f"{kind}ForCausalLM")(config)
    if case.checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    return model.to(torch.bfloat16 if case.precision == "bf16" else torch.float32).train()


def forward(case: Case, model: Any, ids: torch.Tensor) -> tuple[Any, torch.Tensor]:
    """The output and the loss, in the style of the case."""
    with torch.autocast("cpu", torch.bfloat16, enabled=case.precision == "autocast"):
        if case.loss == "model":
            output = model(input_ids=ids, labels=ids.clone())
            return output, output.loss
        output = model(input_ids=ids)
        logits = output.logits.flatten(0, 1)
        if case.loss == "float32":
            logits = logits.float()
        return output, torch.nn.functional.cross_entropy(logits, ids.flatten())


def run_of(case: Case) -> RunSpec:
    batch, tokens = TOKENS[case.shape]
    optimizer, options = OPTIMIZERS[case.optimizer]
    return RunSpec(
        batch=batch,
        tokens=tokens,
        autocast="bfloat16" if case.precision == "autocast" else "",
        optimizer=optimizer,
        optimizer_options=options,
        checkpointing=case.checkpointing,
        loss=case.loss,  # type: ignore[arg-type]
    )


def measured(case: Case) -> Result:
    torch.manual_seed(0)
    model = model_of(case)
    name, options = OPTIMIZERS[case.optimizer]
    optimizer = getattr(torch.optim, name)(model.parameters(), lr=1e-3, **options)
    batch, tokens = TOKENS[case.shape]
    with memprof.trace(recorder="dispatch") as traced:
        for _ in range(2):
            ids = torch.randint(1, model.config.vocab_size, (batch, tokens))
            output, loss = forward(case, model, ids)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            del output, loss
    device = traced.analysis.device("cpu")
    found = estimate(fact_of(model), run_of(case))
    peak = found.peaks[found.fullest.highest.name].by_category
    real = device.peak.by_category
    held = device.category_peaks["activations"].bytes
    return Result(
        case,
        (
            held if case.checkpointing else walked(case, model),
            found.by_category["activations"].bytes or 0,
        ),
        (device.peak.requested_bytes, found.peak_bytes or 0),
        {name: real[name] - (peak[name].bytes or 0 if name in peak else 0) for name in CATEGORIES},
        f"measured in {device.peak.phase} of {device.peak.module or 'the program'} "
        f"({device.peak.op}), estimated in {found.fullest.highest.name}",
    )


def walked(case: Case, model: Any) -> int:
    ids = torch.randint(1, model.config.vocab_size, TOKENS[case.shape])
    output, loss = forward(case, model, ids)
    output.loss = loss
    return activation_bytes(model, [ids], output)


def percent(pair: tuple[int, int]) -> float:
    """Signed error of the estimate in percent of what was measured."""
    return 100 * (pair[1] - pair[0]) / pair[0]


def distribution(title: str, errors: list[float]) -> str:
    sizes = sorted(abs(error) for error in errors)
    late = sizes[min(len(sizes) - 1, round(0.95 * (len(sizes) - 1)))]
    return (
        f"{title:<18}{len(sizes):>4}{statistics.median(sizes):>10.3f} %{late:>10.3f} %"
        f"{sizes[-1]:>10.3f} %{statistics.fmean(errors):>+10.3f} %"
    )


def reason(result: Result) -> str:
    off = sorted(result.signed.items(), key=lambda item: -abs(item[1]))[:2]
    parts = ", ".join(f"{name} {nbytes:+,} B" for name, nbytes in off if nbytes)
    return f"{parts}; {result.moment}"


def main() -> None:
    hf.logging.set_verbosity_error()
    torch.set_num_threads(1)
    chosen = cases()[:: 6 if "--quick" in sys.argv else 1]
    results = []
    for case in chosen:
        gc.collect()
        results.append(measured(case))
    print(f"{'estimate':<18}{'n':>4}{'median':>12}{'95th':>12}{'worst':>12}{'mean':>12}")
    print(distribution("saved activations", [percent(r.activations) for r in results]))
    print(distribution("peak", [percent(r.peak) for r in results]))
    print("\nThe ten worst peaks; measured minus estimated")
    for result in sorted(results, key=lambda r: -abs(percent(r.peak)))[:10]:
        print(f"{percent(result.peak):+7.2f} %  {result.case.name}\n           {reason(result)}")


if __name__ == "__main__":
    main()
