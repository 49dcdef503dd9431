"""What the attempts at a job have come to so far, which decides whether it is tried again."""

from typing import ClassVar

from pydantic import Field

from app.domain.documents.versions import StoredDocument


class AttemptRecord(StoredDocument):
    """How far the attempts at a job came, and how many in a row came no further."""

    document_name: ClassVar = "attempt record"

    stage: int = Field(default=0, description="Number of the furthest stage that was begun, from 1.")
    step: int = Field(default=0, description="Training step of the furthest checkpoint.")
    last_progress: int = Field(
        default=0, description="Number of the last attempt that began a further stage or checkpointed later."
    )
    failures: int = Field(default=0, description="Attempts that failed since then, outages left out.")
    outages: int = Field(
        default=0, description="Attempts since then that a service which was away has ended."
    )

    def reached(self, attempt: int, *, stage: int, step: int) -> "AttemptRecord":
        """The record once an attempt has begun a stage and checkpointed a step; 0 for none."""
        if stage <= self.stage and step <= self.step:
            return self
        return AttemptRecord(
            stage=max(stage, self.stage), step=max(step, self.step), last_progress=attempt
        )  # the counts begin anew

    def failed(self, attempt: int, *, is_outage: bool) -> "AttemptRecord":
        """The record once an attempt has failed: one that made progress does not count."""
        if attempt == self.last_progress:
            return self
        count = "outages" if is_outage else "failures"
        return self.model_copy(update={count: getattr(self, count) + 1})
