"""docs/configuration.md, made from the settings and from what conf/dingospeed.yaml says of them.

python -m tests.config.reference        writes it
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic.fields import FieldInfo

from dingospeed.config import Settings, describe
from dingospeed.config.load import PREFIX, settings_of

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/configuration.md"
EXAMPLE = ROOT / "conf/dingospeed.yaml"

_HEAD = """\
# Settings

Every setting, made from the program and from `conf/dingospeed.yaml` by `python -m tests.config.reference`.

A setting comes from the file that `--config` or `DINGOSPEED_CONFIG` names, from the environment as
`DINGOSPEED_<SECTION>__<KEY>` (below), or from a flag of `dingospeed serve`; flags win over the environment,
and that over the file. Lists are given in the environment as YAML or JSON. A key that nobody knows, here or
in the environment, stops the start, and so does a value that can not be: the message says where it stands,
what was expected and what was found. `dingospeed config` prints what is in force. Sizes can have a unit
(`64MiB`, `20MB`).
"""
_TABLE = "\n## {}\n\n| setting | default | can be | what it is for |\n| --- | --- | --- | --- |\n"
_KEY = re.compile(r"( *)([a-z_]+):(?: +([^#]*?))? *(?:# ?(.*))?\Z")
_BESIDE = re.compile(r" {8,}# ?(.*)\Z")
_ABOVE = re.compile(r" *# (\S.*)\Z")


def page() -> str:
    """The whole page."""
    meanings = dict(_meanings(EXAMPLE.read_text().splitlines()))
    defaults = yaml.safe_load(describe(Settings()))
    parts, section = [_HEAD], ""
    for key, field in settings_of(Settings):
        names = [str(part) for part in key]
        if names[0] != section:
            section = names[0]
            parts.append(_TABLE.format(section))
        parts.append(_row(names, field, _at(defaults, names), meanings.get(tuple(names), "")))
    return "".join(parts)


def _row(names: list[str], field: FieldInfo, default: Any, meaning: str) -> str:
    variable = PREFIX + "__".join(names).upper()
    shown = yaml.safe_dump(default, default_flow_style=True, width=1000, allow_unicode=True)
    cells = [
        f"`{'.'.join(names)}`<br>`{variable}`",
        f"`{shown.removesuffix(chr(10)).removesuffix('...').strip()}`",
        field.description or "",
        meaning,
    ]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _at(tree: Mapping[str, Any], names: list[str]) -> Any:
    for name in names:
        tree = tree[name]
    return tree


def _meanings(lines: list[str]) -> Iterator[tuple[tuple[str, ...], str]]:
    """What is said of each key, beside it or else above it, by its way from the top."""
    way: list[tuple[int, str]] = []
    beside: list[str] = []
    above: list[str] = []
    for line in [*lines, "end:"]:
        key = _KEY.match(line)
        if key is None:
            if (more := _BESIDE.match(line)) and beside:
                beside.append(more[1])
            # What is set in further is an example.
            elif prose := _ABOVE.match(line):
                above.append(prose[1])
            continue
        if way and beside:
            yield tuple(name for _, name in way), " ".join(beside)
        depth = len(key[1])
        way = [*((indent, name) for indent, name in way if indent < depth), (depth, key[2])]
        beside, above = [key[4]] if key[4] else above, []


if __name__ == "__main__":
    PAGE.write_text(page())
