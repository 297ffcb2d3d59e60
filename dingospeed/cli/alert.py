"""``dingospeed alert``: what is wrong with the running mirror, and whether its webhooks work."""

from __future__ import annotations

import time
from typing import Any

import click

from dingospeed.cli.exits import Exit
from dingospeed.cli.mirror_client import mirror_of, with_mirror
from dingospeed.cli.options import settings_for
from dingospeed.cli.printing import print_json, print_table, with_json
from dingospeed.config import Settings


@click.command()
@click.option("--test", is_flag=True, help="Send a test message to every webhook of the settings, from here.")
@with_mirror
@with_json
def alert(test: bool, as_json: bool, **options: Any) -> None:
    """What is wrong with the running mirror; code 1 when something is."""
    if test:
        told = _test(settings_for(options["config"], options))
        is_well = all(one["result"] == "taken" for one in told)
        columns = ["webhook", "result"]
        rows = [[one["webhook"], one["result"]] for one in told]
    else:
        told = mirror_of(options).get("/-/alerts")["alerts"]
        is_well = not told
        columns = ["alert", "about", "since", "what"]
        rows = [[one["alert"], one["subject"], _when(one["since"]), one["text"]] for one in told]
    if as_json:
        print_json(told)
    elif rows:
        print_table(columns, rows)
    else:
        click.echo("There are no webhooks: alerts.webhooks is empty." if test else "Nothing is wrong.")
    if not is_well:
        raise SystemExit(Exit.NOT_ALL_WELL)


def _test(settings: Settings) -> list[dict[str, str]]:
    # Only here: the other half of the command needs none of it.
    from dingospeed.services.alerting import webhooks_of
    from dingospeed.upstream.notices import Notice
    from dingospeed.upstream.webhooks import WebhookFailed

    notice = Notice("test", "test", "", "this is a test, nothing is wrong", time.time())
    told = []
    for webhook in webhooks_of(settings):
        try:
            webhook.send([notice])
        except WebhookFailed as error:
            result = str(error)
        else:
            result = "taken"
        told.append({"webhook": webhook.label, "result": result})
    return told


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
