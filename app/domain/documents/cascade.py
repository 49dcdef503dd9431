"""A student and its teacher that answer together: the teacher where the student is not sure."""

from pydantic import BaseModel, Field


class CascadePoint(BaseModel):
    """What comes of one threshold on dev."""

    threshold: float = Field(description="The student answers where its best label has this probability.")
    share: float = Field(description="Of the texts that the student answers.")
    metric: float = Field(description="The task's main metric of both together.")


class Cascade(BaseModel):
    """How a student's file and its teacher answer together, on dev or a sample of a large one."""

    teacher_metric: float = Field(description="The task's main metric of the teacher's file alone.")
    points: list[CascadePoint] = Field(description="From the largest share of the student to none.")

    def threshold(self, retain: float) -> float:
        """The lowest threshold at which both together keep this share of the teacher's metric."""
        enough = retain * self.teacher_metric
        # The last point is the teacher alone.
        return next(point.threshold for point in self.points if point.metric >= enough or not point.share)
