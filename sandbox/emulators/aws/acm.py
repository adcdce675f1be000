"""ACM's imported certificates (API version 2015-12-08), written here as a whole.

moto takes a key that does not match, drops the tags at a re-import, and deletes what is in use.
The rules of a re-import are those of the user guide, "Reimport a certificate".
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from sandbox.emulators.aws.account import Account
from sandbox.emulators.aws.errors import Refused
from sandbox.emulators.aws.iam import paged
from sandbox.emulators.aws.material import Malformed, Material, Mismatch, self_signed, taken

LARGEST = {"Certificate": 32_768, "PrivateKey": 5_120, "CertificateChain": 2_097_152}
_LISTED = ("RSA_1024", "RSA_2048")
"""Key types that ListCertificates answers with unless `Includes.keyTypes` says more."""
_TAGS = 50
_KEY_USAGES = {
    "content_commitment": "NON_REPUDIATION",
    "crl_sign": "CRL_SIGNING",
    "data_encipherment": "DATA_ENCIPHERMENT",
    "digital_signature": "DIGITAL_SIGNATURE",
    "key_agreement": "KEY_AGREEMENT",
    "key_cert_sign": "CERTIFICATE_SIGNING",
    "key_encipherment": "KEY_ENCIPHERMENT",
}
_EXTENDED = {
    ExtendedKeyUsageOID.SERVER_AUTH: "TLS_WEB_SERVER_AUTHENTICATION",
    ExtendedKeyUsageOID.CLIENT_AUTH: "TLS_WEB_CLIENT_AUTHENTICATION",
    ExtendedKeyUsageOID.CODE_SIGNING: "CODE_SIGNING",
    ExtendedKeyUsageOID.EMAIL_PROTECTION: "EMAIL_PROTECTION",
    ExtendedKeyUsageOID.TIME_STAMPING: "TIME_STAMPING",
    ExtendedKeyUsageOID.OCSP_SIGNING: "OCSP_SIGNING",
}


@dataclass(slots=True, kw_only=True)
class Certificate:
    """One imported certificate."""

    arn: str
    created: datetime
    imported: datetime
    material: Material = field(repr=False)
    tags: dict[str, str]


class Certificates:
    """The certificates of an account in one region."""

    def __init__(self, account: Account, region: str) -> None:
        self._account = account
        self._region = region
        self._entries: dict[str, Certificate] = {}
        self._imports: list[datetime] = []
        self.actions: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "AddTagsToCertificate": self._add_tags,
            "DeleteCertificate": self._delete,
            "DescribeCertificate": self._describe,
            "GetCertificate": self._get,
            "ImportCertificate": self._import,
            "ListCertificates": self._list,
            "ListTagsForCertificate": self._list_tags,
            "RemoveTagsFromCertificate": self._remove_tags,
        }

    def entries(self) -> list[Certificate]:
        """All of them, in the order of their making."""
        return list(self._entries.values())

    def add(self, material: Material, tags: dict[str, str]) -> str:
        """Store one without asking; returns its ARN."""
        arn = f"arn:aws:acm:{self._region}:{self._account.id}:certificate/{self._account.uuid()}"
        now = self._account.now()
        self._entries[arn] = Certificate(
            arn=arn, created=now, imported=now, material=material, tags=tags
        )
        self._account.materials[arn] = material
        return arn

    def remove(self, arn: str) -> None:
        """Take one away behind the client's back, whatever uses it; raises LookupError."""
        del self._entries[arn]
        self._account.materials.pop(arn, None)

    def _import(self, given: dict[str, Any]) -> dict[str, Any]:
        for member, most in LARGEST.items():
            if len(given.get(member, b"")) > most:
                raise Refused("ValidationException", f"{member} is larger than {most} bytes")
        arn = given.get("CertificateArn")
        if arn is not None and "Tags" in given:
            raise Refused(
                "ValidationException", "Tagging is not permitted on re-import of a certificate."
            )
        entry = self._entry(arn) if arn is not None else None
        material = self._taken(given)
        self._check_imports()
        if entry is not None:
            _check_reimport(entry.material, material)
            entry.material, entry.imported = material, self._account.now()
            self._account.materials[entry.arn] = material
        else:
            tags = _tags(given.get("Tags", []), {})
            limit = self._account.limits.acm_certificates
            if len(self._entries) >= limit:
                raise Refused(
                    "LimitExceededException",
                    f"Error: you have reached your limit of {limit} certificates.",
                )
            arn = self.add(material, tags)
            self._account.propagation.stored(arn, self._account.now())
        self._imports.append(self._account.now())
        return {"CertificateArn": arn}

    def _taken(self, given: dict[str, Any]) -> Material:
        try:
            material = taken(
                given["Certificate"].decode("ascii"),
                given.get("CertificateChain", b"").decode("ascii"),
                given["PrivateKey"].decode("ascii"),
                self._account.now(),
            )
        except UnicodeDecodeError:
            raise Refused("ValidationException", "the material is not PEM-encoded") from None
        except Malformed as malformed:
            raise Refused("ValidationException", malformed.reason) from None
        except Mismatch:
            raise Refused(
                "ValidationException", "The private key does not match the certificate."
            ) from None
        leaf = material.leaf
        if not list(leaf.issuer):
            raise Refused("ValidationException", "The Issuer field of the certificate is empty.")
        if not material.names:
            raise Refused("ValidationException", "The certificate has no domain name.")
        if self._account.chain_required and not material.chain and not self_signed(leaf):
            raise Refused(
                "ValidationException",
                "Provided certificate is not a valid self signed. Please provide either a valid"
                " self-signed certificate or certificate chain.",
            )
        return material

    def _check_imports(self) -> None:
        year = self._account.now() - timedelta(days=365)
        limit = self._account.limits.acm_imports_per_year
        if sum(at > year for at in self._imports) >= limit:
            raise Refused(
                "LimitExceededException",
                f"Error: you have reached your limit of {limit} imports in the last year.",
            )

    def _describe(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"Certificate": self._shown(self._entry(given["CertificateArn"]))}

    def _get(self, given: dict[str, Any]) -> dict[str, Any]:
        material = self._entry(given["CertificateArn"]).material
        shown = {"Certificate": material.certificate}
        return shown | ({"CertificateChain": material.chain} if material.chain else {})

    def _list(self, given: dict[str, Any]) -> dict[str, Any]:
        includes = given.get("Includes", {})
        kinds = includes.get("keyTypes") or _LISTED
        statuses = given.get("CertificateStatuses")
        found = [
            entry
            for entry in self._entries.values()
            if entry.material.key_algorithm in kinds
            and (not statuses or self._status(entry) in statuses)
            and _includes(entry, includes)
        ]
        summaries = [self._summary(entry) for entry in found]
        page, token = paged(summaries, given.get("NextToken"), given.get("MaxItems", 100))
        return {"CertificateSummaryList": page} | ({"NextToken": token} if token else {})

    def _delete(self, given: dict[str, Any]) -> dict[str, Any]:
        entry = self._entry(given["CertificateArn"])
        if self._account.usage.holders(entry.arn, self._account.now()):
            raise Refused(
                "ResourceInUseException",
                f"Certificate {entry.arn} is in use.",
            )
        self.remove(entry.arn)
        return {}

    def _add_tags(self, given: dict[str, Any]) -> dict[str, Any]:
        entry = self._entry(given["CertificateArn"])
        entry.tags = _tags(given["Tags"], entry.tags)
        return {}

    def _remove_tags(self, given: dict[str, Any]) -> dict[str, Any]:
        entry = self._entry(given["CertificateArn"])
        for tag in given["Tags"]:
            value = tag.get("Value")
            if value is None or entry.tags.get(tag["Key"]) == value:
                entry.tags.pop(tag["Key"], None)
        return {}

    def _list_tags(self, given: dict[str, Any]) -> dict[str, Any]:
        tags = self._entry(given["CertificateArn"]).tags
        return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}

    def _entry(self, arn: str) -> Certificate:
        if not arn.startswith("arn:aws:acm:") or ":certificate/" not in arn:
            raise Refused("InvalidArnException", f"Invalid arn: {arn}")
        entry = self._entries.get(arn)
        if entry is None:
            raise Refused(
                "ResourceNotFoundException",
                f"Could not find certificate {arn} in account {self._account.id}.",
            )
        return entry

    def _status(self, entry: Certificate) -> str:
        expired = self._account.now() > entry.material.leaf.not_valid_after_utc
        return "EXPIRED" if expired else "ISSUED"

    def _common(self, entry: Certificate) -> dict[str, Any]:
        leaf, names = entry.material.leaf, entry.material.names
        return {
            "CertificateArn": entry.arn,
            "DomainName": _common_name(leaf) or names[0],
            "CreatedAt": entry.created,
            "ImportedAt": entry.imported,
            "KeyAlgorithm": entry.material.key_algorithm,
            "NotAfter": leaf.not_valid_after_utc,
            "NotBefore": leaf.not_valid_before_utc,
            "RenewalEligibility": "INELIGIBLE",
            "Status": self._status(entry),
            "Type": "IMPORTED",
        }

    def _shown(self, entry: Certificate) -> dict[str, Any]:
        leaf = entry.material.leaf
        used = self._account.usage.reported(entry.arn, self._account.now())
        serial = f"{leaf.serial_number:x}"
        serial = serial.zfill(len(serial) + len(serial) % 2)
        return self._common(entry) | {
            "ExtendedKeyUsages": [{"Name": name} for name in sorted(_extended_usages(leaf))],
            "InUseBy": used,
            "Issuer": _organization(leaf),
            "KeyUsages": [{"Name": name} for name in sorted(_usages(leaf))],
            "Options": {"CertificateTransparencyLoggingPreference": "DISABLED"},
            "Serial": ":".join(serial[i : i + 2] for i in range(0, len(serial), 2)),
            "SignatureAlgorithm": _signature(leaf),
            "Subject": ",".join(part.rfc4514_string() for part in leaf.subject.rdns),
            "SubjectAlternativeNames": list(entry.material.names),
        }

    def _summary(self, entry: Certificate) -> dict[str, Any]:
        used = self._account.usage.reported(entry.arn, self._account.now())
        return self._common(entry) | {
            "ExtendedKeyUsages": sorted(_extended_usages(entry.material.leaf)),
            "HasAdditionalSubjectAlternativeNames": False,
            "InUse": bool(used),
            "KeyUsages": sorted(_usages(entry.material.leaf)),
            "SubjectAlternativeNameSummaries": list(entry.material.names)[:100],
        }


def _check_reimport(old: Material, new: Material) -> None:
    """User guide, "Reimport a certificate": what may not change."""
    if old.key_algorithm != new.key_algorithm:
        raise Refused(
            "ValidationException", "The key type and size of a certificate cannot be changed."
        )
    gone = _usages(old.leaf) - _usages(new.leaf)
    if new.key_algorithm.startswith("EC_"):
        gone -= {"KEY_ENCIPHERMENT"}
    gone |= (
        _extended_usages(old.leaf) - _extended_usages(new.leaf) - {"TLS_WEB_CLIENT_AUTHENTICATION"}
    )
    if gone:
        raise Refused(
            "ValidationException", f"Key usages cannot be removed: {', '.join(sorted(gone))}"
        )


def _includes(entry: Certificate, includes: Mapping[str, Any]) -> bool:
    leaf = entry.material.leaf
    usages, extended = includes.get("keyUsage"), includes.get("extendedKeyUsage")
    if usages and "ANY" not in usages and not _usages(leaf).intersection(usages):
        return False
    if extended and "ANY" not in extended:
        return bool(_extended_usages(leaf).intersection(extended))
    return True


def _usages(leaf: x509.Certificate) -> set[str]:
    try:
        value = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return set()
    return {name for attribute, name in _KEY_USAGES.items() if getattr(value, attribute)}


def _extended_usages(leaf: x509.Certificate) -> set[str]:
    try:
        value = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return set()
    return {_EXTENDED.get(usage, "CUSTOM") for usage in value}


def _common_name(leaf: x509.Certificate) -> str:
    found = leaf.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(found[0].value) if found else ""


def _organization(leaf: x509.Certificate) -> str:
    for kind in (x509.NameOID.ORGANIZATION_NAME, x509.NameOID.COMMON_NAME):
        found = leaf.issuer.get_attributes_for_oid(kind)
        if found:
            return str(found[0].value)
    return ""


def _signature(leaf: x509.Certificate) -> str:
    digest = leaf.signature_hash_algorithm
    name = digest.name.upper() if digest is not None else "NONE"
    kind = "ECDSA" if "ecdsa" in leaf.signature_algorithm_oid._name.lower() else "RSA"
    return f"{name}WITH{kind}"


def _tags(given: list[dict[str, str]], existing: dict[str, str]) -> dict[str, str]:
    if any(tag["Key"].lower().startswith("aws:") for tag in given):
        raise Refused("InvalidTagException", "aws: prefixed tag key names are not allowed.")
    made = existing | {tag["Key"]: tag.get("Value", "") for tag in given}
    if len(made) > _TAGS:
        raise Refused("TooManyTagsException", "the certificate would have too many tags")
    return made
