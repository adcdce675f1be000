"""Who may call the AWS emulator, what it takes for a call, and the faults that tests arm."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ConnectionClosedError

from sandbox.emulators.aws import refusing, throttling
from sandbox.emulators.server import Fault
from tests.integration.emulators.aws_session import (
    KEY_ID,
    REGION,
    SECRET,
    Session,
    ec_pair,
    iam_material,
    refused,
    session,
)

LIST = "Action=ListServerCertificates&Version=2010-05-08"
QUERY_CALLS: list[tuple[str, Callable[[Any], Any]]] = [
    ("iam", lambda client: client.list_server_certificates()),
    ("elb", lambda client: client.describe_load_balancers()),
    ("elbv2", lambda client: client.describe_load_balancers()),
    ("sts", lambda client: client.get_caller_identity()),
]
CALLS: list[tuple[str, Callable[[Any], Any]]] = [
    *QUERY_CALLS,
    ("acm", lambda client: client.list_certificates()),
]
IDS = [service for service, _ in CALLS]


@pytest.fixture
def aws() -> Iterator[Session]:
    """An account without load balancers."""
    with session(classic=(), application=(), target_groups=()) as served:
        yield served


def _role(aws: Session, name: str = "certfront") -> str:
    return f"arn:aws:iam::{aws.emulator.account.id}:role/{name}"


def _assumed(aws: Session, name: str = "certfront") -> dict[str, str]:
    found = aws.client("sts").assume_role(RoleArn=_role(aws, name), RoleSessionName="tests")
    return {
        "aws_access_key_id": found["Credentials"]["AccessKeyId"],
        "aws_secret_access_key": found["Credentials"]["SecretAccessKey"],
        "aws_session_token": found["Credentials"]["SessionToken"],
    }


class TestSignatures:
    """Signature Version 4."""

    @pytest.mark.parametrize(("service", "call"), CALLS, ids=IDS)
    def test_a_wrong_secret_is_refused(
        self, aws: Session, service: str, call: Callable[[Any], Any]
    ) -> None:
        code = "InvalidSignatureException" if service == "acm" else "SignatureDoesNotMatch"
        with refused(code, 400 if service == "acm" else 403):
            call(aws.client(service, aws_secret_access_key="wrong"))

    @pytest.mark.parametrize(("service", "call"), CALLS, ids=IDS)
    def test_an_unknown_key_is_refused(
        self, aws: Session, service: str, call: Callable[[Any], Any]
    ) -> None:
        code = "UnrecognizedClientException" if service == "acm" else "InvalidClientTokenId"
        with refused(code, 400 if service == "acm" else 403):
            call(aws.client(service, aws_access_key_id="AKIAUNKNOWN"))

    def test_an_unsigned_call_is_refused(self, aws: Session) -> None:
        answered = requests.post(
            aws.url,
            data=LIST,
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            timeout=10,
        )
        assert answered.status_code == 403
        assert "<Code>MissingAuthenticationToken</Code>" in answered.text

    @pytest.mark.parametrize(
        "change",
        [
            {"body": LIST + "&PathPrefix=%2F"},
            {"path": "/?x=y"},
            {"X-Amz-Date": "20000101T000000Z"},
            {"X-Amz-Security-Token": "token"},
            {"X-Amz-Other": "unsigned"},
        ],
        ids=["body", "query", "date", "token", "header that is not signed"],
    )
    def test_what_was_changed_after_the_signing_is_refused(
        self, aws: Session, change: dict[str, str]
    ) -> None:
        headers = _signed(aws, LIST) | {
            name: value for name, value in change.items() if name.startswith("X-")
        }
        answered = requests.post(
            aws.url + change.get("path", "/"),
            data=change.get("body", LIST),
            headers=headers,
            timeout=10,
        )
        assert answered.status_code == 403
        assert requests.post(aws.url + "/", data=LIST, headers=_signed(aws, LIST), timeout=10).ok

    def test_a_signature_of_another_day_is_refused(self, aws: Session) -> None:
        headers = _signed(aws, LIST, datetime.now(UTC) - timedelta(minutes=6))
        answered = requests.post(aws.url + "/", data=LIST, headers=headers, timeout=10)
        assert "<Code>SignatureDoesNotMatch</Code>" in answered.text

    def test_the_emulators_clock_is_not_that_of_signatures(self, aws: Session) -> None:
        aws.control.advance(86_400)
        aws.client("iam").list_server_certificates()

    def test_a_secret_is_rotated_behind_the_back(self, aws: Session) -> None:
        aws.control.steer("secret", "another")
        with refused("SignatureDoesNotMatch", 403):
            aws.client("iam").list_server_certificates()
        aws.client("iam", aws_secret_access_key="another").list_server_certificates()


def _signed(aws: Session, body: str, at: datetime | None = None) -> dict[str, str]:
    """Headers of a call to IAM, signed at this time."""
    request = AWSRequest(
        method="POST",
        url=aws.url + "/",
        data=body.encode(),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    signer = SigV4Auth(Credentials(KEY_ID, SECRET), "iam", REGION)
    if at is None:
        signer.add_auth(request)
    else:
        stamp = at.strftime("%Y%m%dT%H%M%SZ")
        request.context["timestamp"] = stamp
        request.headers["X-Amz-Date"] = stamp
        text = signer.string_to_sign(request, signer.canonical_request(request))
        signer._inject_signature_to_request(request, signer.signature(text, request))
    return dict(request.headers.items())


class TestSessions:
    """Roles and their sessions."""

    def test_a_role_is_assumed_and_used(self, aws: Session) -> None:
        mine = _assumed(aws)
        for service, call in CALLS:
            call(aws.client(service, **mine))
        arn = aws.client("sts", **mine).get_caller_identity()["Arn"]
        assert arn.endswith(":assumed-role/certfront/tests")

    def test_an_unknown_role_is_refused(self, aws: Session) -> None:
        with refused("AccessDenied", 403):
            _assumed(aws, "other")

    @pytest.mark.parametrize("token", ["wrong", None], ids=["wrong", "none"])
    def test_a_session_without_its_token_is_refused(self, aws: Session, token: str | None) -> None:
        mine = _assumed(aws) | {"aws_session_token": token}
        with refused("InvalidClientTokenId", 403):
            aws.client("iam", **mine).list_server_certificates()

    def test_a_session_ends(self) -> None:
        with session(classic=(), application=(), target_groups=(), session_seconds=0.001) as aws:
            mine = _assumed(aws)
            with refused("ExpiredToken", 403):
                aws.client("iam", **mine).list_server_certificates()
            with refused("ExpiredTokenException", 400):
                aws.client("acm", **mine).list_certificates()

    def test_a_web_identity_is_exchanged_without_a_signature(self) -> None:
        with session(
            classic=(), application=(), target_groups=(), web_identity_token="projected"
        ) as aws:
            given = {"RoleArn": _role(aws), "RoleSessionName": "irsa"}
            sts = aws.client("sts")
            found = sts.assume_role_with_web_identity(WebIdentityToken="projected", **given)
            assert found["Credentials"]["AccessKeyId"].startswith("ASIA")
            with refused("InvalidIdentityToken", 400):
                sts.assume_role_with_web_identity(WebIdentityToken="other", **given)


class TestPermissions:
    """Least privilege."""

    @pytest.mark.parametrize(
        ("allow", "refusals"),
        [
            (("*",), ()),
            ((), ("iam", "elb", "elbv2", "acm")),
            (("iam:List*",), ("elb", "elbv2", "acm")),
            (("elasticloadbalancing:*",), ("iam", "acm")),
            (("acm:ListCertificates", "iam:*"), ("elb", "elbv2")),
        ],
        ids=["all", "nothing", "IAM's lists", "balancers", "certificates"],
    )
    def test_only_what_is_allowed_is_done(
        self, aws: Session, allow: tuple[str, ...], refusals: tuple[str, ...]
    ) -> None:
        aws.control.steer("allow", list(allow))
        for service, call in CALLS:
            if service not in refusals:
                call(aws.client(service))
                continue
            json_service = service == "acm"
            with refused(
                "AccessDeniedException" if json_service else "AccessDenied",
                400 if json_service else 403,
            ):
                call(aws.client(service))

    def test_tags_need_a_permission_of_their_own(self, aws: Session) -> None:
        aws.control.steer("allow", ["iam:UploadServerCertificate", "acm:ImportCertificate"])
        aws.upload("plain")
        aws.imported()
        tags = [{"Key": "a", "Value": "b"}]
        with refused("AccessDenied", 403):
            aws.upload("tagged", Tags=tags)
        with refused("AccessDeniedException", 400):
            aws.imported(Tags=tags)

    def test_a_role_has_permissions_of_its_own(self) -> None:
        with session(
            classic=(), application=(), target_groups=(), roles={"reader": "iam:List*,iam:Get*"}
        ) as aws:
            mine = _assumed(aws, "reader")
            aws.client("iam", **mine).list_server_certificates()
            with refused("AccessDenied", 403):
                aws.client("iam", **mine).upload_server_certificate(
                    ServerCertificateName="www", **iam_material(ec_pair())
                )


class TestWire:
    """What is no call."""

    @pytest.mark.parametrize(
        ("body", "status", "code"),
        [
            ("Action=Fly&Version=2010-05-08", 400, "InvalidAction"),
            (LIST + "&Unknown=1", 400, "ValidationError"),
            (LIST + "&MaxItems=many", 400, "MalformedInput"),
            (LIST + "&MaxItems=0", 400, "ValidationError"),
            (LIST + "&PathPrefix=%2Fa%2F&PathPrefix=%2Fb%2F", 400, "MalformedInput"),
            ("Action=ListServerCertificates&Version=2000-01-01", 400, "UnknownOperation"),
            ("Version=2010-05-08", 400, "UnknownOperation"),
            ("Action=CreateUser&Version=2010-05-08&UserName=x", 400, "InvalidAction"),
            ("Action=DescribeLoadBalancers&Version=2012-06-01", 400, "UnknownOperation"),
        ],
        ids=[
            "action",
            "parameter",
            "type",
            "bound",
            "twice",
            "version",
            "no action",
            "not emulated",
            "signed for another service",
        ],
    )
    def test_a_wrong_query_is_refused(
        self, aws: Session, body: str, status: int, code: str
    ) -> None:
        answered = requests.post(aws.url + "/", data=body, headers=_signed(aws, body), timeout=10)
        assert answered.status_code == status
        assert f"<Code>{code}</Code>" in answered.text

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            ("[]", "SerializationException"),
            ("{", "SerializationException"),
            ('{"Unknown": 1}', "ValidationException"),
            ('{"MaxItems": "many"}', "SerializationException"),
            ('{"MaxItems": true}', "SerializationException"),
            ('{"Includes": {"keyTypes": ["DSA"]}}', "ValidationException"),
        ],
        ids=["no object", "no JSON", "member", "type", "boolean", "enumeration"],
    )
    def test_a_wrong_json_is_refused(self, aws: Session, body: str, code: str) -> None:
        answered = requests.post(
            aws.url + "/", data=body, headers=_signed_json(aws, body), timeout=10
        )
        assert answered.status_code == 400
        assert answered.json()["__type"] == code

    @pytest.mark.parametrize(("method", "path"), [("GET", "/"), ("POST", "/other")])
    def test_nothing_else_is_served(self, aws: Session, method: str, path: str) -> None:
        answered = requests.request(method, aws.url + path, timeout=10)
        assert answered.status_code == 404
        assert "<Code>UnknownOperation</Code>" in answered.text

    def test_a_body_that_is_too_large_is_refused(self, aws: Session) -> None:
        answered = requests.post(aws.url + "/", data=b"x" * (9 << 20), timeout=30)
        assert answered.status_code == 413

    def test_no_refusal_quotes_what_was_sent(self, aws: Session) -> None:
        body = json.dumps({"Certificate": "c2VjcmV0IG1hdGVyaWFs!", "PrivateKey": "c2VjcmV0"})
        headers = _signed_json(aws, body, "ImportCertificate")
        answered = requests.post(aws.url + "/", data=body, headers=headers, timeout=10)
        assert answered.status_code == 400
        assert "c2VjcmV0" not in answered.text


def _signed_json(aws: Session, body: str, action: str = "ListCertificates") -> dict[str, str]:
    request = AWSRequest(
        method="POST",
        url=aws.url + "/",
        data=body.encode(),
        headers={
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": f"CertificateManager.{action}",
        },
    )
    SigV4Auth(Credentials(KEY_ID, SECRET), "acm", REGION).add_auth(request)
    return dict(request.headers.items())


class TestFaults:
    """What tests arm."""

    @pytest.mark.parametrize(("service", "call"), CALLS, ids=IDS)
    def test_throttling_has_the_services_own_code_and_boto3_retries_it(
        self, aws: Session, service: Any, call: Callable[[Any], Any]
    ) -> None:
        aws.control.arm(throttling(service, times=2))
        with refused("ThrottlingException" if service == "acm" else "Throttling", 400):
            call(aws.client(service))
        call(_retrying(aws, service))
        assert [each.status for each in aws.control.calls()] == [400, 400, 200]

    def test_any_refusal_can_be_armed_for_one_action(self, aws: Session) -> None:
        aws.control.arm(refusing("iam", "UploadServerCertificate", "ServiceFailure", status=500))
        aws.client("iam").list_server_certificates()
        with refused("ServiceFailure", 500):
            aws.upload()
        aws.upload()

    def test_a_lost_answer_was_acted_on(self, aws: Session) -> None:
        aws.control.arm(Fault(path="iam:UploadServerCertificate", kind="lost"))
        with pytest.raises(ConnectionClosedError):
            aws.upload("www")
        with refused("EntityAlreadyExists", 409):
            aws.upload("www")

    def test_the_journal_names_calls_as_boto3_names_the_service(self, aws: Session) -> None:
        for service, call in CALLS:
            call(aws.client(service))
        assert [each.name for each in aws.control.calls()] == [
            "iam:ListServerCertificates",
            "elb:DescribeLoadBalancers",
            "elbv2:DescribeLoadBalancers",
            "sts:GetCallerIdentity",
            "acm:ListCertificates",
        ]


def _retrying(aws: Session, service: str) -> Any:
    return boto3.client(  # type: ignore[call-overload] # a name that is not literal
        service,
        region_name=REGION,
        endpoint_url=aws.url,
        aws_access_key_id=KEY_ID,
        aws_secret_access_key=SECRET,
        config=Config(retries={"total_max_attempts": 3, "mode": "standard"}),
    )


class TestSteering:
    """What is changed from outside."""

    @pytest.mark.parametrize(
        ("what", "value", "status"),
        [("unheard of", 1, 404), ("allow", "*", 400), ("server_certificates", "many", 400)],
        ids=["unknown", "no list", "no number"],
    )
    def test_a_wrong_steering_is_refused(
        self, aws: Session, what: str, value: Any, status: int
    ) -> None:
        with pytest.raises(requests.HTTPError, match=str(status)):
            aws.control.steer(what, value)

    def test_a_quota_is_raised(self) -> None:
        with session(classic=(), application=(), target_groups=(), server_certificates=1) as aws:
            aws.upload("a")
            with refused("LimitExceeded", 409):
                aws.upload("b")
            aws.control.steer("server_certificates", 2)
            aws.upload("b")
