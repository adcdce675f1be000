"""kubectl as a function: the sandbox talks to its API server in the way that people do."""

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sandbox import binaries, environment
from sandbox.errors import SandboxError

_MAXIMUM_MESSAGE = 4000


class KubectlError(SandboxError):
    """kubectl ended with an error; `answer` is what it wrote to standard error."""

    def __init__(self, arguments: Iterable[str], code: int, answer: str) -> None:
        self.answer = answer
        self.code = code
        super().__init__(f"kubectl {' '.join(arguments)}: {answer.strip()[:_MAXIMUM_MESSAGE]}")


class Kubectl:
    """Runs kubectl with one kubeconfig, and its discovery cache in one directory."""

    def __init__(self, kubeconfig: str, cache: Path) -> None:
        self._program = str(binaries.kubectl())
        self._environment = {
            **environment.basic(),
            "KUBECONFIG": kubeconfig,
            "KUBECACHEDIR": str(cache),
        }

    def __call__(self, *arguments: str, stdin: str | None = None, seconds: float = 60.0) -> str:
        """Return what `kubectl arguments…` prints.

        Raises :class:`KubectlError` when it fails or takes longer than `seconds`. `stdin` is its
        input: manifests for `apply -f -`.
        """
        try:
            result = subprocess.run(
                [self._program, *arguments],
                input=stdin,
                stdin=subprocess.DEVNULL if stdin is None else None,
                capture_output=True,
                text=True,
                env=self._environment,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise KubectlError(arguments, -1, f"no answer within {seconds:.0f} s") from None
        if result.returncode != 0:
            raise KubectlError(arguments, result.returncode, result.stderr)
        return result.stdout

    def json(self, *arguments: str, seconds: float = 60.0) -> Any:
        """Return what `kubectl arguments… -o json` prints, decoded."""
        return json.loads(self(*arguments, "-o", "json", seconds=seconds))

    def apply(self, *objects: dict[str, Any], manager: str = "kubectl") -> str:
        """Apply `objects` on the server's side, as one List."""
        body = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        return self("apply", "--server-side", f"--field-manager={manager}", "-f", "-", stdin=body)

    def apply_files(self, files: Iterable[Path]) -> str:
        """Apply manifests from `files`, in their order, on the server's side."""
        arguments = [f"--filename={path}" for path in files]
        return self("apply", "--server-side", *arguments) if arguments else ""
