"""Whole programs played through the allocator: real recordings, and what would have been.

`replay` takes requests from anywhere, `verify` holds the model against what PyTorch recorded.
Reads no file and needs no torch.
"""

from memprof.predict.replay.answer import Question, recording_answer, requests_answer
from memprof.predict.replay.differences import Mismatch
from memprof.predict.replay.player import OutOfMemory, ReplayResult, replay
from memprof.predict.replay.recording import Action, Event, Recording
from memprof.predict.replay.requests import Requests, measured_reserved_peak, requests_of
from memprof.predict.replay.verify import Verification, verify

__all__ = [
    "Action",
    "Event",
    "Mismatch",
    "OutOfMemory",
    "Question",
    "Recording",
    "ReplayResult",
    "Requests",
    "Verification",
    "measured_reserved_peak",
    "recording_answer",
    "replay",
    "requests_answer",
    "requests_of",
    "verify",
]
