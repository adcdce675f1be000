"""How a Rackspace load balancer is chosen and reached: settings, credentials, what it can do."""

from __future__ import annotations

from typing import Final

from certfront.loadbalancers import reasons
from certfront.loadbalancers.errors import Denied
from certfront.loadbalancers.kinds import Credentials, Environment, ProviderKind
from certfront.loadbalancers.protocol import Capabilities
from certfront.loadbalancers.rackspace.client import Client
from certfront.loadbalancers.rackspace.identity import Account, Identity
from certfront.loadbalancers.rackspace.provider import RackspaceProvider
from certfront.model.keys import KeyAlgorithm
from certfront.model.loadbalancer import LoadBalancerSpec, RackspaceSettings

CAPABILITIES: Final = Capabilities(
    key_types=(KeyAlgorithm.RSA,),
    sni=True,
    redirect=True,
    manages=frozenset({"Listener", "CertificatesOnly"}),
    unsupported=frozenset(
        {
            "zone",
            "displayName",
            "awsClassic",
            "kong",
            "tls.policy",
            "tls.minVersion",
            "hsts",
            "allowedSources",
            "deniedSources",
            "acceptHTTPIfAlreadyTerminated",
            "redirectLocation",
            "httpPort",
            "defaultFarm",
            "ssl: false",
        }
    ),
)
"""`redirectStatusCode` is not among them: 301 is what Rackspace answers, others are refused by `wants`."""


def _settings(spec: LoadBalancerSpec) -> RackspaceSettings:
    if spec.rackspace is None:
        raise TypeError("the CRD demands the block of the type")
    return spec.rackspace


def _target(spec: LoadBalancerSpec) -> str:
    found = _settings(spec)
    return f"rackspace/{found.region.lower()}/{found.load_balancer_id}"


def _secret(spec: LoadBalancerSpec) -> str:
    return _settings(spec).credentials_secret_ref.name


def _build(
    spec: LoadBalancerSpec, credentials: Credentials, environment: Environment
) -> RackspaceProvider:
    found = _settings(spec)
    account = Account(username=_text(credentials, "username"), api_key=_text(credentials, "apiKey"))
    exchange = environment.exchange(f"rackspace/{found.identity_url}/{account.username}")
    identity = Identity(
        exchange,
        environment.clock,
        url=found.identity_url,
        account=account,
        region=found.region,
    )
    return RackspaceProvider(Client(exchange, identity, found.load_balancer_id), environment.scope)


def _text(credentials: Credentials, key: str) -> str:
    """A value of the Secret as text; raises Denied where it can't be one."""
    try:
        found = credentials.get(key, b"").decode("utf-8").strip()
    except UnicodeDecodeError:
        found = ""
    if not found or not found.isprintable():
        raise Denied(
            reasons.CREDENTIALS_REFUSED, f"The key {key} of the Secret is empty or no text."
        )
    return found


KIND: Final = ProviderKind(
    capabilities=CAPABILITIES,
    target=_target,
    secret=_secret,
    secret_keys=(("username", "apiKey"),),
    build=_build,
)
"""Type Rackspace."""
