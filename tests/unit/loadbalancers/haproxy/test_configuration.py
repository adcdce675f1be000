"""The rendered configuration: golden text, taken by both HAProxy versions, closed to injection."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from certfront.loadbalancers.haproxy.checks import check
from certfront.loadbalancers.haproxy.configuration import CHALLENGE_MAP, Layout, render
from certfront.loadbalancers.haproxy.handover import (
    Challenge,
    Farm,
    FarmVerification,
    InvalidHandover,
    Manifest,
)
from certfront.loadbalancers.haproxy.merging import DEFAULT_NAME, Entry
from certfront.model.frontend import HSTS, HealthCheck, Server
from certfront.model.keys import KeyAlgorithm
from tests.unit.loadbalancers.haproxy.manifests import (
    certificate,
    complaints,
    entry,
    layout,
    manifest,
    programs,
    write,
)
from tests.unit.pki import builders

ECDSA = KeyAlgorithm.ECDSA
CA = builders.authority().pem.decode()
GOLDEN = Path(__file__).with_name("golden.cfg")


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory with a path short enough for sockets."""
    made = tempfile.mkdtemp(prefix="certfront-render-")
    yield Path(made)
    shutil.rmtree(made)


def everything() -> list[Entry]:
    """Every feature once."""
    return [
        entry(
            hsts=HSTS(max_age=300, include_sub_domains=True, preload=True),
            accept_terminated=True,
            trusted_sources=("10.0.0.0/8", "2001:db8::/32"),
            allowed_sources=("192.0.2.0/24",),
            denied_sources=("192.0.2.7",),
            min_tls_version="TLS1.3",
            hostnames=("a.example", "*.a.example"),
            certificates=(certificate("bundle-a", "a.example", "*.a.example"),),
            farm=Farm(
                name="web",
                servers=(
                    Server(address="127.42.0.7", port=8080),
                    Server(address="2001:db8::1", port=8443),
                ),
                health_check=HealthCheck(path="/healthz?x=%20", host="a.example"),
                verify=FarmVerification(ca_pem=CA, server_name="backend.example"),
            ),
        ),
        entry(
            "blog/blog",
            port=9443,
            http_port=None,
            challenge_port=9080,
            hostnames=("b.example", "192.0.2.1", "2001:db8::2"),
            certificates=(certificate("bundle-b", "b.example"),),
            default_bundle="bundle-b",
            own_namespace=True,
            farm=None,
            redirect_location="https://www.example:8443/%7Eme/?q='$x#top".replace("'", ""),
            https_only=None,
        ),
        entry("plain/any", ssl=False, port=8000, http_port=None, hostnames=(), certificates=()),
        entry("off/off", port=9000, disabled=True),
    ]


KEY_TYPES = {"bundle-a": ECDSA, "bundle-b": ECDSA}
CHALLENGE = Challenge(hostname="A.example", token="tok", key_authorization="tok." + "t" * 43)


def test_the_rendered_text_is_the_golden_one() -> None:
    """After a wanted change: read the difference, then write the new text into golden.cfg."""
    rendered = render(
        [one for one in everything() if one.manifest.frontend != "shop/shop"]
        + [entry(hsts=HSTS(max_age=300), denied_sources=("192.0.2.7",))],
        KEY_TYPES,
        [CHALLENGE],
        layout(),
    )
    assert rendered.configuration == GOLDEN.read_text()


def test_lists_maps_and_proofs_follow_the_manifests() -> None:
    rendered = render(everything(), KEY_TYPES, [CHALLENGE], layout())
    certs = "/var/lib/certfront/certs"
    assert rendered.list_texts == {
        "crt-lists/443.crt-list": (
            f"{certs}/bundle-a.pem [ssl-min-ver TLSv1.3] *.a.example a.example",
        ),
        "crt-lists/9443.bundle-b.crt-list": (
            f"{certs}/bundle-b.pem {DEFAULT_NAME}",
            f"{certs}/bundle-b.pem b.example",
        ),
    }
    assert rendered.maps[CHALLENGE_MAP] == {
        "a.example/.well-known/acme-challenge/tok": "tok." + "t" * 43
    }
    assert rendered.maps["maps/443.hosts.map"] == {"a.example": "fe_shop_shop"}
    assert rendered.maps["maps/443.wildcards.map"] == {"a.example": "fe_shop_shop"}
    assert rendered.maps["maps/9443.hosts.map"] == {
        "192.0.2.1": "fe_blog_blog",
        "[2001:db8::2]": "fe_blog_blog",
        "b.example": "fe_blog_blog",
    }
    assert [(one.port, one.hostname, one.bundle) for one in rendered.proofs] == [
        (443, "*.a.example", "bundle-a"),
        (443, "a.example", "bundle-a"),
        (9443, "b.example", "bundle-b"),
        (9443, None, "bundle-b"),
    ]
    assert rendered.binds[("127.0.0.1", 8443)] == ("manifest-shop",)


def test_certificates_and_challenges_change_no_configuration() -> None:
    """What would need a reload is the same text, whatever bundles and challenges there are."""
    held = [one for one in everything() if one.manifest.default_bundle is None]
    assert len(held) == 3
    without = render(held, {}, [], layout())
    assert render(held, KEY_TYPES, [CHALLENGE], layout()).configuration == without.configuration


@pytest.mark.parametrize("program", programs())
def test_haproxy_takes_every_feature_without_a_warning(program: str, directory: Path) -> None:
    where = layout(directory)
    held = [
        Entry(
            secret=one.secret, manifest=msgspec.structs.replace(one.manifest, default_bundle=None)
        )
        for one in everything()
    ]
    write(render(held, {}, [CHALLENGE], where), where)
    assert complaints(program, where) == ""


@pytest.mark.parametrize("program", programs())
def test_haproxy_takes_a_node_that_has_nothing_to_serve(program: str, directory: Path) -> None:
    where = layout(directory)
    write(render([], {}, [], where), where)
    assert complaints(program, where) == ""


EVIL = {
    "CR LF": "\r\n    bogus",
    "LF": "\n    bogus",
    "blank": " bogus",
    "tab": "\tbogus",
    "double quote": '"bogus',
    "single quote": "'bogus",
    "hash": "#bogus",
    "dollar": "${PATH}",
    "backslash": "\\bogus",
    "percent": "%[env(PATH)]",
    "brace": "} { bogus",
    "NUL": "\0bogus",
    "no-break space": "\u00a0bogus",
    "right-to-left": "\u202ebogus",
    "heredoc": "<<",
    "semicolon": ";show version",
}


def _server(**changes: Any) -> Farm:
    return Farm(name="web", servers=(Server(**({"address": "192.0.2.1", "port": 80} | changes)),))


def _health(**changes: Any) -> Farm:
    return msgspec.structs.replace(_server(), health_check=HealthCheck(**changes))


FIELDS: dict[str, Any] = {
    "frontend": lambda evil: {"frontend": f"shop/shop{evil}"},
    "frontend namespace": lambda evil: {"frontend": f"shop{evil}/shop"},
    "created": lambda evil: {"created": f"2026-01-01T00:00:00Z{evil}"},
    "hostnames": lambda evil: {"hostnames": (f"a.example{evil}",)},
    "bundle": lambda evil: {"certificates": (certificate(f"bundle-a{evil}", "a.example"),)},
    "certificate hostname": lambda evil: {
        "certificates": (certificate("bundle-a", f"a.example{evil}"),)
    },
    "default bundle": lambda evil: {"default_bundle": f"bundle-a{evil}"},
    "farm name": lambda evil: {"farm": msgspec.structs.replace(_server(), name=f"web{evil}")},
    "server address": lambda evil: {"farm": _server(address=f"192.0.2.1{evil}")},
    "health path": lambda evil: {"farm": _health(path=f"/x{evil}")},
    "health host": lambda evil: {"farm": _health(host=f"a.example{evil}")},
    "server name": lambda evil: {
        "farm": msgspec.structs.replace(
            _server(), verify=FarmVerification(ca_pem=CA, server_name=f"b.example{evil}")
        )
    },
    "CA": lambda evil: {
        "farm": msgspec.structs.replace(_server(), verify=FarmVerification(ca_pem=f"{CA}{evil}"))
    },
    "redirect location": lambda evil: {
        "redirect_location": f"https://www.example/{evil}",
        "farm": None,
    },
    "redirect host": lambda evil: {"redirect_location": f"https://www.example{evil}", "farm": None},
    "trusted": lambda evil: {"trusted_sources": (f"192.0.2.0/24{evil}",)},
    "allowed": lambda evil: {"allowed_sources": (f"192.0.2.0/24{evil}",)},
    "denied": lambda evil: {"denied_sources": (f"192.0.2.0/24{evil}",)},
}


def _refusal(held: Manifest) -> str | None:
    try:
        check(held)
    except InvalidHandover as refusal:
        return str(refusal)
    return None


@pytest.mark.parametrize("evil", EVIL.values(), ids=EVIL.keys())
@pytest.mark.parametrize("field", FIELDS.values(), ids=FIELDS.keys())
def test_no_string_of_a_manifest_gets_into_the_configuration_unchecked(
    field: Any, evil: str, directory: Path
) -> None:
    """Refused by name without a word of the value; or rendered as one harmless argument."""
    changed = msgspec.structs.replace(manifest(), **field(evil))
    refusal = _refusal(changed)
    if refusal is not None:
        assert "bogus" not in refusal
        assert evil not in refusal
        return
    where = layout(directory)
    rendered = render([Entry(secret="manifest-shop", manifest=changed)], {}, [], where)
    assert "bogus" not in rendered.configuration.replace("#bogus'", "")
    assert "${" not in rendered.configuration.replace("'https://www.example/${", "")
    for file in (*rendered.list_texts.values(), *rendered.maps.values()):
        assert "bogus" not in "".join(file)
    assert "%[env" not in rendered.configuration
    write(rendered, where)
    assert complaints(programs()[1].values[0], where) == ""  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"frontend": "shop"}, "frontend"),
        ({"port": 0}, "port"),
        ({"port": 65536}, "port"),
        ({"http_port": -1}, "httpPort"),
        ({"http_port": 443}, "httpPort"),
        ({"challenge_port": 70000}, "challengePort"),
        ({"hostnames": ("A.example",)}, "hostnames"),
        ({"hostnames": ("a.*.example",)}, "hostnames"),
        ({"hostnames": ("*",)}, "hostnames"),
        ({"hostnames": ("a..example",)}, "hostnames"),
        ({"hostnames": ("a.example.",)}, "hostnames"),
        ({"hostnames": ("a" * 64 + ".example",)}, "hostnames"),
        ({"hostnames": ("2001:0db8::1",)}, "canonical"),
        ({"hostnames": ("fe80::1%eth0",)}, "zone"),
        ({"hostnames": tuple(f"h{n}.example" for n in range(1001))}, "1000"),
        ({"certificates": (certificate("../a", "a.example"),)}, "bundle"),
        ({"certificates": (certificate("a..b", "a.example"),)}, "bundle"),
        ({"redirect_location": "https://x.example"}, "exclude"),
        ({"redirect_location": "javascript:alert(1)", "farm": None}, "redirectLocation"),
        ({"redirect_location": "//x.example", "farm": None}, "redirectLocation"),
        ({"redirect_location": "https://u:p@x.example/", "farm": None}, "redirectLocation"),
        ({"redirect_location": "https://x.example/%zz", "farm": None}, "redirectLocation"),
        ({"redirect_location": "https://x.example/" + "a" * 2048, "farm": None}, "redirect"),
        ({"accept_terminated": True}, "trustedSources"),
        ({"hsts": HSTS(max_age=-1)}, "maxAge"),
        ({"farm": _server(address="backend.example")}, "servers"),
        ({"farm": _server(port=0)}, "servers"),
        ({"farm": _health(path="x")}, "path"),
        ({"farm": _health(interval_seconds=0)}, "intervalSeconds"),
        ({"allowed_sources": ("any",)}, "allowedSources"),
    ],
    ids=str,
)
def test_a_manifest_that_is_not_fit_is_refused_with_the_field(
    changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidHandover, match=field):
        check(msgspec.structs.replace(manifest(), **changes))


def test_a_location_with_a_percent_sign_is_written_as_such() -> None:
    held: Manifest = manifest(farm=None, redirect_location="https://x.example/%41?a=b")
    rendered = render([Entry(secret="m", manifest=held)], {}, [], layout())
    assert "redirect location 'https://x.example/%%41?a=b' code 302" in rendered.configuration


@pytest.mark.parametrize(
    "directory_name",
    ["relative", "/with blank", "/with\nnewline", "/a/../b", "/" + "x" * 80, "/a;b", "/a<<b", ""],
)
def test_a_directory_that_haproxys_command_line_would_read_is_refused(directory_name: str) -> None:
    with pytest.raises(ValueError, match="directory"):
        Layout(directory=directory_name, bind_address="127.0.0.1")


def test_a_bind_address_is_an_ip_literal() -> None:
    with pytest.raises(ValueError, match="bind address"):
        Layout(directory="/d", bind_address="localhost")
