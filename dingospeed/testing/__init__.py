"""A Hub to test against: answers as the Hub does, and misbehaves on command.

Standard library only; knows nothing of the mirror. ``python -m dingospeed.testing.hub`` runs it as a program.
"""

from dingospeed.testing.counters import Call
from dingospeed.testing.fake import Address, FakeHub
from dingospeed.testing.faults import Fault
from dingospeed.testing.payload import Generated
from dingospeed.testing.repos import File, Repo

__all__ = ["Address", "Call", "FakeHub", "Fault", "File", "Generated", "Repo"]
