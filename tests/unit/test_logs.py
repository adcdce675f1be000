"""Nothing like a key reaches a log line, whoever writes it."""

import logging
from collections.abc import Iterator

import pytest

from certfront import logs

KEY = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIBcanary\n-----END EC PRIVATE KEY-----"


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


@pytest.mark.parametrize(
    "name", ["acme.client", "josepy.jwk", "urllib3.connectionpool", "kopf.objects"]
)
def test_libraries_that_log_payloads_are_silent_however_verbose_we_are(name: str) -> None:
    logs.configure(verbose=True)
    assert not logging.getLogger(name).isEnabledFor(logging.DEBUG)


def test_a_key_in_a_message_its_arguments_or_a_traceback_is_masked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure(verbose=False)
    logger = logging.getLogger("certfront.test")
    logger.warning("stored %s for %s", KEY, "shop")
    try:
        raise ValueError(KEY)
    except ValueError:
        logger.exception("it broke with Authorization: Bearer abc.def")
    written = capsys.readouterr().err
    assert "canary" not in written
    assert "abc.def" not in written
    assert "stored (masked) for shop" in written
