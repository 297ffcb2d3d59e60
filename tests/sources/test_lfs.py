import json
import time
from typing import Any

import pytest

from dingospeed.errors import LineFailed, Refusal
from dingospeed.model import Blob, RepoRef, Span
from dingospeed.sources.lfs import LfsObject, LfsObjects, ObjectNotFound
from dingospeed.testing import FakeHub, Generated
from dingospeed.upstream.client import Client
from dingospeed.upstream.health import Health
from dingospeed.upstream.lines import Line

REPO = RepoRef("models", "org", "name")
BIG = Generated(1_200_000, seed=3)
TOKEN = "hf_ann"


@pytest.fixture
def hub():
    with FakeHub() as hub:
        hub.add_user("ann", token=TOKEN)
        repo = hub.add_repo("models", "org/name", private=True)
        repo.commit({"big.bin": BIG})
        repo.grant("ann")
        yield hub


@pytest.fixture
def line(hub):
    client = Client(name="a", base_url=hub.url, is_hub=True, read_s=5)
    yield Line("a", client, Health(clock=time.monotonic), True)
    client.close()


@pytest.fixture
def blob(hub):
    return Blob(hub.content.repo("models", "org/name").sha256("big.bin"), BIG.size)


@pytest.fixture
def objects():
    return LfsObjects()


def read(objects, line, blob, span):
    return b"".join(objects.read(line, LfsObject.of(REPO, blob), span, TOKEN))


def test_read__whole_and_part__right_bytes_and_one_question(hub, line, blob, objects):
    assert read(objects, line, blob, blob.whole) == bytes(BIG)
    assert read(objects, line, blob, Span(1000, 5000)) == bytes(BIG)[1000:5000]

    assert hub.count(route="info/lfs/objects/batch") == 1
    assert hub.leaks == []


def test_find__several__those_that_the_repo_has(line, blob, objects):
    unknown = Blob("0" * 64, 7)

    assert set(objects.find(line, REPO, [blob, unknown], TOKEN)) == {blob.etag}
    with pytest.raises(ObjectNotFound):
        read(objects, line, unknown, unknown.whole)


def test_find__caller_without_right__is_refused(line, blob, objects):
    with pytest.raises(Refusal) as refused:
        objects.find(line, REPO, [blob], None)

    assert refused.value.status == 401


def test_size__claimed_wrongly__is_told_truly(line, blob, objects):
    assert objects.size(line, REPO, Blob(blob.etag, 5), TOKEN) == BIG.size


def test_read__address_expired__is_asked_for_again(hub, line, blob, objects):
    objects.find(line, REPO, [blob], TOKEN)
    hub.fault("cdn", "expire_signatures", times=1)

    assert read(objects, line, blob, blob.whole) == bytes(BIG)
    assert hub.count(route="info/lfs/objects/batch") == 2


def test_read__cdn_refuses_for_good__the_line_failed(hub, line, blob, objects):
    hub.fault("cdn", "status", code=403)

    with pytest.raises(LineFailed):
        read(objects, line, blob, blob.whole)


def test_read__cdn_breaks__the_address_is_not_kept(hub, line, blob, objects):
    hub.fault("cdn", "status", code=503, times=1)
    with pytest.raises(LineFailed):
        read(objects, line, blob, blob.whole)

    assert read(objects, line, blob, blob.whole) == bytes(BIG)
    assert hub.count(route="info/lfs/objects/batch") == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"objects":[1]}',
        b'{"objects":1}',
        b'{"objects":[],"transfer":"xet"}',
        b'{"objects":[{"actions":{"download":{"href":"https://x/"}}}]}',
        b'{"objects":[{"oid":"1","actions":{"download":{"href":"file:///etc/passwd"}}}]}',
        b'{"objects":[{"oid":"1","actions":{"download":{"href":"https://a:b@x/"}}}]}',
    ],
)
def test_find__answer_makes_no_sense__the_line_failed(monkeypatch, line, blob, objects, answer):
    class Answer:
        status = 200
        body = answer

    monkeypatch.setattr(line.client, "request", lambda *args, **options: Answer)

    with pytest.raises(LineFailed):
        objects.find(line, REPO, [blob], TOKEN)


def test_find__asks__for_basic_only(monkeypatch, line, blob, objects):
    asked: dict[str, Any] = {}
    real = line.client.request

    def request(method, path, **options):
        asked.update(options, method=method, path=path)
        return real(method, path, **options)

    monkeypatch.setattr(line.client, "request", request)

    objects.find(line, REPO, [blob], TOKEN)

    assert (asked["method"], asked["path"]) == ("POST", "/org/name.git/info/lfs/objects/batch")
    assert json.loads(asked["body"])["transfers"] == ["basic"]
