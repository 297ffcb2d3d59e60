"""``dingospeed explain``: what would happen to a request, and why."""

from __future__ import annotations

import re
import sys
from typing import Any
from urllib.parse import urlsplit

import click

from dingospeed.cli.exits import CommandError, Exit
from dingospeed.cli.mirror_client import NoMirror, mirror_of, with_mirror
from dingospeed.cli.options import cache_of, settings_for
from dingospeed.cli.printing import print_json, print_table, with_json
from dingospeed.errors import Refusal
from dingospeed.mirror.explain import Asked, Bearing, Finding
from dingospeed.mirror.metadata import DEFAULT_REVISION
from dingospeed.model import REPO_TYPES, Caller
from dingospeed.services.explaining import explain_of
from dingospeed.web import paths

_REPO, _REVISION = paths.RepoConverter.regex, paths.RevisionConverter.regex
_FILE = re.compile(rf"/({_REPO})/(?:resolve|raw|blob)/({_REVISION})/(.+)\Z")
_API = re.compile(
    rf"/api/({'|'.join(REPO_TYPES)})/({paths.ID})(?:/(?:revision|tree|paths-info)/({_REVISION}).*)?\Z"
)


@click.command()
@click.argument("url")
@click.option("--token", envvar="HF_TOKEN", help="The caller's token for the Hub, also taken from HF_TOKEN.")
@click.option("--address", default="", help="The address that the caller comes from.")
@with_json
@with_mirror
def explain(url: str, token: str | None, address: str, as_json: bool, **options: Any) -> None:
    """What would happen to a request for URL, and why. Nothing is changed, and nobody outside is asked.

    URL is that of a file, ``http://mirror:8090/org/name/resolve/main/file``, or of a repo in the API, with or
    without the host.

    \b
    Codes: 0 it would be answered; 1 it would not;
    2 wrong options; 3 the cache can not be used.
    """
    settings = settings_for(options["config"], options)
    cache_of(settings)  # None is made to explain something with.
    asked = _asked(url, Caller(token, address))
    findings = explain_of(settings).findings(asked)
    upstream = _upstream(options, is_offline=settings.upstream.offline)
    bearing, verdict = _verdict(findings, upstream)
    looked_at = (*findings, upstream)
    if as_json:
        shown = [
            {"about": each.about, "says": each.says, "bearing": each.bearing.value} for each in looked_at
        ]
        print_json({"verdict": verdict, "is_answered": bearing is not Bearing.REFUSED, "findings": shown})
    else:
        rows = [(each.about, _MARKS[each.bearing], each.says) for each in looked_at]
        print_table(("about", "", "finding"), rows)
        click.echo(f"\n{verdict}")
    if bearing is Bearing.REFUSED:
        sys.exit(Exit.NOT_ALL_WELL)


_MARKS = {Bearing.FINE: "ok", Bearing.ASKS: "ask", Bearing.REFUSED: "no"}


def _asked(url: str, caller: Caller) -> Asked:
    try:
        path = urlsplit(url).path
        file, api = _FILE.match(path), _API.match(path)
        if file is not None:
            revision, name = paths.revision_of(file[2]), paths.path_of(file[3])
            return Asked(paths.repo_of_page(file[1]), revision, name, caller)
        if api is not None:
            revision = paths.revision_of(api[3]) if api[3] else DEFAULT_REVISION
            return Asked(paths.repo_of_api(api[1], api[2]), revision, None, caller)
    except (ValueError, Refusal) as error:
        raise click.BadParameter(str(error), param_hint="URL") from error
    raise click.BadParameter(
        "expected the URL of a file, such as http://mirror:8090/org/name/resolve/main/config.json",
        param_hint="URL",
    )


def _upstream(options: dict[str, Any], *, is_offline: bool) -> Finding:
    """How the lines are, as the running mirror sees them."""
    if is_offline:
        return Finding("upstream", "this mirror is offline", Bearing.REFUSED)
    try:
        lines = mirror_of(options).get("/-/status")["lines"]
    except NoMirror:
        return Finding("upstream", "no mirror runs that could tell how its lines are", Bearing.ASKS)
    except CommandError as error:
        return Finding("upstream", str(error), Bearing.ASKS)
    states = ", ".join(f"{line['name']} {line['state']}" for line in lines)
    is_up = any(line["state"] in ("healthy", "suspect") for line in lines)
    return Finding("upstream", states or "no lines", Bearing.FINE if is_up else Bearing.REFUSED)


def _verdict(findings: list[Finding], upstream: Finding) -> tuple[Bearing, str]:
    last = findings[-1]
    if last.bearing is Bearing.REFUSED:
        return Bearing.REFUSED, f"Refused: {last.says}."
    asks = [each.about for each in findings if each.bearing is Bearing.ASKS]
    if not asks:
        return Bearing.FINE, "Answered from the cache."
    needs = ", ".join(asks)
    if upstream.bearing is Bearing.REFUSED:
        return Bearing.REFUSED, f"Fails: nobody can be asked for what is missing here ({needs})."
    return Bearing.ASKS, f"Answered if upstream gives what is missing here ({needs})."
