import subprocess
import sys
from types import ModuleType

import pytest
import yaml
from click.testing import CliRunner

from dingospeed import __version__
from dingospeed.cli import main
from dingospeed.config import FLAGS, Settings


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Run the command as a shell would, in a directory of its own and with nothing set."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DINGOSPEED_CONFIG", raising=False)
    return lambda *args, **env: CliRunner().invoke(main, args, env=env, catch_exceptions=False)


@pytest.fixture
def served(monkeypatch):
    """The settings that servers were started with."""
    served: list[Settings] = []
    module = ModuleType("dingospeed.serve")
    module.__dict__["run"] = lambda settings, *, read_again: served.append(settings)
    monkeypatch.setitem(sys.modules, "dingospeed.serve", module)
    return served


def test_version__asked__is_printed(run):
    assert run("--version").output == f"dingospeed, version {__version__}\n"


def test_config__options_given__prints_what_is_in_force(run):
    result = run(
        "config", "--port", "1", "--upstream", "http://127.0.0.1:91", "--upstream", "http://b", "--offline"
    )

    shown = yaml.safe_load(result.output)
    assert result.exit_code == 0
    assert shown["server"]["port"] == 1
    assert shown["upstream"]["offline"] is True
    assert [(line["url"], line["hub"]) for line in shown["upstream"]["lines"]] == [
        ("http://127.0.0.1:91", True),
        ("http://b", False),
    ]


def test_admin_token__without_a_setting__prints_the_key_of_the_cache(run, tmp_path):
    printed = run("admin-token").output

    assert printed == (tmp_path / "repos" / "keys" / "admin").read_text()
    assert run("admin-token").output == printed


def test_admin_token__with_a_setting__prints_that(run, tmp_path):
    assert run("admin-token", DINGOSPEED_ADMIN__TOKEN="of-ours").output == "of-ours\n"
    assert not (tmp_path / "repos").exists()


def test_config__file_and_environment_given__both_count(run, tmp_path):
    (tmp_path / "my.yaml").write_text("server: {workers: 3, port: 1}")

    result = run("config", "--config", "my.yaml", DINGOSPEED_SERVER__PORT="2")

    server = yaml.safe_load(result.output)["server"]
    assert (server["host"], server["port"], server["workers"]) == ("0.0.0.0", 2, 3)


@pytest.mark.parametrize("command", ["config", "serve"])
def test_settings__wrong__message_on_stderr_and_code_2(monkeypatch, capsys, served, command):
    monkeypatch.setenv("DINGOSPEED_LOG__LEVEL", "loud")

    with pytest.raises(SystemExit) as ended:
        main([command, "--port", "x"])

    out, err = capsys.readouterr()
    assert ended.value.code == 2
    assert out == ""
    assert "--port: server.port: expected a port" in err
    assert "DINGOSPEED_LOG__LEVEL: log.level: expected" in err
    assert "Traceback" not in err
    assert served == []


def test_serve__options_given__starts_the_server_with_them(run, served):
    result = run(
        "serve",
        "--host",
        "::1",
        "--port",
        "0",
        "--workers",
        "1",
        "--repos",
        "r",
        "--public",
        "p",
        "--offline",
    )

    [settings] = served
    assert result.exit_code == 0
    assert (settings.server.host, settings.server.port, settings.server.workers) == ("::1", 0, 1)
    assert (str(settings.cache.repos), str(settings.cache.public)) == ("r", "p")
    assert settings.upstream.offline


def test_serve__offline_not_said__environment_decides(run, served):
    run("serve", DINGOSPEED_UPSTREAM__OFFLINE="true")

    assert served[0].upstream.offline


@pytest.mark.parametrize("command", ["config", "serve"])
def test_help__asked__tells_of_every_flag(run, command):
    text = run(command, "--help").output

    assert all(flag in text for flag in (*FLAGS, "--config"))


def test_serve__before_the_workers__nothing_is_loaded_that_they_have_to_prepare():
    """gevent has to patch sockets and TLS before they are used, and counters need their folder first."""
    code = "import sys; from dingospeed.cli import main, server; print([*sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert not [name for name in ("ssl", "urllib3", "requests", "prometheus_client") if repr(name) in loaded]


def test_help__asked__lists_every_command(run):
    text = run("--help").output

    assert all(f"  {name} " in text for name in ("serve", "config", "status", "warmup", "jobs"))
