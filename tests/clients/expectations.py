"""What is known not to be as it should, each with a sentence that says why. The report prints them."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

# (client, task): both as patterns of the shell.
EXPECTED_FAILURES: dict[tuple[str, str], str] = {
    ("@huggingface/hub", "oddName"): (
        "It puts names of files into addresses as they are, and `#` ends an address: the rest is never sent."
    ),
}

# What else users should know of a client that goes through the mirror.
REMARKS: dict[str, str] = {
    "huggingface_hub 1.0.1": (
        "Once a day its `hf` looks elsewhere for a newer version of itself, and has no switch against that; "
        "here it was told to have done so. Later ones heed `HF_HUB_DISABLE_UPDATE_CHECK=1`."
    ),
}

# What clients may ask of others, by a pattern of the client and an expression found in what the guard noted.
TOLERATED: dict[tuple[str, str], str] = {
    ("datasets *", r"\bdatasets-server\.[\d.]+"): (
        "Looks for the Hub's dataset viewer under a name below the mirror's own, `datasets-server.<mirror>`, "
        "and goes on without when nobody is there. Nothing is asked of the outside."
    ),
}


def why_not(client: str, task: str) -> str | None:
    """The sentence, or None for what is expected to work."""
    for (clients, tasks), sentence in EXPECTED_FAILURES.items():
        if fnmatchcase(client, clients) and fnmatchcase(task, tasks):
            return sentence
    return None


def is_tolerated(client: str, noted: str) -> bool:
    return any(
        fnmatchcase(client, clients) and re.search(expression, noted) for clients, expression in TOLERATED
    )
