"""The files people deploy with: looked over by the tools of their trade, and true to the program."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from dingospeed.config import load_settings
from tests.conftest import ROOT

CONF = ROOT / "conf"
KUBERNETES_VERSION = "1.30"


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **options)


def test_unit__looked_over_by_systemd__nothing_to_complain(tmp_path):
    text = (CONF / "systemd/dingospeed.service").read_text()
    # What it starts is not installed here; all else is as users have it.
    unit = tmp_path / "dingospeed.service"
    unit.write_text(text.replace("/opt/dingospeed/bin/dingospeed", "/bin/true"))

    done = run("systemd-analyze", "verify", "--man=no", str(unit))

    complaints = [line for line in done.stderr.splitlines() if "dingospeed.service" in line]
    assert complaints == []


def test_unit__commands__are_ones_the_program_takes(tmp_path):
    text = (CONF / "systemd/dingospeed.service").read_text()
    config = tmp_path / "my.yaml"
    config.write_text("{}")
    for arguments in re.findall(r"=/opt/dingospeed/bin/dingospeed (config .*)", text):
        done = run(
            sys.executable,
            "-c",
            "from dingospeed.cli import main; main()",
            *arguments.replace("/etc/dingospeed/dingospeed.yaml", str(config)).split(),
        )
        assert done.returncode == 0, done.stderr


def test_dockerfile__looked_over_by_hadolint__nothing_to_complain():
    hadolint = shutil.which("hadolint", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")

    done = run(hadolint, str(CONF / "docker/Dockerfile"))

    assert (done.returncode, done.stdout) == (0, "")


def test_dockerfile__what_it_copies__is_all_that_the_package_is_built_from(tmp_path):
    listed = (CONF / "docker/Dockerfile.dockerignore").read_text().split()
    for name in (line[1:] for line in listed if line.startswith("!")):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tmp_path / name)

    code = "import setuptools; setuptools.setup()"
    done = run(sys.executable, "-c", code, "--quiet", "build", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    built = {str(path.relative_to(tmp_path / "build/lib")) for path in (tmp_path / "build/lib").rglob("*.*")}
    ours = {str(path.relative_to(ROOT)) for path in (ROOT / "dingospeed").rglob("*.py")}
    assert ours <= built


def test_compose__variables__are_settings():
    compose = yaml.safe_load((CONF / "docker/compose.yaml").read_text())
    environ = {
        name: "" if value.startswith("$") else value
        for name, value in compose["services"]["mirror"]["environment"].items()
    }

    assert load_settings(None, environ).server.trusted_proxies


def test_compose__nginx__takes_its_configuration(tmp_path):
    text = (CONF / "docker/nginx.conf").read_text().replace("mirror:8090", "127.0.0.1:8090")
    (tmp_path / "site.conf").write_text(text)
    (tmp_path / "nginx.conf").write_text(
        f"pid {tmp_path}/pid; events {{}} http {{ access_log off; include {tmp_path}/site.conf; }}"
    )

    done = run("nginx", "-t", "-e", f"{tmp_path}/error.log", "-c", f"{tmp_path}/nginx.conf")

    assert done.returncode == 0, done.stderr


def manifests():
    return list(yaml.safe_load_all((CONF / "kubernetes/dingospeed.yaml").read_text()))


@pytest.mark.parametrize("manifest", manifests(), ids=lambda manifest: manifest["kind"])
def test_kubernetes__manifest__is_valid(manifest):
    kubernetes_validate.validate(manifest, KUBERNETES_VERSION, strict=True)


def test_kubernetes__settings__are_ours(tmp_path):
    [config] = [one for one in manifests() if one["kind"] == "ConfigMap"]
    file = tmp_path / "dingospeed.yaml"
    file.write_text(config["data"]["dingospeed.yaml"])
    [pods] = [one for one in manifests() if one["kind"] == "StatefulSet"]
    [container] = pods["spec"]["template"]["spec"]["containers"]
    environ = {variable["name"]: "secret" for variable in container["env"]}

    settings = load_settings(file, environ)

    assert str(settings.cache.repos) == "/data/repos"
    assert settings.admin.token is not None
