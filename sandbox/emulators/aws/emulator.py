"""The AWS emulator: one URL for IAM, STS, ACM, classic and application load balancers.

A request passes, in this order: which service and action (:mod:`.wire`), who signed it
(:mod:`.signing`), whether its policy allows it, its parameters against the service's model, and
then the service (:mod:`.iam`, :mod:`.acm`, :mod:`.classic`, :mod:`.application`) or, after the
checks of that module, moto (:mod:`.backend`).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Annotated, Any, ClassVar

from aiohttp import web

from sandbox.emulators.aws import application, classic
from sandbox.emulators.aws.account import Account, Limits, new_account_id
from sandbox.emulators.aws.acm import Certificates
from sandbox.emulators.aws.application import Application
from sandbox.emulators.aws.backend import passed_on
from sandbox.emulators.aws.classic import Classic
from sandbox.emulators.aws.errors import Refused
from sandbox.emulators.aws.fronts import FrontPorts, application_offers, classic_offers
from sandbox.emulators.aws.iam import ServerCertificates
from sandbox.emulators.aws.seeding import seed_listener
from sandbox.emulators.aws.signing import Keys, Principal, credentials
from sandbox.emulators.aws.usage import Propagation, Usage
from sandbox.emulators.aws.wire import Operation, answer, identify, known, parameters, refusal
from sandbox.emulators.server import BODY, Clock, Emulator
from sandbox.emulators.tls import Offer

_Action = Callable[[dict[str, Any]], dict[str, Any]]
_UNSIGNED = ("sts:AssumeRoleWithWebIdentity",)
_TAGGING = {
    "acm:ImportCertificate": "acm:AddTagsToCertificate",
    "elasticloadbalancing:CreateListener": "elasticloadbalancing:AddTags",
    "elasticloadbalancing:CreateLoadBalancer": "elasticloadbalancing:AddTags",
    "elasticloadbalancing:CreateRule": "elasticloadbalancing:AddTags",
    "elasticloadbalancing:CreateTargetGroup": "elasticloadbalancing:AddTags",
    "iam:UploadServerCertificate": "iam:TagServerCertificate",
}
"""What a call that gives tags needs to be allowed besides."""
_FREE = ("sts:GetCallerIdentity",)
"""What every identity may do."""


class AWS(Emulator):
    """IAM server certificates, ACM, and Elastic Load Balancing of one account, strictly.

    Behind one URL, as moto's server has it: the service is that of the credential scope.
    """

    name: ClassVar[str] = "aws"
    largest_body: ClassVar[int] = 8 << 20

    def __init__(
        self,
        *,
        clock: Clock,
        front: str = "127.0.0.1",
        seed: int = 0,
        region: Annotated[str, "Region of the balancers made at the start."] = "us-east-1",
        access_key_id: Annotated[str, "The user's access key."] = "AKIASANDBOXCERTFRONT",
        secret_access_key: Annotated[str, "Its secret."] = "sandbox/certfront/secret",  # noqa: S107 - of no real account
        allow: Annotated[tuple[str, ...], "What the user may do, as service:Action."] = ("*",),
        roles: Annotated[
            Mapping[str, str], "Roles that may be assumed, and what each may do, by commas."
        ] = {"certfront": "*"},
        web_identity_token: Annotated[str, "The token of the identity provider (IRSA)."] = "",
        session_seconds: Annotated[float, "How long sessions last; 0: as asked for."] = 0.0,
        propagation_seconds: Annotated[
            float, "How long a new certificate is not found by the balancers."
        ] = 0.0,
        propagation_misses: Annotated[
            int, "How often a new certificate is not found by the balancers."
        ] = 1,
        in_use_lag: Annotated[float, "How many seconds late a use is reported, and its end."] = 1.0,
        server_certificates: Annotated[int, "IAM's quota."] = 20,
        acm_certificates: Annotated[int, "ACM's quota."] = 2500,
        acm_imports_per_year: Annotated[int, "ACM's quota of imports."] = 5000,
        certificates_per_balancer: Annotated[
            int, "Certificates of an ALB besides the default ones."
        ] = 25,
        chain_required: Annotated[
            bool, "ACM refuses a certificate that is not self-signed without a chain."
        ] = False,
        classic: Annotated[tuple[str, ...], "Classic load balancers to make."] = ("classic",),
        application: Annotated[tuple[str, ...], "Application load balancers to make."] = ("alb",),
        network: Annotated[tuple[str, ...], "Network load balancers to make."] = (),
        target_groups: Annotated[tuple[str, ...], "Target groups (HTTP) to make."] = ("web",),
        listeners: Annotated[
            tuple[str, ...], "Listeners to make: balancer:port:protocol[:target]."
        ] = (),
        ports: Annotated[
            Mapping[str, int], "Front port of a listener: balancer:port=N or port=N."
        ] = {},
        port_offset: Annotated[int, "Front port of any other listener: its port plus this."] = 0,
    ) -> None:
        super().__init__(clock=clock, front=front, seed=seed)
        self.account = Account(
            id=new_account_id(self.random),
            region=region,
            clock=clock,
            random=self.random,
            limits=Limits(
                server_certificates=server_certificates,
                acm_certificates=acm_certificates,
                acm_imports_per_year=acm_imports_per_year,
                certificates_per_balancer=certificates_per_balancer,
            ),
            propagation=Propagation(propagation_seconds, propagation_misses),
            usage=Usage(in_use_lag),
            chain_required=chain_required,
        )
        self.keys = Keys(
            account=self.account.id,
            user=Principal(
                key_id=access_key_id,
                secret=secret_access_key,
                arn=f"arn:aws:iam::{self.account.id}:user/certfront",
                allow=tuple(allow),
            ),
            roles={name: tuple(actions.split(",")) for name, actions in roles.items()},
            web_identity_token=web_identity_token,
            session_seconds=session_seconds,
            random=self.random,
        )
        self.server_certificates = ServerCertificates(self.account)
        self.certificates: Mapping[str, Certificates] = _ByRegion(
            lambda name: Certificates(self.account, name)
        )
        self.classic: Mapping[str, Classic] = _ByRegion(lambda name: Classic(self.account, name))
        self.application: Mapping[str, Application] = _ByRegion(
            lambda name: Application(self.account, name)
        )
        self._ports = FrontPorts(ports, port_offset)
        for name in classic:
            self.classic[region].add(name)
        for kind, names in (("application", application), ("network", network)):
            for name in names:
                self.application[region].add(name, kind)
        for name in target_groups:
            self.application[region].add_target_group(name, "HTTP")
        for text in listeners:
            self._seed_listener(text)
        self._note_usage()

    def routes(self) -> Iterable[web.RouteDef]:
        """Every call is a POST to the root."""
        return [web.post("/", self._call)]

    def unknown(self, request: web.Request) -> web.Response:  # noqa: ARG002 - one answer for all
        """No service is at another path, and none is asked by another method."""
        return refusal("iam", Refused("UnknownOperation", "not a call", 404), self.account.uuid())

    def too_large(self, request: web.Request) -> web.Response:  # noqa: ARG002 - not read
        """The answer to a body that no service takes."""
        return refusal("iam", Refused("RequestEntityTooLarge", "too large", 413), "too-large")

    def identify(self, request: web.Request) -> str:
        """`iam:UploadServerCertificate`: the service as boto3 names it, and the action."""
        operation = identify(request)
        return operation.name if operation is not None else request.path

    def offers(self) -> Iterator[Offer]:
        """The listeners of all regions."""
        for region in list(self.classic):
            yield from classic_offers(self.account, self.classic[region], self._ports)
        for region in list(self.application):
            yield from application_offers(self.account, self.application[region], self._ports)

    async def _call(self, request: web.Request) -> web.Response:
        request_id = self.account.uuid()
        operation = identify(request)
        if operation is None:
            return refusal(
                "iam",
                Refused("UnknownOperation", "no known service, version or action", 400),
                request_id,
            )
        try:
            return self._act(request, operation, request_id)
        except Refused as refused:
            return refusal(operation.service, refused, request_id)
        finally:
            self._note_usage()

    def _act(self, request: web.Request, operation: Operation, request_id: str) -> web.Response:
        self._note_usage()
        principal: Principal | None = None
        if operation.name not in _UNSIGNED:
            principal = self.keys.signer(request, operation)
        if not known(operation):
            raise Refused("InvalidAction", f"Could not find operation {operation.action}")
        if principal is not None:
            _authorize(principal, operation.permission)
        given = parameters(request, operation)
        tagging = _TAGGING.get(operation.permission)
        if principal is not None and tagging is not None and given.get("Tags"):
            _authorize(principal, tagging)
        action = self._actions(operation, principal).get(operation.action)
        if action is not None:
            return answer(operation, action(given), request_id)
        return self._passed_on(request, operation, given, request_id)

    def _actions(self, operation: Operation, principal: Principal | None) -> Mapping[str, _Action]:
        """What is done here for the service."""
        if operation.service == "iam":
            return self.server_certificates.actions
        if operation.service == "acm":
            return self.certificates[operation.region].actions
        if operation.service == "elb":
            return self.classic[operation.region].actions
        if operation.service == "elbv2":
            return self.application[operation.region].actions
        return {
            "AssumeRole": self._assume_role,
            "AssumeRoleWithWebIdentity": self._assume_role_with_web_identity,
            "GetCallerIdentity": lambda _given: self._caller(principal),
        }

    def _passed_on(
        self, request: web.Request, operation: Operation, given: dict[str, Any], request_id: str
    ) -> web.Response:
        balancers: Classic | Application
        if operation.service == "elb" and operation.action in classic.PASSED_ON:
            balancers = self.classic[operation.region]
        elif operation.service == "elbv2" and operation.action in application.PASSED_ON:
            balancers = self.application[operation.region]
        else:
            raise Refused("InvalidAction", f"the emulator does not do {operation.name}")
        balancers.before(operation.action, given)
        answered = passed_on(operation, request[BODY], self.account.id, request_id)
        if isinstance(balancers, Application):
            balancers.after(operation.action, given)
        return answered

    def _caller(self, principal: Principal | None) -> dict[str, Any]:
        if principal is None:
            raise Refused("MissingAuthenticationToken", "Missing Authentication Token")
        return {
            "Account": self.account.id,
            "Arn": principal.arn,
            "UserId": "AIDA" + principal.key_id[4:],
        }

    def _assume_role(self, given: dict[str, Any]) -> dict[str, Any]:
        name = given["RoleSessionName"]
        session, role = self.keys.assume(given["RoleArn"], name, given.get("DurationSeconds", 3600))
        return credentials(session, role, name)

    def _assume_role_with_web_identity(self, given: dict[str, Any]) -> dict[str, Any]:
        self.keys.check_web_identity(given["WebIdentityToken"])
        return self._assume_role(given)

    def _seed_listener(self, text: str) -> None:
        region = self.account.region
        seed_listener(
            text,
            classic=self.classic[region],
            application=self.application[region],
            server_certificates=self.server_certificates,
            certificates=self.certificates[region],
            now=self.account.now(),
            random=self.random,
        )

    def _note_usage(self) -> None:
        used: dict[str, set[str]] = defaultdict(set)
        for region in list(self.classic):
            for arn, user in self.classic[region].used():
                used[arn].add(user)
        for region in list(self.application):
            for arn, user in self.application[region].used():
                used[arn].add(user)
        self.account.usage.note(used, self.account.now())

    def steer(self, what: str, value: Any) -> None:
        """Change an option, or an object behind the client's back.

        `allow` (a list of patterns) and `role` (`{"name": …, "allow": […]}`); `secret` (a new
        secret access key); `propagation_seconds`, `propagation_misses`, `in_use_lag`,
        `server_certificates`, `acm_certificates`, `certificates_per_balancer` (a number);
        `remove_server_certificate` (a name), `remove_certificate` (an ARN), `remove_listener`
        (`balancer:port`), `add_listener` (as the option `listeners` has it),
        `remove_balancer` (a name).
        """
        steered: dict[str, Callable[[Any], None]] = {
            "allow": self._steer_allow,
            "role": self._steer_role,
            "secret": self._steer_secret,
            "remove_server_certificate": lambda name: self.server_certificates.remove(str(name)),
            "remove_certificate": self._remove_certificate,
            "remove_listener": self._remove_listener,
            "remove_balancer": self._remove_balancer,
            "add_listener": lambda text: self._seed_listener(str(text)),
        }
        if what in steered:
            steered[what](value)
        else:
            self._steer_number(what, value)
        self._note_usage()

    def _steer_number(self, what: str, value: Any) -> None:
        if what == "propagation_seconds":
            self.account.propagation.seconds = float(value)
        elif what == "propagation_misses":
            self.account.propagation.misses = int(value)
        elif what == "in_use_lag":
            self.account.usage.lag = float(value)
        elif what in Limits.__slots__:
            setattr(self.account.limits, what, int(value))
        else:
            raise LookupError(f"aws cannot be steered to {what}")

    def _steer_allow(self, value: Any) -> None:
        self.keys.user = _changed(self.keys.user, allow=_patterns(value))

    def _steer_role(self, value: Any) -> None:
        self.keys.roles[str(value["name"])] = _patterns(value["allow"])

    def _steer_secret(self, value: Any) -> None:
        if not isinstance(value, str) or not value:
            raise ValueError("give the new secret")
        self.keys.user = _changed(self.keys.user, secret=value)

    def _remove_certificate(self, arn: Any) -> None:
        self.certificates[str(arn).split(":")[3]].remove(str(arn))

    def _remove_listener(self, text: Any) -> None:
        name, _, port = str(text).rpartition(":")
        region = self.account.region
        if any(balancer.name == name for balancer in self.classic[region].balancers()):
            self.classic[region].remove_listener(name, int(port))
        else:
            self.application[region].remove_listener(name, int(port))

    def _remove_balancer(self, name: Any) -> None:
        region = self.account.region
        if any(balancer.name == name for balancer in self.classic[region].balancers()):
            self.classic[region].remove(str(name))
        else:
            self.application[region].remove(str(name))

    def snapshot(self) -> Any:
        """What is stored, what listens with it, and who is said to use it."""
        now, usage = self.account.now(), self.account.usage
        return {
            "account": self.account.id,
            "server_certificates": [
                {
                    "name": entry.name,
                    "path": entry.path,
                    "id": entry.id,
                    "arn": self.server_certificates.arn(entry),
                    "certificate": entry.material.certificate,
                    "names": list(entry.material.names),
                    "tags": entry.tags,
                    "used_by": self.server_certificates.holders(entry),
                }
                for entry in self.server_certificates.entries()
            ],
            "certificates": [
                {
                    "arn": entry.arn,
                    "certificate": entry.material.certificate,
                    "names": list(entry.material.names),
                    "key_algorithm": entry.material.key_algorithm,
                    "tags": entry.tags,
                    "used_by": usage.holders(entry.arn, now),
                }
                for region in list(self.certificates)
                for entry in self.certificates[region].entries()
            ],
            "classic": [
                {
                    "name": balancer.name,
                    "listeners": [_plain(x) for x in classic.listeners_of(balancer)],
                }
                for region in list(self.classic)
                for balancer in self.classic[region].balancers()
            ],
            "application": [
                {
                    "name": balancer.name,
                    "arn": balancer.arn,
                    "type": balancer.type,
                    "listeners": [
                        application.shown(x)
                        | {
                            "others": x.others,
                            "rules": [
                                {"priority": rule.priority, "arn": rule.arn}
                                for rule in x._non_default_rules.values()
                            ],
                        }
                        for x in application.listeners_of(balancer)
                    ],
                }
                for region in list(self.application)
                for balancer in self.application[region].balancers()
            ],
        }


class _ByRegion(dict[str, Any]):
    """What there is in each region, made when the region is first named."""

    def __init__(self, make: Callable[[str], Any]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, region: str) -> Any:
        self[region] = made = self._make(region)
        return made


def _authorize(principal: Principal, permission: str) -> None:
    if permission not in _FREE and not principal.may(permission):
        raise Refused(
            "AccessDenied",
            f"User: {principal.arn} is not authorized to perform: {permission} on resource: *"
            f" because no identity-based policy allows the {permission} action",
        )


def _changed(
    user: Principal, *, allow: tuple[str, ...] | None = None, secret: str | None = None
) -> Principal:
    return Principal(
        key_id=user.key_id,
        secret=user.secret if secret is None else secret,
        arn=user.arn,
        allow=user.allow if allow is None else allow,
    )


def _patterns(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError("give a list of patterns such as iam:*ServerCertificate*")
    return tuple(value)


def _plain(listener: classic.Listener) -> dict[str, Any]:
    return {
        "port": int(listener.load_balancer_port),
        "protocol": listener.protocol,
        "instance_port": int(listener.instance_port),
        "instance_protocol": listener.instance_protocol,
        "certificate": listener.ssl_certificate_id,
    }
