"""Reads the settings of an installation from its YAML file."""

from pathlib import Path

import msgspec
import yaml

from certfront.model.meta import InvalidObject, parse
from certfront.model.settings import Settings


class InvalidSettings(Exception):
    """The file cannot be used; the message names the field."""


def read_settings(path: Path | None) -> Settings:
    """The settings in `path`, defaults without one. Raises InvalidSettings."""
    if path is None:
        return Settings()
    try:
        raw = yaml.safe_load(path.read_text()) or {}
        settings = parse(Settings, raw)
    except (OSError, yaml.YAMLError) as error:
        raise InvalidSettings(f"{path} cannot be read: {type(error).__name__}") from None
    except (InvalidObject, msgspec.ValidationError) as error:
        raise InvalidSettings(f"{path}: {error}") from None
    if not settings.secret_watch:
        raise InvalidSettings(f"{path}: secretWatch: false is not supported by this version")
    return settings
