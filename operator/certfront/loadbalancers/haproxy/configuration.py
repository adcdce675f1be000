"""An HAProxy configuration, its crt-lists and its maps, rendered from manifests. Pure.

The text depends on listeners and policies only. Certificates are named in the crt-lists, host
names and challenges in maps, and all of these are changed in a running worker without a reload.
Works on HAProxy 2.6, 2.8 and 3.x. Every value goes through `syntax`. Used by the agent. Where the
configuration is someone else's, `foreign` renders the crt-lists alone.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

from certfront.loadbalancers.haproxy import syntax
from certfront.loadbalancers.haproxy.checks import trusted_pem
from certfront.loadbalancers.haproxy.handover import Challenge, Farm, Manifest
from certfront.loadbalancers.haproxy.merging import (
    DEFAULT_NAME,
    CrtLine,
    Entry,
    Listener,
    Merged,
    merge,
)
from certfront.loadbalancers.haproxy.watermark import Failed
from certfront.model.keys import KeyAlgorithm
from certfront.pki.names import is_ip

CONFIGURATION: Final = "haproxy.cfg"
FOLDERS: Final = ("certs", "crt-lists", "maps", "sources", "ca")
"""The folders of the files that the configuration names."""

CHALLENGE_MAP: Final = "maps/challenges.map"
_CHALLENGE_PREFIX: Final = "/.well-known/acme-challenge/"

# Not a word of HAProxy's: no blanks, quotes, `<<`, `@` or `*` (these mean something to its CLI).
_DIRECTORY: Final = re.compile(r"/[A-Za-z0-9._/-]{1,76}")

_DESCRIPTION: Final = "(digest)"

# Mozilla's intermediate list of TLS 1.2 suites (ssl-config 5.7); TLS 1.3 has its own.
_CIPHERS: Final = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where things are on a node. Paths are absolute; `ports` maps a frontend's port to the bound one.

    `foreign`: HAProxy's configuration is someone else's, and `stats_socket` is where it has its own.

    Raises ValueError where the directory has characters that HAProxy's command line would read, or
    is too long for the sockets in it, or the bind address is none.
    """

    directory: str
    bind_address: str
    ports: Mapping[int, int] = field(default_factory=dict)
    foreign: bool = False
    stats_socket: str = ""

    def __post_init__(self) -> None:
        if not _DIRECTORY.fullmatch(self.directory) or ".." in self.directory:
            raise ValueError(
                "the directory is an absolute path of at most 76 letters, digits and ._-/"
            )
        syntax.bind_address(self.bind_address, 1)

    def path(self, relative: str) -> str:
        """The absolute path of a file in the directory."""
        return str(PurePosixPath(self.directory) / relative)

    def pem(self, bundle: str) -> str:
        """Where the bundle of a Secret is kept; HAProxy knows the certificate by this path."""
        return self.path(pem_file(bundle))

    def bind(self, port: int) -> tuple[str, int]:
        """The address and port that are really bound for a frontend's port."""
        return (self.bind_address, self.ports.get(port, port))

    def proof_socket(self, port: int) -> str:
        """The unix socket that shares the crt-list of a TLS port, and answers with the worker's pid."""
        return self.path(f"proof-{port}.sock")

    @property
    def runtime_socket(self) -> str:
        """The stats socket, of level admin."""
        return self.stats_socket or self.path("haproxy.sock")

    @property
    def alive_socket(self) -> str:
        """A unix socket that answers plain HTTP with the worker's pid."""
        return self.path("alive.sock")

    def crt_line(self, line: CrtLine) -> str:
        """A line as a crt-list has it, and as the runtime command shows it."""
        options = " [ssl-min-ver TLSv1.3]" if line.min_tls_version == "TLS1.3" else ""
        return f"{self.pem(line.bundle)}{options} {' '.join(line.hostnames)}"


def pem_file(bundle: str) -> str:
    """The path of a bundle's file within the directory."""
    return f"certs/{bundle}.pem"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What a handshake on a port's proof socket must show: for this name, one of these bundles.

    More than one where the name has bundles of several key types; then `key_type` tells which of
    them a client that takes only that type gets. None is the default certificate's name.
    """

    port: int
    hostname: str | None
    bundle: str
    key_type: KeyAlgorithm
    alternatives: frozenset[str] = frozenset()
    tls13_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """All files but the bundles, by their path within the directory.

    `digest` stands for the configuration: a worker that runs it has it as its `description`.
    `static` files are named for their content and never change; a change of `configuration` needs
    a reload, one of `crt_lists` and `maps` does not. Both are empty where the configuration is
    someone else's. `list_texts` are the lines
    of `crt_lists` as they are written, `binds` the addresses with the Secrets that ask for them,
    `bundles` those that the lists name.
    """

    configuration: str
    digest: str
    crt_lists: Mapping[str, tuple[CrtLine, ...]]
    list_texts: Mapping[str, tuple[str, ...]]
    maps: Mapping[str, Mapping[str, str]]
    static: Mapping[str, bytes]
    binds: Mapping[tuple[str, int], tuple[str, ...]]
    proofs: tuple[Proof, ...]
    failed: tuple[Failed, ...]
    bundles: frozenset[str]


def render(
    entries: Iterable[Entry],
    key_types: Mapping[str, KeyAlgorithm],
    challenges: Iterable[Challenge],
    layout: Layout,
) -> Rendered:
    """The files for `entries` (checked ones), with the bundles at hand and the open challenges."""
    merged = merge(entries, key_types, layout.ports)
    static: dict[str, bytes] = {}
    sections = [_global(layout), _DEFAULTS, _alive(layout)]
    for listener in merged.listeners:
        sections.append(_frontend(listener, layout))
        if listener.tls:
            sections.append(_proof_frontend(listener, layout))
    sections.append(_UNCLAIMED)
    sections += [_backend(entry.manifest, layout, static) for entry in merged.entries]
    crt_lists = {
        list_file(one): _default_lines(one) + one.lines for one in merged.listeners if one.tls
    }
    maps = {file: content for one in merged.listeners for file, content in _maps(one).items()}
    # HAProxy knows a map only if a listener uses it.
    if any(not one.tls for one in merged.listeners):
        maps[CHALLENGE_MAP] = _challenge_map(challenges)
    text = "\n".join(sections)
    digest = "certfront-" + hashlib.sha256(text.encode()).hexdigest()[:32]
    return Rendered(
        configuration=text.replace(_DESCRIPTION, digest, 1),
        digest=digest,
        crt_lists=crt_lists,
        list_texts={
            file: tuple(layout.crt_line(line) for line in lines)
            for file, lines in crt_lists.items()
        },
        maps=maps,
        static=static,
        binds=binds_of(merged, layout),
        proofs=tuple(proof for one in merged.listeners for proof in proofs_of(one, key_types)),
        failed=merged.failed,
        bundles=frozenset(line.bundle for lines in crt_lists.values() for line in lines),
    )


def list_file(listener: Listener) -> str:
    """The crt-list of a TLS port. A list with a default is another file: its bind differs too."""
    default = f".{listener.default_bundle}" if listener.default_bundle else ""
    return f"crt-lists/{listener.port}{default}.crt-list"


def backend_name(frontend: str) -> str:
    """The backend of a frontend. An underscore is in no object name, so this is unambiguous."""
    return "fe_" + frontend.replace("/", "_")


def _global(layout: Layout) -> str:
    return f"""\
# Written by the certfront agent; changes made here are undone.
global
    description {_DESCRIPTION}
    stats socket {layout.runtime_socket} mode 600 level admin
    stats timeout 30s
    # What is older than this after a reload is cut; long-lived connections get half an hour.
    hard-stop-after 30m
    # Without it an unlimited number of files makes HAProxy reserve memory for all of them.
    fd-hard-limit 65536
    ssl-default-bind-options ssl-min-ver TLSv1.2
    ssl-default-bind-ciphers {_CIPHERS}
"""


_DEFAULTS: Final = """\
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout http-request 15s
    timeout queue 30s
    timeout tunnel 1h
    option redispatch
    option dontlognull
    # A reload closes idle connections only after a response: no request is lost.
    option idle-close-on-response
"""

_UNCLAIMED: Final = """\
backend unclaimed
    http-request return status 404 content-type text/plain string 'no such host'
"""


def _alive(layout: Layout) -> str:
    return f"""\
frontend alive
    bind unix@{layout.alive_socket} mode 600
    http-request return status 200 content-type text/plain lf-string %pid
"""


def _frontend(listener: Listener, layout: Layout) -> str:
    address = syntax.bind_address(*layout.bind(listener.port))
    hosts, wildcards = (layout.path(file) for file in map_files(listener.port))
    default = backend_name(listener.catch_all) if listener.catch_all else "unclaimed"
    lines = [
        f"frontend {'tls' if listener.tls else 'http'}-{listener.port}",
        f"    bind {address}" + (_tls(listener, layout) if listener.tls else ""),
        "    http-request set-var(txn.host) req.hdr(host),host_only,lower",
    ]
    if not listener.tls:
        challenges = layout.path(CHALLENGE_MAP)
        lines += [
            "    http-request set-var(txn.path) path",
            (
                "    http-request set-var(txn.answer) "
                f"var(txn.host),concat(,txn.path),map_str({challenges}) "
                f"if {{ path_beg {_CHALLENGE_PREFIX} }}"
            ),
            (
                "    http-request return status 200 content-type application/octet-stream "
                "lf-string %[var(txn.answer)] if { var(txn.answer) -m found }"
            ),
        ]
    lines += [
        f"    http-request set-var(txn.backend) var(txn.host),map_str({hosts})",
        (
            f"    http-request set-var(txn.backend) var(txn.host),field(2,.,0),map_str({wildcards}) "
            "unless { var(txn.backend) -m found }"
        ),
        "    use_backend %[var(txn.backend)] if { var(txn.backend) -m found }",
        f"    default_backend {default}",
    ]
    return _section(lines)


def _proof_frontend(listener: Listener, layout: Layout) -> str:
    bind = f"unix@{layout.proof_socket(listener.port)} mode 600"
    return _section(
        [
            f"frontend proof-{listener.port}",
            f"    bind {bind}{_tls(listener, layout)}",
            "    http-request return status 200 content-type text/plain lf-string %pid",
        ]
    )


def _tls(listener: Listener, layout: Layout) -> str:
    strict = "" if listener.default_bundle else " strict-sni"
    return f" ssl crt-list {layout.path(list_file(listener))}{strict} alpn h2,http/1.1"


def _backend(manifest: Manifest, layout: Layout, static: dict[str, bytes]) -> str:
    lines = [
        f"backend {backend_name(manifest.frontend)}",
        *_source_rules(manifest, layout, static),
        *_scheme_rules(manifest),
    ]
    lines += [
        "    http-request set-header X-Forwarded-Proto https if { var(txn.https) -m bool }",
        "    http-request set-header X-Forwarded-Proto http unless { var(txn.https) -m bool }",
    ]
    if manifest.redirect_location is not None:
        target = syntax.location(manifest.redirect_location, "redirectLocation")
        lines.append(f"    http-request redirect location {target} code 302")
    if manifest.farm is not None:
        lines += _farm(manifest.farm, layout, static)
    return _section(lines)


def _source_rules(manifest: Manifest, layout: Layout, static: dict[str, bytes]) -> list[str]:
    """Who may come in, and whose forwarding headers are believed (no one's, by default)."""
    lines = []
    if manifest.trusted_sources:
        networks = syntax.network_list(manifest.trusted_sources, "trustedSources")
        lines.append(f"    acl trusted src -f {_static(static, 'sources', networks, layout)}")
    if manifest.denied_sources:
        networks = syntax.network_list(manifest.denied_sources, "deniedSources")
        file = _static(static, "sources", networks, layout)
        lines.append(f"    http-request deny deny_status 403 if {{ src -f {file} }}")
    if manifest.allowed_sources:
        networks = syntax.network_list(manifest.allowed_sources, "allowedSources")
        file = _static(static, "sources", networks, layout)
        lines.append(f"    http-request deny deny_status 403 unless {{ src -f {file} }}")
    unless = " unless trusted" if manifest.trusted_sources else ""
    lines += [f"    http-request del-header X-Forwarded-For{unless}", "    option forwardfor"]
    return lines


def _scheme_rules(manifest: Manifest) -> list[str]:
    """What is told apart by whether the client speaks TLS, here or to a trusted proxy before us."""
    lines = ["    http-request set-var(txn.https) bool(true) if { ssl_fc }"]
    if manifest.accept_terminated:
        lines.append(
            "    http-request set-var(txn.https) bool(true) "
            "if trusted { req.fhdr(x-forwarded-proto) -m str -i https }"
        )
    if manifest.ssl and manifest.https_only is not None:
        port = "" if manifest.port == 443 else f":{manifest.port}"
        lines.append(
            f"    http-request redirect prefix https://%[var(txn.host)]{port} "
            f"code {manifest.https_only} unless {{ var(txn.https) -m bool }}"
        )
    if manifest.min_tls_version == "TLS1.3":
        # The name in the handshake may have been another one, with a lower minimum.
        lines.append(
            "    http-request return status 421 content-type text/plain string 'TLS 1.3 is needed' "
            "if { ssl_fc } !{ ssl_fc_protocol TLSv1.3 }"
        )
    if manifest.hsts is not None:
        value = f"max-age={manifest.hsts.max_age}"
        value += "; includeSubDomains" if manifest.hsts.include_sub_domains else ""
        value += "; preload" if manifest.hsts.preload else ""
        # After-response rules also see redirects and denials, where response rules do not run.
        lines.append(
            f"    http-after-response set-header Strict-Transport-Security {syntax.quoted(value)} "
            "if { var(txn.https) -m bool }"
        )
    return lines


def _farm(farm: Farm, layout: Layout, static: dict[str, bytes]) -> list[str]:
    lines = ["    balance roundrobin"]
    options = ""
    if farm.health_check is not None:
        path = syntax.health_path(farm.health_check.path, "healthCheck.path")
        host = farm.health_check.host
        header = f" ver HTTP/1.1 hdr Host {syntax.header_host(host, 'host')}" if host else ""
        lines += ["    option httpchk", f"    http-check send meth GET uri {path}{header}"]
        options += f" check inter {farm.health_check.interval_seconds}s"
    if farm.verify is not None:
        pem = trusted_pem(farm.verify.ca_pem, "verify.caPem")
        options += f" ssl verify required ca-file {_static(static, 'ca', pem, layout)}"
        options += _server_name(farm.verify.server_name)
    for number, server in enumerate(farm.servers, start=1):
        address = syntax.server_address(server.address, server.port, "servers[]")
        lines.append(f"    server s{number} {address}{options}")
    return lines


def _server_name(name: str) -> str:
    if not name:
        return ""
    quoted = syntax.header_host(name, "verify.serverName")
    return f" sni 'str({name})' check-sni {quoted} verifyhost {quoted}"


def _static(static: dict[str, bytes], folder: str, content: bytes, layout: Layout) -> str:
    """Keep `content` under a name made from it, so that another content is another configuration."""
    digest = hashlib.sha256(content).hexdigest()[:32]
    file = f"{folder}/{digest}.{'pem' if folder == 'ca' else 'list'}"
    static[file] = content
    return layout.path(file)


def map_files(port: int) -> tuple[str, str]:
    """The maps from exact names and from wildcards (without their `*.`) to backends."""
    return (f"maps/{port}.hosts.map", f"maps/{port}.wildcards.map")


def _maps(listener: Listener) -> dict[str, dict[str, str]]:
    exact, wildcards = map_files(listener.port)
    return {
        exact: {
            _host_key(name): backend_name(frontend)
            for name, frontend in listener.routes.items()
            if not name.startswith("*.")
        },
        wildcards: {
            name[2:]: backend_name(frontend)
            for name, frontend in listener.routes.items()
            if name.startswith("*.")
        },
    }


def _challenge_map(challenges: Iterable[Challenge]) -> dict[str, str]:
    return dict(
        sorted(
            (
                f"{_host_key(one.hostname.lower())}{_CHALLENGE_PREFIX}{one.token}",
                one.key_authorization,
            )
            for one in challenges
        )
    )


def _host_key(name: str) -> str:
    """A name as it is in a Host header: IPv6 addresses are in brackets there."""
    return f"[{name}]" if ":" in name else name


def _default_lines(listener: Listener) -> tuple[CrtLine, ...]:
    """The first line is what HAProxy answers unknown names with; its own name is never asked for."""
    if listener.default_bundle is None:
        return ()
    return (CrtLine(bundle=listener.default_bundle, hostnames=(DEFAULT_NAME,)),)


def binds_of(merged: Merged, layout: Layout) -> dict[tuple[str, int], tuple[str, ...]]:
    """The addresses that are bound, each with the Secrets of the manifests that ask for it."""
    return {
        layout.bind(listener.port): tuple(
            entry.secret
            for entry in merged.entries
            if listener.port
            in {entry.manifest.port, entry.manifest.http_port, entry.manifest.challenge_port}
        )
        for listener in merged.listeners
    }


def proofs_of(listener: Listener, key_types: Mapping[str, KeyAlgorithm]) -> list[Proof]:
    """What handshakes on the listener must show."""
    if not listener.tls:
        return []
    by_name: dict[str, set[str]] = {}
    for line in listener.lines:
        for name in line.hostnames:
            by_name.setdefault(name, set()).add(line.bundle)
    proofs = [
        Proof(
            port=listener.port,
            hostname=name,
            bundle=line.bundle,
            key_type=key_types[line.bundle],
            alternatives=frozenset(by_name[name] - {line.bundle}),
            tls13_only=line.min_tls_version == "TLS1.3",
        )
        for line in listener.lines
        for name in line.hostnames
        # Addresses are never asked for by SNI (RFC 6066 section 3).
        if not is_ip(name)
    ]
    if listener.default_bundle is not None:
        bundle = listener.default_bundle
        proofs.append(
            Proof(port=listener.port, hostname=None, bundle=bundle, key_type=key_types[bundle])
        )
    return proofs


def _section(lines: Iterable[str]) -> str:
    return "\n".join(lines) + "\n"
