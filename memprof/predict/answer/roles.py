"""Many ranks by one representative of each role."""

from __future__ import annotations

from typing import Any

from memprof.predict.answer.again import Again, Answer


def roles(again: Again, first: Answer, ranks: int) -> list[dict[str, Any]]:
    """The first rank's answer and the last one's.

    FSDP2 deals out the rows of a parameter in equal parts: the first rank has the most, the last
    what is left, which may be nothing, and all others lie between. What a program does on rank 0
    alone is in the first's.

    Args:
        again: the program.
        first: the answer for rank 0.
        ranks: the size of the world.
    """
    last = ranks - 1
    answers = {0: first, last: again.predict("--rank", str(last))}
    return [_role(rank, answer, again.gpu) for rank, answer in answers.items()]


def _role(rank: int, answer: Answer | None, gpu: str) -> dict[str, Any]:
    if answer is None:
        return {"rank": rank, "needed_bytes": None, "peak": None, "fits": None}
    fit = answer["fits"].get(gpu, {"fits": True})
    return {
        "rank": rank,
        "needed_bytes": answer["needed_bytes"],
        "peak": answer["peak"],
        "fits": fit["fits"],
    }
