import pytest

FILE = "/org/name/resolve/main/config.json"
INFO = "/api/models/org/name"


@pytest.mark.parametrize(
    ("path", "token", "told"),
    [
        (INFO, None, '"fixed window";"api";q=500;w=300'),
        (INFO, "hf_alice", '"fixed window";"api";q=1000;w=300'),
        (FILE, None, '"fixed window";"resolvers";q=3000;w=300'),
        (FILE, "hf_alice", '"fixed window";"resolvers";q=5000;w=300'),
    ],
)
def test_policy__by_kind_and_caller__is_that_of_the_hub(ask, repo, path, token, told):
    assert ask(path, token=token).headers["RateLimit-Policy"] == told


def test_remaining__after_each_request__is_one_less_for_that_caller(ask, repo):
    def left(path, token=None):
        return ask(path, token=token).headers["RateLimit"].split(";")[1]

    assert [left(INFO), left(INFO), left(FILE), left(INFO, "hf_bob"), left(INFO)] == [
        "r=499",
        "r=498",
        "r=2999",
        "r=999",
        "r=497",
    ]


@pytest.mark.parametrize(("bucket", "path", "other"), [("api", INFO, FILE), ("resolvers", FILE, INFO)])
def test_quota__used_up__is_a_429_that_says_how_long(hub, ask, repo, bucket, path, other):
    hub.rate_limits.set(bucket, 2, window_s=100)

    statuses = [ask(path).status_code for _ in range(2)]
    refused = ask(path)

    assert statuses == [ask(path, token="hf_alice").status_code] * 2
    assert refused.status_code == 429
    assert 0 < int(refused.headers["Retry-After"]) <= 100
    assert refused.headers["RateLimit"].startswith(f'"{bucket}";r=0;t=')
    assert ask(other).status_code in (200, 307)


def test_quota__window_over__is_there_again(hub, ask, repo):
    hub.rate_limits.set("api", 1, window_s=0)

    assert [ask(INFO).status_code for _ in range(3)] == [200, 200, 200]
