"""The checklist is complete: every number is tested, or put off with a reason."""

import re
from collections import Counter
from pathlib import Path

LINES = range(1, 71)
# What other lines of the checklist wait for.
LATER: dict[int, str] = {}


def test_checklist__all_lines__tested_once_or_put_off():
    sources = [path.read_text() for path in sorted(Path(__file__).parent.glob("test_*.py"))]

    numbers = Counter(
        int(number) for text in sources for number in re.findall(r"^def test_(\d\d)_", text, re.M)
    )

    assert {number for number, count in numbers.items() if count > 1} == set()
    assert set(numbers) & set(LATER) == set()
    assert set(numbers) | set(LATER) == set(LINES)
    assert all(sentence.endswith(".") for sentence in LATER.values())
