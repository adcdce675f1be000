"""Issuers as certificates see them: who may use one, and the key pair of a private CA."""

from certfront.kube.resources import ISSUERS, SECRETS
from certfront.model import grants
from certfront.model.certificate import Certificate
from certfront.model.errors import Waiting
from certfront.model.issuer import Issuer
from certfront.model.meta import InvalidObject, ObjectName, parse
from certfront.model.secret_data import value_of
from certfront.pki.issue import Authority, load_authority
from certfront.reconcilers.context import POLL_UNLABELLED, Context


def issuer_name(context: Context, certificate: Certificate) -> ObjectName:
    """The Issuer that the certificate refers to, or the installation's. Raises Waiting for none."""
    block = certificate.spec.acme if certificate.spec.type == "ACME" else certificate.spec.ca
    reference = block.issuer_ref if block else None
    if reference is not None:
        return ObjectName(reference.namespace or certificate.metadata.namespace, reference.name)
    if context.settings.issuer is None:
        raise Waiting(
            "IssuerNotFound",
            f"No Issuer is named and the installation has no default one: set"
            f" spec.{certificate.spec.type.lower()}.issuerRef.",
        )
    return context.settings.issuer


async def permitted_issuer(
    context: Context, certificate: Certificate, names: tuple[str, ...]
) -> Issuer:
    """The Issuer, if it exists, is of the right type and grants `names`. Raises Waiting otherwise.

    "Not permitted" reads like "absent", except for the installation's own default, which is no secret.
    """
    name = issuer_name(context, certificate)
    found = await context.known(ISSUERS, name.namespace, name.name)
    absent = Waiting("IssuerNotFound", f"There is no Issuer {name} for this namespace.")
    if found is None:
        raise absent
    try:
        issuer = parse(Issuer, found)
    except InvalidObject:
        raise Waiting(
            "IssuerNotReady", f"Issuer {name} has a spec that is not understood."
        ) from None
    await _check_grants(context, certificate, issuer, names, absent)
    if issuer.spec.type != certificate.spec.type:
        raise Waiting(
            "IssuerTypeMismatch",
            f"Issuer {name} is of type {issuer.spec.type}, the certificate asks for {certificate.spec.type}.",
        )
    return issuer


async def _check_grants(
    context: Context,
    certificate: Certificate,
    issuer: Issuer,
    names: tuple[str, ...],
    absent: Waiting,
) -> None:
    namespace, where = certificate.metadata.namespace, issuer.metadata.object_name
    if namespace == where.namespace:
        return
    labels = await context.namespace_labels(namespace)
    applying = grants.applying(issuer.spec.grants, namespace, labels)
    default = where == context.settings.issuer
    if not applying:
        if default:
            raise Waiting("IssuerNotFound", f"{where} grants nothing to namespace {namespace}.")
        raise absent
    withheld = grants.withheld(names, applying, namespace)
    if withheld:
        raise Waiting(
            "NameNotGranted",
            f"Issuer {where} does not grant {', '.join(withheld[:5])} to namespace {namespace}.",
        )


async def authority_of(context: Context, issuer: Issuer) -> tuple[Authority, bool]:
    """The key pair of a CA Issuer, read now, and whether its Secret is watched.

    Raises Waiting (SecretNotFound) and InvalidAuthority.
    """
    if issuer.spec.ca is None:
        raise Waiting("IssuerNotReady", f"Issuer {issuer.metadata.object_name} has no spec.ca.")
    namespace, name = issuer.metadata.namespace, issuer.spec.ca.secret_ref.name
    secret = await context.known(SECRETS, namespace, name)
    certificate = value_of(secret, "tls.crt")
    key = value_of(secret, "tls.key")
    if secret is None or not certificate or not key:
        raise Waiting(
            "SecretNotFound",
            f"Secret {name} of Issuer {issuer.metadata.object_name} is absent or lacks tls.crt or tls.key.",
            after_seconds=POLL_UNLABELLED.total_seconds(),
        )
    watched = context.store.get("Secret", namespace, name) is not None
    return load_authority(certificate, key, value_of(secret, "ca.crt")), watched
