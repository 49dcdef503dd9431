"""URLs of the services that a process uses, as settings name them."""

import re
from typing import Final

SCHEMES: Final = {
    "database_url": ("postgresql+psycopg", "sqlite"),
    "broker_url": ("redis", "rediss", "redis+socket"),
    "storage_url": ("s3", "file"),
    "s3_endpoint": ("http", "https"),
    "hub_endpoint": ("http", "https"),
}
"""By setting."""

_POSTGRES = re.compile(r"^postgres(ql)?://")


def read_service_url(text: str, setting: str) -> str:
    """The URL, with the driver that this service uses for PostgreSQL.

    Raises:
        ValueError: it has none of the setting's schemes.
    """
    url = _POSTGRES.sub("postgresql+psycopg://", text)
    scheme, separator, _ = url.partition("://")
    if scheme not in SCHEMES[setting] or not separator:
        expected = " or ".join(f"{name}://" for name in SCHEMES[setting])
        raise ValueError(f"expected a URL that starts with {expected}")
    return url
