"""What /metrics tells, over two real workers: all that happens, in bounded words, and nothing of anybody."""

import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from dingospeed.testing import Generated
from tests.harness import mirrors_in, wait_until

pytestmark = pytest.mark.server

TOKEN = "hf_aTokenOfSomebodys0000"
LABELS = {"kind", "status", "cache", "result", "line", "bucket", "pid", "le", "method", "version"}
LABELS |= {"state", "strategy", "direction", "node", "exception", "endpoint"}


@pytest.fixture(scope="module")
def mirror(shared_hub, tmp_path_factory):
    shared_hub.add_user("ann", token=TOKEN)
    with mirrors_in(tmp_path_factory.mktemp("measured")) as make:
        yield make(shared_hub)


def samples(mirror):
    status, headers, body = mirror.get("/metrics")
    assert (status, headers["Content-Type"].partition(";")[0]) == (200, "text/plain")
    families = text_string_to_metric_families(body.decode())
    return [sample for family in families for sample in family.samples]


def value(mirror, name, **labels):
    """The sum of the samples of *name* that have *labels*."""
    found = samples(mirror)
    return sum(one.value for one in found if one.name == name and labels.items() <= one.labels.items())


def test_metrics__a_file_cold_and_warm__all_of_it_is_counted(mirror, shared_hub):
    repo = shared_hub.add_repo("models", "org/measured")
    repo.commit({"a.bin": Generated(size=1_000_000, seed=3)})
    before = {name: value(mirror, name) for name in ("dingospeed_served_bytes_total",)}

    for _ in range(2):
        assert mirror.get(f"/{repo.id}/resolve/main/a.bin", token=TOKEN)[0] == 200
    mirror.get(f"/{repo.id}/resolve/main/none.bin")

    def all_told():
        return value(mirror, "dingospeed_served_bytes_total", cache="HIT") == 1_000_000

    wait_until(all_told)
    line = shared_hub.url.partition("//")[2]
    expected = {
        ("dingospeed_served_bytes_total", "cache", "MISS"): 1_000_000,
        ("dingospeed_upstream_bytes_total", "line", line): 1_000_000,
        ("dingospeed_requests_total", "status", "404"): 1,
        ("dingospeed_file_requests_total", "result", "complete"): 2,
        ("dingospeed_sealed_blobs_total", "", ""): 1,
        ("dingospeed_verify_seconds_count", "", ""): 1,
        ("dingospeed_upstream_line_up", "line", line): 1,
        ("dingospeed_live_transfers", "", ""): 0,
        ("dingospeed_first_byte_seconds_count", "cache", "MISS"): 1,
        ("dingospeed_request_seconds_count", "cache", "HIT"): 1,
    }
    for (name, label, wanted), number in expected.items():
        assert value(mirror, name, **({label: wanted} if label else {})) == number, name
    assert before == {"dingospeed_served_bytes_total": 0}
    # Nothing is counted twice: the exporter has what is no file and no question.
    assert value(mirror, "flask_http_request_total", status="404") == 0
    assert value(mirror, "flask_http_request_duration_seconds_count", endpoint="admin.metrics") > 0
    # Two segments, at least: one request each.
    assert value(mirror, "dingospeed_fills_total", result="complete") == 2
    assert value(mirror, "dingospeed_upstream_calls_total", line=line, bucket="api", result="answer") > 0
    assert value(mirror, "dingospeed_upstream_calls_total", bucket="resolvers", result="answer") >= 1
    assert value(mirror, "dingospeed_upstream_call_seconds_count", line=line) > 0
    assert value(mirror, "dingospeed_upstream_rate_remaining_requests", line=line) > 0
    assert value(mirror, "dingospeed_disk_size_bytes") > value(mirror, "dingospeed_disk_free_bytes") > 0


def test_metrics__of_the_workers__each_tells_of_itself(mirror):
    pids = {str(worker.pid) for worker in mirror.workers()}

    def told(name):
        return {one.labels["pid"]: one.value for one in samples(mirror) if one.name == name}

    wait_until(lambda: value(mirror, "dingospeed_hub_lag_seconds_count") > 0)
    for name in ("memory_bytes", "cpu_seconds", "open_files"):
        # A gauge is there, as 0, before it is first set.
        wait_until(lambda name=name: all(told(f"dingospeed_worker_{name}").values()), name)
        assert set(told(f"dingospeed_worker_{name}")) == pids
    assert set(told("dingospeed_worker_lag_seconds")) == pids


def test_metrics__a_line_that_fails__calls_and_retries_are_counted(mirror, shared_hub):
    repo = shared_hub.add_repo("models", "org/failing")
    repo.commit({"a.bin": Generated(size=100_000, seed=4)})
    mirror.get(f"/{repo.id}/resolve/main/a.bin", method="HEAD")
    shared_hub.fault(where="cdn", kind="status", code=500, times=2)

    assert mirror.get(f"/{repo.id}/resolve/main/a.bin")[0] == 200

    assert value(mirror, "dingospeed_upstream_calls_total", result="failed") == 2
    assert value(mirror, "dingospeed_upstream_failures_total") == 2
    assert value(mirror, "dingospeed_upstream_retries_total") == 2


def test_metrics__whoever_asks_for_what__names_and_tokens_are_not_in_them(mirror, shared_hub):
    mirror.get("/org-in-url/name-in-url/resolve/main/file-in-url", token=TOKEN)
    mirror.get("/api/models/org-in-url/name-in-url")

    text = mirror.get("/metrics")[2].decode()

    assert not re.search("in-url|org/|hf_|127.0.0.1(?!:)", text)
    assert {label for one in samples(mirror) for label in one.labels} <= LABELS
