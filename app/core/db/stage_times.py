"""What jobs took on the workers' devices, stage by stage: later plans go by it."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Index, String, delete, select
from sqlalchemy.orm import Mapped, mapped_column

from app.core.db.base import Base, DatabaseTime
from app.core.db.session import ReadSession, WriteSession

_KEPT = 50
"""Newest rows of a method on a device."""
_LONGEST_NAME = 255


class StageTimes(Base):
    """One attempt that succeeded. It names no project: how fast a device is, is nobody's secret."""

    __tablename__ = "stage_times"
    __table_args__ = (Index("ix_stage_times_device_method", "device", "method"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    measured_at: Mapped[datetime] = mapped_column(default=DatabaseTime())
    device: Mapped[str] = mapped_column(String(_LONGEST_NAME))
    method: Mapped[str] = mapped_column(String(64))
    step_products: Mapped[float]
    """Multiply-adds of a training step's forward pass: the shape, as far as time depends on it."""
    figures_version: Mapped[int]
    """Of the built-in figures that the ratios are over."""
    ratios: Mapped[dict[str, Any]]
    """By stage: seconds that it took over those of the built-in figures."""


def device_name(devices: Sequence[str]) -> str:
    """What a worker computes on, as one name."""
    return ", ".join(devices)[:_LONGEST_NAME]


def add_stage_times(session: WriteSession, times: StageTimes) -> None:
    """Keep the times of an attempt, and only the newest of its method and device."""
    session.add(times)
    session.flush()
    same = StageTimes.device == times.device, StageTimes.method == times.method
    newest = select(StageTimes.id).where(*same).order_by(StageTimes.id.desc())
    oldest = session.scalar(newest.offset(_KEPT - 1).limit(1))
    if oldest is not None:
        session.execute(delete(StageTimes).where(*same, StageTimes.id < oldest))


def stage_times_on(
    session: ReadSession, devices: Collection[str], *, method: str, figures_version: int
) -> Sequence[StageTimes]:
    """The newest of a method on these devices, then of others; on all devices where none is named."""
    query = select(StageTimes).where(StageTimes.figures_version == figures_version)
    if devices:
        query = query.where(StageTimes.device.in_(devices))
    newest = query.order_by(StageTimes.id.desc()).limit(_KEPT)
    own, others = (
        session.scalars(newest.where(condition)).all()
        for condition in (StageTimes.method == method, StageTimes.method != method)
    )
    return [*own, *others]
