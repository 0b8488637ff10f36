"""What a trace file holds: its name, its version, its tables and their columns.

Times are nanoseconds of one monotonic clock. Text is stored once, in ``strings``, and
referred to by its number; number 0 is always the empty string.
"""

from __future__ import annotations

from typing import Final

FORMAT: Final = "memprof-trace"
VERSION: Final = 1

CATEGORIES: Final = (
    "weights",
    "buffers",
    "gradients",
    "optimizer_state",
    "activations",
    "kv_cache",
    "recurrent_state",
    "inputs",
    "communication",
    "temporary",
    "unattributed",
)

#: What a recorder may observe of a storage. `tag:<category>` is the user's own word for it.
LABELS: Final = (
    "parameter",
    "buffer",
    "gradient",
    "optimizer_state",
    "saved_for_backward",
    "kv_cache",
    "recurrent_state",
    "input",
    "output",
    "communication",
    *(f"tag:{category}" for category in CATEGORIES),
    "gathered",
    "exchanged",
)

#: How an allocation came to be known.
ORIGINS: Final = (
    "operation",  # returned by an operation
    "before",  # alive when the trace began
    "found",  # first met alive, its birth unseen (another thread, a foreign library)
    "compiled",  # returned by a compiled graph
    "resized",  # the same storage with a new size: `previous` names the old allocation
)

#: Phases in which a model's forward computation runs.
FORWARD_PHASES: Final = ("forward", "prefill", "decode", "recompute")

#: Column types by table, in the order in which they are written.
TABLES: Final[dict[str, dict[str, str]]] = {
    # One row an allocation. `id` is unique in the file. `sequence` is the number of the autograd
    # node that was running (-1 outside backward). `device` and the other names are string numbers.
    "allocations": {
        "id": "<i8",
        "nbytes": "<i8",
        "op": "<i4",
        "module": "<i4",
        "phase": "<i4",
        "sequence": "<i8",
        "device": "<i4",
        "origin": "<u1",
        "previous": "<i8",
    },
    # One row a birth or a death, in the order in which they happened: `subject` is the
    # allocation's id at its birth and ~id at its death.
    "events": {"time_ns": "<i8", "subject": "<i8"},
    # Facts about allocations; `kind` is an index into LABELS.
    "labels": {
        "time_ns": "<i8",
        "allocation": "<i8",
        "kind": "<u1",
        "name": "<i4",
        "module": "<i4",
    },
    # dtype and shape ("float32[8, 4096]") and the Python stack ("train.py:41 step\n...",
    # innermost first) of the larger allocations.
    "details": {"allocation": "<i8", "tensor": "<i4", "stack": "<i4"},
    # At `time_ns` tensors that somebody could still reach covered only `covered` bytes of an
    # allocation; `tensor` is the largest of them. The last row of an allocation counts.
    "views": {"time_ns": "<i8", "allocation": "<i8", "covered": "<i8", "tensor": "<i4"},
    # Streams other than a device's default one: the one that an allocation was made for
    # (`recorded` 0), or one that `Tensor.record_stream` keeps it for (1).
    "streams": {"time_ns": "<i8", "allocation": "<i8", "stream": "<i8", "recorded": "<u1"},
    # Autograd nodes numbered from `sequence` on, in `thread`, were made by `module`.
    "sequences": {"thread": "<i8", "sequence": "<i8", "module": "<i4"},
    # Phases nest. A phase is written when it begins (`end_ns` -1) and again when it ends; the
    # last row with an id counts. Phase 0 is the time outside every phase. Of a model's call:
    # `batch` sequences of `tokens` new tokens after `context` cached ones (-1: not known).
    "phases": {
        "id": "<i4",
        "name": "<i4",
        "parent": "<i4",
        "thread": "<i8",
        "begin_ns": "<i8",
        "end_ns": "<i8",
        "batch": "<i8",
        "tokens": "<i8",
        "context": "<i8",
    },
    # `declared` is 1 for steps that the user marked, 0 for guessed ones, 2 for the first. Where
    # there are declared ones the guessed ones do not count.
    "steps": {"begin_ns": "<i8", "declared": "<u1"},
    # Memory that an operation used and gave back inside itself, over what it returned.
    "workspaces": {
        "time_ns": "<i8",
        "nbytes": "<i8",
        "op": "<i4",
        "module": "<i4",
        "phase": "<i4",
        "device": "<i4",
    },
    # Measured levels: `series` is a string such as "host/rss_bytes" or "cuda:0/allocated_bytes".
    "samples": {"time_ns": "<i8", "series": "<i4", "value": "<i8"},
}
