"""Pending rows and strings: nothing lost, nothing torn, also under threads."""

import threading

import numpy as np

from memprof.record.rows import Rows, Strings


def test_drain_returns_rows_in_order_and_empties() -> None:
    rows = Rows("events")
    rows.add((5, 0))
    rows.add((7, ~0))
    drained = rows.drain()
    assert drained["time_ns"].tolist() == [5, 7]
    assert drained["subject"].tolist() == [0, -1]
    assert len(rows) == 0
    assert len(rows.drain()["time_ns"]) == 0


def test_rows_of_many_threads_neither_mix_nor_vanish_while_drained() -> None:
    rows, per_thread, threads = Rows("labels"), 20_000, 4
    done = threading.Event()
    drained: list[dict[str, np.ndarray]] = []

    def add(thread: int) -> None:
        for number in range(per_thread):
            rows.add((number, thread, thread, thread, thread))

    def drain() -> None:
        while not done.is_set():
            drained.append(rows.drain())

    drainer = threading.Thread(target=drain)
    adders = [threading.Thread(target=add, args=(n,)) for n in range(threads)]
    drainer.start()
    for adder in adders:
        adder.start()
    for adder in adders:
        adder.join()
    done.set()
    drainer.join()
    drained.append(rows.drain())
    columns = {name: np.concatenate([part[name] for part in drained]) for name in drained[0]}
    assert all(
        (columns[name] == columns["allocation"]).all() for name in ("kind", "name", "module")
    )
    for thread in range(threads):
        assert columns["time_ns"][columns["allocation"] == thread].tolist() == list(
            range(per_thread)
        )


def test_strings_number_each_text_once() -> None:
    strings = Strings()
    assert strings.number("") == 0
    first, second = strings.number("a"), strings.number("b")
    assert strings.number("a") == first
    assert strings[second] == "b"
    assert strings.drain() == (1, ["a", "b"])
    strings.number("c")
    assert strings.drain() == (3, ["c"])


def test_strings_of_many_threads_keep_their_numbers() -> None:
    strings = Strings()
    texts = [f"text {n}" for n in range(2_000)]
    seen: list[dict[str, int]] = []

    def number_all() -> None:
        seen.append({text: strings.number(text) for text in texts})

    threads = [threading.Thread(target=number_all) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for numbers in seen:
        assert all(strings[number] == text for text, number in numbers.items())
