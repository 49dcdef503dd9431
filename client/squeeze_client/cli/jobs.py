"""``squeeze jobs``, and the commands that start a job or use its result."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from squeeze_client.cli.app import Json, connect

if TYPE_CHECKING:
    from squeeze_client import Job, Plan, SearchPlan, Squeeze
    from squeeze_client.effects import Sync

app = typer.Typer(help="List, watch and cancel jobs.", no_args_is_help=True)

Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Until the job has ended.")]
Timeout = Annotated[float | None, typer.Option(help="Longest wait in seconds; the job goes on.")]
Teacher = Annotated[str, typer.Argument(help="Id of the model to compress.")]
Dataset = Annotated[str, typer.Option("--data", help="Id of the data set.")]


@app.command("list", epilog="Example: squeeze jobs list --status running")
def list_jobs(
    context: typer.Context,
    status: Annotated[str | None, typer.Option(help="Such as running.")] = None,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1)] = 20,
    as_json: Json = False,
) -> None:
    """List jobs, newest first."""
    from squeeze_client.cli import output

    jobs = list(connect(context).jobs.list(status=status, limit=limit))
    if as_json:
        output.print_json(jobs)
        return
    output.print_rows(
        ["id", "method", "status", "progress", "student", "created"],
        [
            [
                job.id,
                job.method["name"],
                job.status,
                f"{job.progress.fraction:.0%}",
                job.student,
                job.created_at,
            ]
            for job in jobs
        ],
    )


@app.command(epilog="Example: squeeze jobs show job_...")
def show(context: typer.Context, job: str, as_json: Json = False) -> None:
    """Show a job: its request, its progress and its result."""
    _show(connect(context).jobs.get(job), as_json=as_json)


@app.command(epilog="Example: squeeze jobs watch job_...")
def watch(context: typer.Context, job: str, timeout: Timeout = None, as_json: Json = False) -> None:
    """Watch a job until it has ended. Ctrl-C leaves it running."""
    client = connect(context)
    _finish(client, client.jobs.get(job), timeout=timeout, as_json=as_json)


@app.command(epilog="Example: squeeze jobs cancel job_...")
def cancel(context: typer.Context, job: str, as_json: Json = False) -> None:
    """Cancel a job."""
    from squeeze_client.cli import output

    cancelled = connect(context).jobs.cancel(job)
    if as_json:
        output.print_json(cancelled)
        return
    state = cancelled.status if cancelled.has_ended else "asked to stop"
    print(f"{cancelled.id} {state}")


@app.command(epilog="Example: squeeze jobs events job_... --follow --json")
def events(
    context: typer.Context,
    job: str,
    follow: Annotated[bool, typer.Option(help="Go on until the job has ended.")] = False,
    after: Annotated[int, typer.Option(help="Events after this id.", min=0)] = 0,
    as_json: Json = False,
) -> None:
    """Print the events of a job, one a line."""
    from squeeze_client.cli import output

    for event in connect(context).jobs.events(job, after=after, follow=follow):
        if as_json:
            output.print_json(event)
        else:
            data = {name: value for name, value in event.data.items() if name != "version"}
            print(f"{event.created_at:%H:%M:%S}  {event.kind:<8} {output.cell(data)}", flush=True)


def compress(
    context: typer.Context,
    teacher: Teacher,
    dataset: Dataset,
    ratio: Annotated[float | None, typer.Option(help="Teacher over student parameters.")] = None,
    max_parameters: Annotated[int | None, typer.Option(help="Of the student.")] = None,
    max_size_mb: Annotated[float | None, typer.Option(help="Of the student's fp32 weights.")] = None,
    max_latency_ms: Annotated[float | None, typer.Option(help="Of one text on the worker.")] = None,
    method: Annotated[str, typer.Option(help="See GET /v1/methods.")] = "weight_squeezing",
    epochs: Annotated[float | None, typer.Option(help="Default: chosen by the service.")] = None,
    name: Annotated[str | None, typer.Option(help="Of the student.")] = None,
    fields: Annotated[str | None, typer.Option("--with", help="Other fields of the job, as JSON.")] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Say what it would make and cost; start nothing.")
    ] = False,
    wait: Wait = False,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Compress a model: start a job, and wait for it with --wait."""
    from squeeze_client.cli import output

    targets = {
        "compression_ratio": ratio,
        "max_parameters": max_parameters,
        "max_size_mb": max_size_mb,
        "max_latency_ms": max_latency_ms,
    }
    target = _given(targets) or None
    body: dict[str, Any] = {"target": target, "training": {"epochs": epochs} if epochs else None}
    body |= {"teacher": teacher, "method": method, "student_name": name, **_object(fields)}
    client = connect(context)
    if plan:
        found = client.jobs.plan(dataset, **body)
        output.print_json(found) if as_json else output.print_fields(_plan(found))
        return
    _start(client, client.jobs.create(dataset, **body), wait=wait, timeout=timeout, as_json=as_json)


def search(
    context: typer.Context,
    teacher: Teacher,
    dataset: Dataset,
    retain: Annotated[
        float | None, typer.Option(help="Share of the teacher's dev metric to keep.", min=0, max=1)
    ] = None,
    max_latency_ms: Annotated[float | None, typer.Option(help="Of one text on the worker.")] = None,
    max_size_mb: Annotated[float | None, typer.Option(help="Of the student's ONNX file.")] = None,
    max_parameters: Annotated[int | None, typer.Option(help="Of the student.")] = None,
    minimize: Annotated[
        str | None, typer.Option(help="What to make as small as it gets: size, latency or parameters.")
    ] = None,
    trials: Annotated[int | None, typer.Option(help="Budget: candidates to train.", min=1)] = None,
    minutes: Annotated[float | None, typer.Option(help="Budget: minutes from the first trial on.")] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Say what it would try and cost; start nothing.")
    ] = False,
    wait: Wait = False,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Search the smallest student that meets goals, over methods, shapes and precisions."""
    goals: dict[str, Any] = {
        "retain": retain,
        "max_latency_ms": max_latency_ms,
        "max_size_mb": max_size_mb,
        "max_parameters": max_parameters,
        "minimize": minimize,
    }
    asked = {"goals": _given(goals), "budget": _given({"trials": trials, "minutes": minutes})}
    client = connect(context)
    if plan:
        from squeeze_client.cli import output

        found = client.jobs.plan_search(dataset, teacher=teacher, **asked)
        output.print_json(found) if as_json else output.print_fields(_search_plan(found))
        return
    job = client.jobs.search(dataset, teacher=teacher, **asked)
    _start(client, job, wait=wait, timeout=timeout, as_json=as_json)


def predict(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="Id of a model, or name of an endpoint.")],
    texts: Annotated[list[str] | None, typer.Argument(help="Default: lines of standard input.")] = None,
    parameters: Annotated[
        str | None, typer.Option("--with", help='Of the task, as JSON, such as {"top_k": 1}.')
    ] = None,
    as_json: Json = False,
) -> None:
    """Ask a model about texts."""
    from squeeze_client.cli import output

    if not texts and sys.stdin.isatty():
        raise typer.BadParameter("give texts, or pipe them in, one a line")
    given = texts or [line.rstrip("\n") for line in sys.stdin if line.strip()]
    answers = connect(context).predict(model, given, **_object(parameters))
    if as_json:
        output.print_json(answers)
        return
    output.print_rows(
        ["text", "answer"], [[text, _answer(said)] for text, said in zip(given, answers, strict=True)]
    )


def report(
    context: typer.Context,
    job: str,
    html: Annotated[Path | None, typer.Option(help="Write it to this file as one page of HTML.")] = None,
    as_json: Json = False,
) -> None:
    """Print the report of a job: teacher, student and controls side by side."""
    from squeeze_client.cli import output

    client = connect(context)
    if html is not None:
        html.write_text(client.jobs.report_text(job, "html"), encoding="utf-8")
        output.print_json({"file": str(html)}) if as_json else print(html)
    elif as_json:
        output.print_json(client.jobs.report(job))
    elif sys.stdout.isatty():
        client.jobs.report(job).show()
    else:
        print(client.jobs.report_text(job))


def add_to(root: typer.Typer) -> None:
    """Add the commands that stand at the top."""
    examples: dict[Callable[..., None], str] = {
        compress: "squeeze compress mdl_... --data dst_... --ratio 8 --wait",
        search: "squeeze search mdl_... --data dst_... --retain 0.98 --trials 8 --wait",
        predict: "squeeze predict mdl_... 'a gorgeous, witty film'",
        report: "squeeze report job_... --html report.html",
    }
    for command, example in examples.items():
        root.command(epilog=f"Example: {example}")(command)


def _start(client: "Squeeze", job: "Job[Sync]", *, wait: bool, timeout: float | None, as_json: bool) -> None:
    if wait:
        _finish(client, job, timeout=timeout, as_json=as_json)
        return
    from squeeze_client.cli import output

    output.print_json(job) if as_json else print(job.id)


def _finish(client: "Squeeze", job: "Job[Sync]", *, timeout: float | None, as_json: bool) -> None:
    from squeeze_client.cli.watching import wait_for

    _show(wait_for(client, job, timeout_s=timeout), as_json=as_json)


def _show(job: "Job[Sync]", *, as_json: bool) -> None:
    from squeeze_client.cli import output

    if as_json:
        output.print_json(job)
        return
    fields = ("id", "status", "status_message", "teacher", "dataset", "target", "student", "running_s")
    shown = {name: getattr(job, name) for name in fields}
    failure = job.error and f"{job.error.message} ({job.error.code})"
    output.print_fields(
        {**shown, "method": job.method["name"], "error": failure, **_quality(job), **search_outcome(job)}
    )


def _quality(job: "Job[Sync]") -> dict[str, Any]:
    """The main metric of teacher and student on dev, and the teacher's size over the student's."""
    metric = job.metrics.get("metric")
    found: dict[str, Any] = {}
    for model in ("teacher", "student"):
        quality = (job.metrics.get(model) or {}).get("quality") or {}
        if metric and "dev" in quality:
            found[f"{model} dev {metric}"] = quality["dev"].get(metric)
    found["times smaller"] = (job.metrics.get("ratios") or {}).get("parameters")
    return found


def _plan(plan: "Plan") -> dict[str, Any]:
    """What a reader of a plan asks first; ``--json`` has all of it."""
    student = {name: plan.student.get(name) for name in ("shape", "compression_ratio", "size_mb", "advice")}
    estimate = {name: plan.estimate.get(name) for name in ("steps", "seconds", "peak_memory_mb")}
    return {**student, **estimate}


def _search_plan(plan: "SearchPlan") -> dict[str, Any]:
    costs = {name: getattr(plan, name) for name in ("trials", "full_runs", "minutes", "worker_minutes")}
    return {"candidates": len(plan.candidates), **costs}


def search_outcome(job: "Job[Sync]") -> dict[str, Any]:
    """Which goals a search has missed, and by how much."""
    if job.search is None:
        return {}
    unmet = [f"{goal['goal']}: {goal['closest']:.4g} for {goal['asked']:.4g}" for goal in job.search["unmet"]]
    return {"trials": len(job.search["trials"]), "goals that are not met": "; ".join(unmet) or None}


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _answer(said: Any) -> str:
    from squeeze_client.cli.output import cell

    if isinstance(said, list) and said and isinstance(said[0], dict):
        return "; ".join(cell(one) for one in said[:3])
    return cell(said[:8]) + ", ..." if isinstance(said, list) and len(said) > 8 else cell(said)


def _object(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        value = json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise typer.BadParameter("give a JSON object")
    return value
