"""A client of Xet that looks at all it is told: it refuses what the real ones would, and more."""

from dataclasses import dataclass
from typing import Any

# The routes by which one generation of hf_xet after the other asked.
ROUTES = ("reconstruction", "reconstructions", "v1/reconstructions", "v2/reconstructions")
# What hf_xet takes of a chunk at most, and of a xorb.
MOST_CHUNK_BYTES, MOST_XORB_BYTES = 131_072, 64 << 20
NO_COMPRESSION = 0


@dataclass(frozen=True)
class Part:
    """What to fetch, with inclusive ends, and which chunks that will be."""

    url: str
    first: int
    last: int
    chunks: tuple[int, int]


def parts_of(told: dict[str, Any]) -> list[tuple[str, int, Part]]:
    """(name of the xorb, unpacked length, what to fetch) for each term, of either version of an answer."""
    found = []
    for term in told["terms"]:
        chunks = (term["range"]["start"], term["range"]["end"])
        if "xorbs" in told:
            ((entry,), known) = told["xorbs"][term["hash"]], "ranges"
            ((asked,), url) = entry[known], entry["url"]
            part = Part(url, asked["bytes"]["start"], asked["bytes"]["end"], tuple(asked["chunks"].values()))
        else:
            (entry,) = told["fetch_info"][term["hash"]]
            bounds = entry["url_range"]
            part = Part(entry["url"], bounds["start"], bounds["end"], tuple(entry["range"].values()))
        assert part.chunks == chunks, (part, chunks)
        assert len(term["hash"]) == 64
        found.append((term["hash"], term["unpacked_length"], part))
    return found


def unpacked(packed: bytes, chunks: int) -> bytes:
    """The content of so many *chunks*, that have to be all there is."""
    content, position = [], 0
    while position < len(packed):
        header = packed[position : position + 8]
        stored, scheme, plain = int.from_bytes(header[1:4], "little"), header[4], header[5:8]
        assert (header[0], scheme) == (0, NO_COMPRESSION)
        assert stored == int.from_bytes(plain, "little") <= MOST_CHUNK_BYTES
        content.append(packed[position + 8 : position + 8 + stored])
        assert len(content[-1]) == stored > 0
        position += 8 + stored
    assert len(content) == chunks
    return b"".join(content)


def content_of(told, fetch, length=None):
    """The content that an answer leads to, cut to *length*; ``fetch(url, first, last)`` gets bytes."""
    content = []
    for _, length_told, part in parts_of(told):
        packed = fetch(part.url, part.first, part.last)
        assert len(packed) == part.last - part.first + 1 <= MOST_XORB_BYTES
        content.append(unpacked(packed, part.chunks[1] - part.chunks[0]))
        assert len(content[-1]) == length_told
    whole = b"".join(content)[told["offset_into_first_range"] :]
    return whole if length is None else whole[:length]
