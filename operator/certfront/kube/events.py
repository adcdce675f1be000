"""Events (events.k8s.io/v1): one line about an object for people.

Used by reconcilers at transitions. An Event is a courtesy: posting never fails its caller.
"""

from __future__ import annotations

import hashlib
import logging
import socket
from collections.abc import Mapping
from typing import Any, Final, Literal

from certfront.kube.client import ApiClient, Object
from certfront.kube.errors import AlreadyExists, ApiError, bounded
from certfront.kube.resources import EVENTS
from certfront.model.clock import Clock

_log: Final = logging.getLogger(__name__)
_CONTROLLER: Final = "certfront.io/operator"
_SAME_EVENT_FOR: Final = 600


async def post(
    client: ApiClient,
    regarding: Mapping[str, Any],
    *,
    reason: str,
    message: str,
    action: str,
    clock: Clock,
    type_: Literal["Normal", "Warning"] = "Normal",
) -> None:
    """Post one Event about the object. Raises no ApiError.

    Its name is made of what it says and of the ten minutes it falls into, so a repetition after a
    crash is the same Event. In a terminating namespace the server refuses it, which is only logged.
    """
    event = _event(regarding, reason, message, action, type_, clock)
    try:
        await client.create(EVENTS, event)
    except AlreadyExists:
        # Said before, perhaps by a process that has ended since.
        return
    except ApiError as error:
        _log.info("event %s is not posted: %s", reason, error)


def _event(
    regarding: Mapping[str, Any],
    reason: str,
    message: str,
    action: str,
    type_: str,
    clock: Clock,
) -> Object:
    metadata = regarding["metadata"]
    now = clock.now()
    # The API counts bytes, at most 1024.
    note = bounded(message, 1000).encode()[:1000].decode(errors="ignore")
    period = int(now.timestamp()) // _SAME_EVENT_FOR
    said = "\0".join([str(metadata.get("uid")), type_, reason, action, note, str(period)])
    digest = hashlib.sha256(said.encode()).hexdigest()[:16]
    return {
        "metadata": {
            "namespace": metadata["namespace"],
            "name": f"{metadata['name'][:200].rstrip('.-')}.{digest}",
        },
        "regarding": {
            "apiVersion": regarding["apiVersion"],
            "kind": regarding["kind"],
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata.get("uid", ""),
            "resourceVersion": metadata.get("resourceVersion", ""),
        },
        "type": type_,
        "reason": bounded(reason, 128),
        "action": bounded(action, 128),
        "note": note,
        "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingController": _CONTROLLER,
        "reportingInstance": socket.gethostname()[:128] or "certfront",
    }
