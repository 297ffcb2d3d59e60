"""What an answer's status says about the line that gave it: one table.

An answer ends the question, whichever line gave it. A refusal is an answer too, but only
from a line that was shown what the caller showed us. The rest moves on to the next line.
"""

from __future__ import annotations

import enum


class Verdict(enum.Enum):
    ANSWER = "answer"
    REFUSAL = "refusal"
    LIMITED = "limited"
    FAILED = "failed"


_BY_STATUS = {
    401: Verdict.REFUSAL,
    403: Verdict.REFUSAL,
    404: Verdict.REFUSAL,
    407: Verdict.FAILED,  # spoken by the line's proxy, not by the line
    408: Verdict.FAILED,
    429: Verdict.LIMITED,
}
_BY_CLASS = {2: Verdict.ANSWER, 3: Verdict.ANSWER, 4: Verdict.ANSWER}


def verdict(status: int) -> Verdict:
    """How to take *status*; what is in no table is a failure."""
    return _BY_STATUS.get(status) or _BY_CLASS.get(status // 100, Verdict.FAILED)
