"""What the AWS emulator's listeners serve, seen from outside."""

import socket
import ssl
from collections.abc import Callable, Iterator

import pytest
import requests

from tests.integration.emulators.aws_session import (
    ANSWER,
    CHALLENGE,
    NOT_FOUND,
    TO_HTTPS,
    Pair,
    Session,
    add_certificate,
    create_listener,
    ec_pair,
    listen,
    remove_certificate,
    rsa_pair,
    session,
    set_certificate,
)

RSA_ONLY = "ECDHE-RSA-AES128-GCM-SHA256"
ECDSA_ONLY = "ECDHE-ECDSA-AES128-GCM-SHA256"


class Fronts:
    """The front ports of an account, by the listeners' ports."""

    def __init__(self, aws: Session, ports: dict[str, int]) -> None:
        self.aws = aws
        self._ports = ports

    def served(self, name: str | None = "www.example.org", ciphers: str = "") -> str:
        """The certificate of port 443 that a handshake for the name is given, PEM."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if ciphers:
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            context.set_ciphers(ciphers)
        address = ("127.0.0.1", self._ports["443"])
        with (
            socket.create_connection(address, timeout=10) as plain,
            context.wrap_socket(plain, server_hostname=name) as secure,
        ):
            return ssl.DER_cert_to_PEM_cert(secure.getpeercert(binary_form=True) or b"")

    def get(self, path: str, host: str = "www.example.org") -> requests.Response:
        """What port 80 answers."""
        url = f"http://127.0.0.1:{self._ports['80']}{path}"
        return requests.get(url, headers={"Host": host}, allow_redirects=False, timeout=10)


@pytest.fixture
def fronts(free_port: Callable[[], int]) -> Iterator[Fronts]:
    """An account with a classic and an application balancer, whose listeners have free ports."""
    ports = {"80": free_port(), "443": free_port()}
    with session(ports=ports) as aws:
        yield Fronts(aws, ports)


def _same(served: str, pair: Pair) -> bool:
    return served.strip() == pair.certificate.strip()


class TestClassic:
    """One certificate, whatever name is asked for."""

    def test_a_listener_serves_its_certificate_and_then_the_next(self, fronts: Fronts) -> None:
        old, new = ec_pair(), rsa_pair()
        listen(fronts.aws, fronts.aws.upload("old", old))
        for name in ("www.example.org", "unknown.example.org", None):
            assert _same(fronts.served(name), old)
        set_certificate(fronts.aws, fronts.aws.upload("new", new))
        assert _same(fronts.served(), new)

    def test_a_deleted_listener_is_closed(self, fronts: Fronts) -> None:
        listen(fronts.aws, fronts.aws.upload())
        fronts.served()
        fronts.aws.client("elb").delete_load_balancer_listeners(
            LoadBalancerName="classic", LoadBalancerPorts=[443]
        )
        with pytest.raises(OSError):
            fronts.served()

    def test_a_certificate_removed_behind_the_back_is_no_longer_served(
        self, fronts: Fronts
    ) -> None:
        listen(fronts.aws, fronts.aws.upload("www"))
        fronts.aws.control.steer("remove_server_certificate", "www")
        with pytest.raises(ssl.SSLError):
            fronts.served()


class TestApplication:
    """Certificates by name and by key type, redirects and fixed responses."""

    def test_certificates_are_chosen_by_name(self, fronts: Fronts) -> None:
        default, one, wild = ec_pair("a.example"), ec_pair("b.example"), ec_pair("*.c.example")
        aws = fronts.aws
        listener = create_listener(aws, aws.imported(default))
        arns = [aws.imported(one), aws.upload("wild", wild)]
        for arn in arns:
            add_certificate(aws, listener, arn)
        expected = {
            "a.example": default,
            "b.example": one,
            "x.c.example": wild,
            "x.y.c.example": default,
            "other.example": default,
            None: default,
        }
        for name, pair in expected.items():
            assert _same(fronts.served(name), pair), name
        remove_certificate(aws, listener, arns[0])
        assert _same(fronts.served("b.example"), default)

    def test_key_types_are_chosen_by_what_the_client_supports(self, fronts: Fronts) -> None:
        ecdsa, rsa = ec_pair(), rsa_pair()
        aws = fronts.aws
        listener = create_listener(aws, aws.imported(rsa))
        add_certificate(aws, listener, aws.imported(ecdsa))
        assert _same(fronts.served(), ecdsa)
        assert _same(fronts.served(ciphers=ECDSA_ONLY), ecdsa)
        assert _same(fronts.served(ciphers=RSA_ONLY), rsa)

    def test_a_reimport_is_served_at_once(self, fronts: Fronts) -> None:
        old, new = ec_pair(), ec_pair()
        arn = fronts.aws.imported(old)
        create_listener(fronts.aws, arn)
        assert _same(fronts.served(), old)
        fronts.aws.imported(new, CertificateArn=arn)
        assert _same(fronts.served(), new)

    @pytest.mark.parametrize("status", ["HTTP_301", "HTTP_302"])
    def test_a_redirect_answers_with_what_was_asked_for(self, fronts: Fronts, status: str) -> None:
        config = TO_HTTPS[0]["RedirectConfig"] | {"StatusCode": status}  # type: ignore[operator] # a mapping
        actions = [{"Type": "redirect", "RedirectConfig": config}]
        create_listener(fronts.aws, DefaultActions=actions)
        answered = fronts.get("/a/b?c=d")
        assert answered.status_code == int(status[-3:])
        assert answered.headers["Location"] == "https://www.example.org:443/a/b?c=d"

    def test_a_rule_answers_a_challenge_before_the_redirect(self, fronts: Fronts) -> None:
        listener = create_listener(fronts.aws, DefaultActions=TO_HTTPS)
        elbv2 = fronts.aws.client("elbv2")
        [rule] = elbv2.create_rule(
            ListenerArn=listener, Priority=1, Conditions=CHALLENGE, Actions=ANSWER
        )["Rules"]
        answered = fronts.get("/.well-known/acme-challenge/token")
        assert (answered.status_code, answered.text) == (200, "token.thumbprint")
        assert fronts.get("/.well-known/acme-challenge/other").status_code == 301
        elbv2.delete_rule(RuleArn=rule["RuleArn"])
        assert fronts.get("/.well-known/acme-challenge/token").status_code == 301

    def test_rules_go_by_priority_host_and_path(self, fronts: Fronts) -> None:
        listener = create_listener(fronts.aws, DefaultActions=NOT_FOUND)
        elbv2 = fronts.aws.client("elbv2")
        for priority, host, body in ((2, "*.example.org", "all"), (1, "www.example.org", "www")):
            elbv2.create_rule(
                ListenerArn=listener,
                Priority=priority,
                Conditions=[
                    {"Field": "host-header", "HostHeaderConfig": {"Values": [host]}},
                    {"Field": "path-pattern", "PathPatternConfig": {"Values": ["/a*"]}},
                ],
                Actions=[
                    {
                        "Type": "fixed-response",
                        "FixedResponseConfig": {"StatusCode": "200", "MessageBody": body},
                    }
                ],
            )
        assert fronts.get("/a").text == "www"
        assert fronts.get("/abc", host="x.example.org").text == "all"
        assert fronts.get("/b").status_code == 404
        assert fronts.get("/a", host="www.example.net").status_code == 404
