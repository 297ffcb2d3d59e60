from pathlib import Path

import pytest
import yaml

from dingospeed.config import Line, Settings, describe, load_settings
from dingospeed.config.load import settings_of

EXAMPLE = Path(__file__).parents[2] / "conf" / "dingospeed.yaml"


def test_describe__defaults__can_be_loaded_again(tmp_path):
    file = tmp_path / "ds.yaml"
    file.write_text(describe(Settings()))

    assert load_settings(file, {}, {}) == Settings()


def test_describe__settings_from_a_flag__shows_them():
    shown = yaml.safe_load(describe(load_settings(None, {}, {"--port": 1, "--offline": True})))

    assert shown["server"]["port"] == 1
    assert shown["upstream"]["offline"] is True


def test_describe__tokens__are_blotted_out():
    environ = {
        "DINGOSPEED_ADMIN__TOKEN": "sesame",
        "DINGOSPEED_ALERTS__WEBHOOKS": "[{kind: json, url: 'http://a/sesame', secret: sesame}]",
        "DINGOSPEED_UPSTREAM__LINES": "[{url: http://a, token: sesame, proxy: 'socks5h://me:sesame@proxy:1'}]",
    }

    text = describe(load_settings(None, environ, {}))

    shown = yaml.safe_load(text)
    assert "sesame" not in text
    assert shown["admin"]["token"] == "***"
    assert shown["upstream"]["lines"][0]["token"] == "***"
    assert shown["alerts"]["webhooks"] == [{"kind": "json", "url": "***", "secret": "***", "proxy": None}]
    assert shown["upstream"]["lines"][0]["proxy"] == "socks5h://***@proxy:1"


def test_example__loaded__is_the_defaults():
    assert load_settings(EXAMPLE, {}, {}) == Settings()


@pytest.mark.parametrize("key", [key for key, _ in settings_of(Settings)], ids=".".join)
def test_example__every_setting__is_in_it(key):
    place = yaml.safe_load(EXAMPLE.read_text())

    for part in key:
        assert part in place
        place = place[part]


def test_example__first_line__names_everything_a_line_can_have():
    [first, *_] = yaml.safe_load(EXAMPLE.read_text())["upstream"]["lines"]

    assert list(first) == list(Line.model_fields)


def test_example__sections__are_all_there():
    assert set(yaml.safe_load(EXAMPLE.read_text())) == set(Settings.model_fields)
