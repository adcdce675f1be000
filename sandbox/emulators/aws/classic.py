"""Classic load balancers (API version 2012-06-01): what is checked before moto, or done instead.

moto answers 200 for load balancers and ports that are not there, takes any IAM ARN, forgets the
instance protocol, and deletes no listener when several are named.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from moto.elb.models import ELBBackend, LoadBalancer
from moto.elb.models import FakeListener as MotoListener

from sandbox.emulators.aws.account import Account
from sandbox.emulators.aws.backend import classic_backend
from sandbox.emulators.aws.errors import Refused

SECURE = ("HTTPS", "SSL")
_LAYERS = {"HTTP": "application", "HTTPS": "application", "SSL": "transport", "TCP": "transport"}
_TAGS = 50

PASSED_ON = frozenset(
    {
        "ConfigureHealthCheck",
        "CreateLoadBalancerPolicy",
        "DeleteLoadBalancerPolicy",
        "DeregisterInstancesFromLoadBalancer",
        "DescribeInstanceHealth",
        "DescribeLoadBalancerAttributes",
        "DescribeLoadBalancerPolicies",
        "DescribeLoadBalancers",
        "ModifyLoadBalancerAttributes",
        "RegisterInstancesWithLoadBalancer",
        "SetLoadBalancerPoliciesOfListener",
    }
)
"""Actions that moto answers after the checks of :meth:`Classic.before`."""


class Listener(MotoListener):
    """A listener that keeps its instance protocol."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        super().__init__(
            given["LoadBalancerPort"],
            given["InstancePort"],
            given["Protocol"],
            given.get("SSLCertificateId"),
        )
        self.given_instance_protocol = str(given.get("InstanceProtocol") or self.protocol).upper()

    @property
    def instance_protocol(self) -> str:
        """As it was given."""
        return self.given_instance_protocol

    def properties(self) -> tuple[Any, ...]:
        """What must be equal for a repeated creation to succeed."""
        return (
            int(self.load_balancer_port),
            int(self.instance_port),
            self.protocol,
            self.instance_protocol,
            self.ssl_certificate_id or "",
        )


class Classic:
    """The classic load balancers of an account in one region."""

    def __init__(self, account: Account, region: str) -> None:
        self._account = account
        self._region = region
        self.actions: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "AddTags": self._add_tags,
            "CreateLoadBalancer": self._create,
            "CreateLoadBalancerListeners": self._create_listeners,
            "DeleteLoadBalancer": self._delete,
            "DeleteLoadBalancerListeners": self._delete_listeners,
            "DescribeTags": self._describe_tags,
            "RemoveTags": self._remove_tags,
            "SetLoadBalancerListenerSSLCertificate": self._set_certificate,
        }

    @property
    def _backend(self) -> ELBBackend:
        return classic_backend(self._account.id, self._region)

    def balancers(self) -> list[LoadBalancer]:
        """All of them, in the order of their making."""
        return list(self._backend.load_balancers.values())

    def arn(self, name: str) -> str:
        """The ARN by which ACM and IAM name a user of a certificate."""
        where = f"{self._region}:{self._account.id}"
        return f"arn:aws:elasticloadbalancing:{where}:loadbalancer/{name}"

    def used(self) -> Iterator[tuple[str, str]]:
        """Certificates and the balancers that use them."""
        for balancer in self.balancers():
            for listener in balancer.listeners:
                if listener.ssl_certificate_id:
                    yield listener.ssl_certificate_id, self.arn(balancer.name)

    def add(self, name: str) -> LoadBalancer:
        """Make one without asking, without a listener."""
        port = {"Protocol": "TCP", "LoadBalancerPort": 1, "InstancePort": 1}
        balancer = self._backend.create_load_balancer(name, [self._region + "a"], [port])
        balancer.listeners = []
        return balancer

    def add_listener(self, name: str, given: Mapping[str, Any]) -> None:
        """Make a listener without asking; raises Refused where there is no such balancer."""
        self._balancer(name).listeners.append(Listener(given))

    def remove_listener(self, name: str, port: int) -> None:
        """Take a listener away behind the client's back."""
        balancer = self._balancer(name)
        balancer.listeners = [x for x in balancer.listeners if int(x.load_balancer_port) != port]

    def remove(self, name: str) -> None:
        """Take a balancer away behind the client's back; raises LookupError."""
        del self._backend.load_balancers[name]

    def before(self, action: str, given: dict[str, Any]) -> None:
        """Raises Refused for what moto would let through."""
        if "LoadBalancerName" in given:
            balancer = self._balancer(given["LoadBalancerName"])
            if action == "SetLoadBalancerPoliciesOfListener":
                _listener(balancer, given["LoadBalancerPort"])
        for name in given.get("LoadBalancerNames", []):
            self._balancer(name)

    def _create(self, given: dict[str, Any]) -> dict[str, Any]:
        name = given["LoadBalancerName"]
        if name in self._backend.load_balancers:
            raise Refused(
                "DuplicateLoadBalancerName",
                f"The specified load balancer name already exists: {name}",
            )
        if not given["Listeners"]:
            raise Refused("ValidationError", "Listeners cannot be empty")
        if not given.get("AvailabilityZones") and not given.get("Subnets"):
            raise Refused("ValidationError", "Either AvailabilityZones or SubnetIds must be given")
        listeners = [self._checked(listener) for listener in given["Listeners"]]
        tags = {tag["Key"]: tag.get("Value", "") for tag in given.get("Tags", [])}
        try:
            balancer = self._backend.create_load_balancer(
                name,
                given.get("AvailabilityZones", []),
                [{"Protocol": "TCP", "LoadBalancerPort": 1, "InstancePort": 1}],
                given.get("Scheme", "internet-facing"),
                given.get("Subnets", []),
                given.get("SecurityGroups", []),
            )
        except KeyError:
            raise Refused("ValidationError", "An availability zone is not known") from None
        balancer.listeners[:] = listeners
        balancer.tags = tags
        return {"DNSName": balancer.dns_name}

    def _create_listeners(self, given: dict[str, Any]) -> dict[str, Any]:
        balancer = self._balancer(given["LoadBalancerName"])
        new: list[Listener] = []
        for wanted in given["Listeners"]:
            listener = Listener(wanted)
            port = int(listener.load_balancer_port)
            there = [
                x for x in [*listeners_of(balancer), *new] if int(x.load_balancer_port) == port
            ]
            if not there:
                new.append(self._checked(wanted))
            elif listener.properties() != there[0].properties():
                raise Refused(
                    "DuplicateListener",
                    f"A listener already exists for {balancer.name} with LoadBalancerPort {port},"
                    " but with a different InstancePort, Protocol, or SSLCertificateId",
                )
        balancer.listeners.extend(new)
        return {}

    def _checked(self, given: dict[str, Any]) -> Listener:
        """The listener; raises Refused where it cannot be made."""
        listener = Listener(given)
        for protocol in (listener.protocol, listener.instance_protocol):
            if protocol not in _LAYERS:
                raise Refused("UnsupportedProtocol", f"Protocol {protocol} is not supported")
        if not 1 <= int(listener.load_balancer_port) <= 65_535:
            raise Refused("ValidationError", "LoadBalancerPort must be between 1 and 65535")
        if _LAYERS[listener.protocol] != _LAYERS[listener.instance_protocol]:
            raise Refused(
                "ValidationError", "InstanceProtocol must be at the same layer as Protocol"
            )
        certificate = listener.ssl_certificate_id
        if listener.protocol in SECURE:
            if not certificate:
                raise Refused(
                    "ValidationError", "Secure Listeners need to specify a SSLCertificateId"
                )
            self._account.check_attachable(certificate, self._region)
        elif certificate:
            raise Refused(
                "InvalidConfigurationRequest",
                "SSLCertificateId is only for listeners of protocol HTTPS or SSL",
            )
        return listener

    def _set_certificate(self, given: dict[str, Any]) -> dict[str, Any]:
        balancer = self._balancer(given["LoadBalancerName"])
        listener = _listener(balancer, given["LoadBalancerPort"])
        if listener.protocol not in SECURE:
            raise Refused(
                "InvalidConfigurationRequest",
                f"The listener at port {listener.load_balancer_port} has no SSL certificate",
            )
        self._account.check_attachable(given["SSLCertificateId"], self._region)
        listener.ssl_certificate_id = given["SSLCertificateId"]
        return {}

    def _delete_listeners(self, given: dict[str, Any]) -> dict[str, Any]:
        balancer = self._balancer(given["LoadBalancerName"])
        ports = {int(port) for port in given["LoadBalancerPorts"]}
        balancer.listeners = [
            x for x in balancer.listeners if int(x.load_balancer_port) not in ports
        ]
        return {}

    def _delete(self, given: dict[str, Any]) -> dict[str, Any]:
        # "If the load balancer does not exist or has already been deleted, the call succeeds."
        self._backend.load_balancers.pop(given["LoadBalancerName"], None)
        return {}

    def _add_tags(self, given: dict[str, Any]) -> dict[str, Any]:
        new = {tag["Key"]: tag.get("Value", "") for tag in given["Tags"]}
        if len(new) != len(given["Tags"]):
            raise Refused("DuplicateTagKeys", "A tag key was specified more than once")
        balancers = [self._balancer(name) for name in given["LoadBalancerNames"]]
        if any(len(balancer.tags | new) > _TAGS for balancer in balancers):
            raise Refused("TooManyTags", "The quota for the number of tags has been reached")
        for balancer in balancers:
            balancer.tags = balancer.tags | new
        return {}

    def _remove_tags(self, given: dict[str, Any]) -> dict[str, Any]:
        keys = {tag["Key"] for tag in given["Tags"]}
        for balancer in [self._balancer(name) for name in given["LoadBalancerNames"]]:
            balancer.tags = {k: v for k, v in balancer.tags.items() if k not in keys}
        return {}

    def _describe_tags(self, given: dict[str, Any]) -> dict[str, Any]:
        balancers = [self._balancer(name) for name in given["LoadBalancerNames"]]
        return {
            "TagDescriptions": [
                {
                    "LoadBalancerName": balancer.name,
                    "Tags": [{"Key": k, "Value": v} for k, v in balancer.tags.items()],
                }
                for balancer in balancers
            ]
        }

    def _balancer(self, name: str) -> LoadBalancer:
        balancer = self._backend.load_balancers.get(name)
        if balancer is None:
            raise Refused(
                "LoadBalancerNotFound", f"There is no ACTIVE Load Balancer named '{name}'"
            )
        return balancer


def listeners_of(balancer: LoadBalancer) -> list[Listener]:
    """The listeners of a balancer, which only this module makes."""
    return cast("list[Listener]", balancer.listeners)


def _listener(balancer: LoadBalancer, port: int) -> Listener:
    for listener in listeners_of(balancer):
        if int(listener.load_balancer_port) == int(port):
            return listener
    raise Refused(
        "ListenerNotFound", f"LoadBalancer {balancer.name} does not have a listener at port {port}"
    )
