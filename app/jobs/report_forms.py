"""The forms of a report, and which one a client prefers."""

from typing import Final, Literal

from starlette.responses import Response

from app.domain.reports.markdown import report_markdown
from app.jobs.report import ReportRead, shown
from app.jobs.report_page.page import CONTENT_SECURITY_POLICY, report_page

ReportForm = Literal["application/json", "text/html", "text/markdown"]

FORMS: Final[tuple[ReportForm, ...]] = ("application/json", "text/html", "text/markdown")


def rendered(report: ReportRead, form: ReportForm) -> Response:
    """The report in one of its forms."""
    headers = {"vary": "Accept", "cache-control": "private, no-cache"}
    match form:
        case "application/json":
            content = report.model_dump_json()
        case "text/html":
            content = report_page(shown(report), report.curves)
            headers |= {
                "content-security-policy": CONTENT_SECURITY_POLICY,
                "x-content-type-options": "nosniff",
            }
        case "text/markdown":
            content = report_markdown(shown(report), with_texts=True)
    return Response(content, media_type=form, headers=headers)


def preferred_form(accept: str) -> ReportForm:
    """The form that an ``Accept`` header (RFC 9110) weighs most; of equal ones, and of none, JSON first."""
    ranges = [_read_range(part) for part in accept.split(",") if part.strip()]
    weights = {form: _weight(form, ranges) for form in FORMS}
    best = max(FORMS, key=lambda form: weights[form])
    return best if weights[best] > 0 else FORMS[0]


def _weight(form: str, ranges: list[tuple[str, float]]) -> float:
    """By the most exact range that has the form."""
    for wanted in (form, f"{form.partition('/')[0]}/*", "*/*"):
        weights = [weight for name, weight in ranges if name == wanted]
        if weights:
            return max(weights)
    return 0.0


def _read_range(text: str) -> tuple[str, float]:
    name, *parameters = (part.strip().lower() for part in text.split(";"))
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "q":
            try:
                return name, float(value)
            except ValueError:
                return name, 0.0
    return name, 1.0
