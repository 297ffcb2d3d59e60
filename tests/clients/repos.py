"""What the fake Hub shows: the same repos for every client, under an org of its own and with other bytes."""

from __future__ import annotations

import json
import random
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dingospeed.testing import FakeHub, File, Repo

GRANTED, OTHER = "granted", "other"
TOKENS = {GRANTED: "hf_grid_granted", OTHER: "hf_grid_other"}
# More than one of the 10 MiB pieces in which clients ask, and several of the mirror's segments.
WEIGHTS_BYTES = 12_000_000
MANY_FILES = 1200
ROWS = 20
LFS_RULES = b"".join(
    b"*.%s filter=lfs diff=lfs merge=lfs -text\n" % suffix for suffix in (b"safetensors", b"bin")
)
PARQUET = Path(__file__).with_name("rows.parquet")

CONFIG = {
    "model_type": "bert",
    "vocab_size": 3,
    "hidden_size": 8,
    "num_attention_heads": 2,
    "num_hidden_layers": 1,
    "intermediate_size": 16,
}
TOKENIZER = {
    "version": "1.0",
    "truncation": None,
    "padding": None,
    "added_tokens": [
        {
            "id": 0,
            "content": "[UNK]",
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
    ],
    "normalizer": {"type": "Lowercase"},
    "pre_tokenizer": {"type": "Whitespace"},
    "post_processor": None,
    "decoder": None,
    "model": {"type": "WordLevel", "vocab": {"[UNK]": 0, "hello": 1, "world": 2}, "unk_token": "[UNK]"},
}
TOKENIZER_CONFIG = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "[UNK]"}


@dataclass(frozen=True, slots=True)
class Shown:
    """The repos of one client, by the names tasks know them by."""

    org: str
    repos: dict[str, Repo]

    def described(self) -> dict[str, Any]:
        """What a program has to know of them to judge its answers, ready for JSON."""
        return {name: _described(repo) for name, repo in self.repos.items()}


def add_repos(hub: FakeHub, org: str, seed: int) -> Shown:
    """Put the repos of a client on the *hub*. Another *seed* gives other content: no two share weights."""
    random_of = random.Random(seed)
    weights = _safetensors(random_of, WEIGHTS_BYTES)

    model = hub.add_repo("models", f"{org}/model")
    first = model.commit(
        {
            ".gitattributes": LFS_RULES,
            "README.md": f"# A model\n\nOf {org} – made up.\n".encode(),
            "config.json": _json(CONFIG, org),
            "model.safetensors": File(weights, lfs=True),
        },
        message="initial commit",
    )
    model.tag("v1", first)
    model.commit(
        {
            "empty.txt": b"",
            "tokenizer.json": json.dumps(TOKENIZER, indent=1).encode(),
            "tokenizer_config.json": _json(TOKENIZER_CONFIG, org),
            "nested/a/b/deep.txt": f"deep down in {org}\n".encode(),
            "nested/with space + #1 100%.txt": f"an odd name in {org}\n".encode(),
            "nested/grüße-世界.txt": f"hello {org}\n".encode(),
            "nested/more.bin": File(random_of.randbytes(3_000_000), lfs=True),
        }
    )
    model.commit({"README.md": f"# A branch of {org}\n".encode()}, branch="dev/next")
    model.pull_request(1, first)
    hub.move("models", f"{org}/old-name", f"{org}/model")

    dataset = hub.add_repo("datasets", f"{org}/dataset")
    dataset.commit(
        {
            ".gitattributes": LFS_RULES,
            "README.md": f"# A dataset of {org}\n".encode(),
            "data/train.jsonl": _rows(org),
            "data/blob.bin": File(random_of.randbytes(2_000_000), lfs=True),
        }
    )
    dataset.convert("parquet", dataset.branches["main"])

    rows = hub.add_repo("datasets", f"{org}/rows")
    rows.commit({"README.md": f"# Rows of {org}\n".encode(), "data/train-00000-of-00001.jsonl": _rows(org)})
    columns = hub.add_repo("datasets", f"{org}/columns")
    columns.commit(
        {
            "README.md": f"# Columns of {org}\n".encode(),
            "data/train-00000-of-00001.parquet": File(PARQUET.read_bytes(), lfs=True),
        }
    )

    sharded = hub.add_repo("models", f"{org}/sharded")
    sharded.commit(_shards(random_of, org))
    many = hub.add_repo("models", f"{org}/many")
    many.commit(
        {
            f"folder-{number % 10}/file-{number:04}.txt": f"{org} {number}\n".encode()
            for number in range(MANY_FILES)
        }
    )

    gated = hub.add_repo("models", f"{org}/gated", gated="manual")
    private = hub.add_repo("datasets", f"{org}/private", private=True)
    for repo in (gated, private):
        repo.commit(
            {
                "README.md": f"# Not for everybody, {repo.id}\n".encode(),
                "secret.bin": File(random_of.randbytes(1_500_000), lfs=True),
            }
        )
        repo.grant(GRANTED)

    repos = (model, dataset, rows, columns, sharded, many, gated, private)
    return Shown(org, {repo.id.partition("/")[2]: repo for repo in repos})


def _described(repo: Repo) -> dict[str, Any]:
    refs = {**repo.branches, **repo.tags}
    return {
        "id": repo.id,
        "type": repo.type,
        "branches": repo.branches,
        "tags": repo.tags,
        "files": {
            name: {
                path: {
                    "sha256": entry.sha256,
                    "size": entry.size,
                    "etag": entry.etag,
                    "xet_hash": entry.xet_hash if entry.is_lfs else None,
                }
                for path, entry in repo.commits[sha].entries.items()
            }
            for name, sha in refs.items()
        },
    }


def _json(value: dict[str, Any], org: str) -> bytes:
    return json.dumps({**value, "_made_for": org}, indent=1).encode()


def _rows(org: str) -> bytes:
    return "".join(json.dumps({"id": n, "text": f"row {n}", "of": org}) + "\n" for n in range(ROWS)).encode()


def _safetensors(random_of: random.Random, size_bytes: int, name: str = "weight") -> bytes:
    """A file of one tensor: its header's length, the header, the data."""
    header = json.dumps(
        {
            "__metadata__": {"format": "pt"},
            name: {"dtype": "U8", "shape": [size_bytes], "data_offsets": [0, size_bytes]},
        }
    ).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + random_of.randbytes(size_bytes)


def _shards(random_of: random.Random, org: str) -> dict[str, bytes | File]:
    names = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    index = {
        "metadata": {"total_size": 20_000},
        "weight_map": {f"weight{n}": name for n, name in enumerate(names)},
    }
    files: dict[str, bytes | File] = {"model.safetensors.index.json": _json(index, org)}
    for number, name in enumerate(names):
        files[name] = File(_safetensors(random_of, 10_000, f"weight{number}"), lfs=True)
    return files
