import gzip

import pytest

RESOLVE_BIG = "/org/name/resolve/main/nested/big.bin"
RESOLVE_SMALL = "/org/name/resolve/main/config.json"
SIZE = 3_000_000
HELD_UP_S = 60


def test_rate__small__lets_little_through_and_in_the_end_everything(hub, ask, signed, content):
    fault = hub.fault("cdn", "rate", bytes_per_s=100)
    answer = ask(signed, stream=True, headers={"Range": "bytes=0-49999"})

    first = answer.raw.read(10)
    sent_then = hub.bytes_sent()
    fault.remove()
    rest = answer.raw.read()

    assert sent_then < 10_000
    assert first + rest == content[:50_000]


@pytest.mark.parametrize("after", [0, 1, 262_144, 1_000_000])
def test_cut__after_some_bytes__brings_just_those(hub, receive, signed, content, after):
    hub.fault("cdn", "cut", after=after)

    status, headers, body, is_whole = receive(signed)

    assert (status, headers["Content-Length"], is_whole) == (200, str(SIZE), False)
    assert body == content[:after]


def test_cut__counted_from_the_beginning_of_the_range__brings_just_those(hub, receive, signed, content):
    hub.fault("cdn", "cut", after=100)

    assert receive(signed, (1000, 5000))[2] == content[1000:1100]


def test_cut__answer_shorter_than_that__passes(hub, receive, signed, content):
    fault = hub.fault("cdn", "cut", after=100)

    assert receive(signed, (0, 100))[2:] == (content[:100], True)
    assert fault.hits == 0


def test_cut__with_reset__is_an_error_not_an_end(hub, receive, signed):
    hub.fault("cdn", "cut", after=1_000_000, reset=True)

    with pytest.raises(ConnectionResetError):
        receive(signed)


def test_cut__then_asked_for_the_rest__makes_it_whole(hub, receive, signed, content):
    hub.fault("cdn", "cut", after=1_000_000, times=1)

    body = receive(signed)[2]
    body += receive(signed, (len(body), SIZE))[2]

    assert body == content
    assert hub.bytes_sent() == SIZE


def test_stall__after_some_bytes__is_silent_then_goes_on(hub, ask, signed, content):
    fault = hub.fault("cdn", "stall", after=1000, seconds=HELD_UP_S)
    answer = ask(signed, stream=True)

    first = answer.raw.read(1000)
    sent_then = hub.bytes_sent()
    fault.remove()
    rest = answer.raw.read()

    assert sent_then == 1000
    assert first + rest == content


def test_stall__before_the_first_byte__the_head_is_there(hub, ask, signed):
    fault = hub.fault("cdn", "stall", seconds=HELD_UP_S)

    answer = ask(signed, stream=True)

    assert answer.status_code == 200
    fault.remove()
    assert len(answer.raw.read()) == SIZE


def test_short__asked_for_a_part__promises_all_and_ends_early(hub, receive, signed, content):
    hub.fault("cdn", "short", missing=3)

    status, headers, body, is_whole = receive(signed, (10, 30))

    assert (status, headers["Content-Length"], is_whole) == (206, "20", False)
    assert headers["Content-Range"] == f"bytes 10-29/{SIZE}"
    assert body == content[10:27]


def test_short__more_missing_than_there_is__sends_nothing(hub, receive, signed):
    hub.fault("cdn", "short", missing=100)

    assert receive(signed, (10, 30))[2:] == (b"", False)


def test_short_honest__asked_for_a_part__says_what_it_sends(hub, receive, signed, content):
    hub.fault("cdn", "short_honest", missing=3)

    status, headers, body, is_whole = receive(signed, (10, 30))

    assert (status, headers["Content-Length"], is_whole) == (206, "17", True)
    assert headers["Content-Range"] == f"bytes 10-26/{SIZE}"
    assert body == content[10:27]


def test_long__declared__sends_more_and_says_so(hub, receive, signed, content):
    hub.fault("cdn", "long", extra=5)

    _, headers, body, is_whole = receive(signed, (10, 30))

    assert (headers["Content-Length"], is_whole) == ("25", True)
    assert headers["Content-Range"] == f"bytes 10-29/{SIZE}"
    assert (body[:20], len(body)) == (content[10:30], 25)


def test_long__chunked__sends_more_and_says_nothing(hub, receive, signed, content):
    hub.fault("cdn", "long", extra=500_000, chunked=True)

    _, headers, body, is_whole = receive(signed)

    assert (headers["Content-Length"], headers["Transfer-Encoding"], is_whole) == (None, "chunked", True)
    assert (body[:SIZE], len(body)) == (content, SIZE + 500_000)


def test_corrupt__answers_that_cover_the_byte__have_just_that_one_wrong(hub, receive, signed, content):
    fault = hub.fault("cdn", "corrupt", offset=1_500_000)

    whole, part = receive(signed)[2], receive(signed, (1_499_999, 1_500_001))[2]
    before, behind = receive(signed, (0, 1_500_000))[2], receive(signed, (1_500_001, SIZE))[2]

    wrong = content[1_500_000] ^ 0xFF
    assert whole == content[:1_500_000] + bytes([wrong]) + content[1_500_001:]
    assert part == bytes([content[1_499_999], wrong])
    assert before + behind == content[:1_500_000] + content[1_500_001:]
    assert fault.hits == 2


@pytest.mark.parametrize("where", ["resolve-cache", "resolve"])
def test_corrupt__small_file_from_the_hub__is_wrong_too(hub, ask, repo, where):
    repo.private = where == "resolve"
    repo.grant("alice")
    fault = hub.fault(where, "corrupt", offset=0)

    assert ask(RESOLVE_SMALL, token="hf_alice", follow=True).content == b'\x84"a": 1}\n'
    assert fault.hits == 1


def test_gzip__identity_asked__is_compressed_all_the_same(hub, ask, receive, signed, content):
    hub.fault("cdn", "gzip")

    _, headers, body, _ = receive(signed)

    assert headers["Content-Encoding"] == "gzip"
    assert body != content
    assert gzip.decompress(body) == content


# --- the head ----------------------------------------------------------------------


@pytest.mark.parametrize(("matching", "first_byte"), [(False, 10), (True, 13)])
def test_wrong_content_range__asked_for_a_part__states_another(
    hub, receive, signed, content, matching, first_byte
):
    hub.fault("cdn", "wrong_content_range", shift=3, matching=matching)

    status, headers, body, _ = receive(signed, (10, 30))

    assert (status, headers["Content-Range"]) == (206, f"bytes 13-32/{SIZE}")
    assert body == content[first_byte : first_byte + 20]


def test_wrong_content_range__at_the_end_of_the_file__shifts_the_other_way(hub, receive, signed):
    hub.fault("cdn", "wrong_content_range", shift=3)

    assert receive(signed, (SIZE - 5, SIZE))[1]["Content-Range"] == f"bytes {SIZE - 8}-{SIZE - 4}/{SIZE}"


def test_wrong_total__asked_for_a_part__states_another_size(hub, ask, receive, signed):
    hub.fault("any", "wrong_total", by=-2)

    assert receive(signed, (10, 30))[1]["Content-Range"] == f"bytes 10-29/{SIZE - 2}"
    assert ask(RESOLVE_BIG, method="HEAD").headers["X-Linked-Size"] == str(SIZE - 2)


def test_drop_headers__named_in_any_case__are_gone(hub, ask, repo):
    hub.fault("resolve", "drop_headers", names=["x-repo-commit", "X-Linked-ETag"])

    headers = ask(RESOLVE_BIG, method="HEAD").headers

    assert not {"X-Repo-Commit", "X-Linked-Etag"} & set(headers)
    assert headers["X-Linked-Size"] == str(SIZE)


def test_drop_headers__content_length__the_body_ends_with_the_connection(hub, receive, signed, content):
    hub.fault("cdn", "drop_headers", names=["Content-Length"])

    _, headers, body, _ = receive(signed)

    assert headers["Content-Length"] is None
    assert body == content


def test_set_headers__named_in_any_case__take_the_place_of_others(hub, ask, repo):
    hub.fault("resolve", "set_headers", headers={"x-linked-etag": '"other"', "X-New": "1"})

    headers = ask(RESOLVE_BIG, method="HEAD").headers

    assert (headers["X-Linked-Etag"], headers["X-New"]) == ('"other"', "1")


def test_bytes_sent__of_spoiled_answers__are_those_that_went_out(hub, receive, signed):
    hub.fault("cdn", "cut", after=1234, times=1)
    hub.fault("cdn", "short", missing=10, skip=1, times=1)

    received = [len(receive(signed)[2]) for _ in range(2)]

    assert received == [call.bytes_sent for call in hub.select(host="cdn")] == [1234, SIZE - 10]
