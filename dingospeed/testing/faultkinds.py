"""The faults by name."""

from __future__ import annotations

from collections.abc import Mapping

from dingospeed.testing import reply_faults, request_faults
from dingospeed.testing.mischief import FaultKind

KINDS: Mapping[str, type[FaultKind]] = {
    "latency": request_faults.Latency,
    "refuse": request_faults.Refuse,
    "status": request_faults.Status,
    "html_200": request_faults.Html200,
    "redirect_loop": request_faults.RedirectLoop,
    "ignore_range": request_faults.IgnoreRange,
    "expire_signatures": request_faults.ExpireSignatures,
    "rate": reply_faults.Rate,
    "cut": reply_faults.Cut,
    "stall": reply_faults.Stall,
    "short": reply_faults.Short,
    "short_honest": reply_faults.ShortHonest,
    "long": reply_faults.Long,
    "corrupt": reply_faults.Corrupt,
    "gzip": reply_faults.Gzip,
    "wrong_content_range": reply_faults.WrongContentRange,
    "wrong_total": reply_faults.WrongTotal,
    "drop_headers": reply_faults.DropHeaders,
    "set_headers": reply_faults.SetHeaders,
}
