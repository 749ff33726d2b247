"""nginx as the measure: one worker, keys compared in a map, kept connections, nothing buffered."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from handlers.local.postgres import free_port
from tests.bench.native import Unavailable
from tests.bench.processes import tree

KEY = "sk-reference-1234"
START_TIMEOUT_S, STOP_TIMEOUT_S = 5.0, 5.0

_CONFIGURATION = """\
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  map $http_authorization $known {{ default 0; "Bearer {key}" 1; }}
  upstream provider {{ server 127.0.0.1:{upstream}; keepalive 1024; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port}; keepalive_requests 100000000; client_max_body_size 50m; client_body_buffer_size 1m;
    location / {{
      if ($known = 0) {{ return 401; }}
      proxy_pass http://provider; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    }}
  }}
}}
"""


@contextmanager
def nginx(folder: Path, upstream_port: int) -> Iterator[tuple[int, int]]:
    """Yields (port, process id of the master); raises Unavailable when nginx is not installed."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        raise Unavailable("make bench compares with nginx, which is not installed: apt-get install nginx-light")
    home = folder / "nginx"
    home.mkdir()
    home.chmod(0o777)  # the worker may run as another user and makes its folders here
    port = free_port()
    file = home / "nginx.conf"
    file.write_text(_CONFIGURATION.format(folder=home, key=KEY, upstream=upstream_port, port=port))
    process = subprocess.Popen([program, "-c", file, "-p", home], stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        _await_worker(process)
        yield port, process.pid
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()


def _await_worker(process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_TIMEOUT_S
    while len(tree([process.pid])) < 2:
        if process.poll() is not None or time.monotonic() > until:
            raise Unavailable("nginx is installed but does not start with a plain configuration")
        time.sleep(0.05)
