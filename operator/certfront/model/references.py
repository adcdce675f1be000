"""References to other objects: always objects, so that they can grow."""

from certfront.model.meta import Value


class LocalReference(Value, frozen=True, kw_only=True):
    """An object of the same namespace."""

    name: str


class Reference(Value, frozen=True, kw_only=True):
    """An object that may live in another namespace; `namespace` defaults to the referrer's."""

    name: str
    namespace: str = ""


class SecretKeyReference(Value, frozen=True, kw_only=True):
    """One key of a Secret of the same namespace; the default of `key` depends on the field."""

    name: str
    key: str = ""
