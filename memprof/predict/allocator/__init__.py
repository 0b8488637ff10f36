"""PyTorch's CUDA caching allocator as a model: the same requests give the same addresses.

Reads no file and needs no torch. `CachingAllocator` answers one request at a time, `replay` a
whole program's; `verify` holds it against a recording of the real one.
"""

from memprof.predict.allocator.allocator import CachingAllocator
from memprof.predict.allocator.replay import OutOfMemory, ReplayResult, replay
from memprof.predict.allocator.requests import Requests, requests_of
from memprof.predict.allocator.settings import AllocatorSettings, parse_settings

__all__ = [
    "AllocatorSettings",
    "CachingAllocator",
    "OutOfMemory",
    "ReplayResult",
    "Requests",
    "parse_settings",
    "replay",
    "requests_of",
]
