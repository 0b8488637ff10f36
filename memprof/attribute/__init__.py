"""Rules that turn the facts of a trace into the category, name and module of every allocation."""

from memprof.attribute.attribution import Attribution, attribute
from memprof.attribute.modules import birth_modules
from memprof.attribute.rules import AUTOMATIC_PHASES, REASONS, RULES

__all__ = [
    "AUTOMATIC_PHASES",
    "REASONS",
    "RULES",
    "Attribution",
    "attribute",
    "birth_modules",
]
