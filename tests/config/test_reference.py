"""docs/configuration.md tells what the program takes today."""

from dingospeed.config import Settings
from dingospeed.config.load import settings_of
from tests.config.reference import PAGE, page


def test_page__made_again__is_the_one_that_is_there():
    assert PAGE.read_text() == page(), "make it again: python -m tests.config.reference"


def test_page__every_setting__has_a_row_and_a_meaning():
    rows = {
        row.split("`")[1]: row.rstrip(" |").split(" | ") for row in page().splitlines() if row[:3] == "| `"
    }

    for key, _ in settings_of(Settings):
        row = rows[".".join(map(str, key))]
        assert len(row) == 4, row
        assert len(row[3]) > 10, f"{key}: nothing is said of it in conf/dingospeed.yaml"
