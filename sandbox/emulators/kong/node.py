"""What a Kong says of itself: version and settings at `/`, health, and its data planes.

Recorded from Kong 3.9.3; of the settings only those are here that someone who installs certificates
needs. The rows of `/clustering/data-planes` follow kong/db/schema/entities/clustering_data_planes.lua.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sandbox.emulators.kong import answers
from sandbox.emulators.kong.answers import Reply

_PLUGINS = (
    "acl",
    "acme",
    "basic-auth",
    "cors",
    "file-log",
    "http-log",
    "key-auth",
    "rate-limiting",
)
_NOT_CONTROL_PLANE = (
    "this endpoint is only available when Kong is configured to run as Control Plane "
    "for the cluster"
)


@dataclass(slots=True, kw_only=True)
class NodeState:
    """The settings of a Kong, which tests may change while it runs."""

    version: str = "3.9.3"
    token: str = ""
    workspaces: list[str] = field(default_factory=list)
    dbless: bool = False
    data_planes: int = 0
    trusted_ips: list[str] = field(default_factory=list)
    reachable: bool = True
    """Whether the database answers."""
    certificate_seconds: float = 0.0
    route_seconds: float = 5.0
    https_port: int = 0
    http_port: int = 0

    @property
    def enterprise(self) -> bool:
        """Whether it has what only Enterprise has."""
        return bool(self.token or self.workspaces)


class Node:
    """The endpoints about the node itself."""

    def __init__(
        self,
        state: NodeState,
        *,
        seconds: Callable[[], int],
        config_hash: Callable[[], str],
        plane_hash: Callable[[], str],
    ) -> None:
        self._state = state
        self._seconds = seconds
        self._started = seconds()
        self._config_hash = config_hash
        self._plane_hash = plane_hash

    def root(self) -> Reply:
        """`GET /`."""
        state = self._state
        ports = ((state.http_port, ""), (state.https_port, " ssl"))
        configuration: dict[str, Any] = {
            "database": "off" if state.dbless else "postgres",
            "role": "control_plane" if state.data_planes else "traditional",
            "router_flavor": "traditional_compatible",
            "worker_consistency": "eventual",
            "worker_state_update_frequency": state.route_seconds,
            "db_update_frequency": 5,
            "db_update_propagation": 0,
            # An empty list is an empty object to the encoder that Kong uses here.
            "trusted_ips": list(state.trusted_ips) or {},
            "real_ip_header": "X-Real-IP",
            "proxy_listen": [f"127.0.0.1:{port}{tls}" for port, tls in ports if port],
        }
        body = {
            "tagline": "Welcome to kong",
            "version": state.version,
            "edition": "enterprise" if state.enterprise else "community",
            "hostname": "kong",
            "node_id": str(uuid.uuid5(uuid.NAMESPACE_DNS, "kong")),
            "lua_version": "LuaJIT 2.1.1700206165",
            "timers": {"running": 0, "pending": 1},
            "pids": {"master": 1, "workers": [2]},
            "plugins": {
                "available_on_server": {name: {"version": state.version} for name in _PLUGINS},
                "enabled_in_cluster": [],
            },
            "configuration": configuration,
        }
        return Reply(status=200, body=body)

    def status(self) -> Reply:
        """`GET /status`: 200 even while the database is down."""
        server = ("reading", "writing", "waiting", "active", "accepted", "handled")
        body: dict[str, Any] = {
            "memory": {"lua_shared_dicts": {}, "workers_lua_vms": []},
            "server": {"total_requests": 1} | {f"connections_{name}": 1 for name in server},
        }
        if self._state.dbless:
            body["configuration_hash"] = self._config_hash()
        else:
            body["database"] = {"reachable": self._state.reachable}
        return Reply(status=200, body=body)

    def plugins(self) -> Reply:
        """`GET /plugins/enabled`."""
        return Reply(status=200, body={"enabled_plugins": list(_PLUGINS)})

    def workspaces(self) -> Reply:
        """`GET /workspaces`, which only Enterprise has."""
        if not self._state.workspaces:
            raise answers.not_found()
        rows = [self._workspace(name) for name in self._state.workspaces]
        return Reply(status=200, body={"data": rows, "next": None})

    def workspace(self, name: str) -> Reply:
        """`GET /workspaces/{name}`."""
        if name not in self._state.workspaces:
            raise answers.not_found()
        return Reply(status=200, body=self._workspace(name))

    def _workspace(self, name: str) -> dict[str, Any]:
        return {
            "id": str(uuid.uuid5(uuid.NAMESPACE_DNS, f"workspace-{name}")),
            "name": name,
            "comment": None,
            "created_at": self._started,
            "updated_at": self._started,
        }

    def data_planes(self) -> Reply:
        """`GET /clustering/data-planes`: one row each, with the hash of what it serves now."""
        self._control_plane_only()
        planes = [
            {
                "id": str(uuid.uuid5(uuid.NAMESPACE_DNS, f"data-plane-{number}")),
                "ip": f"127.0.0.{number + 2}",
                "hostname": f"data-plane-{number}",
                "version": self._state.version,
                "sync_status": "normal",
                "config_hash": self._plane_hash(),
                "last_seen": self._seconds(),
                "ttl": 1209600,
                "labels": None,
                "cert_details": None,
                "created_at": self._started,
                "updated_at": self._seconds(),
            }
            for number in range(self._state.data_planes)
        ]
        planes.sort(key=lambda plane: str(plane["id"]))
        return Reply(status=200, body={"data": planes, "next": None})

    def cluster_status(self) -> Reply:
        """`GET /clustering/status`."""
        self._control_plane_only()
        rows = self.data_planes().body["data"]
        return Reply(status=200, body={row["id"]: row for row in rows})

    def _control_plane_only(self) -> None:
        if not self._state.data_planes:
            raise answers.message(400, _NOT_CONTROL_PLANE)
