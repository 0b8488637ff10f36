"""placeholder"""


def view() -> None:
    """."""
