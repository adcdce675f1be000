"""What the applied configuration of a service answers on its ports, and with which certificate.

Certificates on a service are offered on every SSL frontend of it (OVH guide "Configuring an
HTTP/HTTPS OVHcloud Load Balancer service"): by name, the default one for anything else.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Literal

from sandbox.emulators.ovh import routes
from sandbox.emulators.ovh.certificates import Certificate
from sandbox.emulators.ovh.frontends import Frontend, parse_ports
from sandbox.emulators.ovh.service import Configuration
from sandbox.emulators.tls import Answer, Offer, Pair

_LARGEST_RANGE = 64


def offers_of(
    configuration: Configuration,
    port_of: Callable[[int], int],
    prefers: Literal["newest", "oldest"],
) -> Iterator[Offer]:
    """An offer for each port of each enabled frontend; of a range the first 64 ports."""
    for frontend in configuration.frontends:
        if frontend["disabled"]:
            continue
        for low, high in parse_ports(frontend["port"]):
            for port in range(low, min(high, low + _LARGEST_RANGE - 1) + 1):
                yield Offer(
                    port=port_of(port),
                    tls=frontend["ssl"],
                    certificate=partial(choose, configuration, frontend["defaultSslId"], prefers),
                    answer=partial(
                        answer,
                        frontend,
                        port,
                        route=routes.acting(configuration.routes, frontend["frontendId"]),
                    ),
                )


def choose(
    configuration: Configuration,
    default: int | None,
    prefers: Literal["newest", "oldest"],
    name: str | None,
) -> Pair | None:
    """The pair for a server name, or None where there is no default.

    A managed certificate supersedes an uploaded one of the same name (the guide on free
    certificates). Which of two uploads for one name answers is not published: `prefers` decides.
    """
    matching = [
        (match, held)
        for held in configuration.certificates.values()
        if name is not None and (match := _match(held, name))
    ]
    if matching:
        sign = 1 if prefers == "newest" else -1
        order = {number: place for place, number in enumerate(configuration.certificates)}
        best = max(
            matching,
            key=lambda pair: (pair[0], pair[1].type != "custom", sign * order[pair[1].id]),
        )[1]
    elif default in configuration.certificates:
        best = configuration.certificates[default]
    else:
        return None
    return best.chain, best.key


def answer(
    frontend: Frontend,
    port: int,
    host: str,
    path: str,
    _headers: Mapping[str, str],
    *,
    route: routes.Route | None = None,
) -> Answer:
    """The HTTP answer: the route's, a 302 to the redirect location, the farm's, or else 503."""
    if route is not None:
        scheme = "https" if frontend["ssl"] else "http"
        return routes.answer(route, scheme=scheme, port=port, host=host, path=path)
    headers = {}
    if frontend["hsts"] and frontend["ssl"]:
        headers["Strict-Transport-Security"] = "max-age=16000000"
    location = frontend["redirectLocation"]
    if location is not None:
        headers["Location"] = _expand(location, frontend, port, host, path)
        return Answer(status=302, headers=headers)
    farm = frontend["defaultFarmId"]
    if farm is None:
        return Answer(status=503, headers=headers, body="No server is available\n")
    return Answer(headers=headers, body=f"ovh farm {farm}\n")


def _match(held: Certificate, name: str) -> int:
    """2 for the name itself, 1 for its wildcard, 0 for none."""
    names = {pattern.lower() for pattern in held.names}
    if name in names:
        return 2
    return 1 if "*." + name.partition(".")[2] in names else 0


def _expand(location: str, frontend: Frontend, port: int, host: str, path: str) -> str:
    """The variables that are documented for the redirects of routes."""
    values = {
        "protocol": "https" if frontend["ssl"] else "http",
        "host": host,
        "port": str(port),
        "path": path.partition("?")[0],
        "uri": path,
    }
    for name, value in values.items():
        location = location.replace("${" + name + "}", value)
    return location
