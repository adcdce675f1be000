"""Whether a manifest is fit to be rendered: every field is bounded and of its kind.

The operator checks the same before it writes a manifest; the agent trusts no one, because whoever
can write Secrets in its namespace writes manifests. Used by `configuration` and the agent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sized
from typing import Final

from certfront.loadbalancers.haproxy import syntax
from certfront.loadbalancers.haproxy.handover import Farm, InvalidHandover, Manifest
from certfront.loadbalancers.haproxy.syntax import Unfit
from certfront.model.meta import ObjectName
from certfront.model.times import from_text
from certfront.pki import certificates
from certfront.pki.faults import UnusableMaterial

_MOST_HOSTNAMES: Final = 1000
_MOST_CERTIFICATES: Final = 200
_MOST_SERVERS: Final = 200
_MOST_NETWORKS: Final = 500
_LONGEST_INTERVAL: Final = 3600
_LONGEST_MAX_AGE: Final = 10 * 365 * 86400


def check(manifest: Manifest) -> None:
    """Raises InvalidHandover (reason InvalidManifest), naming the first field that is not fit."""
    try:
        _check_identity(manifest)
        _check_listener(manifest)
        _check_certificates(manifest)
        _check_policy(manifest)
        _check_manage(manifest)
        if manifest.farm is not None:
            _check_farm(manifest.farm)
    except Unfit as error:
        raise InvalidHandover("InvalidManifest", str(error)) from None


def trusted_pem(pem: str, field: str) -> bytes:
    """CA certificates for a `ca-file`, written anew from what was parsed. Raises Unfit."""
    try:
        return certificates.to_pem(certificates.load_pem(pem.encode()))
    except UnusableMaterial as error:
        raise Unfit(f"{field} holds no usable certificates ({error.fault})") from None


def _check_identity(manifest: Manifest) -> None:
    frontend = ObjectName.parse(manifest.frontend)
    if frontend is None:
        raise Unfit("frontend is not namespace/name")
    syntax.object_name(frontend.namespace, "frontend")
    syntax.object_name(frontend.name, "frontend")
    try:
        from_text(manifest.created)
    except ValueError:
        raise Unfit("created is no RFC 3339 time") from None


def _check_listener(manifest: Manifest) -> None:
    syntax.port(manifest.port, "port")
    if manifest.http_port is not None:
        syntax.port(manifest.http_port, "httpPort")
    if manifest.challenge_port is not None:
        syntax.port(manifest.challenge_port, "challengePort")
    if manifest.ssl and manifest.port in {manifest.http_port, manifest.challenge_port}:
        raise Unfit("port and httpPort are the same")
    _check_hostnames(manifest.hostnames, "hostnames")


def _check_certificates(manifest: Manifest) -> None:
    _bounded(manifest.certificates, _MOST_CERTIFICATES, "certificates")
    for certificate in manifest.certificates:
        syntax.object_name(certificate.bundle, "certificates[].bundle")
        _check_hostnames(certificate.hostnames, "certificates[].hostnames")
    if manifest.default_bundle is not None:
        syntax.object_name(manifest.default_bundle, "defaultBundle")


def _check_policy(manifest: Manifest) -> None:
    for field, networks in (
        ("trustedSources", manifest.trusted_sources),
        ("allowedSources", manifest.allowed_sources),
        ("deniedSources", manifest.denied_sources),
    ):
        _bounded(networks, _MOST_NETWORKS, field)
        syntax.network_list(networks, field)
    if manifest.redirect_location is not None:
        syntax.location(manifest.redirect_location, "redirectLocation")
        if manifest.farm is not None:
            raise Unfit("redirectLocation and farm exclude each other")
    if manifest.accept_terminated and not manifest.trusted_sources:
        raise Unfit("acceptTerminated needs trustedSources")
    if manifest.hsts is not None and not 0 <= manifest.hsts.max_age <= _LONGEST_MAX_AGE:
        raise Unfit("hsts.maxAge is out of range")


def _check_manage(manifest: Manifest) -> None:
    """Without a listener of ours there is nothing that the rest could be said of."""
    said = {
        "ssl": not manifest.ssl,
        "httpPort": manifest.http_port is not None,
        "challengePort": manifest.challenge_port is not None,
        "defaultBundle": manifest.default_bundle is not None,
        "farm": manifest.farm is not None,
        "redirectLocation": manifest.redirect_location is not None,
        "httpsOnly": manifest.https_only is not None,
        "acceptTerminated": manifest.accept_terminated,
        "hsts": manifest.hsts is not None,
        "trustedSources": bool(manifest.trusted_sources),
        "allowedSources": bool(manifest.allowed_sources),
        "deniedSources": bool(manifest.denied_sources),
    }
    if manifest.manage != "Listener":
        for field in (name for name, is_said in said.items() if is_said):
            raise Unfit(f"{field} does not go with manage: {manifest.manage}")


def _check_farm(farm: Farm) -> None:
    _bounded(farm.servers, _MOST_SERVERS, "farm.servers")
    for server in farm.servers:
        syntax.server_address(server.address, server.port, "farm.servers[]")
    if farm.health_check is not None:
        syntax.health_path(farm.health_check.path, "farm.healthCheck.path")
        if farm.health_check.host:
            syntax.header_host(farm.health_check.host, "farm.healthCheck.host")
        if not 1 <= farm.health_check.interval_seconds <= _LONGEST_INTERVAL:
            raise Unfit("farm.healthCheck.intervalSeconds is out of range")
    if farm.verify is not None:
        trusted_pem(farm.verify.ca_pem, "farm.verify.caPem")
        if farm.verify.server_name:
            syntax.header_host(farm.verify.server_name, "farm.verify.serverName")


def _check_hostnames(hostnames: Iterable[str], field: str) -> None:
    held = tuple(hostnames)
    _bounded(held, _MOST_HOSTNAMES, field)
    for name in held:
        if syntax.hostname(name, field) != name:
            raise Unfit(f"{field} has an address that is not in its canonical form")


def _bounded(values: Sized, most: int, field: str) -> None:
    if len(values) > most:
        raise Unfit(f"{field} has more than {most} entries")
