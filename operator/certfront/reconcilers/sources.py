"""Gathers where a certificate's material comes from: its Issuer, its CA's key pair, or an uploaded Secret."""

from datetime import datetime, timedelta

from certfront.engine.executors import run_blocking
from certfront.engine.store import Object
from certfront.issuance.needs import Wanted
from certfront.issuance.outcomes import Blocked, Impossible
from certfront.issuance.supply import Supply, check_allowed
from certfront.kube.resources import SECRETS
from certfront.model import secret_data
from certfront.model.certificate import Certificate, UploadedSource
from certfront.model.errors import Refused, Waiting
from certfront.model.issuer import Issuer
from certfront.model.times import to_text
from certfront.pki import upload
from certfront.reconcilers import authorities
from certfront.reconcilers.context import POLL_UNLABELLED, Context
from certfront.reconcilers.stores import SECRET

CHECK_SECONDS = 10.0
LARGEST_SECRET = 1024 * 1024


async def supply(context: Context, certificate: Certificate, wanted: Wanted) -> Supply:
    """What this pass can draw on; a problem is part of the value, never an exception."""
    try:
        match wanted.type:
            case "CA":
                return await _from_authority(context, certificate, wanted)
            case "ACME":
                return await _from_acme(context, certificate, wanted)
            case "Uploaded":
                return await _from_upload(context, certificate, wanted)
            case _:
                return Supply(reissue_before=certificate.spec.renewal.reissue_before)
    except Waiting as error:
        after = timedelta(seconds=error.after_seconds) if error.after_seconds else None
        problem = Blocked(reason=error.reason, message=error.message, after=after)
        return Supply(identity=None, problem=problem, poll=after)


async def _from_authority(context: Context, certificate: Certificate, wanted: Wanted) -> Supply:
    issuer = await authorities.permitted_issuer(context, certificate, _granted_names(wanted))
    reissue = _later(certificate.spec.renewal.reissue_before, issuer.spec.reissue_before)
    try:
        authority, watched = await authorities.authority_of(context, issuer)
    except Refused as error:
        said = f"The CA of Issuer {issuer.metadata.object_name}: {error.message}"
        problem = Blocked(reason=error.reason, message=said, after=POLL_UNLABELLED)
        return Supply(identity=None, problem=problem, issuer=issuer, poll=POLL_UNLABELLED)
    refusal: Impossible | None = None
    try:
        if issuer.spec.ca is not None:
            check_allowed(issuer.spec.ca, wanted)
    except Refused as error:
        said = f"Issuer {issuer.metadata.object_name}: {error.message}"
        refusal = Impossible(reason=error.reason, message=said)
    return Supply(
        identity=authority.fingerprint,
        problem=refusal,
        issuer=issuer,
        authority=authority,
        reissue_before=reissue,
        poll=None if watched else POLL_UNLABELLED,
    )


async def _from_acme(context: Context, certificate: Certificate, wanted: Wanted) -> Supply:
    issuer = await authorities.permitted_issuer(context, certificate, wanted.names)
    return Supply(
        identity=_directory(issuer),
        problem=_unready(context, issuer),
        issuer=issuer,
        reissue_before=_later(certificate.spec.renewal.reissue_before, issuer.spec.reissue_before),
    )


def _unready(context: Context, issuer: Issuer) -> Blocked | None:
    if context.settings.issuance == "AdoptOnly":
        message = "This installation adopts certificates and orders none (issuance: AdoptOnly)."
        return Blocked(reason="IssuanceSuspended", message=message)
    ready = next((c for c in issuer.status.conditions if c.type == "Ready"), None)
    if ready is not None and ready.status == "True":
        return None
    said = f": {ready.message.partition(' See http')[0]}" if ready is not None else " yet."
    message = f"Issuer {issuer.metadata.object_name} is not ready{said}"
    return Blocked(reason=ready.reason if ready else "IssuerNotReady", message=message)


async def _from_upload(context: Context, certificate: Certificate, wanted: Wanted) -> Supply:
    source = certificate.spec.uploaded
    if source is None:
        raise Waiting("SecretNotFound", "spec.uploaded.secretRef is not set.")
    namespace = certificate.metadata.namespace
    poll: timedelta | None = POLL_UNLABELLED
    secret = await context.known(SECRETS, namespace, source.secret_ref.name)
    if secret is None:
        message = f"Secret {source.secret_ref.name} does not exist in namespace {namespace}."
        raise Waiting("SecretNotFound", message, after_seconds=POLL_UNLABELLED.total_seconds())
    if context.store.get(SECRET, namespace, source.secret_ref.name) is not None:
        poll = None
    material = await _material(context, namespace, source, secret)
    try:
        accepted = await _checked(context, material, wanted, source)
    except upload.Refused as error:
        said = f"Secret {source.secret_ref.name}: {error.message}"
        problem = Impossible(reason=str(error.fault), message=said)
        return Supply(problem=problem, poll=poll)
    if accepted.not_yet_valid:
        start = accepted.pair.leaf.not_valid_before_utc
        message = not_yet_valid(start)
        wait = max(start - context.clock.now(), timedelta(seconds=1))
        return Supply(problem=Blocked(reason="NotYetValid", message=message, after=wait), poll=poll)
    return Supply(accepted=accepted, poll=poll)


def not_yet_valid(start: datetime) -> str:
    """What a staged pair waits for."""
    return f"The uploaded certificate is valid from {to_text(start)} and waits until then."


async def _checked(
    context: Context, material: upload.UploadMaterial, wanted: Wanted, source: UploadedSource
) -> upload.Accepted:
    """The outcome of every check, made in a thread: a large RSA key takes seconds to validate."""

    def check() -> upload.Accepted:
        return upload.check(
            material, names_required=wanted.names, policy=source.policy, now=context.clock.now()
        )

    return await run_blocking(context.executor, check, CHECK_SECONDS)


async def _material(
    context: Context, namespace: str, source: UploadedSource, secret: Object
) -> upload.UploadMaterial:
    keys = source.secret_ref
    as_pem = not keys.pkcs12_key
    return upload.UploadMaterial(
        certificate=_part(secret, keys.certificate_key) if as_pem else None,
        private_key=_part(secret, keys.private_key_key) if as_pem else None,
        chain=_part(secret, keys.chain_key) if as_pem and keys.chain_key else None,
        pkcs12=_required(secret, keys.name, keys.pkcs12_key) if keys.pkcs12_key else None,
        password=await _referred(context, namespace, source.password_secret_ref, "password"),
        trust_bundle=await _referred(context, namespace, source.trust_bundle_ref, "ca.crt"),
    )


async def _referred(
    context: Context, namespace: str, reference: object, default_key: str
) -> bytes | None:
    name, key = getattr(reference, "name", ""), getattr(reference, "key", "") or default_key
    if not name:
        return None
    secret = await context.known(SECRETS, namespace, name)
    if secret is None:
        message = f"Secret {name} does not exist in namespace {namespace}."
        raise Waiting("SecretNotFound", message, after_seconds=POLL_UNLABELLED.total_seconds())
    return _required(secret, name, key)


def _part(secret: Object, key: str) -> bytes | None:
    """A value as large as a Secret can be: how large is too large, the policy says."""
    try:
        return secret_data.read(secret.get("data") or {}, key, largest=LARGEST_SECRET)
    except secret_data.UnusableValue:
        return None


def _required(secret: Object, name: str, key: str) -> bytes:
    found = _part(secret, key)
    if found is None:
        message = f"Secret {name} has no key {key}."
        raise Waiting("SecretNotFound", message, after_seconds=POLL_UNLABELLED.total_seconds())
    return found


def _granted_names(wanted: Wanted) -> tuple[str, ...]:
    """What an Issuer must grant: a common name too, although it is no host name."""
    common_name = (wanted.request.common_name or "").lower()
    extra = () if not common_name or common_name in wanted.names else (common_name,)
    return (*wanted.names, *extra)


def _directory(issuer: Issuer) -> str:
    return issuer.spec.acme.directory_url if issuer.spec.acme else ""


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return max((moment for moment in (one, other) if moment is not None), default=None)
