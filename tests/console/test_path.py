"""A person's whole path by the console alone: from an upload to a served prediction and a comparison."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from app.core.db import DEFAULT_PROJECT, Actor, Database
from app.projects.service import create_key
from tests.console.looking import look_at, picture_for_readme
from tests.e2e.conftest import Stack, has_ended
from tests.tiny import LABELS, tiny_dataset_files, tiny_model_folder

expect.set_options(timeout=60_000)

FAR = {"x-forwarded-for": "203.0.113.7"}
"""As a proxy adds it: such requests need a key."""
STRANGE = "<b>film</b> & <img src=x onerror=alert(1)>"
"""Shown as it is, wherever it comes from."""
STREAM = re.compile("/events/stream")


@pytest.fixture
def page(browser: Browser, stack: Stack) -> Iterator[Page]:
    """A page of somebody on another machine; scripts fail on none, and no policy is violated."""
    context = browser.new_context(
        base_url=f"{stack.http.base_url}", extra_http_headers=FAR, locale="en-GB", service_workers="block"
    )
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    yield page
    context.close()
    assert [fault for fault in faults if "Failed to load resource" not in fault] == []


@pytest.fixture
def key(stack: Stack) -> str:
    database = Database(stack.settings.resolved_database_url)
    with database.of(DEFAULT_PROJECT, Actor("command line", "createKey")).transaction() as session:
        _, token = create_key(session, name="console", scopes=["admin"], expires_at=None)
    database.dispose()
    return token


def test_from_an_upload_to_a_prediction_and_a_comparison(
    browser: Browser, stack: Stack, page: Page, key: str, tmp_path: Path
):
    """One test: each process of a test run that had a part of it would start the whole service."""
    look_without_a_key(browser, stack)
    give_the_key(page, key)
    upload_a_model(page, tmp_path)
    upload_a_data_set(page, tmp_path)
    teach(page, stack)
    job = squeeze(page)
    read_the_report(page)
    browse_disagreements(page)
    try_both(page)
    compare(page)
    look_around(page, job)


def look_without_a_key(browser: Browser, stack: Stack) -> None:
    """From this machine; by keyboard on a phone's width."""
    page = browser.new_page(base_url=f"{stack.http.base_url}", locale="en-GB")
    page.goto("/console/keys")
    expect(page.get_by_label("Key", exact=True)).to_be_visible()
    page.get_by_role("link", name="Overview").click()
    expect(page.get_by_role("heading", name="First steps")).to_be_visible()
    page.set_viewport_size({"width": 390, "height": 844})
    jobs = page.get_by_role("link", name="Jobs")
    expect(jobs).to_be_hidden()
    page.get_by_role("button", name="Menu").press("Enter")
    jobs.press("Enter")
    expect(page.get_by_role("heading", name="Jobs", exact=True)).to_be_focused()
    expect(jobs).to_be_hidden()
    page.close()


def give_the_key(page: Page, key: str) -> None:
    page.goto("/console/")
    expect(page.get_by_text("This service needs an API key.")).to_be_visible()
    look_at(page, "key")
    page.get_by_label("Key", exact=True).fill("sqz_wrong")
    page.get_by_role("button", name="Use key").click()
    expect(page.get_by_role("button", name="Forget key")).to_be_visible()
    page.get_by_label("Key", exact=True).fill(key)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="First steps")).to_be_visible()
    look_at(page, "first-steps")


def upload_a_model(page: Page, folder: Path) -> None:
    """A folder; before that an archive which is none."""
    page.get_by_role("link", name="Upload a model").click()
    no_archive = folder / "notes.zip"
    no_archive.write_text("no archive")
    page.get_by_label("Files", exact=True).set_input_files(no_archive)
    page.get_by_role("button", name="Upload model").click()
    expect(page.get_by_role("alert")).to_contain_text("cannot be read as a .zip")
    look_at(page, "upload-model")
    page.get_by_label("Folder", exact=True).set_input_files(
        tiny_model_folder(folder / "sentiment", labels=LABELS)
    )
    expect(page.get_by_label("Name", exact=True)).to_have_value("sentiment")
    page.get_by_role("button", name="Upload model").click()
    expect(page.get_by_role("heading", name="sentiment", level=1)).to_be_visible()


def upload_a_data_set(page: Page, folder: Path) -> None:
    """The fault of a table is shown beside it; then what was understood."""
    page.get_by_role("link", name="Data sets").press("Enter")
    expect(page.get_by_role("heading", name="Data sets", level=1)).to_be_focused()
    page.get_by_role("link", name="Upload a data set").click()
    files = tiny_dataset_files(folder / "data")
    strange = json.dumps({"text": STRANGE, "label": "positive"})
    files["train"].write_text(f"{strange}\n{files['train'].read_text()}")
    broken = folder / "train.jsonl"
    broken.write_text(f"{files['train'].read_text()}{json.dumps({'text': 'no label'})[:-4]}\n")
    drop(page, broken, files["dev"], files["test"])
    page.get_by_label("Name", exact=True).fill("reviews")
    page.get_by_role("button", name="Check").click()
    expect(page.locator(".file-row").filter(has_text="train.jsonl").get_by_role("alert")).to_contain_text(
        "line 258"
    )
    look_at(page, "upload-fault")
    page.get_by_label("Files", exact=True).set_input_files(files["train"])
    page.get_by_role("button", name="Check").click()
    expect(page.get_by_role("heading", name="First rows")).to_be_visible()
    page.get_by_role("button", name="Register data set").click()
    expect(page.get_by_role("heading", name="reviews", level=1)).to_be_visible()
    expect(page.get_by_text(STRANGE)).to_be_visible()
    look_at(page, "data-set")


def drop(page: Page, *files: Path) -> None:
    """As a file manager drops them on the page."""
    contents = [[path.name, path.read_text()] for path in files]
    dropped = page.evaluate_handle(
        """files => {
            const dropped = new DataTransfer();
            for (const [name, content] of files) dropped.items.add(new File([content], name));
            return dropped;
        }""",
        contents,
    )
    page.locator(".drop").dispatch_event("drop", {"dataTransfer": dropped})


def teach(page: Page, stack: Stack) -> None:
    """Its history is shown whole, though it is streamed only once the job has ended."""

    def cut_off(route: Route) -> None:
        job = re.search(r"jobs/(\w+)/", route.request.url)
        assert job is not None
        if has_ended(stack.get(f"/v1/jobs/{job[1]}")):
            route.continue_()
        else:
            route.abort()

    page.get_by_role("link", name="Train on it").click()
    page.get_by_label("Method").select_option("fine_tuning")
    set_training(page, epochs=8)
    page.route(STREAM, cut_off)
    start(page)
    page.unroute(STREAM)


def set_training(page: Page, *, epochs: int) -> None:
    for name, value in {"Epochs": epochs, "Learning rate": 0.002, "Batch size": 16}.items():
        page.get_by_label(name, exact=True).fill(str(value))


def start(page: Page) -> None:
    """A job by the form, watched to its end."""
    expect(page.get_by_role("complementary", name="Plan").get_by_text("Steps", exact=True)).to_be_visible()
    with page.expect_request(STREAM) as stream:
        page.get_by_role("button", name="Start job").click()
    assert stream.value.headers["authorization"].startswith("Bearer sqz_")
    expect(page.get_by_role("navigation", name="Parts of the job")).to_be_visible()
    expect(page.locator(".page-head .badge")).to_have_text("succeeded")
    expect(page.get_by_role("img", name="Training loss")).to_be_visible()


def squeeze(page: Page) -> str:
    """The plan beside the form follows what is typed; a fault is shown at its field."""
    page.locator(".facts").get_by_role("link", name="sentiment / fine_tuning").click()
    page.get_by_role("link", name="Compress").click()
    plan = page.get_by_role("complementary", name="Plan")
    expect(page.get_by_label("Method")).to_have_value("weight_squeezing")
    page.get_by_label("Compression ratio").fill("1000000")
    expect(
        page.locator(".field").filter(has=page.get_by_label("Compression ratio")).get_by_role("alert")
    ).to_be_visible()
    page.get_by_label("Compression ratio").fill("2")
    expect(plan.get_by_text("times fewer")).to_be_visible()
    page.get_by_role("checkbox", name="Distillation").check()
    page.get_by_label("Temperature").fill("2")
    set_training(page, epochs=3)
    expect(plan).to_contain_text('"distillation": {\n      "temperature": 2')
    expect(plan).to_contain_text('method={"name": "weight_squeezing", "distillation": {"temperature": 2}}')
    expect(plan.get_by_text("Steps", exact=True)).to_be_visible()
    look_at(page, "new-job")
    picture_for_readme(page, "console")
    start(page)
    look_at(page, "job")
    return page.url.rsplit("/", 1)[-1]


def read_the_report(page: Page) -> None:
    for part in ("Plan", "Log"):
        page.get_by_role("link", name=part, exact=True).click()
        expect(page.get_by_role("heading", name=part)).to_be_visible()
        expect(page.get_by_text("succeeded, attempt 1" if part == "Log" else "times fewer")).to_be_visible()
        look_at(page, f"job-{part.lower()}")
    page.get_by_role("link", name="Report", exact=True).click()
    models = page.get_by_role("region", name="Models")
    for name in ("teacher", "student", "student, ONNX int8", "TF-IDF and logistic regression"):
        expect(models.get_by_role("cell", name=name, exact=True)).to_be_visible()
    look_at(page, "report")
    picture_for_readme(page, "report")
    with page.expect_download() as download:
        page.get_by_role("button", name="Markdown").click()
    assert "# Report on" in download.value.path().read_text()


def browse_disagreements(page: Page) -> None:
    page.get_by_role("navigation", name="Parts of the job").get_by_role("link", name="Disagreements").click()
    expect(page.get_by_role("heading", name="Disagreements")).to_be_visible()
    expect(
        page.locator(".differing > li").or_(page.get_by_text("give the same answers")).first
    ).to_be_visible()
    look_at(page, "disagreements")
    page.get_by_label("Student is sure").select_option("0.9")
    expect(page).to_have_url(re.compile("confidence=0.9"))


def try_both(page: Page) -> None:
    page.get_by_role("link", name="Try both models").click()
    page.get_by_label("Text", exact=True).fill("a wonderful and charming film")
    page.keyboard.press("Control+Enter")
    answers = page.locator(".bars")
    expect(answers).to_have_count(2)
    for side in range(2):
        expect(answers.nth(side).locator("li").first).to_contain_text("%")
    look_at(page, "playground")


def compare(page: Page) -> None:
    page.get_by_role("link", name="Compare").click()
    expect(page.get_by_role("img", name="Pareto line")).to_be_visible()
    expect(page.get_by_role("region", name="Models").get_by_role("row")).to_have_count(3)
    expect(page.get_by_text("on the line", exact=True).first).to_be_visible()
    page.get_by_label("Quality against").select_option("size")
    expect(page.get_by_role("heading", name="Accuracy against file size")).to_be_visible()
    look_at(page, "compare")


def create_a_key(page: Page) -> None:
    page.get_by_label("Name", exact=True).fill(STRANGE)
    page.get_by_role("button", name="Create key").click()
    expect(page.get_by_role("region", name="Secret")).to_contain_text("sqz_")
    expect(page.get_by_role("cell", name=STRANGE, exact=True)).to_be_visible()


def look_around(page: Page, job: str) -> None:
    """The pages that the path has not come by."""
    pages = {
        "Overview": "Newest jobs",
        "Jobs": "All jobs",
        "Models": "All models",
        "Data sets": "All data sets",
        "Keys and usage": "API keys",
    }
    for name, heading in pages.items():
        page.get_by_role("navigation", name="Pages").get_by_role("link", name=name, exact=True).click()
        expect(page.get_by_role("heading", name=heading).last).to_be_visible()
        look_at(page, name.lower().replace(" ", "-"))
    create_a_key(page)
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Models").click()
    page.get_by_role("link", name="sentiment / fine_tuning / weight_squeezing").click()
    expect(page.get_by_role("heading", name="ONNX files")).to_be_visible()
    look_at(page, "model")
    page.goto(f"/console/jobs/{job}x")
    expect(page.get_by_role("heading", name="Job", exact=True)).to_be_visible()
    expect(page.get_by_role("alert")).to_contain_text("There is no job")
    look_at(page, "missing")
