"""The payments room on one machine: `python -m handlers.local.payments_server --port 8092`.

The deployed function behind a loopback server, and its schedule beside it. Settings come from the environment as in the clouds;
THEROUTER_BASE_URL names the stand-in of the payment company:

    python -m handlers.local.stripe_standin --port 8093 --secrets SECRETS/payments/stripe \
        --notify http://127.0.0.1:8092/payments/webhooks/stripe
"""

from __future__ import annotations

import argparse
import os
import signal
import threading

from handlers.clouds.renewal import hurry
from handlers.errors import TheRouterError
from handlers.local.platforms import Scheduled, make_front, scheduled
from handlers.payments.function import handler, room
from handlers.settings import Deployment

REPAIR_S = 15.0


def repair_until(stop: threading.Event, repair: Scheduled) -> None:
    """Do what the clouds' schedule does, more often; an outage now is repaired next time."""
    while not stop.wait(REPAIR_S):
        try:
            repair({"task": "repair", "passes": 1})
        except TheRouterError:
            continue


def main(arguments: list[str] | None = None) -> None:
    """Serve until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="payments_server", description="The payments room on this machine.")
    parser.add_argument("--port", type=int, default=8092)
    options = parser.parse_args(arguments)
    room()  # wrong settings and secrets stop the start
    region = Deployment.parse(os.environ).region
    server = make_front(region, handler, options.port)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    signal.signal(signal.SIGHUP, lambda *_: hurry())
    threads = [
        threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True),
        threading.Thread(target=repair_until, args=(stop, scheduled(region, handler)), daemon=True),
    ]
    for thread in threads:
        thread.start()
    print(f"payments at http://127.0.0.1:{server.server_address[1]}/payments", flush=True)
    stop.wait()
    server.shutdown()
    server.server_close()


if __name__ == "__main__":
    main()
