"""What tests do to the emulated OVH that no API call does: see :data:`WAYS`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast, get_args

from sandbox.emulators.ovh.oauth2 import ServiceAccount, Tokens
from sandbox.emulators.ovh.refusals import Refusal
from sandbox.emulators.ovh.service import Service, Terms
from sandbox.emulators.ovh.shapes import FRONTEND_EDIT, check_body
from sandbox.emulators.ovh.signature import ConsumerKey, Keys, Validity, parse_rules
from sandbox.emulators.ovh.tasks import action_of, status_of

WAYS: Mapping[str, str] = {
    "plan-task": '{"action", "status", "times": 1}: the next tasks of the action end so',
    "task": '{"id", "status"}: an open task becomes blocked, done, error, cancelled or doing',
    "renew": '{"id"}: the provider renews a built certificate under the same id',
    "route": '{"id", "routed"}: a built certificate becomes built_not_routed, or built again',
    "resolves": "[names]: what points to the load balancer (* and *.example.org are patterns)",
    "forget-ssl": '{"id", "applied": true}: a certificate is deleted behind the client\'s back',
    "forget-frontend": '{"id", "applied": true}: and so a frontend',
    "alter-frontend": '{"id", "fields": {}, "applied": true}: a frontend is changed so',
    "service-state": "ok, or another state: every call for the service is then refused",
    "consumer": '{"key", "application", "rules": [], "validity", "allowedIPs"}: a consumer key',
    "application": '{"key", "secret"}: an application; a secret of null removes it',
    "account": '{"id", "secret", "actions": []}: a service account; null removes it',
    "revoke-tokens": "no value: every bearer token is refused from now on",
    "option": '{"name", "value"}: a number, text or boolean among the options, from now on',
}
"""Every way to steer, with its value. `"service"` may be added to an object's value; without it
the first service is meant."""


@dataclass(frozen=True, slots=True)
class Steering:
    """The ways of :data:`WAYS`, for one emulator."""

    services: Mapping[str, Service]
    terms: Terms
    keys: Keys
    tokens: Tokens

    def steer(self, what: str, value: Any, now: datetime) -> None:
        """Do it; raises LookupError for what it does not know, ValueError for a wrong value."""
        if what not in WAYS:
            raise LookupError(f"ovh is steered to: {', '.join(WAYS)}")
        way: Callable[[Any, datetime], None] = getattr(self, "_" + what.replace("-", "_"))
        try:
            way(value, now)
        except KeyError as error:
            raise ValueError(f"{what} takes {WAYS[what]}; missing: {error}") from error
        except Refusal as error:
            raise ValueError(error.message) from error

    def _service(self, value: Mapping[str, Any]) -> Service:
        name = value.get("service", next(iter(self.services)))
        return self.services[name]

    def _plan_task(self, value: Any, _now: datetime) -> None:
        service = self._service(value)
        action = action_of(value["action"])
        service.tasks.plan(action, status_of(value["status"]), int(value.get("times", 1)))

    def _task(self, value: Any, now: datetime) -> None:
        task = self._service(value).tasks.get(value["id"])
        if task is None:
            raise ValueError("there is no such task")
        task.put_in(status_of(value["status"]), now)

    def _renew(self, value: Any, now: datetime) -> None:
        self._service(value).renew(value["id"], now)

    def _route(self, value: Any, _now: datetime) -> None:
        self._service(value).route(value["id"], bool(value["routed"]))

    def _resolves(self, value: Any, _now: datetime) -> None:
        self.terms.resolves = tuple(str(name).lower() for name in _texts(value))

    def _forget_ssl(self, value: Any, _now: datetime) -> None:
        self._service(value).forget_certificate(value["id"], value.get("applied", True))

    def _forget_frontend(self, value: Any, _now: datetime) -> None:
        self._service(value).forget_frontend(value["id"], value.get("applied", True))

    def _alter_frontend(self, value: Any, _now: datetime) -> None:
        check_body(FRONTEND_EDIT, value["fields"])
        service = self._service(value)
        service.alter_frontend(value["id"], value["fields"], value.get("applied", True))

    def _service_state(self, value: Any, _now: datetime) -> None:
        chosen = value if isinstance(value, Mapping) else {"state": value}
        self._service(chosen).state = str(chosen["state"])

    def _consumer(self, value: Any, _now: datetime) -> None:
        application = value.get("application", next(iter(self.keys.applications), ""))
        validity = value.get("validity", "validated")
        if validity not in get_args(Validity):
            raise ValueError(f"a validity is one of {', '.join(get_args(Validity))}")
        known = self.keys.consumers.get(value["key"])
        rules = (
            parse_rules(_texts(value["rules"])) if "rules" in value or not known else known.rules
        )
        self.keys.consumers[value["key"]] = ConsumerKey(
            application=application,
            rules=rules,
            validity=cast("Validity", validity),
            allowed_ips=tuple(_texts(value.get("allowedIPs", ()))),
        )

    def _application(self, value: Any, _now: datetime) -> None:
        if value["secret"] is None:
            self.keys.applications.pop(value["key"], None)
        else:
            self.keys.applications[value["key"]] = str(value["secret"])

    def _account(self, value: Any, _now: datetime) -> None:
        if value["secret"] is None:
            self.tokens.accounts.pop(value["id"], None)
        else:
            actions = tuple(_texts(value.get("actions", ("*",))))
            account = ServiceAccount(secret=str(value["secret"]), actions=actions)
            self.tokens.accounts[value["id"]] = account

    def _revoke_tokens(self, _value: Any, _now: datetime) -> None:
        self.tokens.revoke_all()

    def _option(self, value: Any, _now: datetime) -> None:
        name = str(value["name"]).replace("-", "_")
        if name not in Terms.__slots__ or name == "resolves":
            raise ValueError("there is no such option to change")
        kind = type(getattr(self.terms, name))
        setattr(self.terms, name, kind(value["value"]))


def _texts(value: Any) -> Sequence[str]:
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise ValueError("a list of texts is expected")
    return value
