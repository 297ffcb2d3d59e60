"""Tasks for the transformers library, without any framework to compute with."""

from __future__ import annotations

from transformers import AutoConfig, AutoTokenizer  # type: ignore[import-not-found]

from tests.clients.programs.case import Case, equal, main


def config(case: Case) -> None:
    found = AutoConfig.from_pretrained(case["model"].id)
    equal((found.model_type, found.vocab_size), ("bert", 3), "config")


def tokenizer(case: Case) -> None:
    found = AutoTokenizer.from_pretrained(case["model"].id)
    equal(found("Hello unknown world")["input_ids"], [1, 0, 2], "tokens")


TASKS = (config, tokenizer)

if __name__ == "__main__":
    main({task.__name__: task for task in TASKS})
