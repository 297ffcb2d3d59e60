"""Tasks for the datasets library."""

from __future__ import annotations

from datasets import load_dataset  # type: ignore[import-not-found]

from tests.clients.programs.case import Case, equal, main

ROWS = 20


def parquet(case: Case) -> None:
    _are_rows(load_dataset(case["columns"].id, split="train"))


def parquet_streaming(case: Case) -> None:
    _are_rows(load_dataset(case["columns"].id, split="train", streaming=True))


def json_lines(case: Case) -> None:
    _are_rows(load_dataset(case["rows"].id, split="train"))


def json_lines_streaming(case: Case) -> None:
    _are_rows(load_dataset(case["rows"].id, split="train", streaming=True))


def _are_rows(found) -> None:
    rows = [(row["id"], row["text"]) for row in found]
    equal(rows, [(number, f"row {number}") for number in range(ROWS)], "rows")


TASKS = (parquet, parquet_streaming, json_lines, json_lines_streaming)

if __name__ == "__main__":
    main({task.__name__: task for task in TASKS})
