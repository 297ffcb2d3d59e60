"""What the documents for developers say of the code: it is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "dingospeed"
FLOORS = [path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()]
# Such as upkeep/board.py or web/resolve.
PLACE = re.compile(rf"(?<![\w/.])({'|'.join(FLOORS)})/([a-z_]+)\b(?!/)")


@pytest.mark.parametrize("page", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_place_in_the_code__that_is_named__exists(page):
    named = {"/".join(found) for found in PLACE.findall((ROOT / page).read_text())}

    missing = [
        place for place in named if not (PACKAGE / place).is_dir() and not any(PACKAGE.glob(f"{place}.*"))
    ]

    assert not missing


def test_parts__put_together__are_the_modules_of_services():
    chapter = (ROOT / "docs/architecture.md").read_text().partition("## Put together")[2]
    parts = re.findall(r"^ ([a-z]+)  ", chapter.partition("## ")[0], re.MULTILINE)

    assert parts
    assert not [part for part in parts if not (PACKAGE / "services" / f"{part}.py").exists()]
