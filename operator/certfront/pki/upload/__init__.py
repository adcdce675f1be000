"""The policy for certificates that people bring: everything is checked before anything is used.

`check` reads the material within bounds (`reading`), builds the chain, and applies the check list
(`policy`). Its only failure is `Refused`, with a fault and a remedy. Used by
`certfront.reconcilers.sources` for Certificates of type Uploaded, and by
`certfront.loadbalancers.materials` for the `secretRef` of frontends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from cryptography import x509

from certfront.model.clock import CLOCK_TOLERANCE
from certfront.pki import certificates, chain, keys
from certfront.pki.faults import REMEDY, Explanation, Refused, UnusableMaterial, UploadFault
from certfront.pki.pair import KeyPair
from certfront.pki.upload import policy as rules
from certfront.pki.upload.reading import Contents, UploadMaterial, read, read_trust_bundle

__all__ = [
    "REMEDY",
    "Accepted",
    "Explanation",
    "Refused",
    "UploadFault",
    "UploadMaterial",
    "check",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """Material that may be used: normalised, with what a person should know about it.

    `not_yet_valid` says that it has to be staged until its notBefore.
    """

    pair: KeyPair
    warnings: tuple[str, ...]
    not_yet_valid: bool


def check(
    material: UploadMaterial,
    *,
    names_required: tuple[str, ...] = (),
    policy: Literal["Strict", "Lenient"] = "Strict",
    now: datetime,
) -> Accepted:
    """Check uploaded material; raises `Refused` and nothing else.

    `names_required` are canonical names that the certificate has to cover. `Lenient` turns what
    only good practice refuses into warnings, never what would break the pair, the chain or the
    parser. The pair is normalised: leaf then intermediates, root dropped, PKCS#8.
    """
    try:
        contents = read(material)
        trusted = read_trust_bundle(material.trust_bundle)
        candidate, warnings = _assemble(contents, trusted, names_required, now)
        warnings += rules.apply(candidate, lenient=policy == "Lenient")
    except UnusableMaterial as error:
        raise Refused(error.fault, error.detail) from None
    path = candidate.path
    return Accepted(
        pair=KeyPair(
            chain=path.served, private_key_pem=keys.to_pem(contents.private_key), ca=path.root
        ),
        warnings=(*contents.warnings, *warnings),
        not_yet_valid=candidate.leaf.not_valid_before_utc > now + CLOCK_TOLERANCE,
    )


def _assemble(
    contents: Contents,
    trusted: tuple[x509.Certificate, ...] | None,
    names_required: tuple[str, ...],
    now: datetime,
) -> tuple[rules.Candidate, tuple[str, ...]]:
    """Find the leaf and build its path; return the warnings that this gives."""
    found = (*contents.certificates, *contents.chain)
    unique = tuple(dict.fromkeys(found))
    leaf = _leaf(unique, contents.private_key)
    path = chain.order(leaf, unique)
    _check_connected(path, contents.chain)
    if any(_is_other_leaf(one) for one in path.extras):
        raise UnusableMaterial(UploadFault.SEVERAL_LEAVES)
    candidate = rules.Candidate(
        leaf=leaf, path=path, trusted=trusted, names_required=names_required, now=now
    )
    return candidate, tuple(_arrangement_warnings(found, unique, path))


def _leaf(found: Sequence[x509.Certificate], key: keys.PrivateKey) -> x509.Certificate:
    matching = [one for one in found if keys.same_key(key, one)]
    if not matching:
        raise UnusableMaterial(UploadFault.KEY_MISMATCH)
    if len(matching) > 1:
        raise UnusableMaterial(UploadFault.SEVERAL_LEAVES)
    return matching[0]


def _is_other_leaf(certificate: x509.Certificate) -> bool:
    return not (certificates.is_authority(certificate) or certificates.is_self_signed(certificate))


def _check_connected(path: chain.Path, given_chain: Sequence[x509.Certificate]) -> None:
    """Refuse a chain that was given and does not lead on from the leaf."""
    leads_on = len(path.served) > 1 or path.root is not None
    if path.extras and not leads_on:
        authorities = [one for one in path.extras if not _is_other_leaf(one)]
        fault = UploadFault.CHAIN_DISCONNECTED if authorities else UploadFault.SEVERAL_LEAVES
        raise UnusableMaterial(fault)
    used = {*path.served, path.root}
    if given_chain and path.root != path.served[0] and used.isdisjoint(given_chain):
        raise UnusableMaterial(UploadFault.CHAIN_DISCONNECTED)


def _arrangement_warnings(
    found: Sequence[x509.Certificate], unique: Sequence[x509.Certificate], path: chain.Path
) -> list[str]:
    warnings = []
    if len(unique) < len(found):
        warnings.append("Repeated certificates were dropped.")
    if path.extras:
        warnings.append("Certificates that do not belong to the chain were dropped.")
    whole = path.served if path.root in {None, path.served[0]} else (*path.served, path.root)
    if unique[0] != path.served[0]:
        warnings.append("The server certificate did not come first and was moved to the front.")
    elif [one for one in unique if one in whole] != list(whole):
        warnings.append("The chain was out of order and was put in order.")
    if path.root is not None and path.root != path.served[0]:
        warnings.append("The root was dropped from what is served: clients have their own.")
    return warnings
