"""What clients are told of Xet, and the CAS that serves them, as the settings have it."""

from __future__ import annotations

from collections.abc import Callable

from dingospeed.config import Settings
from dingospeed.mirror.cas import Cas
from dingospeed.mirror.seals import Seals
from dingospeed.mirror.xet import Offers
from dingospeed.store.keys import own_key
from dingospeed.store.layout import Layout

_OFFERED_ABOVE: dict[str, Callable[[Settings], int | None]] = {
    "auto": lambda settings: settings.xet.above_bytes,
    "on": lambda settings: 0,
    "off": lambda settings: None,
}


def offers_of(settings: Settings) -> Offers:
    return Offers(above_bytes=_OFFERED_ABOVE[settings.xet.mode](settings))


def cas_of(settings: Settings, layout: Layout, make: Callable[..., Cas]) -> Cas | None:
    """The CAS that *make* makes when it is given seals; None when there is to be none.

    In a group of nodes seals are under its secret, as one node makes what another opens. Raises StoreError
    when a key of the cache's own can be neither read nor made.
    """
    if settings.xet.mode == "off":
        return None
    secret = settings.cluster.secret
    key = f"xet {secret.get_secret_value()}" if secret is not None else own_key(layout.key("xet"))
    return make(seals=Seals(key=key))
