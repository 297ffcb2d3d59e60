"""What the fake Hub says to Ollama and llama.cpp."""

import hashlib

import pytest

from dingospeed.testing import Generated

MODEL = Generated(2_000_000, seed=8)
LLAMA, OLLAMA = {"User-Agent": "llama-cpp"}, {"User-Agent": "ollama/0.9.0 (amd64 linux) Go/go1.24.0"}


@pytest.fixture
def repo(hub):
    repo = hub.add_repo("models", "org/name-GGUF")
    repo.commit({"m-Q4_K_M.gguf": MODEL, "m-Q8_0.gguf": Generated(3_000_000, seed=9), "README.md": b"x"})
    return repo


def manifest(ask, tag="latest", headers=OLLAMA, **more):
    return ask(f"/v2/org/name-GGUF/manifests/{tag}", headers=headers, **more)


@pytest.mark.parametrize(("tag", "path"), [("latest", "m-Q4_K_M.gguf"), ("q8_0", "m-Q8_0.gguf")])
def test_manifest__asked_by_llama_cpp__names_the_file(ask, repo, tag, path):
    answer = manifest(ask, tag, LLAMA)

    found = answer.json()
    assert found["ggufFile"]["rfilename"] == path
    assert found["ggufFile"]["lfs"] == {
        "sha256": repo.sha256(path),
        "size": repo.entry(path).size,
        "pointerSize": 132,
    }
    assert found["layers"][0] == {
        "digest": f"sha256:{repo.sha256(path)}",
        "mediaType": "application/vnd.ollama.image.model",
        "size": repo.entry(path).size,
    }
    assert "mmprojFile" not in found


def test_manifest__has_a_projector__names_it_and_lists_it(ask, repo):
    repo.commit({"mmproj-f16.gguf": Generated(2_000_001, seed=10)})

    found = manifest(ask, headers=LLAMA).json()

    assert found["mmprojFile"]["rfilename"] == "mmproj-f16.gguf"
    assert found["layers"][1]["digest"] == f"sha256:{repo.sha256('mmproj-f16.gguf')}"


def test_manifest__asked_by_ollama__is_the_same_without_the_file(ask, repo):
    answer = manifest(ask)

    found, other = answer.json(), manifest(ask, headers=LLAMA).json()
    assert found == {key: value for key, value in other.items() if key != "ggufFile"}
    assert answer.headers["Vary"] == "Origin,User-Agent"
    assert answer.headers["Cache-Control"] == "public, max-age=60"
    assert answer.headers["ETag"].startswith('W/"')


@pytest.mark.parametrize("layer", [0, 1, 2, "config"])
@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_blob__of_any_layer__redirects_to_the_cdn_by_307(hub, ask, repo, layer, method):
    found = manifest(ask).json()
    wanted = found["config"] if layer == "config" else found["layers"][layer]

    answer = ask(f"/v2/org/name-GGUF/blobs/{wanted['digest']}", method=method)
    content = ask(answer.headers["Location"]).content

    assert answer.status_code == 307
    assert answer.headers["Location"].startswith(hub.cdn_url)
    assert f"sha256:{hashlib.sha256(content).hexdigest()}" == wanted["digest"]
    assert len(content) == wanted["size"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v2/org/name-GGUF/manifests/q3", 400),
        ("/v2/org/plain/manifests/latest", 400),
        (f"/v2/org/name-GGUF/blobs/sha256:{'0' * 64}", 404),
        ("/v2/org/none/manifests/latest", 401),
        ("/v2/org/name-GGUF/uploads/x", 404),
    ],
)
def test_registry__what_is_not_there__is_refused_in_json(hub, ask, repo, path, status):
    hub.add_repo("models", "org/plain").commit({"a.txt": b"a"})

    answer = ask(path)

    assert answer.status_code == status
    assert answer.json()["error"]


def test_registry__private_and_gated__only_for_those_let_in(hub, ask):
    for name, rights in (("private", {"private": True}), ("gated", {"gated": "auto"})):
        repo = hub.add_repo("models", f"org/{name}", **rights)
        repo.commit({"m-Q4_K_M.gguf": MODEL})
        repo.grant("alice")
        path = f"/v2/org/{name}/manifests/latest"

        assert ask(path).status_code == 401
        assert ask(path, token="hf_bob").status_code in (403, 404)
        assert ask(path, token="hf_alice").status_code == 200
        blob = f"/v2/org/{name}/blobs/sha256:{repo.sha256('m-Q4_K_M.gguf')}"
        assert ask(blob, token="hf_bob").status_code in (403, 404)


def test_registry__renamed__redirects(hub, ask, repo):
    hub.move("models", "org/old", "org/name-GGUF")

    answer = ask("/v2/org/old/manifests/latest")

    assert (answer.status_code, answer.headers["Location"]) == (307, "/v2/org/name-GGUF/manifests/latest")


def test_registry__calls__are_counted_and_can_be_spoilt(hub, ask, repo):
    hub.fault("registry", "status", code=503, times=1)

    assert ask("/v2/").status_code == 503
    assert ask("/v2/").status_code == 200
    assert hub.count(kind="registry") == 2
