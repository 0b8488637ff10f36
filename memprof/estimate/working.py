"""What a call without backward holds for a moment, over weights and cache."""

from __future__ import annotations

from memprof.estimate.parallel import Share
from memprof.estimate.result import Estimate, not_estimated
from memprof.estimate.run_spec import RunSpec


def working_memory(share: Share, run: RunSpec) -> Estimate:
    """Bytes at the widest place of one call."""
    del run
    return not_estimated(f'no formula for the working memory of "{share.model.model_type}"')
