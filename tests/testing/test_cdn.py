import pytest


def test_cdn__signed_address__gives_the_bytes_under_an_etag_of_its_own(ask, repo, signed):
    answer = ask(signed)

    assert answer.content == repo.content("nested/big.bin")
    assert answer.headers["ETag"] == f'"{repo.entry("nested/big.bin").xet_hash}"'
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["Content-Disposition"] == "inline; filename*=UTF-8''big.bin; filename=\"big.bin\";"
    assert not [name for name in answer.headers if name.lower().startswith("x-repo")]


def test_cdn__head__has_the_size_and_no_body(ask, signed):
    answer = ask(signed, method="HEAD")

    assert (answer.status_code, answer.headers["Content-Length"], answer.content) == (200, "3000000", b"")


def test_cdn__authorization_sent__refuses_and_counts_a_leak(hub, ask, signed):
    answer = ask(signed, token="hf_alice")

    assert answer.status_code == 400
    assert [call.authorization for call in hub.leaks] == ["alice"]


def test_cdn__no_authorization_sent__counts_no_leak(hub, ask, signed):
    ask(signed)
    ask("/api/whoami-v2", token="hf_alice")

    assert hub.leaks == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda url: url.partition("?")[0],
        lambda url: url.replace("Expires=", "Expires=9"),
        lambda url: url.replace("/xet-bridge-us/", "/xet-bridge-eu/"),
        lambda url: url.replace("&Signature=", "&Signature=0"),
    ],
)
def test_cdn__address_that_was_not_given_out__is_denied(ask, signed, spoil):
    answer = ask(spoil(signed))

    assert answer.status_code == 403
    assert "AccessDenied" in answer.text


def test_cdn__address_of_the_past__is_denied(hub, ask, repo):
    hub.content.signature_lifetime_s = -1
    url = ask("/org/name/resolve/main/nested/big.bin").headers["Location"]

    assert ask(url).status_code == 403


def test_cdn__if_range_of_other_content__gives_everything(ask, repo, signed):
    other = ask(signed, headers={"Range": "bytes=0-9", "If-Range": '"other"'})
    same = ask(
        signed, headers={"Range": "bytes=0-9", "If-Range": f'"{repo.entry("nested/big.bin").xet_hash}"'}
    )

    assert (other.status_code, same.status_code) == (200, 206)


def test_cdn__put__is_refused(ask, signed):
    assert ask(signed, method="PUT").status_code == 405
