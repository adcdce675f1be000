"""The condition reasons that this package gives, for the catalogue of the documentation.

Uploaded material has its table in `faults`; the reasons of authorities (`issue`) and of what an
authority returned (`chain`) are explained here.
"""

from __future__ import annotations

from certfront.model.reasons import Reason
from certfront.pki.chain import IssuedFault
from certfront.pki.faults import REMEDY
from certfront.pki.issue import AuthorityFault

_AUTHORITIES: dict[AuthorityFault, tuple[str, str]] = {
    AuthorityFault.UNREADABLE: (
        "The Secret of the authority holds no usable certificate with its key.",
        "Put the authority's certificate into tls.crt and its unencrypted key into tls.key.",
    ),
    AuthorityFault.NOT_CA: (
        "The certificate in the Secret of the authority is not that of an authority.",
        "Use a certificate with CA:TRUE and a subject, as a Certificate with isCA: true makes.",
    ),
    AuthorityFault.LACKS_CERT_SIGN: (
        "The authority may not sign certificates: its key usage lacks cert sign.",
        "Make a new authority whose key usage includes cert sign.",
    ),
    AuthorityFault.NOT_YET_VALID: (
        "The authority is not valid yet.",
        "Check the dates of the authority and the clocks.",
    ),
    AuthorityFault.EXPIRED: (
        "The authority, or one above it, has expired.",
        "Put its successor into the Secret; what it issued is renewed.",
    ),
    AuthorityFault.PATH_LENGTH: (
        "The authority may sign server certificates only, not another authority.",
        "Use an authority with a larger path length, or leave isCA out.",
    ),
    AuthorityFault.WRONG_ROOT: (
        "ca.crt in the Secret of the authority did not sign the chain in tls.crt.",
        "Put the root of this chain into ca.crt, or leave it out.",
    ),
}

_ASK_AGAIN = (
    "Nothing: it is not installed, and another order is made later. Ask the CA if it lasts."
)

_ISSUED: dict[IssuedFault, tuple[str, str]] = {
    IssuedFault.UNREADABLE: ("What the CA returned cannot be read as a chain.", _ASK_AGAIN),
    IssuedFault.KEY_MISMATCH: ("The CA returned a certificate for another key.", _ASK_AGAIN),
    IssuedFault.NAMES_MISMATCH: (
        "The names of the certificate that the CA returned are not those asked for.",
        _ASK_AGAIN,
    ),
    IssuedFault.NOT_VALID_NOW: (
        "The certificate that the CA returned is not valid now.",
        "Check the clock of the cluster; another order is made later.",
    ),
    IssuedFault.CHAIN_BROKEN: (
        "The certificates that the CA returned do not sign one another.",
        _ASK_AGAIN,
    ),
}

REASONS: tuple[Reason, ...] = (
    *(Reason(fault.value, text.sentence, text.remedy) for fault, text in REMEDY.items()),
    *(Reason(fault.value, *texts) for fault, texts in _AUTHORITIES.items()),
    *(Reason(fault.value, *texts) for fault, texts in _ISSUED.items()),
)
"""Every reason, with what it means and what a person does about it."""
