"""HTTP routes: each leads the requests of one frontend elsewhere. Those without rules match all.

Follows the OpenAPI description (RouteHttp, RouteHttpAction, DefinedRoute) and OVH's guide "Working
with HTTP routes": 50 routes on a service; statuses and variables of a redirect; reject and redirect
routes before farm routes, then by weight, then the older; the first that matches acts. Not published,
decided here: a frontend that has routes is not deleted (409); every route is `ok` at once; null in
`action` is as if it were left out. Rules are not emulated.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sandbox.emulators.ovh.refusals import bad_request
from sandbox.emulators.tls import Answer

Route = Mapping[str, Any]
"""The API's own object (`ipLoadbalancing.RouteHttp.RouteHttp`); never changed in place."""

MOST = 50
_DEFAULT_STATUS: Mapping[str, int | None] = {"redirect": 302, "reject": 403, "farm": None}
_STATUSES: Mapping[str, tuple[int, ...]] = {
    "redirect": (301, 302, 303, 307, 308),
    "reject": (200, 400, 403, 405, 408, 429, 500, 502, 503, 504),
    "farm": (),
}
_MEMBERS = {"status": int, "target": str, "type": str}


def with_defaults(number: int, body: Mapping[str, Any]) -> Route:
    """A route as it is created."""
    defaults: Route = {
        "displayName": None,
        "frontendId": None,
        "weight": 0,
        "rules": [],
        "status": "ok",
    }
    return _with_action({**defaults, "routeId": number, **body})


def with_changes(route: Route, body: Mapping[str, Any]) -> Route:
    """A route after a PUT: members that were not sent stay."""
    return _with_action({**route, **body})


def check(route: Route, frontends: Mapping[int, Any], farms: Mapping[int, str]) -> None:
    """Raise the API's refusal (400) where it refers to what is not there."""
    if route["frontendId"] is not None and route["frontendId"] not in frontends:
        raise bad_request("[frontendId] No such frontend on this service")
    if not 0 <= route["weight"] <= 255:
        raise bad_request("[weight] A weight is in 0..255")
    if len(route["displayName"] or "") > 255:
        raise bad_request("[displayName] 255 characters at most")
    action = route["action"]
    if action["type"] == "farm" and (
        not str(action["target"]).isdecimal() or int(action["target"]) not in farms
    ):
        raise bad_request("[action] No such farm on this service")


def acting(routes: Sequence[Route], frontend: int) -> Route | None:
    """The route that takes a request of the frontend."""
    mine = [route for route in routes if route["frontendId"] == frontend]
    return min(
        mine,
        key=lambda route: (route["action"]["type"] == "farm", route["weight"], route["routeId"]),
        default=None,
    )


def answer(route: Route, *, scheme: str, port: int, host: str, path: str) -> Answer:
    """What the route answers."""
    action = route["action"]
    if action["type"] == "farm":
        return Answer(body=f"ovh farm {action['target']}\n")
    if action["type"] == "reject":
        return Answer(status=action["status"])
    place, mark, arguments = path.partition("?")
    values = {
        "protocol": scheme,
        "domain": host.partition(":")[0],
        "host": host,
        "port": str(port),
        "path": place,
        "arguments": mark + arguments,
        "uri": path,
    }
    location = str(action["target"])
    for name, value in values.items():
        location = location.replace("${" + name + "}", value)
    return Answer(status=action["status"], headers={"Location": location})


def _with_action(route: dict[str, Any]) -> Route:
    given = {name: value for name, value in route["action"].items() if value is not None}
    unknown = sorted(given.keys() - _MEMBERS.keys())
    if unknown:
        raise bad_request(f"Received not described parameters: ({', '.join(unknown)})")
    for name, value in given.items():
        if type(value) is not _MEMBERS[name]:
            raise bad_request(f"[action.{name}] Given data is not valid")
    kind = given.get("type", "")
    if kind not in _STATUSES:
        raise bad_request("[action.type] One of redirect, reject and farm is expected")
    status = given.get("status", _DEFAULT_STATUS[kind])
    if status is not None and status not in _STATUSES[kind]:
        raise bad_request("[action.status] The action has no such status")
    if (kind == "reject") == ("target" in given):
        raise bad_request("[action.target] A redirect and a farm have a target, a reject has none")
    action = {"status": status, "target": given.get("target"), "type": kind}
    return {**route, "action": action}
