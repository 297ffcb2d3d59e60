import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dingospeed.config import Settings, load_settings
from dingospeed.config.load import settings_of
from dingospeed.errors import ConfigError


@pytest.fixture
def load(tmp_path):
    """Load from the text of a file, an environment and flags."""

    def load(text="", environ=None, flags=None):
        file = tmp_path / "ds.yaml"
        file.write_text(text)
        return load_settings(file, environ or {}, flags or {})

    return load


@pytest.fixture
def refused(load):
    """What the one error tells: a line for each problem, the directory of the file left off."""

    def refused(*args, **kwargs):
        with pytest.raises(ConfigError) as caught:
            load(*args, **kwargs)
        head, *problems = str(caught.value).splitlines()
        assert "wrong" in head
        return [problem.strip().rpartition("/ds.yaml")[2] or problem.strip() for problem in problems]

    def short(*args, **kwargs):
        return [text if not text.startswith(":") else f"ds.yaml{text}" for text in refused(*args, **kwargs)]

    return short


# --- which place wins -----------------------------------------------------------


def test_load__nothing_given__is_the_defaults():
    assert load_settings(None, {}, {}) == Settings()


def test_load__all_places_given__flag_wins_over_environment_over_file(load):
    file = "server: {port: 1, workers: 1, host: file}"
    environ = {"DINGOSPEED_SERVER__PORT": "2", "DINGOSPEED_SERVER__WORKERS": "2"}

    server = load(file, environ, {"--port": 3}).server

    assert (server.port, server.workers, server.host) == (3, 2, "file")


def test_load__file_named_by_variable__is_read(tmp_path):
    file = tmp_path / "named.yaml"
    file.write_text("server: {port: 7}")

    assert load_settings(None, {"DINGOSPEED_CONFIG": str(file)}, {}).server.port == 7


def test_load__file_named_by_option_and_variable__option_wins(tmp_path):
    file = tmp_path / "option.yaml"
    file.write_text("server: {port: 8}")

    assert load_settings(file, {"DINGOSPEED_CONFIG": "/not/there"}, {}).server.port == 8


def test_load__section_with_everything_commented_out__is_the_defaults(load):
    assert load("server:\n  # port: 1\nupstream:\n  timeouts:\n") == Settings()


def test_load__empty_file__is_the_defaults(load):
    assert load("# nothing\n") == Settings()


# --- values -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "size"),
    [("65536", 65536), ("128KiB", 131072), ("1 MiB", 1 << 20), ("2M", None), ("4mib", 1 << 22)],
)
def test_size__with_or_without_unit__is_bytes(load, refused, text, size):
    environ = {"DINGOSPEED_DOWNLOAD__BLOCK_BYTES": text}

    if size is None:
        assert "power of two" in refused("", environ)[0]
    else:
        assert load("", environ).download.block_bytes == size


def test_variable__nested_twice__sets_the_inner_setting(load):
    assert load("", {"DINGOSPEED_UPSTREAM__TIMEOUTS__READ_S": "4.5"}).upstream.timeouts.read_s == 4.5


def test_variable__empty__counts_as_absent(load):
    assert (
        load("admin: {token: abc}", {"DINGOSPEED_ADMIN__TOKEN": ""}).admin.token.get_secret_value() == "abc"
    )


def test_variable__null__takes_back_what_the_file_says(load):
    assert load("admin: {token: abc}", {"DINGOSPEED_ADMIN__TOKEN": "null"}).admin.token is None


def test_variable__token_of_digits__stays_text(load):
    assert load("", {"DINGOSPEED_ADMIN__TOKEN": "0123"}).admin.token.get_secret_value() == "0123"


@pytest.mark.parametrize("text", ['["http://a:1", {"url": "http://b"}]', "[http://a:1, {url: http://b}]"])
def test_variable__lines_as_json_or_yaml__are_the_lines(load, text):
    lines = load("", {"DINGOSPEED_UPSTREAM__LINES": text}).upstream.lines

    assert [line.url for line in lines] == ["http://a:1", "http://b"]


def test_variable__link_of_kubernetes_to_our_own_service__is_not_ours(load):
    links = {
        "DINGOSPEED_SERVICE_HOST": "10.0.0.1",
        "DINGOSPEED_SERVICE_PORT_HTTP": "80",
        "DINGOSPEED_PORT": "tcp://10.0.0.1:80",
        "DINGOSPEED_PORT_80_TCP_ADDR": "10.0.0.1",
    }

    assert load("", links) == Settings()


def test_trusted_proxies__addresses_and_networks__are_kept_as_text(load):
    server = load('server: {trusted_proxies: ["10.0.0.5", "10.1.0.0/16", "::1"]}').server

    assert server.trusted_proxies == ("10.0.0.5", "10.1.0.0/16", "::1")


def test_access__lists_of_repos_and_rules__are_kept_as_they_are(load):
    access = load(
        "access:\n  deny: [models/org/*, gpt2, 'datasets/**']\n"
        "  node_token:\n    - {repos: [org/*], networks: [10.0.0.0/8, '::1']}\n"
    ).access

    assert access.allow == access.cache == ("*",)
    assert access.deny == ("models/org/*", "gpt2", "datasets/**")
    [rule] = access.node_token
    assert (rule.repos, rule.networks) == (("org/*",), ("10.0.0.0/8", "::1"))


@pytest.mark.parametrize(
    "text",
    [
        "deny: [model/org/*]",
        "deny: [org//x]",
        "deny: [/org/x]",
        "deny: ['org/x/']",
        "deny: ['[ab]/x']",
        "deny: org/x",
        "deny: ['']",
        "deny: [a/b/c/d]",
        "node_token: [{repos: [org/*]}]",
        "node_token: [{repos: [org/*], networks: []}]",
        "node_token: [{repos: [], networks: [10.0.0.0/8]}]",
        "node_token: [{networks: [10.0.0.0/8]}]",
        "node_token: [{repos: ['*'], networks: [everyone]}]",
    ],
)
def test_access__pattern_or_rule_that_would_not_do_what_is_meant__is_refused(refused, text):
    [told] = refused(f"access: {{{text}}}")

    assert "expected a list of" in told


@pytest.mark.parametrize("share", ["never", "always", "0.25"])
def test_finish_abandoned__word_or_share__is_taken(load, share):
    when = load("", {"DINGOSPEED_DOWNLOAD__FINISH_ABANDONED": share}).download.finish_abandoned

    assert str(when) == share


def test_settings__once_made__can_not_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        Settings().server.port = 1


# --- lines ------------------------------------------------------------------------


def test_lines__hub_not_said__only_huggingface_is_the_hub(load):
    lines = load("upstream: {lines: [https://huggingface.co/, http://localhost:99]}").upstream.lines

    assert [(line.url, line.hub, line.name) for line in lines] == [
        ("https://huggingface.co", True, "huggingface.co"),
        ("http://localhost:99", False, "localhost:99"),
    ]


def test_lines__host_only_looks_like_the_hub__gets_no_tokens(load):
    urls = "https://huggingface.co.evil.org, https://evilhuggingface.co, https://hf.co"

    assert not any(line.hub for line in load(f"upstream: {{lines: [{urls}]}}").upstream.lines)


def test_lines__of_the_command_line__only_this_machine_and_huggingface_get_tokens(load):
    here = ("http://127.0.0.1:8091", "http://localhost:1")
    urls = ("http://a", here[0], "https://hf-mirror.com", here[1], "https://huggingface.co")

    lines = load("", flags={"--upstream": urls}).upstream.lines

    assert [line.hub for line in lines] == [False, True, False, True, True]


def test_lines__none_but_offline__is_fine(load):
    assert load("upstream: {lines: [], offline: true}").upstream.lines == ()


# --- what is wrong ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "server:\n  port: 65536",
            "ds.yaml:2: server.port: expected a port, 0 to 65535 (0: any free one); found 65536",
        ),
        (
            "server: {port: '80x'}",
            "ds.yaml:1: server.port: expected a port, 0 to 65535 (0: any free one); found '80x'",
        ),
        (
            "server: {workers: 0}",
            "ds.yaml:1: server.workers: expected a whole number of processes, 1 to 256; found 0",
        ),
        (
            "server: {workers: yes}",
            "ds.yaml:1: server.workers: expected a whole number of processes, 1 to 256; found true",
        ),
        (
            "server: {keepalive_s: .nan}",
            "ds.yaml:1: server.keepalive_s: expected seconds, 0 to 3600; found nan",
        ),
        (
            "server: {trusted_proxies: [10.0.0.1, 10.0.0.1/8]}",
            "ds.yaml:1: server.trusted_proxies[1]: expected a list of addresses and networks such as "
            '"10.0.0.5" or "10.0.0.0/8"; found \'10.0.0.1/8\'',
        ),
        (
            "download:\n\n  segment_blocks: 12",
            "ds.yaml:3: download.segment_blocks: expected a whole number of blocks, a multiple of 8, 8 to 1024;"
            " found 12",
        ),
        (
            "download: {block_bytes: 32MiB}",
            "ds.yaml:1: download.block_bytes: expected bytes, a power of two, 64KiB to 16MiB; found 33554432",
        ),
        (
            "download: {block_bytes: 1000000}",
            "ds.yaml:1: download.block_bytes: expected bytes, a power of two, 64KiB to 16MiB; found 1000000",
        ),
        (
            "download: {finish_abandoned: 1}",
            'ds.yaml:1: download.finish_abandoned: expected "never", "always" or a share of the file between 0 and 1;'
            " found 1",
        ),
        (
            "upstream: {timeouts: {read_s: 10}}",
            "ds.yaml:1: upstream.timeouts.read_s: expected seconds, at least 0.1 and less than 10"
            " (clients give up after 10 s of silence); found 10",
        ),
        (
            "upstream: {ca_bundle: /not/there.pem}",
            "ds.yaml:1: upstream.ca_bundle: expected null, or the path of an existing file or directory of"
            " CA certificates; found '/not/there.pem'",
        ),
        (
            "upstream: {lines: []}",
            "ds.yaml:1: upstream.lines: expected at least one line, or upstream.offline: true; found a list",
        ),
        (
            "upstream: {lines: [http://a, {url: http://b, name: a}]}",
            "ds.yaml:1: upstream.lines: expected another name for every line; twice there is 'a'; found a list",
        ),
        (
            "upstream:\n  lines:\n    - url: http://a\n    - hub: true",
            "ds.yaml:4: upstream.lines[1].url: expected an http or https URL of host and port only: no path, query or"
            " credentials; found nothing",
        ),
        (
            "upstream:\n  lines:\n    - url: http://a\n      proxy: gopher://x",
            "ds.yaml:4: upstream.lines[0].proxy: expected null, or an http, https, socks5 or socks5h URL of host and"
            " port; found 'gopher://x'",
        ),
        (
            "xet: {mode: serve}",
            'ds.yaml:1: xet.mode: expected "auto", "on" or "off"; found \'serve\'',
        ),
        ("log: 5", "ds.yaml:1: log: expected a mapping with level, format, access; found 5"),
        ("- log", "ds.yaml:1: expected sections with settings; found a list"),
        ("server: {prot: 1}", "ds.yaml:1: server.prot: expected 'port', perhaps; found an unknown key"),
        (
            "log: {zzz: 1}",
            "ds.yaml:1: log.zzz: expected one of level, format, access; found an unknown key",
        ),
        (
            "log:\n  level: info\n  level: debug",
            "ds.yaml:3: log.level: expected every key once; found it again (first in line 2)",
        ),
        (
            "log: {level: &a info, format: *a}",
            "ds.yaml:1: log.format: expected the value itself; found an alias (*name)",
        ),
        ("log: {5: 6}", "ds.yaml:1: log: expected keys that are words; found another kind of key"),
        (
            "log:\n  level: !!python/name:os.system",
            "ds.yaml:2: log.level: expected a plain value; found one that can not be read as"
            " tag:yaml.org,2002:python/name:os.system",
        ),
        (
            "log: {level: info\n\nserver: 1",
            "ds.yaml:3: expected YAML; found expected ',' or '}', but got ':'",
        ),
        (
            "cluster: {redis_url: 'http://a'}",
            "ds.yaml:1: cluster.redis_url: expected null, or a URL: redis://, rediss://, unix://,"
            " redis+sentinel:// or rediss+sentinel://; found a value not shown here",
        ),
        (
            "cluster: {node_id: a/b}",
            "ds.yaml:1: cluster.node_id: expected null, or a name of letters, digits and . _ : -, at most 100;"
            " found 'a/b'",
        ),
        (
            "alerts: {hooks: []}",
            "ds.yaml:1: alerts.hooks: expected 'webhooks', perhaps; found an unknown key",
        ),
        (
            "alerts: {webhooks: [{kind: json, url: 'ftp://host/secret'}]}",
            "ds.yaml:1: alerts.webhooks[0].url: expected an http or https URL without credentials before the host;"
            " found a value not shown here",
        ),
        (
            "alerts: {webhooks: [{kind: wecom, url: 'http://host/x', secret: sesame}]}",
            "ds.yaml:1: alerts.webhooks[0].secret: expected null: a webhook of the kind wecom knows no signature;"
            " found a value not shown here",
        ),
        (
            'warmup: {jobs: [{repo: org/x, every: 6h, at: "03:00"}]}',
            "ds.yaml:1: warmup.jobs[0]: expected either `every` or `at`; found a mapping",
        ),
        (
            "warmup: {jobs: [{repo: org/x, every: 6 hours}]}",
            'ds.yaml:1: warmup.jobs[0].every: expected null, or seconds or a time such as "6h", at least a minute;'
            " found '6 hours'",
        ),
        (
            "warmup: {limits: [{start: 08:00, stop: 20:00}]}",
            'ds.yaml:1: warmup.limits[0].stop: expected a time of day, "00:00" to "23:59", in quotes; found 1200',
        ),
        (
            "xet: []",
            "ds.yaml:1: xet: expected a mapping with mode, above_bytes; found a list",
        ),
    ],
)
def test_file__value_is_wrong__error_tells_where_which_expected_and_found(refused, text, told):
    assert refused(text) == [told]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("ftp://a", "ftp://a"),
        ("https://a/path", "https://a/path"),
        ("https://a?q=1", "https://a?q=1"),
        ("https://a/#", "https://a/#"),
        ("https://user:word@a", "https://***@a"),
        ("https://", "https://"),
        ("https://a:99999", "https://a:99999"),
        ("https://[::1", "https://[::1"),
        ("https://a b", "https://a b"),
        ("huggingface.co", "huggingface.co"),
    ],
)
def test_line__url_is_not_just_a_server__is_refused(refused, url, shown):
    told = refused("", flags={"--upstream": [url]})

    assert told == [
        "--upstream: upstream.lines[0].url: expected an http or https URL of host and port only: no path, query or "
        f"credentials; found '{shown}'"
    ]


def test_variable__value_is_wrong__error_names_the_variable(refused):
    told = refused("server: {workers: 1}", {"DINGOSPEED_SERVER__WORKERS": "many"})

    assert told == [
        "DINGOSPEED_SERVER__WORKERS: server.workers: expected a whole number of processes, 1 to 256; found 'many'"
    ]


def test_variable__list_can_not_be_read__is_one_problem(refused):
    told = refused("", {"DINGOSPEED_UPSTREAM__LINES": "[http://a"})

    assert len(told) == 1
    assert told[0].startswith("DINGOSPEED_UPSTREAM__LINES: upstream.lines: expected YAML; found ")


@pytest.mark.parametrize(
    "name", ["DINGOSPEED_SERVER__PROT", "DINGOSPEED_SERVER", "DINGOSPEED_UPSTREAM__LINES__0__URL"]
)
def test_variable__of_no_setting__is_refused(refused, name):
    told = refused("", {name: "1"})

    assert [problem.partition(":")[0] for problem in told] == [name]


def test_variable__of_no_setting__nearest_is_proposed(refused):
    told = refused("", {"DINGOSPEED_SERVER__PROT": "1"})

    assert told == [
        "DINGOSPEED_SERVER__PROT: expected DINGOSPEED_SERVER__PORT, perhaps;"
        " found a variable of a setting that does not exist"
    ]


def test_flag__value_is_wrong__error_names_the_flag(refused):
    told = refused("server: {port: 1}", {"DINGOSPEED_SERVER__PORT": "2"}, {"--port": "x"})

    assert told == ["--port: server.port: expected a port, 0 to 65535 (0: any free one); found 'x'"]


def test_combination__of_a_value_and_a_default__error_names_the_place_of_the_value(refused):
    told = refused("download:\n  parallel: 4")

    assert told == [
        "ds.yaml:2: download.read_ahead: expected a whole number of segments, at most download.parallel (4); found 12"
    ]


def test_combination__probing_ends_before_it_begins__is_refused(refused):
    told = refused("upstream: {probe_s: 9, probe_max_s: 3}")

    assert told == [
        "ds.yaml:1: upstream.probe_max_s: expected seconds, at least upstream.probe_s (9); found 3"
    ]


@pytest.mark.parametrize(("repos", "public"), [("a", "a"), ("a", "./a/b"), ("a/b", "a"), ("a", "c/../a")])
def test_combination__one_directory_inside_the_other__is_refused(refused, repos, public):
    told = refused("", flags={"--repos": repos, "--public": public})

    assert told == [
        f"--public: cache.public: expected the path of a directory apart from cache.repos ({repos});"
        f" found '{public}'"
    ]


def test_many_problems__in_all_places__are_told_at_once(refused):
    told = refused(
        "server:\n  port: -1\nupstream:\n  retries: 0\nnope: 1",
        {"DINGOSPEED_LOG__LEVEL": "loud", "DINGOSPEED_NOPE": "1"},
        {"--workers": "0"},
    )

    assert sorted(problem.partition(": ")[0] for problem in told) == [
        "--workers",
        "DINGOSPEED_LOG__LEVEL",
        "DINGOSPEED_NOPE",
        "ds.yaml:2",
        "ds.yaml:4",
        "ds.yaml:5",
    ]


@pytest.mark.parametrize("name", ["/not/there.yaml", "/", "nul\0"])
def test_file__can_not_be_read__is_a_config_error_that_names_it(name):
    with pytest.raises(ConfigError, match="expected a file that can be read") as caught:
        load_settings(Path(name), {}, {})

    assert name in str(caught.value)


@pytest.mark.parametrize(
    ("text", "environ"),
    [
        ("admin: {token: 'tell nobody'}", {}),
        ("upstream: {lines: [{url: http://a, token: [tell nobody]}]}", {}),
        ("upstream: {lines: [{url: http://a, proxy: 'http://me:tell nobody@'}]}", {}),
        ("upstream: {lines: [{url: http://a, proxy: 'http://tell nobody:tell@x/y'}]}", {}),
        ("admin: {tokn: tell nobody}", {}),
        ("", {"DINGOSPEED_ADMIN__TOKEN": "tell nobody"}),
        ("", {"DINGOSPEED_TOKEN": "tell nobody"}),
        ("cluster: {redis_url: 'tell nobody'}", {}),
    ],
)
def test_secret__is_wrong__error_does_not_quote_it(refused, text, environ):
    told = refused(text, environ)

    assert len(told) == 1
    assert "tell" not in told[0]


# --- nothing but ConfigError ----------------------------------------------------------

KEYS = [".".join(map(str, key)) for key, _ in settings_of(Settings)]
WORDS = st.sampled_from(
    sorted(
        {part for key in KEYS for part in key.split(".")} | {"url", "hub", "name", "proxy", "token", "huh"}
    )
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.dates()
    | st.sampled_from(
        ["http://a", "https://[", "http://a:b", "socks5://u:p@h:1", "9" * 400 + "MiB", "10.0.0.0/8", "~"]
    )
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)


def outcome(file, environ, flags):
    """Settings or a ConfigError; any other exception fails the test."""
    try:
        return load_settings(file, environ, flags)
    except ConfigError as error:
        return error


@given(tree=st.dictionaries(WORDS, TREES, max_size=4), data=st.data())
def test_file__any_tree__is_settings_or_a_config_error(tmp_path_factory, tree, data):
    key = data.draw(st.sampled_from(KEYS)).split(".")
    below = {key[-1]: data.draw(TREES)}
    for part in reversed(key[:-1]):
        below = {part: below}
    file = tmp_path_factory.mktemp("any") / "ds.yaml"
    file.write_text(yaml.safe_dump({**tree, **below}))

    outcome(file, {}, {})


@given(content=st.binary(max_size=60) | st.text("{}[]:,&*!-?|>'\"#% \n\tab0", max_size=40).map(str.encode))
def test_file__any_bytes__is_settings_or_a_config_error(tmp_path_factory, content):
    file = tmp_path_factory.mktemp("any") / "ds.yaml"
    file.write_bytes(content)

    outcome(file, {}, {})


@pytest.mark.parametrize(
    "text", ["[" * 5000, "a: " + "{a: " * 5000, "&a [*a]", "a: 0x_", "a: 2024-99-99", "a: 1:60e9"]
)
def test_file__text_that_breaks_parsers__is_a_config_error(refused, text):
    assert refused(text)


@given(
    environ=st.dictionaries(
        st.sampled_from(["DINGOSPEED_" + key.replace(".", "__").upper() for key in KEYS]),
        st.text(max_size=30) | TREES.map(lambda tree: json.dumps(tree, default=str)),
        max_size=4,
    )
)
def test_environment__any_values__is_settings_or_a_config_error(environ):
    outcome(None, environ, {})


@given(text=st.text(max_size=30))
def test_upstream_flag__any_text__is_settings_or_a_config_error(text):
    found = outcome(None, {}, {"--upstream": [text]})

    if isinstance(found, Settings):
        assert found.upstream.lines[0].url.startswith(("http://", "https://"))


# --- words and numbers say the same ----------------------------------------------------


@pytest.mark.parametrize(
    ("key", "field"),
    [pytest.param(key, field, id=".".join(map(str, key))) for key, field in settings_of(Settings)],
)
def test_description__setting_with_limits__tells_them(key, field):
    assert field.description
    for limit in field.metadata:
        for name in ("ge", "gt", "le", "lt", "multiple_of"):
            number = getattr(limit, name, None)
            if number is not None and "_bytes" not in key[-1]:
                assert f"{number:.10g}" in field.description


# --- groups of nodes --------------------------------------------------------------------


def test_cluster__redis_without_address_and_secret__both_are_asked_for(refused):
    told = refused("cluster: {redis_url: 'redis://redis'}")

    assert [line.partition(": expected")[0] for line in told] == [
        "ds.yaml:1: cluster.address",
        "ds.yaml:1: cluster.secret",
    ]
    assert all("as there is a cluster.redis_url" in line for line in told)


def test_cluster__short_secret__is_refused_and_not_quoted(refused):
    [told] = refused("cluster: {secret: tooshort}")

    assert "at least 16" in told
    assert "tooshort" not in told


def test_cluster__no_name_of_its_own__named_by_its_address():
    group = Settings.model_validate(
        {"cluster": {"redis_url": "redis://r", "address": "http://10.0.0.5:8090/", "secret": "s" * 16}}
    ).cluster

    assert group.is_on
    assert group.id == "10.0.0.5:8090"
