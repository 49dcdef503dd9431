"""Fine-tuning jobs as OpenAI's client creates, lists, follows and cancels them."""

import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import openai
import pytest
from openai.types.fine_tuning import FineTuningJob

from app.core.db import DEFAULT_PROJECT
from app.core.db.base import database_time
from app.core.db.checkpoints import add_checkpoint
from app.core.db.jobs import Job, append_event, lock_job, move
from app.domain.documents.events import Message, Metrics
from app.domain.documents.manifest import FileEntry
from app.domain.job_states import JobStatus
from tests.app.conftest import Api
from tests.app.jobs.shelf import ENCODER, add_dataset, add_model

NOWHERE = "0" * 26


@pytest.fixture
def shelf(server: Api) -> Any:
    return SimpleNamespace(database=server.database.of(DEFAULT_PROJECT))


@pytest.fixture
def model(shelf: Any) -> str:
    return add_model(shelf, ENCODER, None)


@pytest.fixture
def dataset(shelf: Any) -> str:
    return add_dataset(shelf, "text_classification")


@pytest.fixture(scope="module")
def files(client: openai.OpenAI, dataset_files: Mapping[str, Path]) -> dict[str, str]:
    """By split, the ids of files."""
    return {
        split: client.files.create(file=(f"{split}.jsonl", path.read_bytes()), purpose="fine-tune").id
        for split, path in dataset_files.items()
    }


Change = Callable[[Any, Job], None]


def changed(shelf: Any, job_id: str, change: Change) -> None:
    """What a worker does to a job."""
    with shelf.database.transaction() as session:
        change(session, lock_job(session, job_id))


def test_a_job_is_made_of_files(
    server: Api, client: openai.OpenAI, model: str, files: dict[str, str]
) -> None:
    made = client.fine_tuning.jobs.create(
        model=model,
        training_file=files["train"],
        validation_file=files["dev"],
        hyperparameters={"n_epochs": 3, "batch_size": 16, "learning_rate_multiplier": "auto"},
        suffix="films",
        seed=7,
        metadata={"team": "search"},
    )
    assert (made.object, made.status, made.model) == ("fine_tuning.job", "queued", model)
    assert (made.training_file, made.validation_file) == (files["train"], files["dev"])
    assert (made.hyperparameters.n_epochs, made.hyperparameters.batch_size, made.seed) == (3, 16, 7)
    assert made.method is not None
    assert made.method.type == "supervised"
    assert (made.metadata, made.result_files, made.integrations) == ({"team": "search"}, [], [])
    assert (made.organization_id, made.error, made.trained_tokens) == (DEFAULT_PROJECT, None, None)
    assert made.created_at > 1.7e9
    assert (made.finished_at, made.estimated_finish, made.fine_tuned_model) == (None, None, None)
    assert client.fine_tuning.jobs.retrieve(made.id) == made
    job = ours(server, client, made)
    assert job["method"] == {"name": "fine_tuning"}
    assert job["student_name"] == "model / films"
    assert (job["training"]["epochs"], job["training"]["batch_size"]) == (3, 16)
    assert job["dataset"] == made.to_dict()["dataset"]
    assert client.files.retrieve(files["train"]), "which further jobs may use"


def ours(server: Api, client: openai.OpenAI, job: FineTuningJob) -> dict[str, Any]:
    """The same job as our own route shows it."""
    headers = {"authorization": f"Bearer {client.api_key}"}
    answer: dict[str, Any] = server.http.get(f"/v1/jobs/{job.id}", headers=headers).json()
    return answer


def test_a_job_compresses_by_our_names(server: Api, client: openai.OpenAI, shelf: Any, dataset: str) -> None:
    teacher = add_model(shelf, ENCODER, "text_classification")
    made = client.fine_tuning.jobs.create(
        model=teacher,
        training_file=dataset,
        extra_body={
            "method": {"name": "weight_copy"},
            "target": {"compression_ratio": 2},
            "training": {"learning_rate": 1e-4},
            "exports": ["fp32"],
            "time_limit_s": 600,
        },
    )
    assert (made.training_file, made.validation_file) == (dataset, None)
    assert made.method is not None
    assert made.method.to_dict()["name"] == "weight_copy"
    assert made.hyperparameters.n_epochs == 20, "as the plan has it"
    job = ours(server, client, made)
    assert (job["teacher"], job["dataset"], job["exports"]) == (teacher, dataset, ["fp32"])
    assert (job["training"]["learning_rate"], job["time_limit_s"]) == (1e-4, 600)
    assert job["target"]["compression_ratio"] == 2
    assert job["student_name"] is None


def test_openai_s_own_method_has_hyperparameters(client: openai.OpenAI, model: str, dataset: str) -> None:
    made = client.fine_tuning.jobs.create(
        model=model,
        training_file=dataset,
        method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2}}},
    )
    assert made.hyperparameters.n_epochs == 2


def test_pages_and_metadata(client: openai.OpenAI, stranger: openai.OpenAI, model: str, dataset: str) -> None:
    create = client.fine_tuning.jobs.create
    made = [create(model=model, training_file=dataset, metadata={"n": str(n)}).id for n in range(3)]
    page = client.fine_tuning.jobs.list(limit=2)
    assert ([job.id for job in page.data], page.has_more) == (made[:0:-1], True)
    assert [job.id for job in client.fine_tuning.jobs.list(limit=2, after=made[2])][:2] == made[1::-1]
    assert [job.id for job in client.fine_tuning.jobs.list(limit=1)][:3] == made[::-1]
    assert [job.id for job in client.fine_tuning.jobs.list(metadata={"n": "1"})][:1] == [made[1]]
    assert list(client.fine_tuning.jobs.list(metadata={"n": "x"})) == []
    assert list(stranger.fine_tuning.jobs.list()) == []
    with pytest.raises(openai.UnprocessableEntityError, match="is no condition"):
        client.fine_tuning.jobs.list(extra_query={"metadata": "null"})


def test_a_job_runs_and_succeeds(client: openai.OpenAI, shelf: Any, model: str, dataset: str) -> None:
    job_id = client.fine_tuning.jobs.create(model=model, training_file=dataset).id

    def run(session: Any, job: Job) -> None:
        move(session, job, JobStatus.RUNNING)
        job.progress = {"stage": "training", "step": 10, "total_steps": 100, "eta_s": 90}
        append_event(session, job.id, Metrics(stage="training", step=10, values={"loss": 0.25}))
        append_event(session, job.id, Message(level="warning", text="Few rows."))
        file = FileEntry(sha256="0" * 64, size_bytes=1)
        for step in (10, 20):
            add_checkpoint(session, job, step=step, key=f"checkpoints/{step}", file=file)

    changed(shelf, job_id, run)
    running = client.fine_tuning.jobs.retrieve(job_id)
    assert running.status == "running"
    assert running.estimated_finish is not None
    assert running.estimated_finish > running.created_at
    checkpoints = list(client.fine_tuning.jobs.checkpoints.list(job_id, limit=1))
    assert [checkpoint.step_number for checkpoint in checkpoints] == [20, 10]
    assert [checkpoint.metrics.step for checkpoint in checkpoints] == [20, 10]
    assert {checkpoint.fine_tuning_job_id for checkpoint in checkpoints} == {job_id}
    student = add_model(shelf, ENCODER, "text_classification")

    def succeed(session: Any, job: Job) -> None:
        job.student_id = student
        move(session, job, JobStatus.SUCCEEDED, student=student)

    changed(shelf, job_id, succeed)
    done = client.fine_tuning.jobs.retrieve(job_id)
    assert (done.status, done.fine_tuned_model, done.estimated_finish) == ("succeeded", student, None)
    assert done.finished_at is not None
    assert done.finished_at >= done.created_at
    events = list(client.fine_tuning.jobs.list_events(job_id, limit=2))
    assert [(event.level, event.type, event.message) for event in events] == [
        ("info", "message", "The job has succeeded."),
        ("warn", "message", "Few rows."),
        ("info", "metrics", "training, step 10: loss = 0.25"),
        ("info", "message", "The job is running."),
        ("info", "message", "The job is queued."),
    ]
    assert {event.object for event in events} == {"fine_tuning.job.event"}
    assert events[2].data == {"stage": "training", "step": 10, "values": {"loss": 0.25}}
    assert len({event.id for event in events}) == 5


def test_a_job_fails(client: openai.OpenAI, shelf: Any, model: str, dataset: str) -> None:
    job_id = client.fine_tuning.jobs.create(model=model, training_file=dataset).id

    def fail(session: Any, job: Job) -> None:
        assert database_time(session) >= job.created_at
        job.error_code, job.error_message = "nan_loss", "The loss is NaN."
        move(session, job, JobStatus.FAILED, error={"code": "nan_loss", "message": "The loss is NaN."})

    changed(shelf, job_id, fail)
    failed = client.fine_tuning.jobs.retrieve(job_id)
    assert failed.status == "failed"
    assert failed.error is not None
    assert (failed.error.code, failed.error.message) == ("nan_loss", "The loss is NaN.")
    [last, _] = client.fine_tuning.jobs.list_events(job_id)
    assert (last.level, last.message) == ("error", "The job has failed. The loss is NaN.")


def test_a_job_is_cancelled_once(client: openai.OpenAI, model: str, dataset: str) -> None:
    job_id = client.fine_tuning.jobs.create(model=model, training_file=dataset).id
    assert client.fine_tuning.jobs.cancel(job_id).status == "cancelled"
    # A client that may repeat requests does not repeat this one.
    with pytest.raises(openai.ConflictError) as refused:
        client.with_options(max_retries=2).fine_tuning.jobs.cancel(job_id)
    assert refused.value.code == "job_already_finished"
    assert refused.value.response.request.headers["x-stainless-retry-count"] == "0"


def test_others_have_no_such_job(
    client: openai.OpenAI, stranger: openai.OpenAI, model: str, dataset: str, files: dict[str, str]
) -> None:
    job_id = client.fine_tuning.jobs.create(model=model, training_file=dataset).id
    jobs = stranger.fine_tuning.jobs
    for ask in (jobs.retrieve, jobs.cancel, jobs.list_events, jobs.checkpoints.list):
        with pytest.raises(openai.NotFoundError) as absent:
            ask(job_id)
        assert absent.value.code == "job_not_found"
    with pytest.raises(openai.NotFoundError) as absent:
        jobs.create(model=model, training_file=files["train"])
    assert absent.value.code == "model_not_found"


def test_cursors_are_of_the_job(client: openai.OpenAI, model: str, dataset: str) -> None:
    job_id = client.fine_tuning.jobs.create(model=model, training_file=dataset).id
    with pytest.raises(openai.UnprocessableEntityError) as refused:
        client.fine_tuning.jobs.list_events(job_id, after=f"job_{NOWHERE}-1")
    assert refused.value.code == "unknown_cursor"


WRONG: dict[str, tuple[dict[str, Any], str, str | None]] = {
    "another method": ({"method": {"type": "dpo"}}, "is for models that chat", "method.type"),
    "a factor of the rate": (
        {"hyperparameters": {"learning_rate_multiplier": 2}},
        "training.learning_rate",
        "hyperparameters.learning_rate_multiplier",
    ),
    "half an epoch": ({"hyperparameters": {"n_epochs": 0.5}}, "n_epochs", "hyperparameters.n_epochs"),
    "an integration": (
        {"integrations": [{"type": "wandb", "wandb": {"project": "p"}}]},
        "integrations",
        "integrations",
    ),
    "an unknown word": ({"extra_body": {"colour": "red"}}, "colour", "colour"),
    "a seed twice": ({"seed": 1, "extra_body": {"training": {"seed": 2}}}, "training has seed", None),
    "epochs twice": (
        {"hyperparameters": {"n_epochs": 1}, "method": {"type": "supervised", "supervised": {}}},
        "given twice",
        None,
    ),
    "a file beside a data set": ({"validation_file": "upl_1"}, "has its own dev rows", None),
    "a task of a data set": ({"extra_body": {"task": "translation"}}, "of which task is known", None),
    "a setting of another method": (
        {"extra_body": {"method": {"name": "weight_copy", "colour": 1}}},
        "method weight_copy: colour",
        "method.colour",
    ),
    "of a job": ({"extra_body": {"required_exports": ["int8"], "exports": ["fp32"]}}, "int8", None),
    "of a plan": ({"extra_body": {"method": {"name": "weight_copy"}}}, "target", "target"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_honoured_is_refused(
    client: openai.OpenAI, shelf: Any, dataset: str, name: str
) -> None:
    said, message, parameter = WRONG[name]
    model = add_model(shelf, ENCODER, "text_classification")
    with pytest.raises(openai.UnprocessableEntityError, match=message) as refused:
        client.fine_tuning.jobs.create(model=model, training_file=dataset, **said)
    if parameter is not None:
        assert refused.value.param == parameter


def test_what_is_absent_or_wrong_in_files_is_named(
    server: Api, client: openai.OpenAI, model: str, files: dict[str, str]
) -> None:
    create = client.fine_tuning.jobs.create
    before = (server.stored(), server.rows())
    with pytest.raises(openai.NotFoundError) as absent:
        create(model="gpt-4o-mini", training_file=files["train"])
    assert absent.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError) as absent:
        create(model=model, training_file="file-abc123", validation_file=files["dev"])
    assert (absent.value.code, absent.value.param) == ("file_not_found", "training_file")
    with pytest.raises(openai.UnprocessableEntityError) as refused:
        create(model=model, training_file=files["train"])
    assert (refused.value.code, refused.value.param) == ("validation_file_required", "validation_file")
    with pytest.raises(openai.NotFoundError) as absent:
        create(model=model, training_file=f"dst_{NOWHERE}")
    assert absent.value.code == "dataset_not_found"
    chat = b'{"messages": [{"role": "user", "content": "hello"}]}\n'
    talk = client.files.create(file=("chat.jsonl", chat), purpose="fine-tune").id
    with pytest.raises(openai.UnprocessableEntityError) as refused:
        create(model=model, training_file=talk, validation_file=files["dev"])
    assert refused.value.param == "training_file"
    client.files.delete(talk)
    assert (server.stored(), server.rows()) == before


def test_a_key_of_idempotency_makes_one_job(
    server: Api, client: openai.OpenAI, model: str, files: dict[str, str]
) -> None:
    before = server.rows()
    first, second = (
        client.fine_tuning.jobs.create(
            model=model,
            training_file=files["train"],
            validation_file=files["dev"],
            extra_headers={"Idempotency-Key": "one job"},
        )
        for _ in range(2)
    )
    assert first == second
    assert server.rows() == before | {"datasets": before["datasets"] + 1, "jobs": before["jobs"] + 1}


def test_an_archive_may_hold_both_tables(
    client: openai.OpenAI, model: str, dataset_files: Mapping[str, Path]
) -> None:
    def sent(*splits: str) -> str:
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            for split in splits:
                file.write(dataset_files[split], f"{split}.jsonl")
        return client.files.create(file=("films.zip", archive.getvalue()), purpose="fine-tune").id

    create = client.fine_tuning.jobs.create
    assert create(model=model, training_file=sent("train", "dev")).validation_file is None
    with pytest.raises(openai.UnprocessableEntityError) as refused:
        create(model=model, training_file=sent("train"))
    assert refused.value.param == "validation_file"
