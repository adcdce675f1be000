"""One thin asynchronous client of the Kubernetes API.

It stands on the official package's configuration (kubeconfig, in-cluster, token renewal) and the pool
of connections that it makes with aiohttp; its requests and generated methods, which cost several
times more CPU a call, are not used. Objects are plain dicts as in JSON. Neighbours: `resources`, `errors`,
`leases`, `events`.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, timedelta
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Final, Literal, Self
from urllib.parse import urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import msgspec
from aiohttp.http_exceptions import LineTooLong
from kubernetes.aio import config as kube_config
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.client.rest import RESTClientObject

from certfront.kube.errors import (
    ApiError,
    Conflict,
    Gone,
    Silent,
    TooManyRequests,
    Unauthorized,
    Unreachable,
    error_from_status,
)
from certfront.kube.patches import merge_difference
from certfront.kube.resources import LEASES, Resource
from certfront.model.clock import Clock, SystemClock
from certfront.model.meta import FIELD_MANAGER

Object = dict[str, Any]
"""An object of the API as its JSON says it."""

WatchEvent = tuple[Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"], Object]

_JSON: Final = "application/json"
_MERGE_PATCH: Final = "application/merge-patch+json"
_APPLY_PATCH: Final = "application/apply-patch+yaml"
_METADATA_LIST: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_IDENTITY: Final = ("namespace", "name", "uid", "resourceVersion")

# etcd holds objects of 1.5 MiB; JSON escapes can make more of them.
_LARGEST_OBJECT: Final = 16 * 2**20
_LARGEST_PAGE: Final = 512 * 2**20
_LIST_TIMEOUT: Final = 60.0
_RETRIES_OF_429: Final = 3
_LONGEST_PAUSE: Final = 5.0
# The server sends a bookmark about every minute: without one the connection or the watch is dead.
_WATCH_SILENCE: Final = 75.0
_WATCH_LENGTH: Final = (240, 300)


@dataclass(frozen=True, slots=True)
class Listing:
    """All objects of a kind at one revision. `resource_version` is where a watch goes on."""

    items: list[Object]
    resource_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """One request as it is sent, and sent again after a 429 or with fresh credentials.

    `verb` is that of RBAC. The body may hold a key: it is in no representation of this.
    """

    verb: str
    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Object | None = field(default=None, repr=False)
    content_type: str = _JSON
    accept: str = _JSON


class ApiClient:
    """Calls to one API server, as an async context manager.

        async with await ApiClient.from_environment() as client:
            secret = await client.get(SECRETS, "shop", "shop-tls")

    Every method raises the classes of `certfront.kube.errors`; each says what to do. A call takes
    at most `timeout` seconds in all (waiting for its turn and its retries included), and at most
    `in_flight` calls run at a time; watches are not counted, and Leases never queue. 429 is
    retried up to three times as the server asks. `count(verb, status)` is called once for every
    request sent (status 0: no answer); verbs are those of RBAC.
    """

    def __init__(
        self,
        configuration: Configuration,
        *,
        clock: Clock | None = None,
        count: Callable[[str, int], None] | None = None,
        timeout: float = 10.0,
        in_flight: int = 64,
        reload: Callable[[Configuration], Awaitable[None]] | None = None,
    ) -> None:
        # No limit: calls are bounded by their turns, and each watch has a connection of its own.
        configuration.connection_pool_maxsize = 0
        # aiohttp would look at the environment and at ~/.netrc in a thread for every request.
        configuration.client_session_kwargs = {"trust_env": False}
        configuration.proxy = configuration.proxy or _proxy_for(configuration.host)
        self._configuration = configuration
        # It makes the pool of connections; its own requests encode JSON at eight times the cost.
        self._rest = RESTClientObject(configuration)
        self._routing = _routing(configuration)
        self._clock = clock if clock is not None else SystemClock()
        self._count = count if count is not None else _count_nothing
        self._timeout = timeout
        self._turns = asyncio.Semaphore(in_flight)
        self._reload = reload
        self._reloading = asyncio.Lock()
        # Between attempts where a 429 names no time.
        self._pause = 1.0
        self._clock_offset: timedelta | None = None
        # It has whole seconds: the first answer of a second tells most about the server's clock.
        self._last_date = ""
        self._last_answer: float | None = None

    @classmethod
    async def from_environment(
        cls,
        *,
        kubeconfig: str | None = None,
        clock: Clock | None = None,
        count: Callable[[str, int], None] | None = None,
    ) -> Self:
        """A client for `kubeconfig`, else for $KUBECONFIG, else for the pod's service account.

        Projected tokens are read again every minute; a kubeconfig is read again when the server
        answers 401. Raises `kubernetes.aio.config.ConfigException` where none is usable.
        """
        path = kubeconfig or os.environ.get("KUBECONFIG") or None

        async def load(configuration: Configuration) -> None:
            if path is not None:
                await kube_config.load_kube_config(
                    config_file=path,
                    client_configuration=configuration,
                    persist_config=False,
                )
            else:
                kube_config.load_incluster_config(client_configuration=configuration)

        configuration = Configuration()
        await load(configuration)
        return cls(configuration, clock=clock, count=count, reload=load)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections; watches end with Unreachable."""
        await self._rest.close()

    @property
    def clock_offset(self) -> timedelta | None:
        """The server's Date minus our clock, to about a second; None before the first answer."""
        return self._clock_offset

    @property
    def last_answer(self) -> float | None:
        """When (monotonic seconds of the clock) the server last answered anything but 5xx."""
        return self._last_answer

    # --- reading

    async def get(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - includes waiting for a turn and retries
    ) -> Object:
        """The object as etcd has it now. Raises NotFound."""
        request = _Request(verb="get", method="GET", path=resource.path(namespace, name))
        return await self._call(request, timeout=timeout, urgent=resource == LEASES)

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        label_selector: str | None = None,
        metadata_only: bool = False,
        page_size: int = 500,
    ) -> Listing:
        """All objects of a kind (of a namespace), as of now: no resourceVersion, so a quorum read.

        Items always carry the kind's apiVersion and kind, never managedFields. `metadata_only` asks
        for metadata alone and keeps what identifies an object and its revision: name, namespace,
        uid and resourceVersion.
        """
        request = _Request(
            verb="list",
            method="GET",
            path=resource.path(namespace),
            query=_labelled(label_selector),
            accept=_METADATA_LIST if metadata_only else _JSON,
        )
        try:
            return await self._pages(resource, request, page_size)
        except Gone:
            # The revision of the first page was compacted while we paged: all in one answer, then.
            return await self._pages(resource, request, None)

    async def watch(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        resource_version: str,
        label_selector: str | None = None,
    ) -> AsyncGenerator[WatchEvent, None]:
        """Changes after `resource_version`, bookmarks included, until the server ends the watch.

        Whoever leaves it early closes it (`contextlib.aclosing`), and with it the connection.

        The server ends it after some minutes: watch again from the last event's (or bookmark's)
        metadata.resourceVersion. Raises Gone if the revision is too old (list again), Unreachable
        if the connection breaks, Silent if it is silent for longer than between two bookmarks. List
        again then: a revision that does not exist yet (etcd was restored) is watched without a word.
        """
        query = _labelled(label_selector) | {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            # Spread, so that many watches do not start again together.
            "timeoutSeconds": str(random.randint(*_WATCH_LENGTH)),  # noqa: S311 - no secret
        }
        request = _Request(verb="watch", method="GET", path=resource.path(namespace), query=query)
        limits = aiohttp.ClientTimeout(total=None, sock_connect=10.0, sock_read=_WATCH_SILENCE)
        try:
            async with asyncio.timeout(self._timeout):
                response = await self._answer(request, limits)
        except TimeoutError:
            raise _no_answer("the watch was not answered in time") from None
        try:
            async for event in _events(response, resource):
                yield event
        finally:
            response.close()

    # --- writing

    async def create(
        self,
        resource: Resource,
        body: Mapping[str, Any],
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - includes waiting for a turn and retries
    ) -> Object:
        """POST the object into the namespace it names. Raises AlreadyExists, Invalid, Forbidden."""
        request = _Request(
            verb="create",
            method="POST",
            path=resource.path(_namespace_of(resource, body)),
            query={"fieldManager": FIELD_MANAGER},
            body=_typed(resource, body),
        )
        return await self._call(request, timeout=timeout, urgent=resource == LEASES)

    async def update(
        self,
        resource: Resource,
        body: Mapping[str, Any],
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - includes waiting for a turn and retries
    ) -> Object:
        """PUT the whole object; its metadata.resourceVersion is compared. Raises Conflict, NotFound."""
        request = _Request(
            verb="update",
            method="PUT",
            path=resource.path(_namespace_of(resource, body), body["metadata"]["name"]),
            query={"fieldManager": FIELD_MANAGER},
            body=_typed(resource, body),
        )
        return await self._call(request, timeout=timeout, urgent=resource == LEASES)

    async def apply(self, resource: Resource, body: Mapping[str, Any], *, force: bool) -> Object:
        """Server-side apply. A metadata.resourceVersion in the body is compared, a uid too.

        With `resourceVersion: "1"` and no force it only creates: Conflict for whatever exists.
        Raises Conflict; its `causes` name the fields where another manager is in the way.
        """
        request = _Request(
            verb="patch",
            method="PATCH",
            path=resource.path(_namespace_of(resource, body), body["metadata"]["name"]),
            query={"fieldManager": FIELD_MANAGER, "force": "true" if force else "false"},
            body=_typed(resource, body),
            content_type=_APPLY_PATCH,
        )
        return await self._call(request)

    async def patch_status(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        *,
        uid: str,
        resource_version: str,
        status: Object,
        previous: Object,
    ) -> Object:
        """Make `status` the whole status of the object, which had `previous` when it was decided.

        The answer is the object as written. Raises Conflict if the object has changed since
        `resource_version`, or is another one of the same name.
        """
        return await self._merge(
            resource,
            namespace,
            name,
            {"status": merge_difference(previous, status)},
            uid=uid,
            resource_version=resource_version,
            subresource="status",
        )

    async def patch_finalizers(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        *,
        uid: str,
        resource_version: str,
        finalizers: Sequence[str],
    ) -> Object:
        """Make `finalizers` the whole list of the object. Raises Conflict as `patch_status` does."""
        return await self._merge(
            resource,
            namespace,
            name,
            {"metadata": {"finalizers": [*finalizers]}},
            uid=uid,
            resource_version=resource_version,
        )

    async def delete(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - includes waiting for a turn and retries
    ) -> None:
        """Delete the object, if it still is the one with that uid and revision.

        Raises NotFound, and Conflict where a precondition does not hold.
        """
        preconditions = {"uid": uid, "resourceVersion": resource_version}
        given = {key: value for key, value in preconditions.items() if value is not None}
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if given:
            options["preconditions"] = given
        path = resource.path(namespace, name)
        request = _Request(verb="delete", method="DELETE", path=path, body=options)
        await self._call(request, timeout=timeout, urgent=resource == LEASES)

    # --- one request

    async def _merge(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        patch: Object,
        *,
        uid: str,
        resource_version: str,
        subresource: str | None = None,
    ) -> Object:
        metadata = patch.setdefault("metadata", {})
        metadata["resourceVersion"] = resource_version
        request = _Request(
            verb="patch",
            method="PATCH",
            path=resource.path(namespace, name, subresource),
            query={"fieldManager": FIELD_MANAGER},
            body=patch,
            content_type=_MERGE_PATCH,
        )
        answer = await self._call(request)
        # The server ignores a uid in a patch of a custom resource, and after a restore another
        # object can have the same revision.
        if answer.get("metadata", {}).get("uid") != uid:
            raise Conflict(409, "Conflict", "the object is another one of the same name")
        return answer

    async def _pages(self, resource: Resource, request: _Request, page_size: int | None) -> Listing:
        items: list[Object] = []
        query = dict(request.query)
        if page_size is not None:
            query["limit"] = str(page_size)
        while True:
            page = await self._call(
                replace(request, query=query), timeout=_LIST_TIMEOUT, largest=_LARGEST_PAGE
            )
            found = page.get("items") or ()
            if request.accept == _METADATA_LIST:
                # Whoever compares thousands of revisions needs no labels and managedFields of them.
                found = [{"metadata": _identity(item["metadata"])} for item in found]
            else:
                for item in found:
                    # Half of an object, and read by no one.
                    item["metadata"].pop("managedFields", None)
            items += [_typed(resource, item) for item in found]
            metadata = page.get("metadata", {})
            following = metadata.get("continue")
            if not following:
                return Listing(items, str(metadata.get("resourceVersion", "")))
            query["continue"] = following

    async def _call(
        self,
        request: _Request,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - of the whole call
        largest: int = _LARGEST_OBJECT,
        urgent: bool = False,
    ) -> Object:
        seconds = self._timeout if timeout is None else timeout
        # The deadline of the whole call is below; without a total aiohttp would set one of its own.
        limits = aiohttp.ClientTimeout(total=None)
        try:
            async with asyncio.timeout(seconds), nullcontext() if urgent else self._turns:
                response = await self._answer(request, limits)
                return await _decoded(response, largest)
        except TimeoutError:
            raise _no_answer(f"no answer in {seconds:g} s") from None

    async def _answer(
        self, request: _Request, limits: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        """A 2xx response; 429 is waited out and 401 answered with fresh credentials once."""
        renewed = False
        pauses = 0
        while True:
            response = await self._send(request, limits)
            if response.status < 300:
                return response
            error = await _refusal(response)
            if isinstance(error, Unauthorized) and self._reload is not None and not renewed:
                renewed = True
                await self._renew_credentials()
            elif isinstance(error, TooManyRequests) and pauses < _RETRIES_OF_429:
                pauses += 1
                await asyncio.sleep(min(_LONGEST_PAUSE, error.retry_after or self._pause))
            else:
                raise error

    async def _send(
        self, request: _Request, limits: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        headers = {
            "Accept": request.accept,
            "Content-Type": request.content_type,
            "User-Agent": FIELD_MANAGER,
        }
        for setting in (await self._configuration.auth_settings()).values():
            if setting["in"] == "header" and setting["value"]:
                headers[setting["key"]] = setting["value"]
        url = f"{self._configuration.host.rstrip('/')}{request.path}"
        if request.query:
            url = f"{url}?{urlencode(request.query)}"
        status = 0
        try:
            response = await self._session().request(
                request.method,
                url,
                headers=headers,
                data=None if request.body is None else msgspec.json.encode(request.body),
                timeout=limits,
                **self._routing,
            )
            status = response.status
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            # Only the class: the texts of aiohttp name hosts and certificates, which is fine in a
            # log and not in a status.
            raise _no_answer(
                f"the API server cannot be reached ({type(error).__name__})"
            ) from error
        finally:
            self._count(request.verb, status)
        self._note_answer(response)
        return response

    def _session(self) -> aiohttp.ClientSession:
        """The pool of connections, made on the first request, when there is a loop for it."""
        session: aiohttp.ClientSession | None = self._rest.pool_manager
        if session is None:
            session = self._rest.pool_manager = self._rest._create_pool_manager()
        return session

    async def _renew_credentials(self) -> None:
        assert self._reload is not None  # noqa: S101 - the caller has looked
        async with self._reloading:
            await self._reload(self._configuration)

    def _note_answer(self, response: aiohttp.ClientResponse) -> None:
        if response.status < 500:
            self._last_answer = self._clock.monotonic()
        text = response.headers.get("Date", "")
        if text == self._last_date:
            return
        self._last_date = text
        try:
            date = parsedate_to_datetime(text)
        except ValueError:
            return
        if date.tzinfo is None:
            date = date.replace(tzinfo=UTC)
        self._clock_offset = date - self._clock.now()


async def _decoded(response: aiohttp.ClientResponse, largest: int) -> Object:
    try:
        answer = msgspec.json.decode(await _body(response, largest))
    except (msgspec.DecodeError, RecursionError):
        raise _no_answer("the answer is not JSON") from None
    if not isinstance(answer, dict):
        raise _no_answer("the answer is not an object")
    return answer


async def _refusal(response: aiohttp.ClientResponse) -> ApiError:
    status: Object | None = None
    try:
        decoded = msgspec.json.decode(await _body(response, 2**20))
        status = decoded if isinstance(decoded, dict) else None
    except (ApiError, msgspec.DecodeError):
        # A proxy's page, or nothing: the HTTP status alone must do.
        pass
    finally:
        response.release()
    retry_after = _seconds(response.headers.get("Retry-After"))
    return error_from_status(response.status, status, retry_after=retry_after)


async def _body(response: aiohttp.ClientResponse, largest: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in response.content.iter_any():
            size += len(chunk)
            if size > largest:
                raise _no_answer("the answer is too large")
            chunks.append(chunk)
    except (aiohttp.ClientError, OSError) as error:
        raise _no_answer(f"the answer broke off ({type(error).__name__})") from error
    except BaseException:
        # Cancelled half-way: the rest must not be taken for the next answer.
        response.close()
        raise
    return b"".join(chunks)


async def _events(
    response: aiohttp.ClientResponse, resource: Resource
) -> AsyncIterator[WatchEvent]:
    try:
        while line := await response.content.readline(max_line_length=_LARGEST_OBJECT):
            event = msgspec.json.decode(line)
            obj = event["object"]
            if event["type"] == "ERROR":
                code = obj.get("code")
                raise error_from_status(code if isinstance(code, int) else 500, obj)
            yield event["type"], _typed(resource, obj)
    except TimeoutError:
        raise Silent(0, "Silent", "the watch said nothing, not even a bookmark") from None
    except (aiohttp.ClientError, OSError) as error:
        raise _no_answer(f"the watch broke off ({type(error).__name__})") from error
    except (LineTooLong, RecursionError):
        # Silent, because from the same revision the same line would come again.
        raise Silent(0, "Unreadable", "the watch sent an event that cannot be read") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        # A line cut in half.
        raise _no_answer("the watch sent something that is not an event") from None


def _no_answer(message: str) -> Unreachable:
    return Unreachable(0, "Unreachable", message)


def _proxy_for(host: str) -> str | None:
    """The proxy that the environment names for the API server, as it is at the start."""
    address = urlsplit(host)
    if not address.hostname or proxy_bypass(address.hostname):
        return None
    return getproxies().get(address.scheme)


def _routing(configuration: Configuration) -> dict[str, Any]:
    """What every request says about the way to the server, where there is anything to say."""
    given = {
        "server_hostname": configuration.tls_server_name,
        "proxy": configuration.proxy,
        "proxy_headers": configuration.proxy_headers,
    }
    return {key: value for key, value in given.items() if value}


def _typed(resource: Resource, body: Mapping[str, Any]) -> Object:
    return {**body, "apiVersion": resource.api_version, "kind": resource.kind}


def _identity(metadata: Object) -> Object:
    return {key: metadata[key] for key in _IDENTITY if key in metadata}


def _namespace_of(resource: Resource, body: Mapping[str, Any]) -> str | None:
    return str(body["metadata"]["namespace"]) if resource.namespaced else None


def _labelled(selector: str | None) -> dict[str, str]:
    return {} if selector is None else {"labelSelector": selector}


def _seconds(text: str | None) -> float | None:
    # The API server sends whole seconds; anything else is as good as nothing.
    return float(text) if text is not None and text.isdecimal() and len(text) < 9 else None


def _count_nothing(_verb: str, _status: int) -> None:
    return None
