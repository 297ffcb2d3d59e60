"""Other clients than huggingface_hub, spoken by hand; each with the requests it sends."""

import hashlib
import json
import os
import subprocess
from urllib.parse import quote, urljoin, urlsplit

import pytest

from dingospeed.testing import Generated
from dingospeed.testing.gitserver import LFS_JSON
from tests.contract.asking import (
    BIG,
    BIG_BYTES,
    DEEP,
    EMPTY,
    FORM,
    LET_IN,
    MORE,
    SMALL,
    XET_ACCEPT,
    api,
    begin,
    pages,
    resolve,
)
from tests.harness import all_at_once

pytestmark = pytest.mark.server

METHODS = ("HEAD", "GET")
JS_AGENT = {"User-Agent": "node", "Accept-Encoding": "gzip, deflate", "Origin": "https://page.example"}
LLAMA_CPP = {"User-Agent": "llama-cpp", "Accept": "application/json"}
OLLAMA = {
    "User-Agent": "ollama/0.9.0 (amd64 linux) Go/go1.24.0",
    "Accept": "application/vnd.docker.distribution.manifest.v2+json",
}
GGUF = "m-Q4_K_M.gguf"
PART_BYTES = 100_000


def ranged(first, last=""):
    return {"Range": f"bytes={first}-{last}"}


def test_61_js__lists_downloads_and_looks_up__all_work(make_repo, mirror):
    repo = make_repo({f"many/{number}.txt": b"%d" % number for number in range(7)})
    sha = repo.branches["main"]

    # listFiles
    for switches in (
        "?recursive=true&expand=false",
        "?recursive=true&expand=true",
        "?recursive=true&limit=3",
    ):
        found = [
            entry
            for page in pages(mirror, api(repo, f"/tree/main{switches}"), headers=JS_AGENT)
            for entry in page
        ]
        assert {entry["path"] for entry in found if entry["type"] == "file"} == set(repo.files())
    # downloadFile: what it is, by one byte, and then all of it
    for path in (SMALL, BIG):
        sent = {**JS_AGENT, "Accept": XET_ACCEPT, **ranged(0, 0)}
        status, headers, body = mirror.get(resolve(repo, path), headers=sent)
        assert (status, body) == (206, repo.content(path)[:1])
        assert headers["Content-Range"].rpartition("/")[2] == str(repo.entry(path).size)
        assert headers["ETag"] == f'"{repo.etag(path)}"'
        assert "xet" not in headers["Content-Type"]
        assert headers["Link"] is None
        assert mirror.get(resolve(repo, path), headers=JS_AGENT)[2] == repo.content(path)
    # fileExists
    for path, status in ((SMALL, 200), (BIG, 200), ("none.txt", 404)):
        assert mirror.get(f"{repo.address}/raw/main/{path}", method="HEAD", headers=JS_AGENT)[0] == status
    # modelInfo
    fields = "&".join(
        f"expand={name}" for name in ("pipeline_tag", "private", "gated", "downloads", "likes", "sha")
    )
    for path in (f"?{fields}", f"/revision/HEAD?{fields}"):
        info = mirror.json(api(repo, path), headers=JS_AGENT)[2]
        assert (info["id"], info["sha"], info["private"], info["gated"]) == (repo.id, sha, False, False)
    # pathsInfo
    body = json.dumps({"paths": [SMALL, BIG, "none.txt"], "expand": True})
    sent = {**JS_AGENT, "Accept": "application/json", "Content-Type": "application/json"}
    found = mirror.json(api(repo, "/paths-info/main"), method="POST", body=body, headers=sent)[2]
    assert {entry["path"]: entry["size"] for entry in found} == {
        path: repo.entry(path).size for path in (SMALL, BIG)
    }


def test_62_datasets__parquet_and_json__streamed_and_not(make_repo, mirror):
    for data in ({"data/train.parquet": Generated(300_000, seed=62)}, {"train.jsonl": b'{"a": 1}\n' * 1000}):
        repo = make_repo({"README.md": b"# Data\n", **data}, type="datasets", only=True)
        (path,) = data
        name = repo.id.partition("/")[2]
        content = repo.content(path)
        # 5.2: the card at main, what decides about the commit, then all at the commit.
        for method in METHODS:
            status, headers, _ = mirror.get(resolve(repo, "README.md"), method=method)
            assert status == 200
        sha = headers["X-Repo-Commit"]
        assert sha == repo.branches["main"]
        for missing in (f"{name}.py", ".huggingface.yaml", "dataset_infos.json"):
            status, headers, _ = mirror.get(resolve(repo, missing, sha), method="HEAD")
            assert (status, headers["X-Error-Code"], headers["X-Repo-Commit"]) == (404, "EntryNotFound", sha)
        assert mirror.json(api(repo, f"/revision/{sha}"))[2]["sha"] == sha
        status, headers, entries = mirror.json(api(repo, f"/tree/{sha}/data?recursive=false&expand=false"))
        folder, _, _ = path.rpartition("/")
        if folder:
            assert [entry["path"] for entry in entries] == [path]
        else:
            assert (status, headers["X-Error-Code"]) == (404, "EntryNotFound")
        assert mirror.json(api(repo, f"/tree/{sha}?recursive=false&expand=false"))[0] == 200
        # Streaming: ranges without a HEAD before them.
        for start in range(0, len(content), PART_BYTES):
            stop = min(start + PART_BYTES, len(content))
            status, headers, body = mirror.get(resolve(repo, path, sha), headers=ranged(start, stop - 1))
            assert (status, body) == (206, content[start:stop])
            assert headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(content)}"
        # 2.19: HEAD with gzip, paths-info with expand, the info twice.
        status, headers, _ = mirror.get(
            resolve(repo, path, sha), method="HEAD", headers={"Accept-Encoding": "gzip, deflate"}
        )
        assert (status, headers["Content-Length"]) == (200, str(len(content)))
        for _ in range(2):
            assert mirror.json(f"/api/datasets/{repo.id}")[2]["sha"] == sha
        body = f"paths={quote(path)}&expand=True"
        asked = {"method": "POST", "body": body, "headers": {"Content-Type": FORM}}
        (entry,) = mirror.json(api(repo, f"/paths-info/{sha}"), **asked)[2]
        assert (entry["path"], entry["size"]) == (path, len(content))
        assert entry["lastCommit"]["id"] == sha


OPTIONAL = [
    "adapter_config.json",
    "tokenizer.model",
    "added_tokens.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "processor_config.json",
    "model.safetensors.index.json",
]


def test_63_transformers__optional_files__missing_without_a_call_upstream(hub, make_repo, mirror):
    repo = make_repo({"tokenizer.json": b"{}", "tokenizer_config.json": b"{}"})
    info = mirror.json(f"/api/models/{repo.id}")[2]
    sha = info["sha"]
    for path in (SMALL, "tokenizer_config.json", "tokenizer.json"):
        for method in METHODS:
            assert mirror.get(resolve(repo, path, sha), method=method)[0] == 200
    hub.reset_counters()

    for revision in (sha, "main"):  # Before version 5 all was asked for at main.
        for path in OPTIONAL:
            status, headers, _ = mirror.get(resolve(repo, path, revision), method="HEAD")
            assert (status, headers["X-Error-Code"], headers["X-Repo-Commit"]) == (404, "EntryNotFound", sha)
        for switches in ("", "?recursive=false&expand=false"):
            path = api(repo, f"/tree/{revision}/additional_chat_templates{switches}")
            status, headers, _ = mirror.get(path)
            assert (status, headers["X-Error-Code"], headers["X-Repo-Commit"]) == (404, "EntryNotFound", sha)
    assert hub.calls == []


def test_64_curl_wget_aria2__continue_a_part__complete_and_right(hub, make_repo, mirror):
    repo = make_repo()
    content = repo.content(BIG)
    # curl -C -, wget -c: the rest, and a file that is whole already.
    for agent in (
        {"User-Agent": "curl/7.88.1", "Accept": "*/*"},
        {"User-Agent": "Wget/1.21", "Accept-Encoding": "identity"},
    ):
        status, headers, body = mirror.get(resolve(repo, BIG), headers={**agent, **ranged(400_000)})
        assert (status, content[:400_000] + body) == (206, content)
        assert headers["Content-Range"] == f"bytes 400000-{BIG_BYTES - 1}/{BIG_BYTES}"
        status, headers, _ = mirror.get(resolve(repo, BIG), headers={**agent, **ranged(BIG_BYTES)})
        assert (status, headers["Content-Range"]) == (416, f"bytes */{BIG_BYTES}")
    # aria2c -x4: one request for all, left at its share, and three for the others; one of them split again.
    other = make_repo()
    content, share = other.content(BIG), BIG_BYTES // 4

    def first():
        with begin(mirror, resolve(other, BIG), User_Agent="aria2/1.36.0") as sock:
            got = b""
            while b"\r\n\r\n" not in got or len(got.partition(b"\r\n\r\n")[2]) < share:
                got += sock.recv(65536)
        assert got.startswith(b"HTTP/1.1 200")
        return got.partition(b"\r\n\r\n")[2][:share]

    def part(start, stop):
        status, _, body = mirror.get(resolve(other, BIG), headers=ranged(start, stop - 1))
        assert status == 206
        return body

    spans = [
        (share, share * 2),
        (share * 2, share * 3),
        (share * 3, share * 3 + 100_000),
        (share * 3 + 100_000, BIG_BYTES),
    ]
    got = all_at_once([first, *(lambda span=span: part(*span) for span in spans)])
    assert hashlib.sha256(b"".join(got)).hexdigest() == other.sha256(BIG)
    assert hub.bytes_sent(host="cdn") == BIG_BYTES


def test_65_git_clone__model_and_dataset__history_and_lfs_objects(hub, make_repo, mirror, tmp_path):
    """The pointers by git itself; their objects as git-lfs asks for them, which not everybody has."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "HF_"))}
    environ |= {"GIT_LFS_SKIP_SMUDGE": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_TERMINAL_PROMPT": "0"}

    for type, suffix in (("models", ""), ("models", ".git"), ("datasets", "")):
        repo = make_repo(type=type)
        second = repo.commit({"second.txt": b"of the second commit"})
        folder = tmp_path / repo.id
        command = ["git", "clone", "--quiet", f"{mirror.url}{repo.address}{suffix}", str(folder)]
        subprocess.run(command, env=environ, check=True, timeout=60)

        head = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=folder, env=environ, check=True, capture_output=True, text=True
        )
        assert head.stdout.strip() == second
        for path in repo.files():
            entry = repo.entry(path)
            assert (folder / path).read_bytes() == (entry.pointer if entry.is_lfs else entry.content)
        for path in (BIG, MORE):
            download = batch(mirror, repo, path)
            sent = {"User-Agent": "git-lfs/3.3.0", **download.get("header", {})}
            status, _, body = mirror.get(download["href"].removeprefix(mirror.url), headers=sent)
            assert (status, body) == (200, repo.content(path))
            resumed = mirror.get(download["href"].removeprefix(mirror.url), headers={**sent, **ranged(100)})
            assert (resumed[0], resumed[2]) == (206, repo.content(path)[100:])
    # Credentials are sent when they are asked for, and not before.
    gated = make_repo(gated="auto")
    for path in (f"{gated.address}/info/refs?service=git-upload-pack",):
        status, headers, _ = mirror.get(path)
        assert (status, headers["WWW-Authenticate"].partition(" ")[0]) == (401, "Basic")
    url = mirror.url.replace("http://", f"http://user:{LET_IN}@")
    subprocess.run(
        ["git", "clone", "--quiet", url + gated.address, str(tmp_path / "gated")],
        env=environ,
        check=True,
        timeout=60,
    )
    assert (tmp_path / "gated" / SMALL).read_bytes() == gated.content(SMALL)


def batch(mirror, repo, path):
    """What git-lfs is told about one object."""
    asked = {
        "operation": "download",
        "transfers": ["lfs-standalone-file", "basic", "ssh"],
        "objects": [{"oid": repo.sha256(path), "size": repo.entry(path).size}],
        "ref": {"name": "refs/heads/main"},
        "hash_algo": "sha256",
    }
    type = f"{LFS_JSON}; charset=utf-8"
    status, _, found = mirror.json(
        f"{repo.address}.git/info/lfs/objects/batch",
        method="POST",
        body=json.dumps(asked),
        headers={"Accept": LFS_JSON, "Content-Type": type, "User-Agent": "git-lfs/3.3.0"},
    )
    assert (status, found.get("transfer", "basic")) == (200, "basic")
    (object,) = found["objects"]
    assert (object["oid"], object["size"]) == (repo.sha256(path), repo.entry(path).size)
    return object["actions"]["download"]


def test_66_llama_cpp__new_and_old__finds_and_gets_the_model(make_repo, mirror):
    files = {f"x/{number}.txt": b"%d" % number for number in range(1200)}
    repo = make_repo({**files, "sub/" + GGUF: Generated(300_000, seed=66), GGUF: Generated(400_000, seed=67)})
    sha = repo.branches["main"]

    # Since March 2026: refs, one page of the tree, then the file at the commit.
    refs = mirror.json(api(repo, "/refs"), headers=LLAMA_CPP)[2]
    assert [ref["targetCommit"] for ref in refs["branches"] if ref["name"] == "main"] == [sha]
    status, headers, tree = mirror.json(api(repo, f"/tree/{sha}?recursive=true"), headers=LLAMA_CPP)
    assert (status, headers["Link"]) == (200, None)
    assert {entry["path"] for entry in tree if entry["type"] == "file"} == set(repo.files())
    for path in (GGUF, "sub/" + GGUF):
        status, headers, body = mirror.get(resolve(repo, path, sha), method="HEAD", headers=LLAMA_CPP)
        assert (status, body) == (200, b"")
        assert headers["Content-Length"] == str(repo.entry(path).size)
        assert headers["Accept-Ranges"] == "bytes"
        listed = next(entry["lfs"]["oid"] for entry in tree if entry["path"] == path)
        assert headers["ETag"].strip('"') == listed
        assert mirror.get(resolve(repo, path, sha), headers=LLAMA_CPP)[::2] == (200, repo.content(path))
        resumed = mirror.get(resolve(repo, path, sha), headers={**LLAMA_CPP, **ranged(1000)})
        assert (resumed[0], resumed[2]) == (206, repo.content(path)[1000:])
    # Before: by tag, and told another manifest than Ollama.
    for agent in (LLAMA_CPP, OLLAMA, LLAMA_CPP):
        status, headers, manifest = mirror.json(f"/v2/{repo.id}/manifests/Q4_K_M", headers=agent)
        assert status == 200
        assert "user-agent" in headers["Vary"].lower()
        assert ("ggufFile" in manifest) == (agent is LLAMA_CPP)
    manifest = mirror.json(f"/v2/{repo.id}/manifests/latest", headers=LLAMA_CPP)[2]
    found = manifest["ggufFile"]["rfilename"]
    assert mirror.get(resolve(repo, found), headers=LLAMA_CPP)[::2] == (200, repo.content(found))


def test_67_ollama__pulls_a_model__parts_without_credentials_from_the_place_it_is_told(make_repo, mirror):
    repo = make_repo({GGUF: Generated(350_000, seed=670)})
    manifest = mirror.json(f"/v2/{repo.id}/manifests/Q4_K_M", headers=OLLAMA)[2]
    layers = [*manifest["layers"], manifest["config"]]
    assert f"sha256:{repo.sha256(GGUF)}" in {layer["digest"] for layer in layers}

    for layer in layers:
        path = f"/v2/{repo.id}/blobs/{layer['digest']}"
        status, headers, _ = mirror.get(path, method="HEAD", headers=OLLAMA)
        assert (status, headers["Content-Length"]) == (200, str(layer["size"]))
        status, headers, _ = mirror.get(path, headers=OLLAMA)
        assert headers["Location"]
        place = urlsplit(urljoin(mirror.url + path, headers["Location"]))
        assert status == 200 or (status == 307 and place.hostname != "127.0.0.1")
        spans = [
            ranged(start, min(start + PART_BYTES, layer["size"]) - 1)
            for start in range(0, layer["size"], PART_BYTES)
        ]
        parts = all_at_once(
            [lambda path=place.path, span=span: mirror.get(path, headers=span) for span in spans]
        )
        assert [part[0] for part in parts] == [206] * len(parts)
        content = b"".join(part[2] for part in parts)
        assert f"sha256:{hashlib.sha256(content).hexdigest()}" == layer["digest"]


EXPOSED = {
    "x-repo-commit",
    "x-linked-size",
    "x-linked-etag",
    "etag",
    "link",
    "accept-ranges",
    "content-range",
    "x-error-code",
    "x-error-message",
}


def test_68_browser__of_any_origin__may_read_what_it_needs(make_repo, mirror):
    repo = make_repo()
    origin = {"Origin": "https://page.example"}

    for path in (
        resolve(repo, SMALL),
        resolve(repo, BIG),
        resolve(repo, "none"),
        api(repo),
        api(repo, "/tree/main?limit=1"),
        api(repo, "/tree/none"),
        f"{repo.address}/raw/main/{SMALL}",
        "/api/models?search=org",
        "/org/none/resolve/main/x",
    ):
        for method, more in (("GET", {}), ("HEAD", {}), ("GET", ranged(0, 0))):
            _, headers, _ = mirror.get(path, method=method, headers={**origin, **more})
            assert headers["Access-Control-Allow-Origin"] in ("*", origin["Origin"]), path
            exposed = {name.strip().lower() for name in headers["Access-Control-Expose-Headers"].split(",")}
            assert exposed >= EXPOSED
        asked = {
            **origin,
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "authorization, range, content-type",
        }
        status, headers, _ = mirror.get(path, method="OPTIONS", headers=asked)
        assert status in (200, 204), path
        allowed = {name.strip().lower() for name in headers["Access-Control-Allow-Headers"].split(",")}
        assert allowed >= {"authorization", "range", "content-type"}
        assert {"GET", "HEAD"} <= {
            name.strip() for name in headers["Access-Control-Allow-Methods"].split(",")
        }


@pytest.mark.parametrize("path", [SMALL, BIG])
def test_69_hf_transfer_and_rust__one_byte_first__told_all_and_then_in_parts(make_repo, mirror, path):
    repo = make_repo()
    content = repo.content(path)

    status, headers, body = mirror.get(
        resolve(repo, path), headers={"User-Agent": "hf-hub/0.4", **ranged(0, 0)}
    )

    assert (status, body) == (206, content[:1])
    assert headers["Content-Range"] == f"bytes 0-0/{len(content)}"
    assert headers["X-Repo-Commit"] == repo.branches["main"]
    assert headers["ETag"] == headers["X-Linked-Etag"] == f'"{repo.etag(path)}"'
    assert headers["Location"] is None
    size = int(headers["Content-Range"].rpartition("/")[2])
    step = max(size // 3, 1)
    parts = all_at_once(
        [
            lambda start=start: mirror.get(
                resolve(repo, path), headers=ranged(start, min(start + step - 1, size))
            )
            for start in range(0, size, step)
        ]
    )
    assert {part[0] for part in parts} == {206}
    assert b"".join(part[2] for part in parts) == content


def test_70_file_system__newest_client__lists_finds_reads_and_copies(
    make_repo, mirror, make_client, tmp_path
):
    repo, dataset = make_repo(), make_repo({"data/a.jsonl": b"{}\n"}, type="datasets")
    root = repo.id

    found = make_client(mirror.url).run(
        f"""
        import hashlib
        fs, root, big = HfFileSystem(), {root!r}, {f"{root}/{BIG}"!r}
        names = lambda found: sorted(name.removeprefix(root + "/") for name in found)
        with fs.open(big) as file:
            file.seek(300_000)
            middle = file.read(1000)
            file.seek(0)
            whole = file.read()
        with fs.open(big, block_size=0) as file:
            streamed = file.read()
        fs.get_file(big, {str(tmp_path / "got")!r})
        print(json.dumps([
            names(fs.ls(root, detail=False)),
            names(fs.glob(f"{{root}}/**/*.txt")),
            [fs.exists(big), fs.exists(big + "x"), fs.isdir(root + "/nested"), fs.size(big)],
            [hashlib.sha256(data).hexdigest() for data in (middle, whole, streamed)],
            fs.glob("datasets/{dataset.id}/data/*.jsonl"),
        ]))
        """
    )

    content = repo.content(BIG)
    assert found == [
        sorted([SMALL, EMPTY, BIG, "nested"]),
        sorted([EMPTY, DEEP]),
        [True, False, True, BIG_BYTES],
        [hashlib.sha256(data).hexdigest() for data in (content[300_000:301_000], content, content)],
        [f"datasets/{dataset.id}/data/a.jsonl"],
    ]
    assert (tmp_path / "got").read_bytes() == content
