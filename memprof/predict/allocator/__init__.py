"""PyTorch's CUDA caching allocator as a model: the same requests give the same addresses."""

from memprof.predict.allocator.allocator import CachingAllocator
from memprof.predict.allocator.settings import AllocatorSettings, parse_settings
from memprof.predict.allocator.snapshot import segment_map
from memprof.predict.allocator.states import BlockState, SegmentState
from memprof.predict.allocator.statistics import statistics

__all__ = [
    "AllocatorSettings",
    "BlockState",
    "CachingAllocator",
    "SegmentState",
    "parse_settings",
    "segment_map",
    "statistics",
]
