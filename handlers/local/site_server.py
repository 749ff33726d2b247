"""The site on one machine: `python -m handlers.local.site_server --port 8094`, the deployed function behind a loopback server."""

from __future__ import annotations

import argparse
import signal
import threading

from handlers.clouds.function_server import make_server
from handlers.site.function import handler, room


def main(arguments: list[str] | None = None) -> None:
    """Serve until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="site_server", description="Trust page and documentation on this machine.")
    parser.add_argument("--port", type=int, default=8094)
    options = parser.parse_args(arguments)
    room()  # wrong settings stop the start
    server = make_server(handler, ("127.0.0.1", options.port))
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
    print(f"site at http://127.0.0.1:{server.server_address[1]}/", flush=True)
    stop.wait()
    server.shutdown()
    server.server_close()


if __name__ == "__main__":
    main()
