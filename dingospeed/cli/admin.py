"""``dingospeed admin-token``."""

from __future__ import annotations

from typing import Any

import click

from dingospeed.cli.options import settings_for, with_settings
from dingospeed.store.layout import Layout


@click.command("admin-token")
@with_settings
def admin_token(config: str | None, **options: Any) -> None:
    """Print the token that opens the dashboard and the admin routes.

    It is admin.token, or without that setting a key of the cache, made if there is none yet.
    """
    settings = settings_for(config, options)

    from dingospeed.services.admission import admin_token_of

    click.echo(admin_token_of(settings, Layout(settings.cache.repos)))
