"""What can go wrong with a sandbox, classed by what the caller must do."""


class SandboxError(Exception):
    """The message says what is wrong and what to do; the command line prints it and ends."""


class UnsupportedMachineError(SandboxError):
    """The sandbox does not run here at all."""


class BuildError(SandboxError):
    """A binary could not be found or built."""


class UnknownTargetError(SandboxError):
    """There is no such sandbox, process or node."""


class StartError(SandboxError):
    """A process ended, or did not become ready in time; its log says why."""
