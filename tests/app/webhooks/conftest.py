from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from app.core.db import Database
from app.core.outages import Outages
from app.webhooks.sender import WebhookSender
from tests.app.conftest import make_settings
from tests.app.webhooks.receiver import Receiver, receiving
from tests.app.webhooks.rows import NewWebhook, add_webhook


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def sender(database: Database, tmp_path: Path) -> Iterator[WebhookSender]:
    sender = WebhookSender(make_settings(tmp_path, webhook_private_addresses=True), database, Outages())
    yield sender
    sender.close()


@pytest.fixture
def new_webhook(database: Database, receiver: Receiver) -> NewWebhook:
    return partial(add_webhook, database, receiver.url)
