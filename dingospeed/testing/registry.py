"""The Hub as a registry of models, for Ollama and llama.cpp: ``/v2/…``.

A manifest lists a GGUF file of the default branch and what the Hub makes up around it: template,
parameters, configuration. All of them are given out by the CDN.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import unquote

from dingospeed.testing.access import caller_of, need_files, visible
from dingospeed.testing.answers import Moved, Refusal, send_json, send_redirect
from dingospeed.testing.content import Content
from dingospeed.testing.payload import Plain
from dingospeed.testing.repos import DEFAULT_BRANCH, Entry, Repo
from dingospeed.testing.signing import Signer
from dingospeed.testing.wire import Reply, Request

MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
_IMAGE = "application/vnd.ollama.image"
_ROUTE = re.compile(r"/v2/([^/]+(?:/[^/]+)?)/(manifests|blobs)/([^/]+)")
_LATEST = "Q4_K_M"

Document = dict[str, object]


@dataclass(frozen=True, slots=True)
class Layer:
    """A part of a manifest; *entry* holds its bytes, also where they are no file of the repo."""

    media_type: str
    entry: Entry

    @property
    def digest(self) -> str:
        return f"sha256:{self.entry.sha256}"

    def document(self) -> Document:
        return {"digest": self.digest, "mediaType": self.media_type, "size": self.entry.size}


class Registry:
    """Answers about the models of *content*."""

    def __init__(self, content: Content, signer: Signer, *, cdn_url: Callable[[], str]) -> None:
        self._content = content
        self._signer = signer
        self._cdn_url = cdn_url

    def answer(self, request: Request) -> Reply:
        """Raises Refusal and Moved."""
        if request.method not in ("GET", "HEAD"):
            raise Refusal(405, "Method not allowed")
        route = _ROUTE.fullmatch(request.raw_path)
        if route is None:
            if request.raw_path.rstrip("/") == "/v2":
                return send_json({})
            raise Refusal(404, "Sorry, we can't find the page you are looking for.")
        id, kind, name = (unquote(part) for part in route.groups())
        caller = caller_of(self._content, request)
        new_name = self._content.new_name("models", id)
        repo = visible(self._content.repo("models", new_name or id), caller)
        if new_name:
            raise Moved(f"/v2/{repo.id}/{kind}/{name}")
        need_files(repo, caller)
        if kind == "blobs":
            return self._send_blob(request, repo, name)
        is_llama = (request.header("User-Agent") or "").lower().startswith("llama-cpp")
        headers = {"Cache-Control": "public, max-age=60", "Vary": "Origin,User-Agent"}
        return send_json(_manifest(repo, name, is_llama=is_llama), headers=headers, request=request)

    def _send_blob(self, request: Request, repo: Repo, digest: str) -> Reply:
        layer = next((layer for layer in _all_layers(repo) if layer.digest == digest), None)
        if layer is None:
            raise Refusal(404, "Blob not found")
        path = f"/xet-bridge-us/{repo.object_id}/{self._content.publish(layer.entry)}"
        signed = self._signer.sign(path, "inline", self._content.signature_lifetime_s)
        return send_redirect(307, self._cdn_url() + signed, {"Cache-Control": "no-store"})


def layers_of(repo: Repo, tag: str) -> list[Layer]:
    """The model of *tag* first, the configuration last. Raises Refusal when there is none."""
    models, projectors = _files(repo)
    if not models:
        raise Refusal(400, "Repository is not GGUF or is not compatible with llama.cpp")
    wanted = _LATEST if tag == "latest" else tag
    found = [entry for entry in models if re.search(rf"\b{re.escape(wanted)}\b", entry.path, re.IGNORECASE)]
    if not found and tag != "latest":
        raise Refusal(
            400, 'The specified tag is not available in the repository. Please use another or "latest"'
        )
    model = (found or models)[0]
    return [
        Layer(f"{_IMAGE}.model", model),
        *(Layer(f"{_IMAGE}.projector", entry) for entry in projectors[:1]),
        Layer(f"{_IMAGE}.template", _made_up("template", f"{{{{ .Prompt }}}} of {repo.id}")),
        Layer(f"{_IMAGE}.params", _made_up("params", json.dumps({"stop": [repo.id]}))),
        Layer(
            "application/vnd.docker.container.image.v1+json",
            _made_up("config", json.dumps({"model_format": "gguf", "file": f"{repo.id}/{model.path}"})),
        ),
    ]


def _manifest(repo: Repo, tag: str, *, is_llama: bool) -> Document:
    layers = layers_of(repo, tag)
    document: Document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": layers[-1].document(),
        "layers": [layer.document() for layer in layers[:-1]],
    }
    if is_llama:
        document["ggufFile"] = _file(layers[0].entry)
        if layers[1].media_type.endswith("projector"):
            document["mmprojFile"] = _file(layers[1].entry)
    return document


def _file(entry: Entry) -> Document:
    lfs = {"sha256": entry.sha256, "size": entry.size, "pointerSize": len(entry.pointer)}
    return {"rfilename": entry.path, "blobId": f"sha256:{entry.sha256}", "size": entry.size, "lfs": lfs}


def _files(repo: Repo) -> tuple[list[Entry], list[Entry]]:
    """Models and projectors."""
    commit = repo.find(DEFAULT_BRANCH)
    entries = commit.entries if commit else {}
    found = [entries[path] for path in sorted(entries) if path.endswith(".gguf") and entries[path].is_lfs]
    return [entry for entry in found if "mmproj" not in entry.path], [
        entry for entry in found if "mmproj" in entry.path
    ]


def _all_layers(repo: Repo) -> Iterator[Layer]:
    for entry in _files(repo)[0]:
        yield from layers_of(repo, entry.path)


def _made_up(name: str, text: str) -> Entry:
    return Entry(name, Plain(text.encode()), is_lfs=True)
