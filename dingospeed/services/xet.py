"""What clients are told of Xet, and the CAS that serves them, as the settings have it."""

from __future__ import annotations

from collections.abc import Callable

from dingospeed.config import Settings
from dingospeed.mirror.cas import Cas
from dingospeed.mirror.files import Files
from dingospeed.mirror.seals import Seals
from dingospeed.mirror.xet import Offers
from dingospeed.services.ground import Ground
from dingospeed.services.knowledge import Knowledge
from dingospeed.store.keys import own_key

_OFFERED_ABOVE: dict[str, Callable[[Settings], int | None]] = {
    "auto": lambda settings: settings.xet.above_bytes,
    "on": lambda settings: 0,
    "off": lambda settings: None,
}


def offers_of(settings: Settings) -> Offers:
    return Offers(above_bytes=_OFFERED_ABOVE[settings.xet.mode](settings))


def cas_of(ground: Ground, knowledge: Knowledge, files: Files) -> Cas | None:
    """None when there is to be none.

    In a group of nodes seals are under its secret, as one node makes what another opens. Raises StoreError
    when a key of the cache's own can be neither read nor made.
    """
    if ground.settings.xet.mode == "off":
        return None
    secret = ground.settings.cluster.secret
    key = f"xet {secret.get_secret_value()}" if secret is not None else own_key(ground.layout.key("xet"))
    return Cas(
        access=knowledge.access,
        trees=knowledge.facts.trees,
        files=files,
        blobs=ground.blobs,
        rules=knowledge.rules,
        seals=Seals(key=key),
    )
