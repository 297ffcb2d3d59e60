"""Header sets as the real Hub sends them: every name, and the form of its value. $words differ by file."""

import re
from string import Template

# On every answer of the Hub itself.
ALWAYS = {
    "Access-Control-Allow-Origin": "https://huggingface\\.co",
    "Access-Control-Expose-Headers": "X-Repo-Commit,X-Request-Id,X-Error-Code,X-Error-Message,X-Total-Count,"
    "ETag,Link,Accept-Ranges,Content-Range,X-Linked-Size,X-Linked-ETag,X-Xet-Hash",
    "Access-Control-Max-Age": "86400",
    "Alt-Svc": 'h3=":443"; ma=86400',
    "Content-Length": "\\d+",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Date": "[A-Z][a-z]{2}, \\d\\d [A-Z][a-z]{2} \\d{4} \\d\\d:\\d\\d:\\d\\d GMT",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "Strict-Transport-Security": "max-age=31536000",
    "Vary": "Origin",
    "Via": "1\\.1 [0-9a-f]{32}\\.cloudfront\\.net \\(CloudFront\\)",
    "X-Cache": "Miss from cloudfront",
    "X-Powered-By": "huggingface-moon",
    "X-Request-Id": "Root=1-[0-9a-f]{8}-[0-9a-f]{24}(;.+)?",
}
API = {
    **ALWAYS,
    "Content-Type": "application/json; charset=utf-8",
    "Etag": 'W/"[0-9a-f]+-[A-Za-z0-9+/]{27}"',
    "Ratelimit": '"api";r=\\d+;t=\\d+',
    "Ratelimit-Policy": '"fixed window";"api";q=\\d+;w=300',
}
RESOLVE = {
    **ALWAYS,
    "Content-Type": "text/plain; charset=utf-8",
    "Ratelimit": '"resolvers";r=\\d+;t=\\d+',
    "Ratelimit-Policy": '"fixed window";"resolvers";q=\\d+;w=300',
}
TO_THE_CDN = {
    **RESOLVE,
    "Accept-Ranges": "bytes",
    "Cache-Control": "no-store",
    "Link": '<http://127\\.0\\.0\\.1:\\d+/api/models/org/name/xet-read-token/$sha>; rel="xet-auth", '
    '<http://127\\.0\\.0\\.1:9/v1/reconstructions/$xet>; rel="xet-reconstruction-info"',
    "Location": "$cdn/xet-bridge-us/[0-9a-f]{24}/$xet\\?.+",
    "Vary": "Origin, Accept",
    "X-Hub-Cache": "MISS",
    "X-Linked-Etag": '"$sha256"',
    "X-Linked-Size": "$size",
    "X-Repo-Commit": "$sha",
    "X-Xet-Hash": "$xet",
}
FILE = {
    "Accept-Ranges": "bytes",
    "Content-Disposition": "inline; filename\\*=UTF-8''$name; filename=\"$name\";",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Hub-Cache": "HIT",
    "X-Repo-Commit": "$sha",
}
# A small file of a private repo.
DIRECT = {**RESOLVE, **FILE, "Etag": '"$blob_id"'}
TO_THE_CACHE = {
    **RESOLVE,
    **FILE,
    "Location": "/api/resolve-cache/models/org/name/$sha/$path\\?%2Forg%2Fname%2Fresolve%2Fmain%2F$quoted="
    "&etag=%22$blob_id%22",
    "Vary": "Origin, Accept",
    "X-Hub-Cache": "MISS",
    "X-Linked-Etag": '"$blob_id"',
}
IN_THE_CACHE = {**ALWAYS, **FILE, "Content-Type": "text/plain; charset=utf-8", "Etag": '"$blob_id"'}

ERROR = {
    **{name: form for name, form in RESOLVE.items() if name != "X-Cache"},
    "Etag": API["Etag"],
    "X-Cache": "Error from cloudfront",
    "X-Error-Message": ".+",
}
UNAUTHORIZED = {
    **ERROR,
    "Www-Authenticate": 'Bearer realm="Authentication required", charset="UTF-8"',
    "X-Error-Message": "Invalid username or password\\.",
}
NO_ENTRY = {
    **ERROR,
    "Accept-Ranges": "bytes",
    "X-Error-Code": "EntryNotFound",
    "X-Error-Message": "Entry not found",
    "X-Hub-Cache": "MISS",
    "X-Repo-Commit": "$sha",
}


def as_api(shape):
    """The shape of an error as the API gives it."""
    return {**shape, **{name: API[name] for name in ("Content-Type", "Ratelimit", "Ratelimit-Policy")}}


def assert_shape(headers, shape, **facts):
    """The very names of *shape*, no more and no less, and values of its forms."""
    facts = {name: re.escape(str(value)) for name, value in facts.items()}
    assert {name.title() for name in headers} - {"Connection"} == {name.title() for name in shape}
    for name, form in shape.items():
        pattern = Template(form).safe_substitute(facts)
        assert re.fullmatch(pattern, headers[name]), f"{name}: {headers[name]} is not {pattern}"
