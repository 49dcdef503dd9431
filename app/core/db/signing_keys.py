"""The installation's keys that sign what it gives out; the newest signs."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import String, select
from sqlalchemy.orm import Mapped, mapped_column

from app.core.db.base import Base, DatabaseTime
from app.core.db.session import ReadSession, WriteSession


class SigningKey(Base):
    __tablename__ = "signing_keys"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """From 1."""
    created_at: Mapped[datetime] = mapped_column(default=DatabaseTime())
    private_key: Mapped[str] = mapped_column(String(512))
    """PEM."""


def list_signing_keys(session: ReadSession) -> Sequence[SigningKey]:
    """Newest first."""
    return session.scalars(select(SigningKey).order_by(SigningKey.number.desc())).all()


def add_signing_key(session: WriteSession, private_key: str) -> SigningKey:
    """Raises ``IntegrityError`` where another process adds the same one at once."""
    newest = next(iter(list_signing_keys(session)), None)
    key = SigningKey(number=1 if newest is None else newest.number + 1, private_key=private_key)
    session.add(key)
    session.flush()
    return key
