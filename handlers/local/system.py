"""The whole system on one machine: the same rooms, SQL and process boundaries as in the clouds.

Order of start, and the reverse order of stop: secrets, PostgreSQL and migrations, the AWS stand-in, the model, one pod per
provider, the gateway. Each process gets exactly the variables and secrets of its row in handlers.workloads.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import msgspec

from handlers.catalog.entries import Catalog
from handlers.catalog.loading import load_catalog
from handlers.local.admin_beside import AdminBeside
from handlers.local.aws import AwsStandIn, ensure_secrets
from handlers.local.home import Home
from handlers.local.payments_beside import PaymentsBeside
from handlers.local.postgres import PostgresServer, free_port
from handlers.local.probes import accepts, answers, serves
from handlers.local.processes import Child, plain_environment
from handlers.settings import Variable
from handlers.store.logins import read_login
from handlers.store.migrate import LOGINS, apply_migrations, set_passwords

DATABASE = "therouter"
ENVIRONMENT = "local"

Progress = Callable[[str], None]


class PortBusy(RuntimeError):
    """Somebody listens on the port that clients shall use."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to run."""

    region: str = "global"
    port: int = 8080
    """0 takes a free one."""
    model: bool = True
    """Serve the small real model as provider `local`."""
    credentials: Mapping[str, str] = field(default_factory=dict)
    """Provider slug -> API key; enables the provider."""
    addresses: Mapping[str, str] = field(default_factory=dict)
    """Provider slug -> base URL on this machine; enables the provider (self-hosted servers, tests)."""
    models: Mapping[str, list[str]] = field(default_factory=dict)
    """Self-hosted provider slug -> the models found there."""
    durable: bool = True
    """False trades crash safety of the database for speed (tests)."""
    log_level: str = "info"
    secrets_refresh_s: int = 60
    """How long a rotated secret may stay unknown to a process that nobody tells."""
    payments: bool = False
    """Run the payments room and a stand-in of its company, so that a person can try a top-up."""
    site: bool = False
    """Serve the trust page and the documentation."""
    sign_in: bool = False
    """Run an identity provider for development, so that a person can sign in."""


class Running(msgspec.Struct, frozen=True):
    """What `therouter up` tells the other commands."""

    url: str
    region: str
    database_folder: str
    database_port: int
    supervisor: int
    admin_url: str = ""


class LocalSystem:
    """Starts and stops everything. Not thread-safe: one supervisor owns it."""

    def __init__(self, home: Home, options: Options, progress: Progress = lambda _: None) -> None:
        self.home = home
        self.options = options
        self._progress = progress
        self._lock = -1
        self.catalog: Catalog
        self.postgres: PostgresServer
        self.aws: AwsStandIn | None = None
        self.model: Child | None = None
        self.pods: dict[str, Child] = {}
        self.gateway: Child
        self.replicas: list[Child] = []
        """Further gateways, for those who want to see several at work."""
        self.schedules: Child | None = None
        self.admin: AdminBeside | None = None
        self.site: Child | None = None
        self.site_url = ""
        self.payments: PaymentsBeside | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """Where clients go."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def admin_url(self) -> str:
        """Where the control plane answers."""
        return self.admin.url if self.admin is not None else ""

    @property
    def enabled(self) -> list[str]:
        """The providers that run here, by name."""
        slugs = {*self.options.credentials, *self.options.addresses, *self.options.models}
        if self.options.model:
            slugs.add("local")
        return sorted(slugs)

    def start(self) -> None:
        """Start everything that is not running; raises with the remedy, having stopped what it started."""
        self.home.prepare()
        self._lock = self.home.lock()
        try:
            self.port = self._claim_port()
            self.catalog = load_catalog(self.options.region, enabled=frozenset(self.enabled))
            self._start_database()
            self._start_secrets()
            self._start_model()
            for slug in self.enabled:
                self.start_pod(slug)
            self._await_pods()
            self.start_gateway()
            self._start_schedules()
            self._start_payments()
            self._start_admin()
            self._start_site()
            if self.payments is not None:
                self.payments.await_ready()
            self._describe()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop everything, clients' side first."""
        if self.payments is not None:
            self.payments.stop()
        if self.site is not None:
            self.site.stop()
        if self.admin is not None:
            self.admin.stop()
        if self.schedules is not None:
            self.schedules.stop()
        for gateway in (*self.replicas, *([self.gateway] if hasattr(self, "gateway") else [])):
            gateway.stop()
        for pod in self.pods.values():
            pod.stop()
        if self.model is not None:
            self.model.stop()
        if self.aws is not None:
            self.aws.stop()
        if hasattr(self, "postgres"):
            self.postgres.stop()
        self.home.running.unlink(missing_ok=True)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _describe(self) -> None:
        """Tell the other commands of `therouter` where everything is."""
        running = Running(
            url=self.url,
            region=self.options.region,
            database_folder=str(self.postgres.socket_dir),
            database_port=self.postgres.port,
            supervisor=os.getpid(),
            admin_url=self.admin_url,
        )
        self.home.running.write_bytes(msgspec.json.encode(running))

    def children(self) -> list[Child]:
        """The processes to watch, the gateway last."""
        optional = [child for child in (self.model, self.schedules, self.site) if child is not None]
        admin = self.admin.children if self.admin is not None else []
        payments = self.payments.children if self.payments is not None else []
        return [*optional, *admin, *payments, *self.pods.values(), self.gateway]

    def _claim_port(self) -> int:
        if not self.options.port:
            return free_port()
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", self.options.port))
            except OSError:
                raise PortBusy(
                    f"port {self.options.port} is in use; stop what listens there, or: therouter up --port 8090"
                ) from None
        return self.options.port

    def _start_database(self) -> None:
        self._progress("PostgreSQL")
        base = self.home.postgres
        base.mkdir(exist_ok=True)
        base.chmod(0o711)
        self.postgres = PostgresServer(
            base / "data", port=0, socket_dir=self._socket_folder(base), durable=self.options.durable
        )
        self.postgres.start()
        self.postgres.create_database(DATABASE)
        applied = apply_migrations(self.postgres.superuser(DATABASE))
        self._progress(f"PostgreSQL is ready ({len(applied)} migrations applied)" if applied else "PostgreSQL is ready")

    def _socket_folder(self, base: Path) -> Path:
        return base / "run" if self.home.run == self.home.root / "run" else self.home.run / "postgres"

    def _start_secrets(self) -> None:
        self._progress("secrets")
        secrets = ensure_secrets(self.home.secrets, self.options.region, ENVIRONMENT, self.enabled)
        logins = [read_login(role, secrets[f"database/{role}"]) for role in LOGINS]
        set_passwords(self.postgres.superuser(DATABASE), {login.user: login.password for login in logins})
        if self.options.region == "global":
            self.aws = AwsStandIn(self.home.secrets, log=self.home.logs / "aws.log")
            self.aws.start()
            self._progress("AWS stand-in holds the secrets")

    def _start_model(self) -> None:
        if not self.options.model:
            return
        self._progress("the small real model (SmolLM2, 135M)")
        port = free_port()
        command = [sys.executable, "-m", "handlers.local.model", "--port", str(port)]
        self.model = Child("model", command, plain_environment({}), self.home.logs / "model.log")
        self.model.start()
        self._addresses = {"local": f"http://127.0.0.1:{port}/v1"}
        self.model.await_ready(lambda: answers(f"http://127.0.0.1:{port}/health"))

    def _deployment_variables(self) -> dict[str, str]:
        variables: dict[str, str] = {
            Variable.REGION: self.options.region,
            Variable.CLOUD: "local",
            Variable.ENVIRONMENT: ENVIRONMENT,
            Variable.LOG_LEVEL: self.options.log_level,
            Variable.SECRETS_REFRESH: str(self.options.secrets_refresh_s),
        }
        if self.aws is not None:
            return {**variables, **self.aws.variables()}
        return {**variables, Variable.SECRETS: str(self.home.secrets)}

    def pod_address(self, slug: str) -> str:
        """Where the gateway finds a provider's pod."""
        return f"unix:{self.home.run}/{slug}.sock"

    def start_pod(self, slug: str) -> None:
        """Start one provider's process."""
        row = self.catalog.providers[slug]
        variables = {
            **self._deployment_variables(),
            Variable.PROVIDER: slug,
            Variable.LISTEN: self.pod_address(slug),
            Variable.MODELS: str(self._models_file()),
        }
        address = {**getattr(self, "_addresses", {}), **self.options.addresses}.get(slug)
        if address:
            variables[Variable.BASE_URL] = address
        if row.secret and slug in self.options.credentials:
            variables[row.secret] = self.options.credentials[slug]
        command = [sys.executable, "-m", "handlers.provider"]
        pod = Child(f"provider {slug}", command, plain_environment(variables), self.home.logs / f"provider-{slug}.log")
        self.pods[slug] = pod
        _remove_socket(self.pod_address(slug))
        pod.start()

    def _await_pods(self) -> None:
        for slug, pod in self.pods.items():
            self._progress(f"provider {slug}")
            pod.await_ready(partial(accepts, self.pod_address(slug)))

    def start_gateway(self) -> None:
        """Start the gateway's process and wait until it is ready."""
        self._progress("gateway")
        self.gateway = self._gateway_child("gateway", self.port)
        self.gateway.start()
        self.gateway.await_ready(lambda: serves(self.url))
        if not answers(f"{self.url}/readyz"):
            self._progress("the gateway waits for a restore to be finished: therouter restore replay")

    def add_replica(self) -> int:
        """Start one more gateway over the same database and pods; returns its port."""
        port = free_port()
        replica = self._gateway_child(f"gateway-{len(self.replicas) + 2}", port)
        self.replicas.append(replica)
        replica.start()
        replica.await_ready(lambda: answers(f"http://127.0.0.1:{port}/readyz"))
        return port

    def _gateway_child(self, name: str, port: int) -> Child:
        variables = {
            **self._deployment_variables(),
            Variable.LISTEN: f"127.0.0.1:{port}",
            Variable.PROVIDERS: ",".join(self.enabled),
            Variable.WIRE: f"unix:{self.home.run}/{{provider}}.sock",
            Variable.SPOOL: str(self.home.spool),
            Variable.MODELS: str(self._models_file()),
            **self._database_variables("gateway"),
        }
        command = [sys.executable, "-m", "handlers.gateway"]
        return Child(name, command, plain_environment(variables), self.home.logs / f"{name}.log")

    def _database_variables(self, role: str) -> dict[str, str]:
        return {
            Variable.DATABASE_HOST: str(self.postgres.socket_dir),
            Variable.DATABASE_PORT: str(self.postgres.port),
            Variable.DATABASE_NAME: DATABASE,
            Variable.DATABASE_ROLE: role,
        }

    def _mail(self) -> dict[str, str]:
        return {Variable.MAIL: str(self.home.root / "mail")}

    def _start_schedules(self) -> None:
        # Every few seconds all is well: only what is not well is worth a line here.
        quiet = {"POWERTOOLS_LOG_LEVEL": "WARNING", "POWERTOOLS_METRICS_DISABLED": "true"}
        kept: dict[str, str] = {Variable.DIARY: str(self.home.diary), Variable.ARCHIVE: str(self.home.root / "archive")}
        own: dict[str, str] = {**quiet, **self._mail(), **kept}
        variables = {**self._deployment_variables(), **self._database_variables("operations"), **own}
        command = [sys.executable, "-m", "handlers.local.schedules"]
        self.schedules = Child("schedules", command, plain_environment(variables), self.home.logs / "schedules.log")
        self.schedules.start()

    def _start_admin(self) -> None:
        self._progress("control plane")
        self.admin = AdminBeside(
            self.home.root,
            self._deployment_variables(),
            self._database_variables("admin"),
            sign_in=self.options.sign_in,
        )
        self.admin.start()

    def _start_site(self) -> None:
        if not self.options.site:
            return
        self._progress("trust page and documentation")
        port = free_port()
        self.site_url = f"http://127.0.0.1:{port}"
        variables = {**self._deployment_variables(), Variable.PUBLIC_URL: self.url}
        command = [
            sys.executable,
            "-m",
            "handlers.local.functions",
            "handlers.site.function.handler",
            "--port",
            str(port),
        ]
        self.site = Child("site", command, plain_environment(variables), self.home.logs / "site.log")
        self.site.start()
        self.site.await_ready(lambda: answers(f"{self.site_url}/trust"))

    def _start_payments(self) -> None:
        if not self.options.payments:
            return
        self._progress("payments, with a stand-in of the payment company")
        variables = {**self._deployment_variables(), **self._database_variables("payments")}
        self.payments = PaymentsBeside(self.options.region, self.home.secrets, self.home.logs, variables)
        self.payments.start()

    def _models_file(self) -> Path:
        path = self.home.run / "models.json"
        fresh = path.with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode({slug: list(names) for slug, names in self.options.models.items()}))
        fresh.replace(path)  # pods that start now may be reading it
        return path


def _remove_socket(address: str) -> None:
    Path(address.removeprefix("unix:")).unlink(missing_ok=True)
