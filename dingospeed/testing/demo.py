"""A few repos to look around in, of every sort the Hub has."""

from __future__ import annotations

from dingospeed.testing.content import Content
from dingospeed.testing.git import lfs_attributes
from dingospeed.testing.payload import Generated
from dingospeed.testing.repos import File

GRANTED_TOKEN = "hf_demo_granted"
OTHER_TOKEN = "hf_demo_other"
WEIGHTS_BYTES = 100_000_000


def demo_content() -> Content:
    content = Content()
    content.add_user("granted", token=GRANTED_TOKEN)
    content.add_user("other", token=OTHER_TOKEN)

    model = content.add_repo("models", "demo/tiny-model")
    first = model.commit(
        {
            ".gitattributes": lfs_attributes("*.safetensors", "*.bin"),
            "README.md": "# A tiny model\n\nMade up, byte by byte – by a fake Hub.\n".encode(),
            "config.json": b'{"model_type": "tiny"}\n',
            "model.safetensors": Generated(WEIGHTS_BYTES, seed=1),
        },
        message="initial commit",
    )
    model.tag("v1", first)
    model.commit(
        {
            "empty.txt": b"",
            "nested/a/b/deep.txt": b"deep down\n",
            "nested/with space + #1.txt": b"an odd name\n",
            "nested/grüße-世界.txt": b"hello\n",
            "nested/more.bin": Generated(5_000_000, seed=2),
        },
        message="Add files with odd names",
    )

    dataset = content.add_repo("datasets", "demo/tiny-dataset")
    rows = "".join(f'{{"id": {number}}}\n' for number in range(100)).encode()
    dataset.commit({"README.md": b"# A tiny dataset\n", "data/train.jsonl": rows})
    content.add_repo("spaces", "demo/tiny-space").commit({"index.html": b"<h1>Hello</h1>\n"})

    secret: dict[str, bytes | Generated | File] = {
        "README.md": b"# Not for everybody\n",
        "weights.bin": Generated(3_000_000, seed=3),
    }
    for repo in (
        content.add_repo("models", "demo/gated-model", gated="manual"),
        content.add_repo("models", "demo/private-model", private=True),
    ):
        repo.commit(secret)
        repo.grant("granted")
    content.move("models", "demo/old-name", "demo/tiny-model")
    return content
