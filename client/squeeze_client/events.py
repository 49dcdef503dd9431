"""The events of a job: as a stream that is resumed where it breaks off, or else by pages."""

import json
from dataclasses import dataclass, field
from typing import Any

import httpx

from squeeze_client.effects import Close, Item, Items, Next, Open, Sleep
from squeeze_client.errors import ConnectionFailed
from squeeze_client.operations import call
from squeeze_client.responses import Event, JobData
from squeeze_client.sending import MAX_RETRIES, open_stream, pause, send

_SILENCE_S = 60.0
"""The service says something four times in it."""
_POLL_S = 1.0


@dataclass
class _Message:
    """A server-sent event, line by line."""

    kind: str = ""
    data: list[str] = field(default_factory=list)

    def add(self, line: str) -> None:
        name, _, value = line.partition(":")
        if name == "event":
            self.kind = value.removeprefix(" ")
        elif name == "data":
            self.data.append(value.removeprefix(" "))


def stream_events(job_id: str, after: int) -> Items[Event]:
    """Past and coming events after an id, until the job has ended."""
    failures = 0
    while failures <= MAX_RETRIES:
        headers = {"accept": "text/event-stream"} | ({"last-event-id": str(after)} if after else {})
        request = call(
            "streamJobEvents",
            {"job_id": job_id},
            params={"after": after},
            headers=headers,
            timeout_s=_SILENCE_S,
        )
        before = after
        try:
            opened = yield from open_stream(Open(request, "lines"))
            message = _Message()
            while (line := (yield Next(opened))) is not None:
                if line:
                    message.add(line)
                    continue
                if message.kind == "done":
                    yield Close(opened)
                    return
                if message.data:
                    event = Event.model_validate(json.loads("\n".join(message.data)))
                    after = event.id
                    yield Item(event)
                message = _Message()
            yield Close(opened)
        except (httpx.TransportError, ConnectionFailed):
            pass
        failures = 0 if after > before else failures + 1
        yield Sleep(pause(failures))
    # Something between here and the service lets no streams through.
    yield from _polled_events(job_id, after)


def past_events(job_id: str, after: int) -> Any:
    """Events that are there; returns the id of the last one."""
    while True:
        params = {"after": after, "limit": 100}
        page = (yield from send(call("listJobEvents", {"job_id": job_id}, params=params))).json()
        for entry in page["data"]:
            event = Event.model_validate(entry)
            after = event.id
            yield Item(event)
        if not page["has_more"]:
            return after


def _polled_events(job_id: str, after: int) -> Items[Event]:
    while True:
        job = JobData.model_validate((yield from send(call("getJob", {"job_id": job_id}))).json())
        after = yield from past_events(job_id, after)
        if job.has_ended:
            return
        yield Sleep(_POLL_S)
