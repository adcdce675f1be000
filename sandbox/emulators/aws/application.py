"""Application and network load balancers (API version 2015-12-01): checks before moto, or instead.

moto never finds a duplicate listener (it looks for a port among ARNs), appends to the certificate
list whatever is named, removes the default certificate, and calls unknown rules deleted.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, cast

from moto.elbv2.models import ELBv2Backend, FakeAction, FakeLoadBalancer, FakeRule
from moto.elbv2.models import FakeListener as MotoListener
from moto.elbv2.ssl_policies import SSL_POLICIES

from sandbox.emulators.aws.account import Account
from sandbox.emulators.aws.backend import application_backend, subnets
from sandbox.emulators.aws.errors import Refused
from sandbox.emulators.aws.iam import paged

SECURE = ("HTTPS", "TLS")
_DEFAULT_POLICY = "ELBSecurityPolicy-2016-08"
_PROTOCOLS = {
    "application": ("HTTP", "HTTPS"),
    "network": ("TCP", "TLS", "UDP", "TCP_UDP"),
}

_CONFIGS = {"host-header": "HostHeaderConfig", "path-pattern": "PathPatternConfig"}

PASSED_ON = frozenset(
    {
        "AddTags",
        "CreateLoadBalancer",
        "CreateRule",
        "CreateTargetGroup",
        "DeleteLoadBalancer",
        "DeleteRule",
        "DeleteTargetGroup",
        "DeregisterTargets",
        "DescribeAccountLimits",
        "DescribeListenerAttributes",
        "DescribeLoadBalancerAttributes",
        "DescribeLoadBalancers",
        "DescribeRules",
        "DescribeSSLPolicies",
        "DescribeTags",
        "DescribeTargetGroupAttributes",
        "DescribeTargetGroups",
        "DescribeTargetHealth",
        "ModifyListenerAttributes",
        "ModifyLoadBalancerAttributes",
        "ModifyRule",
        "ModifyTargetGroup",
        "ModifyTargetGroupAttributes",
        "RegisterTargets",
        "RemoveTags",
        "SetRulePriorities",
    }
)
"""Actions that moto answers after the checks of :meth:`Application.before`."""


class Listener(MotoListener):
    """A listener whose default certificate is apart from the list of the others."""

    def __init__(self, balancer: str, arn: str, given: Mapping[str, Any]) -> None:
        certificates = given.get("Certificates", [])
        secure = given["Protocol"] in SECURE
        super().__init__(
            balancer,
            arn,
            given["Protocol"],
            given["Port"],
            given.get("SslPolicy", _DEFAULT_POLICY) if secure else "",
            certificates[0]["CertificateArn"] if certificates else None,
            [FakeAction(action) for action in given["DefaultActions"]],
            given.get("AlpnPolicy"),
        )
        self.others: list[str] = []
        # moto names the default rule by an address in memory.
        rule = self._default_rule[0]
        rule.arn = f"{arn.replace(':listener/', ':listener-rule/')}/{arn[-16:][::-1]}"

    def properties(self) -> tuple[Any, ...]:
        """What must be equal for a repeated creation to succeed."""
        actions = [action.data for action in self.default_actions]
        policy, alpn = self.ssl_policy, list(self.alpn_policy)
        return (int(self.port), self.protocol, policy, self.certificate, actions, alpn)


class Application:
    """The application and network load balancers of an account in one region."""

    def __init__(self, account: Account, region: str) -> None:
        self._account = account
        self._region = region
        self.actions: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "AddListenerCertificates": self._add_certificates,
            "CreateListener": self._create_listener,
            "DeleteListener": self._delete_listener,
            "DescribeListenerCertificates": self._describe_certificates,
            "DescribeListeners": self._describe_listeners,
            "ModifyListener": self._modify_listener,
            "RemoveListenerCertificates": self._remove_certificates,
        }
        self._checks: Mapping[str, Callable[[dict[str, Any]], None]] = {
            "CreateLoadBalancer": self._check_new_balancer,
            "CreateRule": self._check_new_rule,
            "DeleteRule": self._check_rule_deletion,
            "DescribeSSLPolicies": _check_policies,
            "ModifyRule": self._check_changed_rule,
            "SetRulePriorities": self._check_priorities,
        }

    @property
    def _backend(self) -> ELBv2Backend:
        return application_backend(self._account.id, self._region)

    def balancers(self) -> list[FakeLoadBalancer]:
        """All of them, in the order of their making."""
        return list(self._backend.load_balancers.values())

    def used(self) -> Iterator[tuple[str, str]]:
        """Certificates and the balancers that use them."""
        for balancer in self.balancers():
            for listener in listeners_of(balancer):
                for arn in {listener.certificate, *listener.others}:
                    if arn:
                        yield arn, balancer.arn

    def target_group_arn(self, name: str) -> str:
        """The ARN of the target group of this name; raises LookupError."""
        for group in self._backend.target_groups.values():
            if group.name == name:
                return str(group.arn)
        raise LookupError(f"there is no target group {name}")

    def target_group_name(self, arn: str) -> str:
        """The name of a target group, or its ARN where it is gone."""
        group = self._backend.target_groups.get(arn)
        return str(group.name) if group is not None else arn

    def add(self, name: str, kind: str) -> FakeLoadBalancer:
        """Make an `application` or `network` balancer without asking."""
        ids = [subnet.id for subnet in subnets(self._account.id, self._region).values()][:2]
        balancer = self._backend.create_load_balancer(name, [], ids, loadbalancer_type=kind)
        if kind == "network":
            self._rename(balancer)
        balancer.activate()
        return balancer

    def add_target_group(self, name: str, protocol: str) -> str:
        """Make a target group without asking; returns its ARN."""
        vpc = next(iter(subnets(self._account.id, self._region).values())).vpc_id
        group = self._backend.create_target_group(
            name, vpc_id=vpc, protocol=protocol, port=80, target_type="ip"
        )
        return str(group.arn)

    def add_listener(self, name: str, given: dict[str, Any]) -> Listener:
        """Make a listener without asking; raises LookupError for an unknown balancer."""
        return self._attach(self.named(name), given)

    def remove_listener(self, name: str, port: int) -> None:
        """Take a listener away behind the client's back; raises LookupError."""
        listeners = self.named(name).listeners
        for arn, listener in list(listeners.items()):
            if int(listener.port) == port:
                del listeners[arn]

    def remove(self, name: str) -> None:
        """Take a balancer away behind the client's back; raises LookupError."""
        del self._backend.load_balancers[self.named(name).arn]

    def named(self, name: str) -> FakeLoadBalancer:
        """The balancer of this name; raises LookupError."""
        for balancer in self.balancers():
            if balancer.name == name:
                return balancer
        raise LookupError(f"there is no load balancer {name}")

    def before(self, action: str, given: dict[str, Any]) -> None:
        """Raises Refused for what moto would let through."""
        if action != "DeleteLoadBalancer":
            for arn in _arns(given, "LoadBalancerArn", "LoadBalancerArns"):
                self._balancer(arn)
        for arn in _arns(given, "ListenerArn", "ListenerArns"):
            self._listener(arn)
        for name in given.get("Names", []) if action == "DescribeLoadBalancers" else []:
            if not any(balancer.name == name for balancer in self.balancers()):
                raise Refused("LoadBalancerNotFound", f"Load balancers '[{name}]' not found")
        if action in ("AddTags", "DescribeTags", "RemoveTags"):
            for arn in given["ResourceArns"]:
                self._check_taggable(arn)
        check = self._checks.get(action)
        if check is not None:
            check(given)

    def after(self, action: str, given: dict[str, Any]) -> None:
        """Put right what moto made otherwise."""
        if action == "CreateLoadBalancer" and given.get("Type") == "network":
            self._rename(self.named(given["Name"]))
        if action in ("CreateRule", "ModifyRule"):
            for balancer in self.balancers():
                for listener in listeners_of(balancer):
                    for rule in listener._non_default_rules.values():
                        for condition in rule.conditions:
                            _complete(condition)

    def _rename(self, balancer: FakeLoadBalancer) -> None:
        """Give a network balancer the ARN of one; moto makes every one `app`."""
        del self._backend.load_balancers[balancer.arn]
        balancer.arn = balancer.arn.replace(":loadbalancer/app/", ":loadbalancer/net/")
        self._backend.load_balancers[balancer.arn] = balancer

    def _create_listener(self, given: dict[str, Any]) -> dict[str, Any]:
        balancer = self._balancer(given["LoadBalancerArn"])
        _check_protocol(balancer, given)
        self._check_tls(given, given["Protocol"])
        self._check_actions(given["DefaultActions"], given["Protocol"], given["Port"], balancer)
        wanted = Listener(balancer.arn, "", given)  # type: ignore[abstract] # of CloudFormation only
        for listener in listeners_of(balancer):
            if int(listener.port) == int(wanted.port):
                if listener.properties() != wanted.properties():
                    raise Refused("DuplicateListener", "A listener already exists on this port")
                return {"Listeners": [shown(listener)]}
        if wanted.certificate:
            self._account.check_attachable(wanted.certificate, self._region)
        if len(balancer.listeners) >= self._account.limits.listeners_per_balancer:
            raise Refused("TooManyListeners", "The quota for the number of listeners is reached")
        return {"Listeners": [shown(self._attach(balancer, given))]}

    def _attach(self, balancer: FakeLoadBalancer, given: dict[str, Any]) -> Listener:
        identity = f"{self._account.random.getrandbits(64):016x}"
        arn = f"{balancer.arn.replace(':loadbalancer/', ':listener/')}/{identity}"
        listener = Listener(balancer.arn, arn, given)  # type: ignore[abstract] # of CloudFormation only
        balancer.listeners[arn] = listener
        self._backend.tagging_service.tag_resource(arn, given.get("Tags"))
        self._note_target_groups(balancer, given["DefaultActions"])
        return listener

    def _note_target_groups(
        self, balancer: FakeLoadBalancer, actions: Iterable[Mapping[str, Any]]
    ) -> None:
        for arn in _target_groups(actions):
            users = self._backend.target_groups[arn].load_balancer_arns
            if balancer.arn not in users:
                users.append(balancer.arn)

    def _modify_listener(self, given: dict[str, Any]) -> dict[str, Any]:
        listener = self._listener(given["ListenerArn"])
        balancer = self._balancer(listener.load_balancer_arn)
        protocol = given.get("Protocol", listener.protocol)
        port = given.get("Port", listener.port)
        _check_protocol(balancer, {"Protocol": protocol, "Port": port})
        others = [x for x in balancer.listeners.values() if x is not listener]
        if any(int(x.port) == int(port) for x in others):
            raise Refused("DuplicateListener", "A listener already exists on this port")
        becomes_secure = protocol in SECURE and listener.protocol not in SECURE
        if becomes_secure or "Certificates" in given or "SslPolicy" in given:
            self._check_tls(given, protocol, needed=becomes_secure)
        actions = given.get("DefaultActions")
        if actions is not None:
            self._check_actions(actions, protocol, port, balancer)
        if given.get("Certificates"):
            arn = given["Certificates"][0]["CertificateArn"]
            if arn != listener.certificate:
                self._account.check_attachable(arn, self._region)
            listener.certificate, listener.certificates = arn, [arn]
        listener.protocol, listener.port = protocol, port
        if protocol not in SECURE:
            listener.certificate, listener.certificates, listener.others = None, [], []
            listener.ssl_policy = ""
        else:
            policy = given.get("SslPolicy", listener.ssl_policy or _DEFAULT_POLICY)
            listener.ssl_policy = policy
        listener.alpn_policy = given.get("AlpnPolicy", listener.alpn_policy)
        if actions is not None:
            listener.default_actions = [FakeAction(action) for action in actions]
            listener._default_rule[0].actions = listener.default_actions
            self._note_target_groups(balancer, actions)
        return {"Listeners": [shown(listener)]}

    def _delete_listener(self, given: dict[str, Any]) -> dict[str, Any]:
        listener = self._listener(given["ListenerArn"])
        del self._balancer(listener.load_balancer_arn).listeners[listener.arn]
        return {}

    def _describe_listeners(self, given: dict[str, Any]) -> dict[str, Any]:
        balancer, arns = given.get("LoadBalancerArn"), given.get("ListenerArns")
        if (balancer is None) == (not arns):
            raise Refused(
                "ValidationError",
                "You must specify either listener ARNs or a load balancer ARN, not both",
            )
        if balancer is not None:
            found = listeners_of(self._balancer(balancer))
        else:
            found = [self._listener(arn) for arn in arns or []]
        page, marker = paged(
            [shown(listener) for listener in found],
            given.get("Marker"),
            given.get("PageSize", 400),
        )
        return {"Listeners": page} | ({"NextMarker": marker} if marker else {})

    def _add_certificates(self, given: dict[str, Any]) -> dict[str, Any]:
        listener, arn = self._one_certificate(given)
        if listener.protocol not in SECURE:
            raise Refused(
                "InvalidConfigurationRequest",
                "Certificates can be added to HTTPS and TLS listeners only",
            )
        if arn not in listener.others:
            if arn != listener.certificate:
                self._account.check_attachable(arn, self._region)
            siblings = listeners_of(self._balancer(listener.load_balancer_arn))
            limit = self._account.limits.certificates_per_balancer
            if sum(len(sibling.others) for sibling in siblings) >= limit:
                raise Refused(
                    "TooManyCertificates",
                    "You've reached the limit on the number of certificates per load balancer",
                )
            listener.others.append(arn)
        return {"Certificates": [{"CertificateArn": arn, "IsDefault": False}]}

    def _remove_certificates(self, given: dict[str, Any]) -> dict[str, Any]:
        listener, arn = self._one_certificate(given)
        if arn in listener.others:
            listener.others.remove(arn)
        elif arn == listener.certificate:
            raise Refused(
                "OperationNotPermitted",
                f"Default certificate '{arn}' cannot be removed from the listener",
            )
        return {}

    def _one_certificate(self, given: dict[str, Any]) -> tuple[Listener, str]:
        listener, named = self._listener(given["ListenerArn"]), given["Certificates"]
        if len(named) != 1:
            raise Refused(
                "ValidationError",
                f"Up to '1' certificates can be specified, but '{len(named)}' were specified",
            )
        return listener, _certificate_arn(named[0])

    def _describe_certificates(self, given: dict[str, Any]) -> dict[str, Any]:
        listener = self._listener(given["ListenerArn"])
        default = [listener.certificate] if listener.certificate else []
        listed = [{"CertificateArn": arn, "IsDefault": True} for arn in default]
        listed += [{"CertificateArn": arn, "IsDefault": False} for arn in listener.others]
        page, marker = paged(listed, given.get("Marker"), given.get("PageSize", 400))
        return {"Certificates": page} | ({"NextMarker": marker} if marker else {})

    def _check_tls(self, given: dict[str, Any], protocol: str, *, needed: bool = True) -> None:
        certificates, policy = given.get("Certificates"), given.get("SslPolicy")
        if protocol not in SECURE:
            if certificates or policy:
                raise Refused(
                    "ValidationError",
                    f"Certificates and SslPolicy cannot be specified for {protocol} listeners",
                )
            return
        if policy is not None and policy not in SSL_POLICIES:
            raise Refused("SSLPolicyNotFound", f"SSL policy '{policy}' not found")
        if certificates is None and not needed:
            return
        if not certificates:
            raise Refused(
                "ValidationError", f"A certificate must be specified for {protocol} listeners"
            )
        if len(certificates) != 1:
            raise Refused(
                "ValidationError",
                f"Up to '1' certificates can be specified, but '{len(certificates)}' were specified",
            )
        _certificate_arn(certificates[0])

    def _check_actions(
        self, actions: list[dict[str, Any]], protocol: str, port: int, balancer: FakeLoadBalancer
    ) -> None:
        if not actions:
            raise Refused("ValidationError", "At least one action must be specified")
        for arn in _target_groups(actions):
            group = self._backend.target_groups.get(arn)
            if group is None:
                raise Refused("TargetGroupNotFound", f"Target groups '{arn}' not found")
            if (group.protocol in ("HTTP", "HTTPS")) != (balancer.type == "application"):
                raise Refused(
                    "IncompatibleProtocols",
                    f"Target group of protocol {group.protocol} is not for {protocol} listeners",
                )
            users = set(group.load_balancer_arns) & set(self._backend.load_balancers)
            if users - {balancer.arn}:
                raise Refused(
                    "TargetGroupAssociationLimit",
                    f"The target group '{arn}' is associated with another load balancer",
                )
        for action in actions:
            _check_action(action, protocol, port, balancer)

    def _check_new_balancer(self, given: dict[str, Any]) -> None:
        if any(balancer.name == given["Name"] for balancer in self.balancers()):
            raise Refused(
                "DuplicateLoadBalancerName",
                f"A load balancer with the name '{given['Name']}' already exists",
            )

    def _check_new_rule(self, given: dict[str, Any]) -> None:
        listener = self._listener(given["ListenerArn"])
        balancer = self._balancer(listener.load_balancer_arn)
        count = sum(len(x._non_default_rules) for x in balancer.listeners.values())
        if count >= self._account.limits.rules_per_balancer:
            raise Refused("TooManyRules", "The quota for the number of rules has been reached")
        if not 1 <= given["Priority"] <= 50_000:
            raise Refused("ValidationError", "Priority must be between 1 and 50000")
        self._check_rule(listener, given)

    def _check_changed_rule(self, given: dict[str, Any]) -> None:
        rule = self._rule(given["RuleArn"])
        if rule.is_default:
            raise Refused("OperationNotPermitted", "Default rule cannot be modified")
        self._check_rule(self._listener(rule.listener_arn), given)

    def _check_rule(self, listener: Listener, given: dict[str, Any]) -> None:
        for condition in given.get("Conditions", []):
            if not condition.get("Field"):
                raise Refused("ValidationError", "A condition field must be specified")
            if not _condition_values(condition):
                raise Refused("ValidationError", "A condition value must be specified")
        if "Actions" in given:
            balancer = self._balancer(listener.load_balancer_arn)
            self._check_actions(given["Actions"], listener.protocol, int(listener.port), balancer)

    def _check_rule_deletion(self, given: dict[str, Any]) -> None:
        if self._rule(given["RuleArn"]).is_default:
            raise Refused("OperationNotPermitted", "Default rule cannot be deleted")

    def _check_priorities(self, given: dict[str, Any]) -> None:
        for pair in given["RulePriorities"]:
            if self._rule(pair["RuleArn"]).is_default:
                raise Refused("OperationNotPermitted", "Default rule priority cannot be set")

    def _check_taggable(self, arn: str) -> None:
        if ":listener-rule/" in arn:
            self._rule(arn)
        elif ":listener/" in arn:
            self._listener(arn)
        elif ":loadbalancer/" in arn:
            self._balancer(arn)
        elif arn not in self._backend.target_groups:
            raise Refused("TargetGroupNotFound", f"Target groups '{arn}' not found")

    def _balancer(self, arn: str) -> FakeLoadBalancer:
        balancer = self._backend.load_balancers.get(arn)
        if balancer is None:
            raise Refused("LoadBalancerNotFound", f"Load balancer '{arn}' not found")
        return balancer

    def _listener(self, arn: str) -> Listener:
        for balancer in self.balancers():
            for listener in listeners_of(balancer):
                if listener.arn == arn:
                    return listener
        raise Refused("ListenerNotFound", f"Listener '{arn}' not found")

    def _rule(self, arn: str) -> FakeRule:
        for balancer in self.balancers():
            for listener in balancer.listeners.values():
                for rule in listener.rules.values():
                    if rule.arn == arn:
                        return rule
        raise Refused("RuleNotFound", f"Rule '{arn}' not found")


def listeners_of(balancer: FakeLoadBalancer) -> list[Listener]:
    """The listeners of a balancer, which only this module makes."""
    return cast("list[Listener]", list(balancer.listeners.values()))


def shown(listener: Listener) -> dict[str, Any]:
    """A listener as the API shows it: with its default certificate only."""
    made: dict[str, Any] = {
        "ListenerArn": listener.arn,
        "LoadBalancerArn": listener.load_balancer_arn,
        "Port": int(listener.port),
        "Protocol": listener.protocol,
        "DefaultActions": [action.data for action in listener.default_actions],
    }
    if listener.certificate:
        made["Certificates"] = [{"CertificateArn": listener.certificate}]
        made["SslPolicy"] = listener.ssl_policy
    if listener.alpn_policy:
        made["AlpnPolicy"] = listener.alpn_policy
    return made


def target_groups(actions: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The target groups to which actions forward."""
    yield from _target_groups(actions)


def _target_groups(actions: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    seen: set[str] = set()
    for action in actions:
        if action.get("Type") != "forward":
            continue
        named = [action["TargetGroupArn"]] if "TargetGroupArn" in action else []
        named += [
            group["TargetGroupArn"]
            for group in action.get("ForwardConfig", {}).get("TargetGroups", [])
        ]
        for arn in named:
            if arn not in seen:
                seen.add(arn)
                yield arn


def _arns(given: Mapping[str, Any], one: str, several: str) -> list[str]:
    return [*([given[one]] if one in given else []), *given.get(several, [])]


def _certificate_arn(named: Mapping[str, Any]) -> str:
    if "IsDefault" in named:
        raise Refused("ValidationError", "IsDefault cannot be specified")
    if not named.get("CertificateArn"):
        raise Refused("ValidationError", "A certificate ARN must be specified")
    return str(named["CertificateArn"])


def _check_protocol(balancer: FakeLoadBalancer, given: Mapping[str, Any]) -> None:
    if "Port" not in given or "Protocol" not in given:
        raise Refused("ValidationError", "A listener port and protocol must be specified")
    allowed = _PROTOCOLS.get(balancer.type, ())
    if given["Protocol"] not in allowed:
        raise Refused(
            "ValidationError",
            f"Protocol '{given['Protocol']}' must be one of '{', '.join(allowed)}'",
        )


def _check_action(
    action: Mapping[str, Any], protocol: str, port: int, balancer: FakeLoadBalancer
) -> None:
    kind = action["Type"]
    if kind == "forward":
        if not list(_target_groups([action])):
            raise Refused("ValidationError", "A target group ARN must be specified")
    elif balancer.type != "application":
        raise Refused("InvalidLoadBalancerAction", f"{kind} is not for this type of balancer")
    elif kind == "redirect":
        _check_redirect(action.get("RedirectConfig"), protocol, port)
    elif kind == "fixed-response":
        config = action.get("FixedResponseConfig")
        if config is None:
            raise Refused("ValidationError", "FixedResponseConfig must be specified")
        if len(config.get("MessageBody", "")) > 1024:
            raise Refused("ValidationError", "The message body is longer than 1024")


def _check_redirect(config: Mapping[str, Any] | None, protocol: str, port: int) -> None:
    if config is None:
        raise Refused("ValidationError", "RedirectConfig must be specified")
    same_protocol = config.get("Protocol", "#{protocol}") in ("#{protocol}", protocol)
    same_port = config.get("Port", "#{port}") in ("#{port}", str(port))
    same_place = config.get("Host", "#{host}") == "#{host}" and config.get("Path", "/#{path}") in (
        "/#{path}",
        "#{path}",
    )
    if same_protocol and same_port and same_place:
        raise Refused(
            "InvalidLoadBalancerAction",
            "The redirect configuration is not valid because it creates a loop.",
        )


def _check_policies(given: dict[str, Any]) -> None:
    for name in given.get("Names", []):
        if name not in SSL_POLICIES:
            raise Refused("SSLPolicyNotFound", f"SSL policy '{name}' not found")


def _complete(condition: dict[str, Any]) -> None:
    """Give the values in both forms, as DescribeRules does; moto has the one that was given."""
    config = _CONFIGS.get(condition["Field"])
    if config is not None:
        values = _condition_values(condition)
        condition.setdefault(config, {"Values": values})
        condition.setdefault("Values", values)


def _condition_values(condition: Mapping[str, Any]) -> list[Any]:
    values = list(condition.get("Values", []))
    for name, config in condition.items():
        if name.endswith("Config"):
            values += config.get("Values", [])
    return values
