"""What the listeners serve: certificates by server name, redirects, fixed responses.

All balancers of the account share the emulator's front address, so of two listeners on one port
the older counts, unless the options give them ports of their own.
"""

import fnmatch
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from moto.elbv2.models import FakeLoadBalancer

from sandbox.emulators.aws import application, classic
from sandbox.emulators.aws.account import Account
from sandbox.emulators.aws.application import Application, Listener
from sandbox.emulators.aws.classic import Classic
from sandbox.emulators.aws.material import Material
from sandbox.emulators.tls import Answer, Offer, Pair, covers


class FrontPorts:
    """Where a listener's port is opened: `balancer:port`, then `port`, then port plus `offset`."""

    def __init__(self, ports: Mapping[str, int], offset: int) -> None:
        self._ports = ports
        self._offset = offset

    def of(self, balancer: str, port: int) -> int:
        """The port on the front address."""
        for key in (f"{balancer}:{port}", str(port)):
            if key in self._ports:
                return self._ports[key]
        return port + self._offset


def classic_offers(account: Account, balancers: Classic, ports: FrontPorts) -> Iterator[Offer]:
    """One certificate for each secure listener, whatever name the client asks for."""
    for balancer in balancers.balancers():
        for listener in balancer.listeners:
            material = account.materials.get(listener.ssl_certificate_id or "")
            yield Offer(
                port=ports.of(balancer.name, int(listener.load_balancer_port)),
                tls=listener.protocol in classic.SECURE,
                certificate=lambda _name, found=material: found.pair if found else None,  # type: ignore[misc] # bound now
                answer=_served(f"classic {balancer.name} to instances:{listener.instance_port}"),
            )


def application_offers(
    account: Account, balancers: Application, ports: FrontPorts
) -> Iterator[Offer]:
    """All certificates of a secure listener, by name; its rules and default action."""
    for balancer in balancers.balancers():
        for listener in application.listeners_of(balancer):
            materials = [
                account.materials[arn]
                for arn in dict.fromkeys([listener.certificate, *listener.others])
                if arn in account.materials
            ]
            yield Offer(
                port=ports.of(balancer.name, int(listener.port)),
                tls=listener.protocol in application.SECURE,
                certificate=lambda name, found=materials: chosen(found, name),  # type: ignore[misc] # bound now
                answer=_answers(balancers, balancer, listener),
            )


def chosen(materials: list[Material], name: str | None) -> list[Pair] | None:
    """The pairs for a server name: those that cover it, one of each key type, else the default.

    OpenSSL chooses among the key types by what the client supports, ECDSA before RSA, as the
    balancers do. Of several of one type the one that is valid longest counts.
    """
    if not materials:
        return None
    fitting = [material for material in materials if name and covers(material.names, name)]
    by_kind: dict[str, Material] = {}
    for material in fitting or materials[:1]:
        kind = material.key_algorithm.partition("_")[0]
        there = by_kind.get(kind)
        if there is None or there.leaf.not_valid_after_utc < material.leaf.not_valid_after_utc:
            by_kind[kind] = material
    return [by_kind[kind].pair for kind in sorted(by_kind)]


def _served(text: str) -> Any:
    return lambda _host, _path, _headers: Answer(body=f"aws {text}\n")


def _answers(balancers: Application, balancer: FakeLoadBalancer, listener: Listener) -> Any:
    def answer(host: str, path: str, headers: Mapping[str, str]) -> Answer:
        if balancer.type != "application":
            return Answer(body=f"aws network {balancer.name}\n")
        actions = listener.default_actions
        rules = sorted(listener._non_default_rules.values(), key=lambda rule: int(rule.priority))
        for rule in rules:
            if all(_matches(condition, host, path, headers) for condition in rule.conditions):
                actions = rule.actions
                break
        return _act([action.data for action in actions], balancers, listener, host, path)

    return answer


def _act(
    actions: list[dict[str, Any]],
    balancers: Application,
    listener: Listener,
    host: str,
    path: str,
) -> Answer:
    for action in actions:
        if action["Type"] == "redirect":
            return _redirect(action["RedirectConfig"], listener, host, path)
        if action["Type"] == "fixed-response":
            config = action["FixedResponseConfig"]
            kind = config.get("ContentType", "text/plain")
            return Answer(
                status=int(config["StatusCode"]),
                headers={"Content-Type": f"{kind}; charset=utf-8"},
                body=config.get("MessageBody", ""),
            )
    groups = application.target_groups(actions)
    named = ",".join(balancers.target_group_name(arn) for arn in groups)
    return Answer(body=f"aws application to {named}\n")


def _redirect(config: Mapping[str, Any], listener: Listener, host: str, path: str) -> Answer:
    parts = urlsplit(path)
    values = {
        "#{protocol}": listener.protocol,
        "#{host}": host,
        "#{port}": str(listener.port),
        "#{path}": parts.path.removeprefix("/"),
        "#{query}": parts.query,
    }

    def filled(name: str, default: str) -> str:
        text = str(config.get(name) or default)
        for placeholder, value in values.items():
            text = text.replace(placeholder, value)
        return text

    query = filled("Query", "#{query}")
    location = (
        f"{filled('Protocol', '#{protocol}').lower()}://{filled('Host', '#{host}')}"
        f":{filled('Port', '#{port}')}{filled('Path', '/#{path}')}{'?' + query if query else ''}"
    )
    status = 301 if config["StatusCode"] == "HTTP_301" else 302
    return Answer(status=status, headers={"Location": location})


def _matches(
    condition: Mapping[str, Any], host: str, path: str, headers: Mapping[str, str]
) -> bool:
    """Host, path and header conditions; any other kind matches nothing here."""
    kind = condition["Field"]
    if kind == "host-header":
        return _any(_values(condition, "HostHeaderConfig"), host.lower())
    if kind == "path-pattern":
        return _any(_values(condition, "PathPatternConfig"), urlsplit(path).path)
    if kind == "http-header":
        config = condition["HttpHeaderConfig"]
        wanted = config["HttpHeaderName"].lower()
        sent = [value for name, value in headers.items() if name.lower() == wanted]
        return any(_any(config["Values"], value) for value in sent)
    return False


def _values(condition: Mapping[str, Any], config: str) -> list[str]:
    return [*condition.get("Values", []), *condition.get(config, {}).get("Values", [])]


def _any(patterns: Iterable[str], text: str) -> bool:
    """`*` and `?` are the only wildcards; a bracket is a bracket."""
    return any(fnmatch.fnmatchcase(text, pattern.replace("[", "[[]")) for pattern in patterns)
