"""``/v1/signing-keys``."""

from datetime import datetime
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app.auth.routes import ProtectedRoute
from app.core.db.signing_keys import SigningKey
from app.dependencies import WholeDatabaseDep
from app.errors import problems
from app.signing.signer import all_keys, public_key

router = APIRouter(prefix="/v1/signing-keys", tags=["models"], route_class=ProtectedRoute)


class SigningKeyRead(BaseModel):
    """A key by which this installation signs, or signed, the checksums of its models."""

    object: Literal["signing_key"] = "signing_key"
    number: int = Field(description="From 1; the highest signs.")
    created_at: datetime
    algorithm: Literal["ed25519"] = "ed25519"
    public_key: str = Field(description="PEM, as openssl reads it.")

    @classmethod
    def of(cls, key: SigningKey) -> "SigningKeyRead":
        return cls(number=key.number, created_at=key.created_at, public_key=public_key(key))


class SigningKeys(BaseModel):
    """All of them, newest first."""

    object: Literal["list"] = "list"
    data: list[SigningKeyRead]


@router.get("", responses=problems(500, 503))
def list_signing_keys(database: WholeDatabaseDep) -> SigningKeys:
    """List the public keys of this installation, newest first."""
    return SigningKeys(data=[SigningKeyRead.of(key) for key in all_keys(database)])
