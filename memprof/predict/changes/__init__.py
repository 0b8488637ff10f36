"""Changes of a program that need less memory, made for it, so that each can be predicted."""

from memprof.predict.changes.catalog import CHANGES, Change, check_changes

__all__ = ["CHANGES", "Change", "check_changes"]
