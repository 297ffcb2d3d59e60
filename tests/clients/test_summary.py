import pytest

from tests.clients.__main__ import README, REPORT
from tests.clients.summary import BEGIN, END, put_into, summarised

REPORT_OF_TWO = """
## huggingface_hub

| huggingface_hub | 0.20.3 | newest |
| --- | :-: | :-: |
| `snapshot_download` of a model | ✓ | ✓ |
| single files by branch, tag and sha | ✓ | ✗ 1 |
| gated and private repos, without | – 2 | ✓ |
| `list_repo_refs` | – 2 | – 2 |

## Versions

| client | versions |
| --- | --- |
| huggingface_hub 0.20.3 | Python 3.11.7 |
"""


def test_readme__and_the_report__agree():
    readme = README.read_text()

    assert put_into(readme, summarised(REPORT.read_text())) == readme


def test_summarised__what_works_and_what_does_not__is_told_apart():
    head, _, *rows = summarised(REPORT_OF_TWO).splitlines()

    assert head.startswith("|  | downloads | lists, looks up | gated, private | ")
    # What does not apply was not tried.
    assert rows == ["| huggingface_hub 0.20.3, newest | 3 of 4 |  | ✓ |  |  |"]


def test_put_into__marks__what_is_between_them_is_replaced():
    assert put_into(f"a\n{BEGIN}\nold\n{END}\nb", "new") == f"a\n{BEGIN}\nnew\n{END}\nb"


def test_put_into__no_marks__is_an_error():
    with pytest.raises(ValueError, match="expected <!--"):
        put_into("nothing here", "new")
