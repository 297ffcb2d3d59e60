"""The settings: what they are, where they come from, what is in force."""

from dingospeed.config.cluster import Cluster
from dingospeed.config.lines import Line
from dingospeed.config.load import CONFIG_VARIABLE, FLAGS, load_settings
from dingospeed.config.settings import (
    Access,
    Admin,
    Cache,
    Download,
    Log,
    Metadata,
    Server,
    Settings,
    Timeouts,
    Upstream,
)
from dingospeed.config.show import describe
from dingospeed.config.xet import Xet

__all__ = [
    "CONFIG_VARIABLE",
    "FLAGS",
    "Access",
    "Admin",
    "Cache",
    "Cluster",
    "Download",
    "Line",
    "Log",
    "Metadata",
    "Server",
    "Settings",
    "Timeouts",
    "Upstream",
    "Xet",
    "describe",
    "load_settings",
]
