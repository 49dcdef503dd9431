"""The worker: takes jobs from the queue and makes students."""

import app  # noqa: F401 - its settings of libraries come before their imports
