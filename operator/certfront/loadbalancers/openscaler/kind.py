"""How an OpenScaler load balancer is chosen and reached: settings, token, what it can do."""

from __future__ import annotations

from typing import Final

from certfront.loadbalancers import reasons
from certfront.loadbalancers.errors import Denied
from certfront.loadbalancers.kinds import Credentials, Environment, ProviderKind
from certfront.loadbalancers.openscaler.client import Client
from certfront.loadbalancers.openscaler.provider import OpenScalerProvider
from certfront.loadbalancers.protocol import Capabilities
from certfront.model.keys import KeyAlgorithm
from certfront.model.loadbalancer import LoadBalancerSpec, OpenScalerSettings

CAPABILITIES: Final = Capabilities(
    key_types=(KeyAlgorithm.ECDSA, KeyAlgorithm.RSA),
    sni=True,
    redirect=False,
    managed=frozenset({"Public", "SelfSigned"}),
    manages=frozenset({"Listener", "CertificatesOnly"}),
    unsupported=frozenset(
        {
            "zone",
            "displayName",
            "adopt",
            "disabled",
            "awsClassic",
            "kong",
            "tls.policy",
            "tls.minVersion",
            "hsts",
            "allowedSources",
            "deniedSources",
            "trustedSources",
            "acceptHTTPIfAlreadyTerminated",
            "redirectLocation",
            "httpsOnly",
            "httpPort",
            "defaultFarm",
            "defaultCertificate",
            "ssl: false",
        }
    ),
)
"""The API has certificates and nothing else, so everything else that a listener may be asked is refused.

`Listener` means no more than `CertificatesOnly`: the listener itself is made in OpenScaler's console.
"""


def _settings(spec: LoadBalancerSpec) -> OpenScalerSettings:
    if spec.open_scaler is None:
        raise ValueError("the CRD demands the block of the type")
    return spec.open_scaler


def _target(spec: LoadBalancerSpec) -> str:
    found = _settings(spec)
    return f"openscaler/{found.endpoint.lower().rstrip('/')}/{found.load_balancer_id}"


def _secret(spec: LoadBalancerSpec) -> str:
    return _settings(spec).credentials_secret_ref.name


def _build(
    spec: LoadBalancerSpec, credentials: Credentials, environment: Environment
) -> OpenScalerProvider:
    found, scope = _settings(spec), environment.scope
    # Load balancers with the same Secret are of one account.
    account = f"{scope.load_balancer.namespace}/{_secret(spec)}"
    client = Client(
        environment.exchange(f"openscaler/{found.endpoint}/{account}"),
        endpoint=found.endpoint,
        load_balancer_id=found.load_balancer_id,
        token=_token(credentials),
    )
    return OpenScalerProvider(client, scope, found.load_balancer_id)


def _token(credentials: Credentials) -> str:
    """The token as it goes into a header; raises Denied where it cannot."""
    try:
        found = credentials.get("token", b"").decode("ascii").strip()
    except UnicodeDecodeError:
        found = ""
    if not found or not found.isprintable() or " " in found:
        raise Denied(
            reasons.CREDENTIALS_REFUSED, "The key token of the Secret is empty or no bearer token."
        )
    return found


KIND: Final = ProviderKind(
    capabilities=CAPABILITIES,
    target=_target,
    secret=_secret,
    secret_keys=(("token",),),
    build=_build,
)
"""Type OpenScaler."""
