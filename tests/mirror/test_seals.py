import pytest

from dingospeed.mirror.seals import Seals

NOW = 1_800_000_000.0


@pytest.fixture
def now():
    return [NOW]


@pytest.fixture
def seals(now):
    return Seals(key="a key", clock=lambda: now[0])


def test_opened__own_text__gives_what_was_sealed(seals):
    text = seals.seal("token", ["org/name", None, 1.5])

    assert seals.opened("token", text, max_age_s=60) == ["org/name", None, 1.5]


def test_seal__secret_within__can_not_be_read(seals):
    text = seals.seal("token", ["hf_secret"])

    assert "hf_secret" not in text
    assert text.isascii()
    assert set("&=+/ ") & set(text.rstrip("=")) == set()


def test_opened__for_another_purpose__none(seals):
    assert seals.opened("ticket", seals.seal("token", []), max_age_s=60) is None


def test_opened__too_old__none(seals, now):
    text = seals.seal("token", [])

    now[0] += 60
    assert seals.opened("token", text, max_age_s=60) == []
    now[0] += 1
    assert seals.opened("token", text, max_age_s=60) is None


def test_opened__one_character_changed__none(seals):
    text = seals.seal("token", ["facts"])

    for index, char in enumerate(text):
        changed = text[:index] + ("A" if char != "A" else "B") + text[index + 1 :]
        # Of the last character before the padding not every bit counts.
        assert seals.opened("token", changed, max_age_s=60) is None or index >= len(text.rstrip("=")) - 1


def test_opened__other_key__none(seals, now):
    text = Seals(key="another", clock=lambda: now[0]).seal("token", [])

    assert seals.opened("token", text, max_age_s=60) is None


@pytest.mark.parametrize("text", ["", "x", "gAAAA", "\0", "ü", "=" * 50, "A" * 1_000_000, "\ud800"])
def test_opened__nonsense__none(seals, text):
    assert seals.opened("token", text, max_age_s=60) is None
