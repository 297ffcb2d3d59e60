"""Ollama and older llama.cpp, spoken by hand: manifests by tag, blobs by digest."""

import hashlib
import json
from functools import partial
from urllib.parse import urljoin, urlsplit

import pytest

from dingospeed.testing import Generated
from tests.harness import all_at_once

pytestmark = pytest.mark.server

LET_IN, OTHER, INVALID = "hf_letin000000", "hf_other000000", "hf_nobody00000"
OLLAMA = {
    "User-Agent": "ollama/0.9.0 (amd64 linux) Go/go1.24.0",
    "Accept": "application/vnd.docker.distribution.manifest.v2+json",
}
LLAMA = {"User-Agent": "llama-cpp", "Accept": "application/json"}
PATH = "m-Q4_K_M.gguf"
SIZE = 1_500_000
PART = 400_000


@pytest.fixture(scope="module")
def hub(shared_hub):
    shared_hub.add_user("ann", token=LET_IN)
    shared_hub.add_user("bob", token=OTHER)
    return shared_hub


@pytest.fixture(scope="module")
def mirror(hub, shared_mirror):
    return shared_mirror


@pytest.fixture
def make_repo(hub, request):
    """Repos with content of their own, so that nothing of them is held."""
    hub.clear_faults()

    def make(name="", **rights):
        id = f"org/{request.node.name.split('[')[0][5:60].strip('_').replace('__', '-')}{name}"
        repo = hub.add_repo("models", id, **rights)
        repo.commit({PATH: Generated(SIZE, seed=abs(hash(request.node.name + name)) % 1_000_000)})
        repo.grant("ann")
        hub.reset_counters()
        return repo

    yield make
    hub.clear_faults()


def manifest(mirror, repo, tag="latest", headers=OLLAMA, **options):
    return mirror.json(f"/v2/{repo.id}/manifests/{tag}", headers=headers, **options)


def pull(mirror, repo, tag="latest"):
    """As Ollama does: every layer's size by HEAD, its place by GET, its parts by Range. {digest: content}"""
    status, _, found = manifest(mirror, repo, tag)
    assert status == 200, found
    contents = {}
    for layer in [*found["layers"], found["config"]]:
        path = f"/v2/{repo.id}/blobs/{layer['digest']}"
        status, headers, _ = mirror.get(path, method="HEAD", headers=OLLAMA)
        assert (status, int(headers["Content-Length"])) == (200, layer["size"])
        status, headers, whole = mirror.get(path, headers=OLLAMA)
        assert status in (200, 307)
        direct = urlsplit(urljoin(mirror.url + path, headers["Location"]))
        assert direct.netloc == urlsplit(mirror.url).netloc
        starts = range(0, layer["size"], PART)
        spans = [f"bytes={start}-{min(start + PART, layer['size']) - 1}" for start in starts]
        asks = [partial(mirror.get, direct.path, headers={"Range": span}) for span in spans]
        parts = all_at_once(asks)
        assert [part[0] for part in parts] == [206] * len(parts)
        content = b"".join(part[2] for part in parts)
        assert content == whole
        assert f"sha256:{hashlib.sha256(content).hexdigest()}" == layer["digest"]
        contents[layer["digest"]] = content
    return contents


def refusal(answer):
    status, headers, body = answer
    (error,) = json.loads(body)["errors"]
    assert error["message"] == headers["X-Error-Message"]
    return status, error["code"]


def blob(repo, digest=None):
    return f"/v2/{repo.id}/blobs/{digest or 'sha256:' + repo.sha256(PATH)}"


def test_ollama__pulls__right_bytes_and_one_copy_with_resolve(hub, mirror, make_repo):
    repo = make_repo()

    contents = pull(mirror, repo)
    resolved = mirror.get(f"/{repo.id}/resolve/main/{PATH}")[2]

    assert contents[f"sha256:{repo.sha256(PATH)}"] == resolved == repo.content(PATH)
    assert len(contents) == 4
    assert hub.bytes_sent(host="cdn") == sum(map(len, contents.values()))
    assert {digest[7:] for digest in contents} <= mirror.sealed()


def test_ollama__pulls_again__no_upstream_call(hub, mirror, make_repo):
    repo = make_repo()
    first = pull(mirror, repo)
    hub.reset_counters()

    assert pull(mirror, repo) == first
    assert hub.calls == []


def test_ollama__upstream_gone_or_offline_after_a_restart__pulls_what_is_held(hub, make_mirror, make_repo):
    repo = make_repo()
    mirror = make_mirror(hub, metadata={"ttl_s": 0})
    first = pull(mirror, repo)
    llama = manifest(mirror, repo, headers=LLAMA)[2]
    hub.fault("hub", "refuse")

    for flags in ((), ("--offline",)):
        mirror.restart(*flags)

        assert pull(mirror, repo) == first
        assert manifest(mirror, repo, headers=LLAMA)[2] == llama


def test_manifest__headers__what_registries_say(hub, mirror, make_repo):
    repo = make_repo()

    status, headers, body = mirror.get(f"/v2/{repo.id}/manifests/latest", headers=OLLAMA)
    head = mirror.get(f"/v2/{repo.id}/manifests/latest", method="HEAD", headers=OLLAMA)

    assert status == head[0] == 200
    assert headers["Content-Type"] == OLLAMA["Accept"]
    assert headers["Docker-Content-Digest"] == f"sha256:{hashlib.sha256(body).hexdigest()}"
    assert headers["Docker-Distribution-Api-Version"] == "registry/2.0"
    assert "User-Agent" in headers["Vary"]
    assert (head[1]["Content-Length"], head[2]) == (str(len(body)), b"")


def test_manifest__llama_cpp__is_told_the_file_and_downloads_it(hub, mirror, make_repo):
    repo = make_repo()
    repo.commit({"mmproj-f16.gguf": Generated(1_200_000, seed=77)})

    for first, second in ((LLAMA, OLLAMA), (OLLAMA, LLAMA)):  # Whoever comes first decides nothing.
        answers = {id(headers): manifest(mirror, repo, "q4_k_m", headers)[2] for headers in (first, second)}
        assert "ggufFile" not in answers[id(OLLAMA)]
        found = answers[id(LLAMA)]
        assert found["ggufFile"]["rfilename"] == PATH
        assert found["mmprojFile"]["rfilename"] == "mmproj-f16.gguf"
    assert hub.count(kind="registry") == 2
    status, _, body = mirror.get(f"/{repo.id}/resolve/main/{found['ggufFile']['rfilename']}")
    assert (status, body) == (200, repo.content(PATH))


def test_manifest__hub_has_none_or_fails__llama_cpp_gets_one_from_the_tree(hub, mirror, make_repo):
    for code in (404, 400, 503):
        repo = make_repo(f"-{code}")
        hub.fault("registry", "status", code=code)

        status, _, found = manifest(mirror, repo, "Q4_K_M", LLAMA)

        assert (status, found["ggufFile"]["rfilename"]) == (200, PATH)
        assert mirror.get(blob(repo))[2] == repo.content(PATH)
        assert manifest(mirror, repo, "Q4_K_M", OLLAMA)[0] == (503 if code == 503 else 404)
        hub.clear_faults()


def test_manifest__unknown_tag__is_unknown(hub, mirror, make_repo):
    repo = make_repo()

    for headers in (LLAMA, OLLAMA):
        answer = mirror.get(f"/v2/{repo.id}/manifests/Q2_K", headers=headers)
        assert refusal(answer) == (404, "MANIFEST_UNKNOWN")


def test_manifest__hub_moves_on__new_layers_though_the_tree_was_of_before(hub, mirror, make_repo):
    repo = make_repo()
    mirror.get(f"/{repo.id}/resolve/main/{PATH}")
    repo.commit({PATH: Generated(SIZE, seed=4711)})

    contents = pull(mirror, repo)

    assert contents[f"sha256:{repo.sha256(PATH)}"] == repo.content(PATH)


def test_blob__headers__size_digest_and_where_it_is(hub, mirror, make_repo):
    repo = make_repo()

    for method in ("HEAD", "GET"):
        status, headers, body = mirror.get(blob(repo), method=method)

        assert status == 200
        assert headers["Content-Length"] == str(SIZE)
        assert headers["Content-Type"] == "application/octet-stream"
        assert headers["Docker-Content-Digest"] == f"sha256:{repo.sha256(PATH)}"
        assert headers["Docker-Distribution-Api-Version"] == "registry/2.0"
        assert headers["Accept-Ranges"] == "bytes"
        assert headers["Location"] == blob(repo)
        assert body == (repo.content(PATH) if method == "GET" else b"")
    status, headers, body = mirror.get(blob(repo), headers={"Range": "bytes=100-199"})
    assert (status, headers["Content-Range"]) == (206, f"bytes 100-199/{SIZE}")
    assert body == repo.content(PATH)[100:200]
    assert refusal(mirror.get(blob(repo), headers={"Range": f"bytes={SIZE}-"}))[0] == 416


def test_blob__head_of_what_is_not_held__downloads_nothing(hub, mirror, make_repo):
    repo = make_repo()

    assert mirror.get(blob(repo), method="HEAD")[0] == 200
    assert hub.bytes_sent(host="cdn") == 0


def test_blob__digest_of_another_repo_or_of_none__is_unknown(hub, mirror, make_repo):
    repo, other = make_repo("-a"), make_repo("-b", private=True)
    assert mirror.get(blob(other), token=LET_IN)[0] == 200
    template = manifest(mirror, other, token=LET_IN)[2]["layers"][1]["digest"]
    assert mirror.get(blob(other, template), token=LET_IN)[0] == 200

    for digest in (
        f"sha256:{other.sha256(PATH)}",
        template,
        f"sha256:{'0' * 64}",
        f"sha256:{repo.sha256(PATH).upper()}",
        repo.sha256(PATH),
        "sha256:..%2F..%2Fetc",
    ):
        for method in ("HEAD", "GET"):
            answer = mirror.get(blob(repo, digest), method=method)
            assert answer[0] == 404, digest
        assert refusal(answer) == (404, "BLOB_UNKNOWN")


@pytest.mark.parametrize("kind", ["private", "gated"])
def test_restricted__with_and_without_right__as_everywhere(hub, mirror, make_repo, kind):
    repo = make_repo(f"-{kind}", private=kind == "private", gated=kind == "gated" and "manual")
    expected = {
        "private": {
            None: (401, "UNAUTHORIZED"),
            OTHER: (404, "NAME_UNKNOWN"),
            INVALID: (401, "UNAUTHORIZED"),
        },
        "gated": {None: (401, "UNAUTHORIZED"), OTHER: (403, "DENIED"), INVALID: (401, "UNAUTHORIZED")},
    }[kind]
    found = None

    for is_cached in (False, True):
        template = found["layers"][1]["digest"] if found else None
        for token, answer in expected.items():
            for path in (f"/v2/{repo.id}/manifests/latest", blob(repo), blob(repo, template)):
                assert refusal(mirror.get(path, token=token)) == answer, (path, token, is_cached)
        found = manifest(mirror, repo, token=LET_IN)[2]
        for layer in (*found["layers"], found["config"]):
            assert len(mirror.get(blob(repo, layer["digest"]), token=LET_IN)[2]) == layer["size"]
    assert hub.leaks == []


def test_blob__listed_but_gone_from_the_hub__is_unknown_and_the_line_is_fine(hub, mirror, make_repo):
    repo = make_repo()
    config = manifest(mirror, repo)[2]["config"]["digest"]
    repo.commit({"n-Q4_K_M.gguf": Generated(SIZE, seed=815)}, delete=[PATH])

    for _ in range(5):
        assert refusal(mirror.get(blob(repo, config))) == (404, "BLOB_UNKNOWN")

    assert hub.count(kind="registry", path_contains="/blobs/") == 5
    assert mirror.get(f"/{make_repo('-other').id}/resolve/main/{PATH}")[0] == 200


def test_eight_clients__cold_over_two_workers__one_manifest_and_one_copy(hub, mirror, make_repo):
    repo = make_repo()
    hub.fault("registry", "latency", seconds=0.5)  # Long enough for all to ask meanwhile.

    found = all_at_once([lambda: manifest(mirror, repo)] * 8)
    bodies = all_at_once([lambda: mirror.get(blob(repo))] * 8)

    assert all(answer[2] == found[0][2] for answer in found)
    assert all(answer[2] == repo.content(PATH) for answer in bodies)
    assert hub.count(kind="registry") == 1
    assert hub.bytes_sent(host="cdn") == SIZE


def test_generated_layer__comes_once_with_a_flipped_byte__is_fetched_anew(hub, mirror, make_repo):
    repo = make_repo()
    template = manifest(mirror, repo)[2]["layers"][1]
    hub.fault("cdn", "corrupt", times=1, offset=3)

    status, _, body = mirror.get(blob(repo, template["digest"]))

    # Nothing of it had left, so the same request could begin anew.
    assert status == 200
    assert f"sha256:{hashlib.sha256(body).hexdigest()}" == template["digest"]
    assert f"blob {template['digest'][7:]} rejected" in mirror.log()


def test_generated_layer__always_comes_with_a_flipped_byte__is_not_kept(hub, mirror, make_repo):
    repo = make_repo()
    template = manifest(mirror, repo)[2]["layers"][1]
    hub.fault("cdn", "corrupt", offset=3)

    assert refusal(mirror.get(blob(repo, template["digest"]))) == (502, "UNKNOWN")

    assert template["digest"][7:] not in mirror.sealed()
    hub.clear_faults()
    assert len(mirror.get(blob(repo, template["digest"]))[2]) == template["size"]


def test_renamed__asked_by_the_old_name__relative_redirect(hub, mirror, make_repo):
    repo = make_repo()
    hub.move("models", "org/old-registry-name", repo.id)

    for rest in ("manifests/latest", f"blobs/sha256:{repo.sha256(PATH)}"):
        status, headers, _ = mirror.get(f"/v2/org/old-registry-name/{rest}")
        assert (status, headers["Location"]) == (307, f"/v2/{repo.id}/{rest}")


def test_answers__all__name_no_upstream(hub, mirror, make_repo):
    repo = make_repo()
    hosts = [urlsplit(hub.url).netloc, urlsplit(hub.cdn_url).netloc, "huggingface.co", "hf.co"]
    found = manifest(mirror, repo)[2]
    digests = [layer["digest"] for layer in (*found["layers"], found["config"])]
    paths = [blob(repo, digest) for digest in (*digests, f"sha256:{'0' * 64}")]
    paths += [f"/v2/{repo.id}/manifests/{tag}" for tag in ("latest", "q4_k_m", "none")]
    paths += ["/v2/", "/v2/org/none/manifests/latest", "/v2/org/none/blobs/x", "/v2/x"]

    for path in paths:
        for method in ("GET", "HEAD"):
            for headers in (OLLAMA, LLAMA):
                status, told, body = mirror.get(path, method=method, headers=headers)
                assert status < 500, path
                for host in hosts:
                    assert host not in f"{told}{body.decode('latin-1')}", (method, path)
                assert "xet" not in str(told).lower().replace("text", "")
