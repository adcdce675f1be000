"""Load balancers of type OVH: what they can do, and how one is reached."""

from __future__ import annotations

from typing import Final

from certfront.loadbalancers.kinds import Credentials, Environment, ProviderKind
from certfront.loadbalancers.ovh.authentication import (
    APPLICATION_KEYS,
    CLIENT_KEYS,
    ApplicationKeys,
    Authentication,
    BearerTokens,
    SignedRequests,
    base_url,
    read,
    token_url,
)
from certfront.loadbalancers.ovh.client import Client
from certfront.loadbalancers.ovh.provider import OVHProvider
from certfront.loadbalancers.protocol import Capabilities
from certfront.model.keys import KeyAlgorithm
from certfront.model.loadbalancer import LoadBalancerSpec, OVHSettings

CAPABILITIES: Final = Capabilities(
    # OVH publishes no list; its machines run HAProxy, and RSA is what its guides upload.
    key_types=(KeyAlgorithm.RSA, KeyAlgorithm.ECDSA),
    sni=True,
    redirect=True,
    managed=frozenset({"Public"}),
    farm="Named",
    manages=frozenset({"Listener", "CertificatesOnly"}),
    unsupported=frozenset(
        {
            "awsClassic",
            "kong",
            "tls.policy",
            "tls.minVersion",
            "hsts.includeSubDomains",
            "hsts.preload",
            "acceptHTTPIfAlreadyTerminated",
            "trustedSources",
        }
    ),
)


def _settings(spec: LoadBalancerSpec) -> OVHSettings:
    if spec.ovh is None:
        raise ValueError("a LoadBalancer of type OVH has the block ovh")
    return spec.ovh


def _target(spec: LoadBalancerSpec) -> str:
    settings = _settings(spec)
    return f"{base_url(settings.endpoint)} {settings.service_name}"


def _secret(spec: LoadBalancerSpec) -> str:
    return _settings(spec).credentials_secret_ref.name


def _build(
    spec: LoadBalancerSpec, credentials: Credentials, environment: Environment
) -> OVHProvider:
    settings = _settings(spec)
    account = read(credentials)
    base = base_url(settings.endpoint)
    who = account.application_key if isinstance(account, ApplicationKeys) else account.client_id
    exchange = environment.exchange(f"{base} {who}")
    authentication: Authentication
    if isinstance(account, ApplicationKeys):
        authentication = SignedRequests(
            account, base=base, exchange=exchange, clock=environment.clock
        )
    else:
        authentication = BearerTokens(
            account,
            url=token_url(settings.endpoint),
            exchange=exchange,
            clock=environment.clock,
        )
    client = Client(
        base=base,
        service_name=settings.service_name,
        exchange=exchange,
        authentication=authentication,
    )
    return OVHProvider(client, environment.scope)


KIND: Final = ProviderKind(
    capabilities=CAPABILITIES,
    target=_target,
    secret=_secret,
    secret_keys=(APPLICATION_KEYS, CLIENT_KEYS),
    build=_build,
)
