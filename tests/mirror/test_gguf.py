import pytest

from dingospeed.mirror.gguf import choose, manifest_of
from dingospeed.mirror.tree import Tree
from dingospeed.model import RepoRef

NAMES = [
    "README.md",
    "m-IQ4_XS.gguf",
    "m-Q4_K.gguf",
    "m-Q4_K_M.gguf",
    "m-Q8_0/m-Q8_0-00001-of-00002.gguf",
    "m-Q8_0/m-Q8_0-00002-of-00002.gguf",
    "m-UD-Q5_K_XL.gguf",
    "mmproj-BF16.gguf",
]


def entry(path, number=0):
    lfs = {"oid": f"{number:064x}", "size": 100 + number, "pointerSize": 130}
    return {"type": "file", "path": path, "size": 100 + number, "oid": "1" * 40, "lfs": lfs}


@pytest.mark.parametrize(
    ("tag", "path"),
    [
        ("Q4_K_M", "m-Q4_K_M.gguf"),
        ("q4_k_m", "m-Q4_K_M.gguf"),
        ("Q4_K", "m-Q4_K.gguf"),
        ("latest", "m-Q4_K_M.gguf"),
        ("Q8_0", "m-Q8_0/m-Q8_0-00001-of-00002.gguf"),
        ("UD-Q5_K_XL", "m-UD-Q5_K_XL.gguf"),
        ("m-Q4_K_M.gguf", "m-Q4_K_M.gguf"),
        ("Q4_XS", None),
        ("BF16", None),
        (".", None),
    ],
)
def test_choose__tag__the_file_that_has_it_as_a_word(tag, path):
    assert choose(NAMES, tag) == path


@pytest.mark.parametrize(
    ("names", "path"),
    [
        (["b-Q2_K.gguf", "a-Q6_K.gguf"], "a-Q6_K.gguf"),
        (["b-Q4_0.gguf", "a-Q6_K.gguf"], "b-Q4_0.gguf"),
        (["mmproj-F16.gguf", "README.md"], None),
    ],
)
def test_choose__latest_without_the_preferred__the_next_best(names, path):
    assert choose(names, "latest") == path


def test_manifest_of__tree__what_llama_cpp_reads():
    entries = [entry("mmproj-BF16.gguf", 1), entry("m-Q4_K_M.gguf", 2)]

    manifest = manifest_of(Tree(RepoRef("models", "org", "name"), "c" * 40, entries), "latest")

    assert manifest is not None
    assert manifest["ggufFile"] == {
        "rfilename": "m-Q4_K_M.gguf",
        "blobId": f"sha256:{2:064x}",
        "size": 102,
        "lfs": {"sha256": f"{2:064x}", "size": 102, "pointerSize": 130},
    }
    assert manifest["mmprojFile"]["rfilename"] == "mmproj-BF16.gguf"
    assert manifest["layers"][0]["digest"] == f"sha256:{2:064x}"


def test_manifest_of__nothing_fits__none():
    tree = Tree(RepoRef("models", "org", "name"), "c" * 40, [entry("m-Q4_K_M.gguf")])

    assert manifest_of(tree, "Q8_0") is None
