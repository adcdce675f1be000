"""IAM server certificates (API version 2010-05-08), written here as a whole.

moto takes a name twice, any key and any text, and has no tags for them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sandbox.emulators.aws.account import Account
from sandbox.emulators.aws.errors import Refused
from sandbox.emulators.aws.material import Malformed, Material, Mismatch, taken

_TAGS = 50


@dataclass(slots=True, kw_only=True)
class ServerCertificate:
    """One entry of the account."""

    name: str
    path: str
    id: str
    uploaded: datetime
    material: Material = field(repr=False)
    tags: dict[str, str]
    arns: list[str] = field(default_factory=list)
    """The ARNs that it has had, the present one last."""


class ServerCertificates:
    """The server certificates of an account."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._entries: dict[str, ServerCertificate] = {}
        self.actions: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "DeleteServerCertificate": self._delete,
            "GetAccountSummary": self._summary,
            "GetServerCertificate": self._get,
            "ListServerCertificateTags": self._list_tags,
            "ListServerCertificates": self._list,
            "TagServerCertificate": self._tag,
            "UntagServerCertificate": self._untag,
            "UpdateServerCertificate": self._update,
            "UploadServerCertificate": self._upload,
        }

    def arn(self, entry: ServerCertificate) -> str:
        """`arn:aws:iam::123456789012:server-certificate/path/name`."""
        return f"arn:aws:iam::{self._account.id}:server-certificate{entry.path}{entry.name}"

    def entries(self) -> list[ServerCertificate]:
        """All of them, in the order of their names."""
        return sorted(self._entries.values(), key=lambda entry: entry.name.lower())

    def add(self, material: Material, name: str, path: str, tags: dict[str, str]) -> str:
        """Store one without asking; returns its ARN."""
        entry = ServerCertificate(
            name=name,
            path=path,
            id="ASCA" + self._account.letters(17),
            uploaded=self._account.now(),
            material=material,
            tags=tags,
        )
        self._entries[name.lower()] = entry
        entry.arns.append(self.arn(entry))
        self._account.materials[self.arn(entry)] = material
        return self.arn(entry)

    def holders(self, entry: ServerCertificate) -> list[str]:
        """The balancers for whose sake it cannot be deleted, under whichever of its ARNs."""
        usage, now = self._account.usage, self._account.now()
        return sorted({user for arn in entry.arns for user in usage.holders(arn, now)})

    def remove(self, name: str) -> None:
        """Take one away behind the client's back, whatever uses it; raises LookupError."""
        entry = self._entries.pop(name.lower())
        for arn in entry.arns:
            self._account.materials.pop(arn, None)

    def _upload(self, given: dict[str, Any]) -> dict[str, Any]:
        name, path = given["ServerCertificateName"], given.get("Path", "/")
        _check_path(path)
        tags = _tags(given.get("Tags", []), {})
        try:
            material = taken(
                given["CertificateBody"],
                given.get("CertificateChain", ""),
                given["PrivateKey"],
                self._account.now(),
            )
        except Malformed as malformed:
            raise Refused("MalformedCertificate", malformed.reason) from None
        except Mismatch:
            raise Refused(
                "KeyPairMismatch",
                "The public key certificate and private key doesn't match.",
            ) from None
        self._check_free(name)
        limit = self._account.limits.server_certificates
        if len(self._entries) >= limit:
            raise Refused(
                "LimitExceeded", f"Cannot exceed quota for ServerCertificatesPerAccount: {limit}"
            )
        arn = self.add(material, name, path, tags)
        self._account.propagation.stored(arn, self._account.now())
        result = {"ServerCertificateMetadata": self._metadata(self._entry(name))}
        return result | ({"Tags": _tag_list(tags)} if tags else {})

    def _list(self, given: dict[str, Any]) -> dict[str, Any]:
        prefix = given.get("PathPrefix", "/")
        found = [entry for entry in self.entries() if entry.path.startswith(prefix)]
        metadata = [self._metadata(entry) for entry in found]
        page, marker = paged(metadata, given.get("Marker"), given.get("MaxItems", 100))
        result = {"ServerCertificateMetadataList": page, "IsTruncated": marker is not None}
        return result | ({"Marker": marker} if marker is not None else {})

    def _get(self, given: dict[str, Any]) -> dict[str, Any]:
        entry = self._entry(given["ServerCertificateName"])
        shown: dict[str, Any] = {
            "ServerCertificateMetadata": self._metadata(entry),
            "CertificateBody": entry.material.certificate,
        }
        if entry.material.chain:
            shown["CertificateChain"] = entry.material.chain
        if entry.tags:
            shown["Tags"] = _tag_list(entry.tags)
        return {"ServerCertificate": shown}

    def _update(self, given: dict[str, Any]) -> dict[str, Any]:
        entry = self._entry(given["ServerCertificateName"])
        name = given.get("NewServerCertificateName", entry.name)
        path = given.get("NewPath", entry.path)
        _check_path(path)
        if name.lower() != entry.name.lower():
            self._check_free(name)
        del self._entries[entry.name.lower()]
        # Listeners keep the ARN that they were given, and go on serving.
        entry.name, entry.path = name, path
        self._entries[name.lower()] = entry
        entry.arns.append(self.arn(entry))
        self._account.materials[self.arn(entry)] = entry.material
        return {}

    def _delete(self, given: dict[str, Any]) -> dict[str, Any]:
        entry = self._entry(given["ServerCertificateName"])
        holders = self.holders(entry)
        if holders:
            raise Refused(
                "DeleteConflict",
                f"Certificate: {entry.id} is currently in use by {', '.join(holders)}."
                " Please remove it first before deleting it from IAM.",
            )
        self.remove(entry.name)
        return {}

    def _tag(self, given: dict[str, Any]) -> dict[str, Any]:
        entry = self._entry(given["ServerCertificateName"])
        entry.tags = _tags(given["Tags"], entry.tags)
        return {}

    def _untag(self, given: dict[str, Any]) -> dict[str, Any]:
        entry = self._entry(given["ServerCertificateName"])
        entry.tags = {k: v for k, v in entry.tags.items() if k not in given["TagKeys"]}
        return {}

    def _list_tags(self, given: dict[str, Any]) -> dict[str, Any]:
        entry = self._entry(given["ServerCertificateName"])
        page, marker = paged(_tag_list(entry.tags), given.get("Marker"), given.get("MaxItems", 100))
        result = {"Tags": page, "IsTruncated": marker is not None}
        return result | ({"Marker": marker} if marker is not None else {})

    def _summary(self, _given: dict[str, Any]) -> dict[str, Any]:
        limit = self._account.limits.server_certificates
        counts = {"ServerCertificates": len(self._entries), "ServerCertificatesQuota": limit}
        return {"SummaryMap": counts}

    def _entry(self, name: str) -> ServerCertificate:
        entry = self._entries.get(name.lower())
        if entry is None or entry.name != name:
            raise Refused(
                "NoSuchEntity", f"The Server Certificate with name {name} cannot be found."
            )
        return entry

    def _check_free(self, name: str) -> None:
        if name.lower() in self._entries:
            raise Refused(
                "EntityAlreadyExists",
                f"The Server Certificate with name {name} already exists.",
            )

    def _metadata(self, entry: ServerCertificate) -> dict[str, Any]:
        return {
            "Path": entry.path,
            "ServerCertificateName": entry.name,
            "ServerCertificateId": entry.id,
            "Arn": self.arn(entry),
            "UploadDate": entry.uploaded,
            "Expiration": entry.material.leaf.not_valid_after_utc,
        }


def paged(items: list[Any], marker: str | None, size: int) -> tuple[list[Any], str | None]:
    """One page, and the marker of the next; raises Refused for a marker that was never given."""
    try:
        start = int(marker or "0")
    except ValueError:
        raise Refused("ValidationError", "Invalid Marker.") from None
    if not 0 <= start <= len(items):
        raise Refused("ValidationError", "Invalid Marker.")
    end = start + size
    return items[start:end], str(end) if end < len(items) else None


def _check_path(path: str) -> None:
    if not (path.startswith("/") and path.endswith("/")):
        raise Refused("ValidationError", "The specified value for path is invalid.")


def _tags(given: list[dict[str, str]], existing: dict[str, str]) -> dict[str, str]:
    keys = [tag["Key"] for tag in given]
    if len({key.lower() for key in keys}) != len(keys):
        raise Refused("InvalidInput", "Duplicate tag keys found.")
    if any(key.lower().startswith("aws:") for key in keys):
        raise Refused("InvalidInput", "aws: prefixed tag key names are not allowed.")
    made = existing | {tag["Key"]: tag["Value"] for tag in given}
    if len(made) > _TAGS:
        raise Refused("LimitExceeded", f"Cannot exceed quota for TagsPerResource: {_TAGS}")
    return made


def _tag_list(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
