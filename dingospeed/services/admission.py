"""What a request has to have, or has to wait for, before it is answered, as the settings have it."""

from __future__ import annotations

from dataclasses import dataclass

from dingospeed.config import Settings
from dingospeed.flight.places import Places
from dingospeed.services.ground import Ground
from dingospeed.store.keys import own_key
from dingospeed.store.layout import Layout


@dataclass(frozen=True, slots=True)
class Admission:
    """Administrators show the *admin_token*, or a session signed with the *session_key*.

    Clients take one of so many places each for what they ask; None where that has no limit.
    """

    transfer_places: Places | None
    question_places: Places | None
    admin_token: str
    session_key: str


def admission_of(ground: Ground) -> Admission:
    """Raises StoreError when a key of the cache's own can be neither read nor made."""
    limits = ground.settings.server.limits

    def places(name: str, most: int | None) -> Places | None:
        return Places(leases=ground.leases, name=name, most=most) if most else None

    return Admission(
        transfer_places=places("transfer", limits.client_transfers),
        question_places=places("question", limits.client_questions),
        admin_token=admin_token_of(ground.settings, ground.layout),
        session_key=own_key(ground.layout.key("session")),
    )


def admin_token_of(settings: Settings, layout: Layout) -> str:
    """The admin token: the settings', else a key of the cache, made when there is none yet.

    Raises StoreError when it can be neither read nor made.
    """
    token = settings.admin.token
    return token.get_secret_value() if token is not None else own_key(layout.key("admin"))
