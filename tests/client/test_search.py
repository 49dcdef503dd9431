"""A search, as the client and its command ask for one."""

import json

from squeeze_client import Dataset, Model, Squeeze
from squeeze_client.cli import jobs as commands

from tests.client.conftest import Command

GOALS = {"retain": 0.5, "max_parameters": 20_000}


def test_its_plan_and_its_end(client: Squeeze, teacher: Model, dataset: Dataset, squeeze: Command):
    plan = client.jobs.plan_search(dataset, teacher=teacher, goals=GOALS, budget={"trials": 2})
    assert plan.trials == 2
    assert plan.worker_minutes >= plan.minutes > 0
    options = ["--data", dataset.id, "--retain", "0.5", "--max-parameters", "20000", "--trials", "2"]
    printed = squeeze("search", teacher.id, *options, "--plan")
    assert f"candidates\t{len(plan.candidates)}" in printed

    job = client.jobs.search(
        dataset, teacher=teacher, goals=GOALS, budget={"trials": 2}, training={"epochs": 1000}
    )
    assert job.search is not None
    assert job.search["goals"].items() >= GOALS.items()
    ended = json.loads(squeeze("jobs", "cancel", job.id, "--json"))
    assert ended["id"] == job.id
    ended = job.wait(timeout_s=60, must_succeed=False)
    assert (ended.status, ended.student) == ("cancelled", None)


def test_what_it_has_missed_is_shown(client: Squeeze, teacher: Model, dataset: Dataset):
    job = client.jobs.search(dataset, teacher=teacher, budget={"trials": 1}, training={"epochs": 1000})
    job.cancel()
    unmet = {"goal": "retain", "asked": 0.98, "closest": 0.91234, "trial": 0}
    search = {"trials": [{}], "unmet": [unmet]}
    shown = commands.search_outcome(job.model_copy(update={"search": search}))
    assert shown == {"trials": 1, "goals that are not met": "retain: 0.9123 for 0.98"}
