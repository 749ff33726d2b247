"""A function on one machine: `python -m handlers.local.functions handlers.admin.function.handler --port 8081`.

The deployed handler behind a loopback server, called as the region's cloud calls it (platforms.py); settings and secrets come as in the clouds, so that a wrong one stops the start. At SIGHUP it reads its secrets again.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import threading

from handlers.clouds import SecretError
from handlers.clouds.function_server import load_handler
from handlers.clouds.renewal import hurry
from handlers.local.platforms import make_front
from handlers.settings import Deployment, SettingError

WARM_UP = "resolver"
"""What a function's module calls to put its room together, if it has it."""


def serve(entry: str, port: int) -> None:
    """Serve until SIGINT or SIGTERM."""
    handler = load_handler(entry)
    prepare = getattr(importlib.import_module(entry.rpartition(".")[0]), WARM_UP, None)
    if prepare is not None:
        prepare()
    server = make_front(Deployment.parse(os.environ).region, handler, port)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    signal.signal(signal.SIGHUP, lambda *_: hurry())
    threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
    print(f"{entry} at http://127.0.0.1:{server.server_address[1]}", flush=True)
    stop.wait()
    server.shutdown()
    server.server_close()


def main(arguments: list[str] | None = None) -> int:
    """The process."""
    parser = argparse.ArgumentParser(prog="functions", description="One function on this machine.")
    parser.add_argument("entry", help="handlers.ROOM.MODULE.NAME")
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args(arguments)
    try:
        serve(options.entry, options.port)
    except (SettingError, SecretError, ValueError) as error:
        print(f"the function cannot start: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
