"""What a predicted trace says to whoever asks whether it will fit."""

from memprof.predict.answer.answer import answer, full_answer

__all__ = ["answer", "full_answer"]
