"""Pebble, the ACME server made for tests, in its strict mode, and the DNS server that it asks.

Names resolve to the first node unless a test says otherwise through the DNS server's management
URL. Pebble forgets accounts and orders, and makes new roots, whenever it starts.
"""

import http.client
import json
import os
import ssl
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from sandbox import environment
from sandbox.addresses import free_ports
from sandbox.errors import StartError
from sandbox.pki import Authority
from sandbox.state import HttpReady, Pebble, Service, State, TcpReady, node_address

PROGRAMS = ("pebble", "pebble-challtestsrv")
"""What :func:`prepare` needs from :func:`sandbox.binaries.ensure`."""

_PROFILES = {
    "default": {"description": "90 days", "validityPeriod": 7776000},
    "shortlived": {"description": "6 days", "validityPeriod": 518400},
}
_MAXIMUM_PEM = 64 * 1024


def prepare(state: State, programs: dict[str, Path], http_port: int) -> State:
    """Write Pebble's files and describe both processes; HTTP-01 is asked for on `http_port`."""
    address = state.control_address
    acme_port, management_port, dns_port, dns_management_port = free_ports(address, 4)
    directory = state.root / "pebble"
    authority = Authority("certfront sandbox ACME listener", directory)
    certificate, key = authority.issue("listener", "pebble", addresses=(address,))
    pebble = Pebble(
        directory_url=f"https://{address}:{acme_port}/dir",
        management_url=f"https://{address}:{management_port}",
        listener_ca=str(authority.path),
        root=str(directory / "root.pem"),
        http_port=http_port,
        dns_address=f"{address}:{dns_port}",
        dns_management_url=f"http://{address}:{dns_management_port}",
    )
    configuration = directory / "pebble.json"
    configuration.write_text(_configuration(pebble, certificate, key))
    updated = state.with_services(
        _dns(state, programs["pebble-challtestsrv"], dns_port, dns_management_port),
        _pebble(state, programs["pebble"], configuration, pebble),
    )
    return msgspec.structs.replace(updated, pebble=pebble)


def save_root(pebble: Pebble) -> None:
    """Fetch the root that Pebble made at its start into the file `pebble.root`."""
    url = urlsplit(pebble.management_url)
    context = ssl.create_default_context(cafile=pebble.listener_ca)
    connection = http.client.HTTPSConnection(url.netloc, timeout=10, context=context)
    try:
        connection.request("GET", "/roots/0", headers={"User-Agent": "certfront-sandbox"})
        answer = connection.getresponse()
        content = answer.read(_MAXIMUM_PEM)
    except (OSError, http.client.HTTPException) as error:
        raise StartError(f"Pebble does not tell its root: {error}") from None
    finally:
        connection.close()
    if answer.status != http.HTTPStatus.OK:
        raise StartError(f"Pebble does not tell its root: status {answer.status}")
    Path(pebble.root).write_bytes(content)


def _configuration(pebble: Pebble, certificate: Path, key: Path) -> str:
    """Pebble's own file; the certificate and the key are those of its listener."""
    settings = {
        "listenAddress": urlsplit(pebble.directory_url).netloc,
        "managementListenAddress": urlsplit(pebble.management_url).netloc,
        "certificate": str(certificate),
        "privateKey": str(key),
        "httpPort": pebble.http_port,
        "tlsPort": 443,
        "externalAccountBindingRequired": False,
        "retryAfter": {"authz": 1, "order": 1},
        "profiles": _PROFILES,
    }
    return json.dumps({"pebble": settings}, indent=2)


def _dns(state: State, program: Path, port: int, management_port: int) -> Service:
    address = state.control_address
    flags = {
        "dnsserver": f"{address}:{port}",
        "management": f"{address}:{management_port}",
        "defaultIPv4": node_address(state.number, 1),
        # The default, ::1, would be asked first, and nothing answers there.
        "defaultIPv6": "",
        "http01": "",
        "https01": "",
        "tlsalpn01": "",
        "doh": "",
    }
    return Service(
        name="dns",
        argv=(str(program), *(f"-{flag}={value}" for flag, value in flags.items())),
        environment=environment.basic(),
        log=str(state.root / "logs" / "dns.log"),
        ready=TcpReady(addresses=(f"{address}:{port}", f"{address}:{management_port}")),
    )


def _pebble(state: State, program: Path, configuration: Path, pebble: Pebble) -> Service:
    # A test that wants other odds sets Pebble's own variables before `up`.
    wishes = {name: value for name, value in os.environ.items() if name.startswith("PEBBLE_")}
    return Service(
        name="pebble",
        argv=(
            *(str(program), "-strict"),
            *("-config", str(configuration)),
            *("-dnsserver", pebble.dns_address),
        ),
        environment={
            **environment.basic(),
            "PEBBLE_VA_NOSLEEP": "1",
            "PEBBLE_WFE_NONCEREJECT": "5",
            **wishes,
        },
        log=str(state.root / "logs" / "pebble.log"),
        ready=HttpReady(url=pebble.directory_url, ca=pebble.listener_ca),
    )
