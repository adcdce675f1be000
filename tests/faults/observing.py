"""What is looked at from outside: the objects of a tenant, and what every node shows for its hosts."""

from collections.abc import Iterable, Mapping
from typing import Any

import requests

from tests.e2e import clients
from tests.e2e.world import condition
from tests.faults import checks
from tests.faults.setting import Estate, Setting

Object = dict[str, Any]
RENEW = "certfront.io/renew"
RENEWED_FOR = "certfront.io/renewed-for"
_END = "-----END CERTIFICATE-----"


def unready(setting: Setting, estate: Estate) -> list[str]:
    """What is not as people have asked for: not Ready, being worked on, or not what they asked."""
    api = setting.world.api
    found = [
        {"kind": kind, **body}
        for kind in ("Certificate", "LoadBalancerFrontend", "Issuer")
        for body in api.found(kind, estate.namespace)
    ]
    if len(found) < len(estate.types):
        return ["objects are missing"]
    stored = by_name(setting, estate.namespace)
    return [
        *checks.unready(found),
        *(f"{body['metadata']['name']} is being worked on" for body in found if _works(body)),
        *unanswered([body for body in found if body["kind"] == "Certificate"], stored),
    ]


def unanswered(certificates: list[Object], stored: Mapping[str, Object]) -> list[str]:
    """Certificates whose Secret is not for the renewal or the upload that was asked for last."""
    wrong = []
    for body in certificates:
        name = body["metadata"]["name"]
        wish = (body["metadata"].get("annotations") or {}).get(RENEW, "")
        secret = stored.get(name)
        if secret is None:
            wrong.append(f"there is no Secret {name}")
        elif wish and secret["metadata"]["annotations"].get(RENEWED_FOR) != wish:
            wrong.append(f"{name} is not renewed for {wish}")
        elif (source := stored.get(f"source-{name}")) and _leaf(source) != _leaf(secret):
            wrong.append(f"{name} is not what was uploaded last")
    return wrong


def secrets(setting: Setting, namespace: str) -> list[Object]:
    """The Secrets of a namespace."""
    return setting.world.api.found("Secret", namespace)


def by_name(setting: Setting, namespace: str) -> dict[str, Object]:
    """The same, by their names."""
    return {each["metadata"]["name"]: each for each in secrets(setting, namespace)}


def trusted(
    setting: Setting, estate: Estate, secrets: Mapping[str, dict[str, Any]]
) -> dict[str, str]:
    """What clients of each certificate trust, in PEM."""
    own = {name: text(secrets[name], "tls.crt") for name in estate.of_type("SelfSigned")}
    private = dict.fromkeys(estate.of_type("CA"), own["root"])
    acme = dict.fromkeys(estate.of_type("ACME"), "".join(setting.pebble_roots))
    return {**own, **private, **acme, **estate.roots}


def text(secret: Mapping[str, Any], key: str) -> str:
    """An entry of a Secret, as text."""
    return checks.entry(secret, key).decode()


def unserved(setting: Setting, estate: Estate) -> list[str]:
    """Hosts for which a node shows another certificate than their Secret holds."""
    stored = by_name(setting, estate.namespace)
    if missing := [name for name in estate.hosts if name not in stored]:
        return [f"there is no Secret {name}" for name in missing]
    expected = {
        host: checks.fingerprint(stored[name])
        for name, hosts in estate.hosts.items()
        for host in hosts
    }
    return checks.unserved(expected, shown(setting, estate, trusted(setting, estate, stored)))


def shown(setting: Setting, estate: Estate, roots: Mapping[str, str]) -> dict[tuple[str, str], str]:
    """The fingerprint, or the error, of a real handshake by node and host."""
    found: dict[tuple[str, str], str] = {}
    for node in setting.world.nodes:
        for name, hosts in estate.hosts.items():
            for host in hosts:
                try:
                    told = clients.handshake(node, host, root=roots[name], port=estate.ports[name])
                except OSError as error:
                    told = str(error)
                found[node.name, host] = told
    return found


def answers(
    setting: Setting, tokens: Iterable[checks.Token]
) -> dict[tuple[str, checks.Token], int]:
    """The status with which a node answers for a challenge, by node and token; none if it is silent."""
    found = {}
    for node in setting.world.nodes:
        for token in tokens:
            path = f"/.well-known/acme-challenge/{token.value}"
            try:
                answer = requests.get(
                    f"http://{node.address}:{node.port_map['80']}{path}",
                    headers={"Host": token.host},
                    timeout=5,
                )
            except requests.RequestException:
                continue
            found[node.name, token] = answer.status_code
    return found


def _works(body: Object) -> bool:
    found = condition(body, "Progressing")
    return found is not None and found["status"] == "True"


def _leaf(secret: Object) -> str:
    return text(secret, "tls.crt").partition(_END)[0].strip()
