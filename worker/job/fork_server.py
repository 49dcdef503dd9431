"""A process that has imported what a job needs and forks into the process of each: no job waits for imports.

``python -m worker.job.fork_server <fd>``, where the file descriptor is a socket of whole messages, the other
end of which a worker holds (``worker.runner.launch.ForkServer``). A message with a job's arguments and three
file descriptors, standard input, output and error, is answered with the id of the process that was forked for
it; any other message, once that process has ended, with its exit status and the most memory it had in KiB. So
long as nobody asks, its id is not reused. When the worker is gone, this process ends.
"""

import gc
import json
import os
import socket
import sys

from app.core.confinement import end_with_parent

_LONGEST_MESSAGE = 2**16


def main() -> None:
    gc.disable()  # imports leave hardly anything to collect, and looking for it takes a sixth of their time
    # It takes seconds, and starts no thread that a fork would lack.
    from worker.job import main as job
    from worker.job import pipeline  # noqa: F401

    gc.collect()
    gc.freeze()  # so that no collection in a fork copies the memory they share
    gc.enable()
    if (arguments := _fork(socket.socket(fileno=int(sys.argv[1])))) is not None:
        job.main(arguments)


def _fork(worker: socket.socket) -> list[str] | None:
    """Fork for each message; returns the job's arguments in each forked process, and None at the end."""
    with worker:
        worker.send(b"ready")
        while True:
            message, fds, _, _ = socket.recv_fds(worker, _LONGEST_MESSAGE, 3)
            if not message:
                return None
            server = os.getpid()
            in_session, done = os.pipe()
            if (pid := os.fork()) == 0:
                # A worker whose server is gone starts the job anew: nothing of this one may be left.
                end_with_parent()
                if os.getppid() != server:
                    return None
                os.setsid()
                os.close(in_session)
                os.close(done)
                for standard, fd in enumerate(fds):
                    os.dup2(fd, standard)
                    os.close(fd)
                arguments: list[str] = json.loads(message)
                return arguments
            for fd in (*fds, done):
                os.close(fd)
            # Returns when the fork has closed its end: signals reach its group from then on.
            os.read(in_session, 1)
            os.close(in_session)
            worker.send(str(pid).encode())
            if not worker.recv(_LONGEST_MESSAGE):
                return None
            _, status, usage = os.wait4(pid, 0)
            worker.send(json.dumps([os.waitstatus_to_exitcode(status), usage.ru_maxrss]).encode())


if __name__ == "__main__":
    main()
