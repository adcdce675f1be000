"""One AWS account as a load balancer's credentials reach it: calls in threads, errors classed.

The clients of `classic` and `application` stand on it. botocore signs and sends; retries are the
reconciler's, so it makes none. Where settings name an endpoint, its host is resolved and checked
before a client is made for it.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import botocore.session
from botocore import exceptions
from botocore.config import Config
from botocore.credentials import (
    AssumeRoleCredentialFetcher,
    CredentialProvider,
    Credentials,
    DeferredRefreshableCredentials,
)
from botocore.loaders import Loader
from botocore.parsers import ResponseParserError

from certfront.loadbalancers import kinds, reasons
from certfront.loadbalancers.aws import faults
from certfront.loadbalancers.errors import Denied, ProviderError, Throttled, Unavailable
from certfront.loadbalancers.kinds import Environment
from certfront.model.addresses import AllowedAddresses
from certfront.model.loadbalancer import AWSApplicationSettings, AWSClassicSettings

SECRET_KEYS: Final = (("accessKeyID", "secretAccessKey"),)
"""What the Secret must have; `sessionToken` may stand beside them."""

CONNECT_SECONDS: Final = 5.0
READ_SECONDS: Final = 20.0

Settings = AWSApplicationSettings | AWSClassicSettings

_SESSION_NAME: Final = "certfront"
_AMAZON: Final = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws")
_HOST_OF: Final[Mapping[str, str]] = {
    "elb": "elasticloadbalancing",
    "elbv2": "elasticloadbalancing",
    "acm": "acm",
    "iam": "iam",
    "sts": "sts",
}
_LONGEST_CREDENTIAL: Final = 8192
_WHERE_NO_PAUSE_IS_NAMED: Final = 5.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Access keys from a Secret. Never shown."""

    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How an account is reached. `keys` None: by the identity of the process."""

    region: str
    endpoint_url: str = ""
    role_arn: str = ""
    keys: Keys | None = field(default=None, repr=False)

    @property
    def account(self) -> str:
        """Tells accounts apart without naming a credential: whose calls share one pace."""
        who = self.role_arn or ("ambient" if self.keys is None else self.keys.access_key_id)
        return f"aws:{self.endpoint_url or self.region}:{_digest(who)}"

    def endpoint_of(self, service: str) -> str | None:
        """The endpoint for a service, None for AWS's own.

        An endpoint of AWS itself (of a VPC, say) is for one service and is not used for others.
        """
        host = urlsplit(self.endpoint_url).hostname or ""
        if not host or (host.endswith(_AMAZON) and _HOST_OF[service] not in host.split(".")):
            return None
        return self.endpoint_url


def keys_of(credentials: kinds.Credentials, environment: Environment) -> Keys | None:
    """The keys of a Secret's data; None for the identity of the process, where that may be used.

    Raises Denied where there is neither, or what is there can be no keys.
    """
    if not credentials:
        if environment.ambient:
            return None
        raise Denied(
            reasons.CREDENTIALS_NOT_FOUND,
            "The LoadBalancer names no credentialsSecretRef, and the operator's own AWS identity may "
            "be used in the operator's namespace only.",
        )
    values = {name: _credential(name, credentials) for name in SECRET_KEYS[0]}
    token = _credential("sessionToken", credentials) if "sessionToken" in credentials else None
    return Keys(
        access_key_id=values["accessKeyID"],
        secret_access_key=values["secretAccessKey"],
        session_token=token,
    )


def target_of(kind: str, region: str, name: str, *, endpoint: str, role: str) -> str:
    """The identity of a load balancer, as far as settings tell it.

    The account is told by a role's ARN only; without one, two accounts that have load balancers of
    the same name in a region are taken for one.
    """
    account = role.split(":")[4] if role.count(":") >= 5 else ""
    return "|".join(("aws", kind, endpoint.rstrip("/"), account, region, name))


class Account:
    """Calls to AWS for one load balancer. Use it from one event loop, one call at a time."""

    def __init__(self, access: Access, environment: Environment) -> None:
        self._access = access
        self._addresses = environment.addresses
        self._executor = environment.executor
        self._pace = environment.pace(access.account)
        self._user_agent = environment.user_agent
        self._session: Any = None
        self._clients: dict[str, Any] = {}

    async def call(self, service: str, method: str, **parameters: Any) -> dict[str, Any]:
        """One call, by botocore's names for service and method; raises `loadbalancers.errors`.

        Refusals that depend on what is being done come as `faults.Rejected`.
        """
        await self._pace.turn()
        try:
            answer: dict[str, Any] = await in_thread(
                self._executor, partial(self._call, service, method, parameters)
            )
        except Throttled as error:
            if error.retry_after is None:
                error.retry_after = _WHERE_NO_PAUSE_IS_NAMED
            self._pace.close_for(error.retry_after)
            raise
        return answer

    async def pages(
        self, service: str, method: str, *, given: str, told: str, **parameters: Any
    ) -> AsyncIterator[dict[str, Any]]:
        """All pages of a listing: the mark `told` by an answer is `given` with the next call."""
        mark: str | None = None
        while True:
            more = {given: mark} if mark else {}
            answer = await self.call(service, method, **parameters, **more)
            yield answer
            following = answer.get(told)
            if not following or following == mark:
                return
            mark = str(following)

    async def close(self) -> None:
        """Let the connections go."""
        clients, self._clients, self._session = self._clients, {}, None
        for client in clients.values():
            client.close()

    def _call(self, service: str, method: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """In a thread. What is raised holds nothing of what was sent, and has no cause that does."""
        raised: ProviderError
        try:
            answer: dict[str, Any] = getattr(self._client(service), method)(**parameters)
            return answer
        except exceptions.ClientError as error:
            raised = faults.of_answer(error, _service_of(error, service), self._confidential())
        except ResponseParserError:
            # Its text is the body of the answer.
            raised = Unavailable(reasons.PROVIDER_UNAVAILABLE, "The answer of AWS cannot be read.")
        except exceptions.BotoCoreError as error:
            raised = faults.of_exchange(error, service)
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            # The last three are what botocore's parsers make of a document of another shape.
            raised = Unavailable(
                reasons.PROVIDER_UNAVAILABLE, f"No answer from AWS: {type(error).__name__}."
            )
        raise raised

    def _confidential(self) -> tuple[str, ...]:
        """What no message may repeat."""
        keys = self._access.keys
        if keys is None:
            return ()
        return tuple(filter(None, (keys.secret_access_key, keys.session_token)))

    def _client(self, service: str) -> Any:
        if self._session is None:
            self._session = self._opened()
        if service not in self._clients:
            self._clients[service] = self._made(service)
        return self._clients[service]

    def _made(self, service: str, **keys: Any) -> Any:
        endpoint = self._access.endpoint_of(service)
        if endpoint is not None:
            check_endpoint(endpoint, self._addresses)
        return self._session.create_client(
            service,
            region_name=self._access.region,
            endpoint_url=endpoint,
            config=Config(
                connect_timeout=CONNECT_SECONDS,
                read_timeout=READ_SECONDS,
                retries={"total_max_attempts": 1, "mode": "standard"},
                user_agent_extra=self._user_agent,
                # An endpoint of AWS may be behind the environment's proxy, any other is as it is.
                proxies=None if endpoint is None else {},
                ignore_configured_endpoint_urls=True,
                max_pool_connections=2,
            ),
            **keys,
        )

    def _opened(self) -> Any:
        # At DEBUG botocore logs whole requests, keys included.
        logging.getLogger("botocore").setLevel(logging.INFO)
        session = _session()
        keys = self._access.keys
        if keys is not None:
            session.set_credentials(keys.access_key_id, keys.secret_access_key, keys.session_token)
        if self._access.role_arn:
            source = _resolved(session)
            session = _session()
            resolver = session.get_component("credential_provider")
            resolver.insert_before("env", _Role(self._access.role_arn, source, self._sts))
        return session

    def _sts(self, _service: str, **keys: Any) -> Any:
        return self._made("sts", **keys)


class _Role(CredentialProvider):  # type: ignore[misc]  # botocore has no annotations
    """Gives temporary credentials of a role, and new ones before they end."""

    METHOD = "certfront-assume-role"

    def __init__(self, arn: str, source: Any, client: Callable[..., Any]) -> None:
        super().__init__()
        self._fetcher = AssumeRoleCredentialFetcher(
            client_creator=client,
            source_credentials=source,
            role_arn=arn,
            extra_args={"RoleSessionName": _SESSION_NAME},
        )

    def load(self) -> Any:
        return DeferredRefreshableCredentials(
            method="assume-role", refresh_using=self._fetcher.fetch_credentials
        )


def secret_of(settings: Settings) -> str:
    """The name of the Secret with the keys, "" for the identity of the process."""
    reference = settings.credentials_secret_ref
    return "" if reference is None else reference.name


def account_of(
    settings: Settings, credentials: kinds.Credentials, environment: Environment
) -> Account:
    """How the account of a load balancer is reached. Raises Denied for keys that cannot be right."""
    access = Access(
        region=settings.region,
        endpoint_url=settings.endpoint_url,
        role_arn=settings.role_arn,
        keys=keys_of(credentials, environment),
    )
    return Account(access, environment)


def check_endpoint(url: str, addresses: AllowedAddresses) -> None:
    """Raises Denied where the host is, or leads only to, addresses that are refused. Blocks."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    found = socket.getaddrinfo(host, parts.port or 443, type=socket.SOCK_STREAM)
    # botocore connects to whichever it likes, so one that is refused is one too many.
    if all(addresses.permits(str(entry[4][0])) for entry in found):
        return
    raise Denied(
        reasons.ENDPOINT_REFUSED,
        f"{host} is at a loopback or link-local address, which this installation's allowEndpoints "
        "does not name.",
    )


async def in_thread(executor: Executor, function: Callable[[], T]) -> T:
    """The function's result. Returns only after its thread has ended, cancelled or not.

    A thread cannot be stopped: if its caller went on, a second call would run beside the first.
    """
    running = executor.submit(function)
    future = asyncio.wrap_future(running)
    cancelled = False
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError:
            cancelled = True
            if running.cancel():
                raise
    if cancelled:
        if not future.cancelled():
            future.exception()
        raise asyncio.CancelledError
    return future.result()


def _session() -> Any:
    session = botocore.session.Session()
    session.register_component("data_loader", _service_models())
    return session


@cache
def _service_models() -> Loader:
    """The descriptions of AWS's services: parsed once for all load balancers, some are large."""
    return Loader()


def _resolved(session: Any) -> Credentials:
    credentials = session.get_credentials()
    if credentials is None:
        raise exceptions.NoCredentialsError
    return credentials


def _service_of(error: exceptions.ClientError, service: str) -> str:
    """A call may fail because the role that it is made with cannot be assumed."""
    return "sts" if error.operation_name.startswith("AssumeRole") else service


def _credential(name: str, credentials: kinds.Credentials) -> str:
    """Raises Denied for what can be no key: it would break a header, or is far too long."""
    raw = credentials.get(name, b"").strip()
    text = raw.decode("ascii", "replace")
    if not text or len(raw) > _LONGEST_CREDENTIAL or not (text.isascii() and text.isprintable()):
        raise Denied(
            reasons.CREDENTIALS_NOT_FOUND,
            f"The Secret needs {' and '.join(SECRET_KEYS[0])}; {name} is missing or not printable.",
        )
    return text


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
