"""The package as users get it: a wheel, its own requirements, and nothing that only tests bring."""

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.request import Request, urlopen
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]

PAGES = ("web/templates", "web/assets")

pytestmark = [pytest.mark.server, pytest.mark.timeout(600)]


def files_of_pages(package):
    """All templates and assets, named as in the wheel."""
    found = (path for folder in PAGES for path in (package / folder).rglob("*") if path.is_file())
    return {path.relative_to(package.parent).as_posix() for path in found}


def test_install__into_an_empty_environment__serves(tmp_path):
    python = tmp_path / "venv" / "bin" / "python"
    wheels = tmp_path / "wheels"
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", str(wheels), str(ROOT)], check=True)
    (wheel,) = wheels.glob("*.whl")
    assert files_of_pages(ROOT / "dingospeed") <= set(ZipFile(wheel).namelist())
    subprocess.run([*pip, "install", str(wheel)], check=True)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}

    process = subprocess.Popen(
        [str(python.with_name("dingospeed")), "serve", "--host", "127.0.0.1", "--port", "0", "--offline"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=environ,
    )
    try:
        assert process.stdout is not None
        ready = process.stdout.readline()
        assert "ready on" in ready
        address = process.stdout.readline().strip().partition("=")[2]
        with urlopen(f"{address}/-/readyz") as answer:
            assert answer.status == 200
        with urlopen(Request(address, headers={"Accept": "text/html"})) as answer:
            page = answer.read().decode()
        for path in re.findall(r'(?:src|href)="(/-/[^"]+)"', page):
            with urlopen(address + path) as answer:
                assert answer.status == 200
    finally:
        process.terminate()
        process.communicate(timeout=30)
