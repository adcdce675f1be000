"""The AWS emulator's balancers, classic and application, held to what moto lets through."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.integration.emulators.aws_session import (
    ANSWER,
    CHALLENGE,
    HTTP,
    HTTPS,
    NOT_FOUND,
    Session,
    add_certificate,
    create_listener,
    ec_pair,
    listen,
    refused,
    remove_certificate,
    rsa_pair,
    session,
    set_certificate,
)


@pytest.fixture
def aws(free_port: Callable[[], int]) -> Iterator[Session]:
    """An account with a classic and an application balancer, and a target group."""
    ports = {str(port): free_port() for port in (80, 443, 8443)}
    with session(ports=ports) as served:
        yield served


def _classic(aws: Session) -> list[dict[str, Any]]:
    [found] = aws.client("elb").describe_load_balancers()["LoadBalancerDescriptions"]
    return [each["Listener"] for each in found["ListenerDescriptions"]]


def _absent(kind: str, aws: Session) -> str:
    account = aws.emulator.account.id
    if kind == "iam":
        return f"arn:aws:iam::{account}:server-certificate/none"
    return f"arn:aws:acm:us-east-1:{account}:certificate/none"


class TestClassic:
    """Classic load balancers."""

    def test_a_listener_keeps_its_instance_protocol(self, aws: Session) -> None:
        arn = aws.upload()
        listen(aws, arn)
        assert _classic(aws) == [dict(HTTPS, SSLCertificateId=arn)]

    def test_the_same_listener_again_succeeds(self, aws: Session) -> None:
        arn = aws.upload()
        listen(aws, arn)
        listen(aws, arn)
        assert len(_classic(aws)) == 1

    @pytest.mark.parametrize(
        "more",
        [{"InstancePort": 81}, {"InstanceProtocol": "HTTPS"}, {"SSLCertificateId": "other"}],
        ids=["instance port", "instance protocol", "certificate"],
    )
    def test_another_listener_on_the_port_is_a_duplicate(
        self, aws: Session, more: dict[str, Any]
    ) -> None:
        listen(aws, aws.upload())
        if "SSLCertificateId" in more:
            more = {"SSLCertificateId": aws.upload("other")}
        with refused("DuplicateListener", 400):
            listen(aws, aws.upload("third"), **more)

    @pytest.mark.parametrize("kind", ["iam", "acm"])
    def test_a_listener_with_an_unknown_certificate_is_refused(
        self, aws: Session, kind: str
    ) -> None:
        with refused("CertificateNotFound", 400):
            listen(aws, _absent(kind, aws))
        assert _classic(aws) == []

    @pytest.mark.parametrize("kind", ["iam", "acm"])
    def test_an_unknown_certificate_is_not_set(self, aws: Session, kind: str) -> None:
        arn = aws.upload()
        listen(aws, arn)
        with refused("CertificateNotFound", 400):
            set_certificate(aws, _absent(kind, aws))
        assert _classic(aws)[0]["SSLCertificateId"] == arn

    def test_a_certificate_of_another_region_is_not_found(self, aws: Session) -> None:
        acm = aws.emulator.certificates["eu-west-1"]
        arn = acm.add(next(iter([*_materials(aws)])), {})
        with refused("CertificateNotFound", 400):
            listen(aws, arn)

    def test_the_certificate_is_switched_in_place(self, aws: Session) -> None:
        listen(aws, aws.upload("old"))
        new = aws.upload("new")
        set_certificate(aws, new)
        assert _classic(aws)[0]["SSLCertificateId"] == new

    def test_an_acm_certificate_is_attached_too(self, aws: Session) -> None:
        listen(aws, aws.imported())

    def test_a_port_without_listener_is_not_found(self, aws: Session) -> None:
        with refused("ListenerNotFound", 400):
            set_certificate(aws, aws.upload())

    def test_a_listener_without_tls_takes_no_certificate(self, aws: Session) -> None:
        listen(aws)
        with refused("InvalidConfigurationRequest", 409):
            set_certificate(aws, aws.upload(), port=80)

    @pytest.mark.parametrize(
        ("call", "more"),
        [
            ("describe_load_balancers", {"LoadBalancerNames": ["none"]}),
            ("create_load_balancer_listeners", {"Listeners": [HTTP]}),
            ("delete_load_balancer_listeners", {"LoadBalancerPorts": [80]}),
            (
                "set_load_balancer_listener_ssl_certificate",
                {"LoadBalancerPort": 443, "SSLCertificateId": "arn"},
            ),
            ("describe_load_balancer_attributes", {}),
            ("describe_tags", {"LoadBalancerNames": ["none"]}),
        ],
    )
    def test_an_unknown_balancer_is_not_found(
        self, aws: Session, call: str, more: dict[str, Any]
    ) -> None:
        named = {} if "LoadBalancerNames" in more else {"LoadBalancerName": "none"}
        with refused("LoadBalancerNotFound", 400):
            getattr(aws.client("elb"), call)(**named, **more)

    @pytest.mark.parametrize(
        ("more", "code"),
        [
            ({"Protocol": "QUIC"}, "UnsupportedProtocol"),
            ({"InstanceProtocol": "TCP"}, "ValidationError"),
            ({"LoadBalancerPort": 0}, "ValidationError"),
            ({"Protocol": "HTTPS"}, "ValidationError"),
        ],
        ids=["protocol", "layer", "port", "no certificate"],
    )
    def test_a_wrong_listener_is_refused(
        self, aws: Session, more: dict[str, Any], code: str
    ) -> None:
        with refused(code, 400):
            listen(aws, **more)

    def test_one_wrong_listener_of_several_makes_none(self, aws: Session) -> None:
        wrong = dict(HTTPS, SSLCertificateId=_absent("iam", aws))
        with refused("CertificateNotFound", 400):
            aws.client("elb").create_load_balancer_listeners(
                LoadBalancerName="classic", Listeners=[HTTP, wrong]
            )
        assert _classic(aws) == []

    def test_listeners_are_deleted_and_unknown_ports_ignored(self, aws: Session) -> None:
        listen(aws)
        listen(aws, aws.upload())
        aws.client("elb").delete_load_balancer_listeners(
            LoadBalancerName="classic", LoadBalancerPorts=[80, 443, 9999]
        )
        assert _classic(aws) == []

    def test_a_certificate_in_use_is_not_deleted(self, aws: Session) -> None:
        iam = aws.client("iam")
        listen(aws, aws.upload("old"))
        with refused("DeleteConflict", 409):
            iam.delete_server_certificate(ServerCertificateName="old")
        set_certificate(aws, aws.upload("new"))
        iam.delete_server_certificate(ServerCertificateName="old")

    def test_a_renamed_certificate_stays_in_use(self, aws: Session) -> None:
        iam = aws.client("iam")
        listen(aws, aws.upload("old"))
        iam.update_server_certificate(ServerCertificateName="old", NewServerCertificateName="new")
        with refused("DeleteConflict", 409):
            iam.delete_server_certificate(ServerCertificateName="new")

    def test_balancers_are_made_tagged_and_deleted(self, aws: Session) -> None:
        elb, arn = aws.client("elb"), aws.upload()
        made = {"AvailabilityZones": ["us-east-1a"], "LoadBalancerName": "second"}
        with refused("CertificateNotFound", 400):
            elb.create_load_balancer(
                **made, Listeners=[dict(HTTPS, SSLCertificateId=_absent("iam", aws))]
            )
        elb.create_load_balancer(
            **made,
            Listeners=[dict(HTTPS, SSLCertificateId=arn)],
            Tags=[{"Key": "a", "Value": "1"}],
        )
        elb.add_tags(LoadBalancerNames=["second"], Tags=[{"Key": "b", "Value": "2"}])
        elb.remove_tags(LoadBalancerNames=["second"], Tags=[{"Key": "a"}])
        [described] = elb.describe_tags(LoadBalancerNames=["second"])["TagDescriptions"]
        assert described["Tags"] == [{"Key": "b", "Value": "2"}]
        with refused("DuplicateLoadBalancerName", 400):
            elb.create_load_balancer(**made, Listeners=[HTTP])
        elb.delete_load_balancer(LoadBalancerName="second")
        elb.delete_load_balancer(LoadBalancerName="second")
        aws.client("iam").delete_server_certificate(ServerCertificateName="www")


def _materials(aws: Session) -> Iterator[Any]:
    aws.upload("material")
    yield from aws.emulator.account.materials.values()


def _certificates(aws: Session, listener: str) -> list[tuple[str, bool]]:
    found = aws.client("elbv2").describe_listener_certificates(ListenerArn=listener)
    return [(each["CertificateArn"], each["IsDefault"]) for each in found["Certificates"]]


class TestApplication:
    """Application load balancers."""

    def test_a_secure_listener_has_its_default_certificate(self, aws: Session) -> None:
        arn = aws.imported()
        listener = create_listener(aws, arn)
        [shown] = aws.client("elbv2").describe_listeners(ListenerArns=[listener])["Listeners"]
        assert shown["Certificates"] == [{"CertificateArn": arn}]
        assert shown["SslPolicy"] == "ELBSecurityPolicy-2016-08"
        assert _certificates(aws, listener) == [(arn, True)]

    def test_the_same_listener_again_is_the_same(self, aws: Session) -> None:
        arn = aws.imported()
        assert create_listener(aws, arn) == create_listener(aws, arn)

    def test_another_listener_on_the_port_is_a_duplicate(self, aws: Session) -> None:
        create_listener(aws, aws.imported())
        with refused("DuplicateListener", 400):
            create_listener(aws, aws.imported())

    @pytest.mark.parametrize("kind", ["iam", "acm"])
    def test_an_unknown_certificate_is_not_found(self, aws: Session, kind: str) -> None:
        absent = _absent(kind, aws)
        with refused("CertificateNotFound", 400):
            create_listener(aws, absent)
        listener = create_listener(aws, aws.imported())
        with refused("CertificateNotFound", 400):
            add_certificate(aws, listener, absent)
        with refused("CertificateNotFound", 400):
            aws.client("elbv2").modify_listener(
                ListenerArn=listener, Certificates=[{"CertificateArn": absent}]
            )

    @pytest.mark.parametrize(
        ("more", "code"),
        [
            ({"Protocol": "HTTPS"}, "ValidationError"),
            ({"Protocol": "TLS"}, "ValidationError"),
            ({"SslPolicy": "ELBSecurityPolicy-2016-08"}, "ValidationError"),
            ({"DefaultActions": []}, "ValidationError"),
            (
                {"DefaultActions": [{"Type": "forward", "TargetGroupArn": "none"}]},
                "TargetGroupNotFound",
            ),
            (
                {
                    "DefaultActions": [
                        {"Type": "redirect", "RedirectConfig": {"StatusCode": "HTTP_301"}}
                    ]
                },
                "InvalidLoadBalancerAction",
            ),
        ],
        ids=[
            "no certificate",
            "protocol of a network balancer",
            "policy without TLS",
            "no action",
            "unknown target group",
            "redirect to itself",
        ],
    )
    def test_a_wrong_listener_is_refused(
        self, aws: Session, more: dict[str, Any], code: str
    ) -> None:
        with refused(code, 400):
            create_listener(aws, **more)

    def test_a_listener_is_made_with_exactly_one_certificate(self, aws: Session) -> None:
        one, two = ({"CertificateArn": aws.imported()} for _ in range(2))
        for certificates in ([one, two], [one | {"IsDefault": True}]):
            with refused("ValidationError", 400):
                create_listener(aws, "unused", Certificates=certificates)

    def test_an_unknown_policy_is_refused(self, aws: Session) -> None:
        with refused("SSLPolicyNotFound", 400):
            create_listener(aws, aws.imported(), SslPolicy="ELBSecurityPolicy-None")
        with refused("SSLPolicyNotFound", 400):
            aws.client("elbv2").describe_ssl_policies(Names=["ELBSecurityPolicy-None"])
        found = aws.client("elbv2").describe_ssl_policies(
            Names=["ELBSecurityPolicy-TLS13-1-2-2021-06"]
        )
        assert len(found["SslPolicies"]) == 1

    def test_certificates_are_added_once_and_taken_away(self, aws: Session) -> None:
        default, other = aws.imported(), aws.imported()
        listener = create_listener(aws, default)
        for _ in range(2):
            add_certificate(aws, listener, other)
        assert _certificates(aws, listener) == [(default, True), (other, False)]
        for _ in range(2):
            remove_certificate(aws, listener, other)
        assert _certificates(aws, listener) == [(default, True)]

    def test_the_default_certificate_is_listed_twice_and_never_removed(self, aws: Session) -> None:
        default = aws.imported()
        listener = create_listener(aws, default)
        add_certificate(aws, listener, default)
        assert _certificates(aws, listener) == [(default, True), (default, False)]
        remove_certificate(aws, listener, default)
        with refused("OperationNotPermitted", 400):
            remove_certificate(aws, listener, default)

    def test_one_certificate_is_added_by_each_call(self, aws: Session) -> None:
        listener = create_listener(aws, aws.imported())
        with refused("ValidationError", 400):
            add_certificate(aws, listener, aws.imported(), aws.imported())

    def test_a_listener_without_tls_takes_no_certificate(self, aws: Session) -> None:
        with refused("InvalidConfigurationRequest", 400):
            add_certificate(aws, create_listener(aws), aws.imported())

    def test_the_limit_of_certificates_is_the_balancers(self, free_port: Callable[[], int]) -> None:
        ports = {str(port): free_port() for port in (443, 8443)}
        with session(certificates_per_balancer=2, ports=ports) as aws:
            first = create_listener(aws, aws.imported())
            second = create_listener(aws, aws.imported(), Port=8443)
            add_certificate(aws, first, aws.imported())
            add_certificate(aws, second, aws.imported())
            with refused("TooManyCertificates", 400):
                add_certificate(aws, first, aws.imported())

    def test_a_modified_listener_changes_in_what_is_named_alone(self, aws: Session) -> None:
        elbv2, new, other = aws.client("elbv2"), aws.imported(), aws.imported()
        listener = create_listener(aws, aws.imported())
        add_certificate(aws, listener, other)
        elbv2.modify_listener(ListenerArn=listener, Certificates=[{"CertificateArn": new}])
        elbv2.modify_listener(ListenerArn=listener, SslPolicy="ELBSecurityPolicy-TLS13-1-2-2021-06")
        [shown] = elbv2.describe_listeners(ListenerArns=[listener])["Listeners"]
        assert shown["SslPolicy"] == "ELBSecurityPolicy-TLS13-1-2-2021-06"
        assert [action["Type"] for action in shown["DefaultActions"]] == ["fixed-response"]
        assert _certificates(aws, listener) == [(new, True), (other, False)]

    def test_a_listener_that_becomes_secure_needs_a_certificate(self, aws: Session) -> None:
        elbv2, listener, arn = aws.client("elbv2"), create_listener(aws), aws.imported()
        with refused("ValidationError", 400):
            elbv2.modify_listener(ListenerArn=listener, Protocol="HTTPS")
        elbv2.modify_listener(
            ListenerArn=listener, Protocol="HTTPS", Certificates=[{"CertificateArn": arn}]
        )
        assert _certificates(aws, listener) == [(arn, True)]

    @pytest.mark.parametrize(
        ("call", "more"),
        [
            ("modify_listener", {"Port": 81}),
            ("delete_listener", {}),
            ("describe_listener_certificates", {}),
            ("add_listener_certificates", {"Certificates": [{"CertificateArn": "x"}]}),
            ("remove_listener_certificates", {"Certificates": [{"CertificateArn": "x"}]}),
            ("describe_rules", {}),
            ("create_rule", {"Priority": 1, "Conditions": CHALLENGE, "Actions": ANSWER}),
        ],
    )
    def test_an_unknown_listener_is_not_found(
        self, aws: Session, call: str, more: dict[str, Any]
    ) -> None:
        create_listener(aws)
        with refused("ListenerNotFound", 400):
            getattr(aws.client("elbv2"), call)(ListenerArn="none", **more)

    def test_one_unknown_listener_of_several_is_not_found(self, aws: Session) -> None:
        with refused("ListenerNotFound", 400):
            aws.client("elbv2").describe_listeners(ListenerArns=[create_listener(aws), "none"])

    @pytest.mark.parametrize(
        ("call", "given"),
        [
            ("describe_load_balancers", {"Names": ["alb", "none"]}),
            ("describe_load_balancers", {"LoadBalancerArns": ["none"]}),
            ("describe_listeners", {"LoadBalancerArn": "none"}),
            (
                "create_listener",
                {
                    "LoadBalancerArn": "none",
                    "Protocol": "HTTP",
                    "Port": 80,
                    "DefaultActions": NOT_FOUND,
                },
            ),
        ],
        ids=["name", "ARN", "listeners", "new listener"],
    )
    def test_an_unknown_balancer_is_not_found(
        self, aws: Session, call: str, given: dict[str, Any]
    ) -> None:
        with refused("LoadBalancerNotFound", 400):
            getattr(aws.client("elbv2"), call)(**given)

    def test_rules_are_made_moved_and_deleted(self, aws: Session) -> None:
        elbv2, listener = aws.client("elbv2"), create_listener(aws)
        given = {"ListenerArn": listener, "Conditions": CHALLENGE, "Actions": ANSWER}
        [rule] = elbv2.create_rule(Priority=1, **given)["Rules"]
        with refused("PriorityInUse", 400):
            elbv2.create_rule(Priority=1, **given)
        elbv2.set_rule_priorities(RulePriorities=[{"RuleArn": rule["RuleArn"], "Priority": 7}])
        rules = elbv2.describe_rules(ListenerArn=listener)["Rules"]
        [condition] = rules[0]["Conditions"]
        assert condition["PathPatternConfig"]["Values"] == condition["Values"]
        assert [each["Priority"] for each in rules] == ["7", "default"]
        with refused("OperationNotPermitted", 400):
            elbv2.delete_rule(RuleArn=rules[1]["RuleArn"])
        elbv2.delete_rule(RuleArn=rule["RuleArn"])
        with refused("RuleNotFound", 400):
            elbv2.delete_rule(RuleArn=rule["RuleArn"])

    def test_listeners_and_rules_have_tags(self, aws: Session) -> None:
        elbv2, tags = aws.client("elbv2"), [{"Key": "owner", "Value": "certfront"}]
        listener = create_listener(aws, Tags=tags)
        [rule] = elbv2.create_rule(
            ListenerArn=listener, Priority=1, Conditions=CHALLENGE, Actions=ANSWER, Tags=tags
        )["Rules"]
        found = elbv2.describe_tags(ResourceArns=[listener, rule["RuleArn"]])
        assert [each["Tags"] for each in found["TagDescriptions"]] == [tags, tags]
        with refused("ListenerNotFound", 400):
            elbv2.describe_tags(ResourceArns=[listener.replace("/alb/", "/none/")])

    def test_a_deleted_listener_lets_its_certificates_go(self, aws: Session) -> None:
        arn, other = aws.imported(), aws.upload("other")
        listener = create_listener(aws, arn)
        add_certificate(aws, listener, other)
        acm, iam = aws.client("acm"), aws.client("iam")
        used = acm.describe_certificate(CertificateArn=arn)["Certificate"]["InUseBy"]
        assert used == [aws.balancer()]
        with refused("ResourceInUseException", 400):
            acm.delete_certificate(CertificateArn=arn)
        with refused("DeleteConflict", 409):
            iam.delete_server_certificate(ServerCertificateName="other")
        aws.client("elbv2").delete_listener(ListenerArn=listener)
        acm.delete_certificate(CertificateArn=arn)
        iam.delete_server_certificate(ServerCertificateName="other")

    def test_a_target_group_forwards_from_one_balancer(self, free_port: Callable[[], int]) -> None:
        with session(application=("alb", "second"), ports={"80": free_port()}) as aws:
            elbv2 = aws.client("elbv2")
            [group] = elbv2.describe_target_groups(Names=["web"])["TargetGroups"]
            forward = [{"Type": "forward", "TargetGroupArn": group["TargetGroupArn"]}]
            create_listener(aws, DefaultActions=forward)
            with refused("TargetGroupAssociationLimit", 400):
                elbv2.create_listener(
                    LoadBalancerArn=aws.balancer("second"),
                    Protocol="HTTP",
                    Port=80,
                    DefaultActions=forward,
                )

    def test_balancers_and_target_groups_are_made_and_deleted(self, aws: Session) -> None:
        elbv2 = aws.client("elbv2")
        [known] = elbv2.describe_load_balancers()["LoadBalancers"]
        subnets = [zone["SubnetId"] for zone in known["AvailabilityZones"]]
        with refused("DuplicateLoadBalancerName", 400):
            elbv2.create_load_balancer(Name="alb", Subnets=subnets)
        [made] = elbv2.create_load_balancer(Name="net", Subnets=subnets, Type="network")[
            "LoadBalancers"
        ]
        assert ":loadbalancer/net/net/" in aws.balancer("net")
        [group] = elbv2.create_target_group(
            Name="more", Protocol="HTTP", Port=80, VpcId=made["VpcId"], TargetType="ip"
        )["TargetGroups"]
        elbv2.delete_target_group(TargetGroupArn=group["TargetGroupArn"])
        elbv2.delete_load_balancer(LoadBalancerArn=aws.balancer("net"))


class TestConsistency:
    """What AWS does late."""

    @pytest.mark.parametrize("kind", ["iam", "acm"])
    def test_a_new_certificate_is_missed_as_often_as_the_option_says(
        self, aws: Session, kind: str
    ) -> None:
        aws.control.steer("propagation_misses", 2)
        arn = aws.upload() if kind == "iam" else aws.imported()
        for _ in range(2):
            with refused("CertificateNotFound", 400):
                listen(aws, arn)
        listen(aws, arn)

    def test_every_way_of_attaching_counts_as_a_miss(self, aws: Session) -> None:
        listener = create_listener(aws, aws.imported())
        listen(aws, aws.upload("first"))
        aws.control.steer("propagation_misses", 3)
        arn = aws.upload("second")
        with refused("CertificateNotFound", 400):
            set_certificate(aws, arn)
        with refused("CertificateNotFound", 400):
            add_certificate(aws, listener, arn)
        with refused("CertificateNotFound", 400):
            aws.client("elbv2").modify_listener(
                ListenerArn=listener, Certificates=[{"CertificateArn": arn}]
            )
        set_certificate(aws, arn)

    def test_a_new_certificate_is_missed_for_as_long_as_the_option_says(self, aws: Session) -> None:
        aws.control.steer("propagation_seconds", 300)
        arn = aws.imported()
        with refused("CertificateNotFound", 400):
            create_listener(aws, arn)
        aws.control.advance(301)
        listener = create_listener(aws, arn)
        aws.imported(ec_pair(), CertificateArn=arn)
        add_certificate(aws, listener, arn)

    @pytest.mark.parametrize("kind", ["iam", "acm"])
    def test_a_detached_certificate_is_in_use_for_a_while(self, aws: Session, kind: str) -> None:
        aws.control.steer("in_use_lag", 600)
        old = aws.upload("old") if kind == "iam" else aws.imported()
        listen(aws, old)
        set_certificate(aws, aws.upload("new"))
        for advanced in (0, 500):
            aws.control.advance(advanced)
            with refused(*_in_use(kind)):
                _delete(aws, kind, old)
        aws.control.advance(101)
        _delete(aws, kind, old)

    def test_in_use_by_is_late_at_both_ends(self, aws: Session) -> None:
        aws.control.steer("in_use_lag", 600)
        acm, arn = aws.client("acm"), aws.imported()

        def used() -> bool:
            return bool(acm.describe_certificate(CertificateArn=arn)["Certificate"]["InUseBy"])

        listener = create_listener(aws, arn)
        assert not used()
        with refused("ResourceInUseException", 400):
            acm.delete_certificate(CertificateArn=arn)
        aws.control.advance(601)
        assert used()
        aws.client("elbv2").delete_listener(ListenerArn=listener)
        assert used()
        aws.control.advance(601)
        assert not used()


def _in_use(kind: str) -> tuple[str, int]:
    return ("DeleteConflict", 409) if kind == "iam" else ("ResourceInUseException", 400)


def _delete(aws: Session, kind: str, arn: str) -> None:
    if kind == "iam":
        aws.client("iam").delete_server_certificate(ServerCertificateName="old")
    else:
        aws.client("acm").delete_certificate(CertificateArn=arn)


class TestSeeds:
    """What is there at the start, and what is changed behind the client's back."""

    def test_listeners_are_as_terraform_leaves_them(self, free_port: Callable[[], int]) -> None:
        ports = {f"{name}:{port}": free_port() for name in ("classic", "alb") for port in (80, 443)}
        listeners = ("classic:443:HTTPS:8080", "alb:80:HTTP:redirect", "alb:443:HTTPS:web")
        with session(listeners=listeners, ports=ports) as aws:
            [classic] = _classic(aws)
            assert (classic["InstanceProtocol"], classic["InstancePort"]) == ("HTTP", 8080)
            assert ":server-certificate/terraform-" in classic["SSLCertificateId"]
            found = aws.client("elbv2").describe_listeners(LoadBalancerArn=aws.balancer())
            actions = [each["DefaultActions"][0]["Type"] for each in found["Listeners"]]
            assert actions == ["redirect", "forward"]
            assert len(aws.control.ready()["fronts"]) == 3

    def test_things_go_and_come_behind_the_back(self, aws: Session) -> None:
        arn = aws.upload("gone")
        listener = create_listener(aws, aws.imported())
        aws.control.steer("remove_server_certificate", "gone")
        with refused("CertificateNotFound", 400):
            listen(aws, arn)
        aws.control.steer("remove_listener", "alb:443")
        with refused("ListenerNotFound", 400):
            _certificates(aws, listener)
        aws.control.steer("add_listener", "classic:443:HTTPS")
        assert len(_classic(aws)) == 1
        aws.control.steer("remove_balancer", "classic")
        with refused("LoadBalancerNotFound", 400):
            listen(aws)

    def test_the_state_has_no_key_and_no_secret(self, aws: Session) -> None:
        listen(aws, aws.upload("www", rsa_pair()))
        state = str(aws.control.state())
        assert "www.example.org" in state
        assert "PRIVATE KEY" not in state
        assert "sandbox/certfront/secret" not in state
