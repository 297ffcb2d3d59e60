import pytest

from dingospeed.mirror.registry import checked

DIGEST = f"sha256:{'a' * 64}"


def manifest(**layer):
    return {"schemaVersion": 2, "layers": [{"digest": DIGEST, "size": 3, **layer}]}


def test_checked__addresses_and_xet__left_out_and_the_rest_kept():
    value = manifest(urls=["https://cdn.example/x", "y"], annotations={"source": "http://huggingface.co/x"})
    value["ggufFile"] = {"rfilename": "a.gguf", "xetHash": "b" * 64}

    assert checked(value) == {
        **manifest(urls=["y"], annotations={}),
        "ggufFile": {"rfilename": "a.gguf"},
    }


@pytest.mark.parametrize(
    "value",
    [
        [],
        {},
        {"layers": {}},
        {"layers": ["x"]},
        manifest(digest=DIGEST.upper()),
        manifest(digest="sha256:../../etc"),
        manifest(size="3"),
        manifest(size=-1),
        manifest(size=True),
        {**manifest(), "config": {"digest": "x", "size": 1}},
        {**manifest(), "config": "x"},
    ],
    ids=str,
)
def test_checked__no_manifest__is_not_taken_for_one(value):
    with pytest.raises(ValueError, match="manifest"):
        checked(value)
