"""The AWS emulator's stores of certificates, IAM and ACM, held to what moto lets through."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.integration.emulators.aws_session import (
    Pair,
    Session,
    acm_material,
    certificate,
    ec_pair,
    ed25519_pair,
    iam_material,
    issued_pair,
    pair,
    private,
    refused,
    rsa_pair,
    session,
)

SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
ABSENT = "arn:aws:acm:us-east-1:123456789012:certificate/00000000-0000-4000-8000-000000000000"


@pytest.fixture
def aws() -> Iterator[Session]:
    """An account without load balancers."""
    with session(classic=(), application=(), target_groups=()) as served:
        yield served


def _mismatched() -> Pair:
    return Pair(certificate=ec_pair().certificate, key=ec_pair().key)


def _encrypted() -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    return Pair(certificate=certificate(key, "www.example.org"), key=private(key, "secret"))


def _foreign_chain() -> Pair:
    made = issued_pair()[0]
    return Pair(certificate=made.certificate, key=made.key, chain=issued_pair()[1])


def _leaf_in_chain() -> Pair:
    made = issued_pair()[0]
    return Pair(certificate=made.certificate, key=made.key, chain=made.certificate + made.chain)


def _chain_in_body() -> Pair:
    made = issued_pair()[0]
    return Pair(certificate=made.certificate + made.chain, key=made.key)


def _garbage(part: str) -> Callable[[], Pair]:
    def make() -> Pair:
        made = issued_pair()[0]
        parts = {"certificate": made.certificate, "key": made.key, "chain": made.chain}
        return Pair(**(parts | {part: "no PEM at all"}))

    return make


MALFORMED = [
    pytest.param(_garbage("certificate"), id="certificate"),
    pytest.param(_garbage("key"), id="key"),
    pytest.param(_garbage("chain"), id="chain"),
    pytest.param(lambda: ec_pair(starts=-10, days=-1), id="expired"),
    pytest.param(lambda: ec_pair(starts=1), id="not yet valid"),
    pytest.param(_encrypted, id="encrypted key"),
    pytest.param(ed25519_pair, id="Ed25519"),
    pytest.param(lambda: pair(ec.generate_private_key(ec.SECP256K1())), id="secp256k1"),
    pytest.param(_foreign_chain, id="chain of another CA"),
    pytest.param(_leaf_in_chain, id="certificate in its chain"),
    pytest.param(_chain_in_body, id="chain in the certificate"),
]


class TestServerCertificates:
    """IAM."""

    def test_what_was_uploaded_is_listed_and_given_back_without_its_key(self, aws: Session) -> None:
        iam, made = aws.client("iam"), issued_pair()[0]
        tags = [{"Key": "owner", "Value": "certfront"}]
        arn = aws.upload("www", made, Path="/certfront/", Tags=tags)
        [listed] = iam.list_server_certificates()["ServerCertificateMetadataList"]
        shown = iam.get_server_certificate(ServerCertificateName="www")["ServerCertificate"]
        assert listed["Arn"] == arn == shown["ServerCertificateMetadata"]["Arn"]
        assert arn.endswith(":server-certificate/certfront/www")
        assert "Tags" not in listed
        assert shown["CertificateBody"] == made.certificate
        assert shown["CertificateChain"] == made.chain
        assert shown["Tags"] == tags
        assert "PRIVATE KEY" not in str(shown)

    @pytest.mark.parametrize("name", ["www", "WWW"], ids=["same", "other case"])
    def test_a_name_is_taken_once(self, aws: Session, name: str) -> None:
        aws.upload("www")
        with refused("EntityAlreadyExists", 409):
            aws.upload(name)
        assert len(aws.emulator.server_certificates.entries()) == 1

    def test_a_key_of_another_certificate_is_refused(self, aws: Session) -> None:
        with refused("KeyPairMismatch", 400):
            aws.upload("www", _mismatched())

    @pytest.mark.parametrize("make", MALFORMED)
    def test_malformed_material_is_refused(self, aws: Session, make: Callable[[], Pair]) -> None:
        with refused("MalformedCertificate", 400):
            aws.upload("www", make())
        assert aws.emulator.server_certificates.entries() == []

    def test_the_path_prefix_filters(self, aws: Session) -> None:
        for name, path in (("a", "/"), ("b", "/one/"), ("c", "/one/two/"), ("d", "/other/")):
            aws.upload(name, Path=path)
        listed = aws.client("iam").list_server_certificates(PathPrefix="/one/")
        names = [x["ServerCertificateName"] for x in listed["ServerCertificateMetadataList"]]
        assert names == ["b", "c"]

    def test_a_listing_is_paged(self, aws: Session) -> None:
        for name in "abcde":
            aws.upload(name)
        pages = list(
            aws.client("iam")
            .get_paginator("list_server_certificates")
            .paginate(PaginationConfig={"PageSize": 2})
        )
        assert [len(page["ServerCertificateMetadataList"]) for page in pages] == [2, 2, 1]

    @pytest.mark.parametrize(
        "given",
        [
            {"ServerCertificateName": "with space"},
            {"ServerCertificateName": "n" * 129},
            {"Path": "certfront/"},
            {"Path": "/certfront"},
        ],
        ids=["name", "long name", "path without a first slash", "path without a last slash"],
    )
    def test_a_malformed_name_or_path_is_refused(self, aws: Session, given: dict[str, str]) -> None:
        whole = {"ServerCertificateName": "www"} | iam_material(ec_pair()) | given
        with refused("ValidationError", 400):
            aws.client("iam").upload_server_certificate(**whole)

    def test_a_body_beyond_16384_is_refused(self, aws: Session) -> None:
        made = ec_pair()
        long = Pair(certificate=made.certificate + "\n" * 16_384, key=made.key)
        with refused("ValidationError", 400):
            aws.upload("www", long)

    def test_the_quota_refuses_one_more(self) -> None:
        with session(classic=(), application=(), target_groups=()) as aws:
            for number in range(20):
                aws.upload(f"n{number}")
            summary = aws.client("iam").get_account_summary()["SummaryMap"]
            assert summary["ServerCertificates"] == summary["ServerCertificatesQuota"] == 20
            with refused("LimitExceeded", 409):
                aws.upload("one-more")
            aws.client("iam").delete_server_certificate(ServerCertificateName="n0")
            aws.upload("one-more")

    def test_a_certificate_is_renamed_and_moved(self, aws: Session) -> None:
        aws.upload("old")
        aws.upload("taken")
        iam = aws.client("iam")
        with refused("EntityAlreadyExists", 409):
            iam.update_server_certificate(
                ServerCertificateName="old", NewServerCertificateName="taken"
            )
        iam.update_server_certificate(
            ServerCertificateName="old", NewServerCertificateName="new", NewPath="/moved/"
        )
        shown = iam.get_server_certificate(ServerCertificateName="new")["ServerCertificate"]
        assert shown["ServerCertificateMetadata"]["Arn"].endswith("/moved/new")
        with refused("NoSuchEntity", 404):
            iam.get_server_certificate(ServerCertificateName="old")

    def test_tags_are_set_listed_and_taken_away(self, aws: Session) -> None:
        aws.upload("www", Tags=[{"Key": "a", "Value": "1"}])
        iam = aws.client("iam")
        iam.tag_server_certificate(
            ServerCertificateName="www",
            Tags=[{"Key": "a", "Value": "2"}, {"Key": "b", "Value": "3"}],
        )
        iam.untag_server_certificate(ServerCertificateName="www", TagKeys=["b", "none"])
        listed = iam.list_server_certificate_tags(ServerCertificateName="www")
        assert listed["Tags"] == [{"Key": "a", "Value": "2"}]

    @pytest.mark.parametrize(
        ("call", "more"),
        [
            ("get_server_certificate", {}),
            ("delete_server_certificate", {}),
            ("update_server_certificate", {"NewPath": "/x/"}),
            ("tag_server_certificate", {"Tags": [{"Key": "a", "Value": "b"}]}),
            ("untag_server_certificate", {"TagKeys": ["a"]}),
            ("list_server_certificate_tags", {}),
        ],
    )
    def test_an_unknown_name_is_no_such_entity(
        self, aws: Session, call: str, more: dict[str, Any]
    ) -> None:
        with refused("NoSuchEntity", 404):
            getattr(aws.client("iam"), call)(ServerCertificateName="none", **more)

    def test_certificates_expire_by_the_emulators_clock(self, aws: Session) -> None:
        aws.control.advance(91 * 86_400)
        with refused("MalformedCertificate", 400):
            aws.upload("www", ec_pair(days=90))


class TestCertificates:
    """ACM."""

    @pytest.mark.parametrize(
        ("make", "algorithm"),
        [
            (ec_pair, "EC_prime256v1"),
            (lambda: pair(ec.generate_private_key(ec.SECP384R1())), "EC_secp384r1"),
            (rsa_pair, "RSA_2048"),
        ],
        ids=["P-256", "P-384", "RSA"],
    )
    def test_what_was_imported_is_described_and_given_back(
        self, aws: Session, make: Callable[[], Pair], algorithm: str
    ) -> None:
        made = make()
        arn = aws.imported(made, Tags=[{"Key": "owner", "Value": "certfront"}])
        acm = aws.client("acm")
        shown = acm.describe_certificate(CertificateArn=arn)["Certificate"]
        assert shown["KeyAlgorithm"] == algorithm
        assert (shown["Status"], shown["Type"], shown["InUseBy"]) == ("ISSUED", "IMPORTED", [])
        assert shown["SubjectAlternativeNames"] == ["www.example.org"]
        assert acm.get_certificate(CertificateArn=arn)["Certificate"] == made.certificate
        tags = acm.list_tags_for_certificate(CertificateArn=arn)["Tags"]
        assert tags == [{"Key": "owner", "Value": "certfront"}]

    @pytest.mark.parametrize("make", [pytest.param(_mismatched, id="another key"), *MALFORMED])
    def test_malformed_material_is_refused(self, aws: Session, make: Callable[[], Pair]) -> None:
        with refused("ValidationException", 400):
            aws.imported(make())
        assert aws.emulator.certificates["us-east-1"].entries() == []

    def test_a_certificate_without_an_issuer_is_refused(self, aws: Session) -> None:
        with refused("ValidationException", 400):
            aws.imported(ec_pair("www.example.org", issuer=""))

    @pytest.mark.parametrize(
        ("member", "size"), [("certificate", 32_769), ("key", 5_121)], ids=["certificate", "key"]
    )
    def test_material_beyond_its_size_is_refused(
        self, aws: Session, member: str, size: int
    ) -> None:
        made = ec_pair()
        parts = {"certificate": made.certificate, "key": made.key}
        parts[member] = parts[member].ljust(size, "\n")
        with refused("ValidationException", 400):
            aws.imported(Pair(**parts))
        parts[member] = parts[member][:-1]
        aws.imported(Pair(**parts))

    def test_a_chain_is_needed_where_the_option_says_so(self) -> None:
        made = issued_pair()[0]
        bare = Pair(certificate=made.certificate, key=made.key)
        with session(classic=(), application=(), target_groups=(), chain_required=True) as aws:
            with refused("ValidationException", 400):
                aws.imported(bare)
            aws.imported(made)
            aws.imported(ec_pair())

    def test_a_reimport_keeps_the_arn_and_the_tags(self, aws: Session) -> None:
        arn = aws.imported(Tags=[{"Key": "owner", "Value": "certfront"}])
        acm = aws.client("acm")
        before = acm.describe_certificate(CertificateArn=arn)["Certificate"]
        assert aws.imported(ec_pair("other.example.org"), CertificateArn=arn) == arn
        after = acm.describe_certificate(CertificateArn=arn)["Certificate"]
        assert after["Serial"] != before["Serial"]
        assert after["SubjectAlternativeNames"] == ["other.example.org"]
        tags = acm.list_tags_for_certificate(CertificateArn=arn)["Tags"]
        assert tags == [{"Key": "owner", "Value": "certfront"}]

    def test_a_reimport_with_tags_is_refused(self, aws: Session) -> None:
        arn = aws.imported()
        with refused("ValidationException", 400):
            aws.imported(CertificateArn=arn, Tags=[{"Key": "a", "Value": "b"}])

    @pytest.mark.parametrize(
        "new",
        [rsa_pair, lambda: pair(ec.generate_private_key(ec.SECP384R1()))],
        ids=["type", "size"],
    )
    def test_a_reimport_of_another_key_type_is_refused(
        self, aws: Session, new: Callable[[], Pair]
    ) -> None:
        arn = aws.imported(ec_pair())
        with refused("ValidationException", 400):
            aws.imported(new(), CertificateArn=arn)

    @pytest.mark.parametrize(
        ("old", "new", "allowed"),
        [
            ({"usages": (SERVER,)}, {"usages": (SERVER, CLIENT)}, True),
            ({"usages": (SERVER, CLIENT)}, {"usages": (SERVER,)}, True),
            ({"usages": (SERVER, CLIENT)}, {"usages": (CLIENT,)}, False),
            ({"encipherment": True}, {"encipherment": False}, True),
            ({"encipherment": False}, {}, False),
        ],
        ids=[
            "extended usage added",
            "client authentication removed",
            "server authentication removed",
            "encipherment removed from ECDSA",
            "key usage removed",
        ],
    )
    def test_a_reimport_may_not_remove_usages(
        self, aws: Session, old: dict[str, Any], new: dict[str, Any], allowed: bool
    ) -> None:
        arn = aws.imported(ec_pair(**old))
        if allowed:
            aws.imported(ec_pair(**new), CertificateArn=arn)
        else:
            with refused("ValidationException", 400):
                aws.imported(ec_pair(**new), CertificateArn=arn)

    def test_rsa_may_not_lose_key_encipherment(self, aws: Session) -> None:
        arn = aws.imported(rsa_pair(encipherment=True))
        with refused("ValidationException", 400):
            aws.imported(rsa_pair(encipherment=False), CertificateArn=arn)

    @pytest.mark.parametrize(
        ("call", "more"),
        [
            ("describe_certificate", {}),
            ("get_certificate", {}),
            ("delete_certificate", {}),
            ("list_tags_for_certificate", {}),
            ("add_tags_to_certificate", {"Tags": [{"Key": "a", "Value": "b"}]}),
            ("remove_tags_from_certificate", {"Tags": [{"Key": "a"}]}),
            ("import_certificate", acm_material(ec_pair())),
        ],
    )
    def test_an_unknown_arn_is_not_found(
        self, aws: Session, call: str, more: dict[str, Any]
    ) -> None:
        with refused("ResourceNotFoundException", 400):
            getattr(aws.client("acm"), call)(CertificateArn=ABSENT, **more)

    @pytest.mark.parametrize(
        ("arn", "code"),
        [
            ("arn:aws:acm:us-east-1:123456789012:other/1", "InvalidArnException"),
            ("arn:aws:iam::123456789012:server-certificate/www", "ValidationException"),
        ],
        ids=["of ACM", "of IAM"],
    )
    def test_an_arn_of_something_else_is_invalid(self, aws: Session, arn: str, code: str) -> None:
        with refused(code, 400):
            aws.client("acm").describe_certificate(CertificateArn=arn)

    def test_a_listing_has_rsa_alone_unless_key_types_are_named(self, aws: Session) -> None:
        rsa_arn, ec_arn = aws.imported(rsa_pair()), aws.imported(ec_pair())
        acm = aws.client("acm")

        def listed(**more: Any) -> set[str]:
            found = acm.list_certificates(**more)["CertificateSummaryList"]
            return {str(each["CertificateArn"]) for each in found}

        assert listed() == {rsa_arn}
        assert listed(Includes={"keyTypes": ["EC_prime256v1"]}) == {ec_arn}
        assert listed(Includes={"keyTypes": ["RSA_2048", "EC_prime256v1"]}) == {rsa_arn, ec_arn}

    def test_a_listing_is_paged(self, aws: Session) -> None:
        for _ in range(3):
            aws.imported(rsa_pair())
        first = aws.client("acm").list_certificates(MaxItems=2)
        assert len(first["CertificateSummaryList"]) == 2
        second = aws.client("acm").list_certificates(MaxItems=2, NextToken=first["NextToken"])
        assert len(second["CertificateSummaryList"]) == 1
        assert "NextToken" not in second

    def test_tags_are_added_and_taken_away_by_key_or_by_value(self, aws: Session) -> None:
        acm, arn = aws.client("acm"), aws.imported(Tags=[{"Key": "a", "Value": "1"}])
        acm.add_tags_to_certificate(
            CertificateArn=arn, Tags=[{"Key": "b", "Value": "2"}, {"Key": "c", "Value": "3"}]
        )
        acm.remove_tags_from_certificate(
            CertificateArn=arn, Tags=[{"Key": "a", "Value": "other"}, {"Key": "b"}]
        )
        tags = acm.list_tags_for_certificate(CertificateArn=arn)["Tags"]
        assert tags == [{"Key": "a", "Value": "1"}, {"Key": "c", "Value": "3"}]

    def test_the_quotas_of_certificates_and_of_imports(self) -> None:
        options = {"acm_certificates": 1, "acm_imports_per_year": 2}
        with session(classic=(), application=(), target_groups=(), **options) as aws:
            arn = aws.imported()
            with refused("LimitExceededException", 400):
                aws.imported()
            aws.imported(ec_pair(), CertificateArn=arn)
            with refused("LimitExceededException", 400):
                aws.imported(ec_pair(), CertificateArn=arn)
            aws.control.advance(366 * 86_400)
            aws.imported(ec_pair(days=500), CertificateArn=arn)

    def test_a_deleted_certificate_is_gone(self, aws: Session) -> None:
        arn = aws.imported()
        aws.client("acm").delete_certificate(CertificateArn=arn)
        with refused("ResourceNotFoundException", 400):
            aws.client("acm").describe_certificate(CertificateArn=arn)
