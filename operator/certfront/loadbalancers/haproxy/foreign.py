"""Crt-lists for an HAProxy whose configuration is someone else's. Pure.

One list for each port, not for each frontend: hostnames are claimed per port, so one list never
holds a name twice, and a further frontend needs no edit of the configuration. Whoever writes it says
`bind :443 ssl crt-list <directory>/crt-lists/external-443.crt-list strict-sni` once. A list that
was ever written stays, empty if need be: a missing file would stop HAProxy's next start, and an
empty one is harmless with `strict-sni` only. Used by the agent; `configuration` is the counterpart.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from certfront.loadbalancers.haproxy.configuration import Layout, Rendered, binds_of, proofs_of
from certfront.loadbalancers.haproxy.merging import CrtLine, Entry, merge
from certfront.model.keys import KeyAlgorithm

_LIST_FILE: Final = re.compile(r"crt-lists/external-([1-9][0-9]{0,4})\.crt-list")


def list_file(port: int) -> str:
    """The crt-list of a frontend's port, within the directory."""
    return f"crt-lists/external-{port}.crt-list"


def port_of(file: str) -> int | None:
    """The port whose crt-list that is; None for any other file."""
    match = _LIST_FILE.fullmatch(file)
    return int(match[1]) if match else None


def render(
    entries: Iterable[Entry],
    key_types: Mapping[str, KeyAlgorithm],
    ports: Iterable[int],
    layout: Layout,
) -> Rendered:
    """The crt-lists for `entries` (checked ones), and an empty one for each further port."""
    merged = merge(entries, key_types, layout.ports)
    crt_lists: dict[str, tuple[CrtLine, ...]] = {list_file(port): () for port in sorted(ports)}
    crt_lists |= {list_file(one.port): one.lines for one in merged.listeners}
    return Rendered(
        configuration="",
        digest="",
        crt_lists=crt_lists,
        list_texts={
            file: tuple(layout.crt_line(line) for line in lines)
            for file, lines in crt_lists.items()
        },
        maps={},
        static={},
        binds=binds_of(merged, layout),
        proofs=tuple(proof for one in merged.listeners for proof in proofs_of(one, key_types)),
        failed=merged.failed,
        bundles=frozenset(line.bundle for lines in crt_lists.values() for line in lines),
    )
