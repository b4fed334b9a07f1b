"""``kg serve``: the control plane over HTTP."""

import shlex
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from knowngood.cli.console import GIVEN, fail, mark, say
from knowngood.cli.exit_code import ExitCode
from knowngood_sdk.errors import KnownGoodError, NotFoundError

if TYPE_CHECKING:
    from knowngood.config import Settings


@click.command(
    epilog="""\b
Examples:
  kg serve
  kg serve --config knowngood.yaml --host 0.0.0.0 --tls-cert cert.pem --tls-key key.pem
"""
)
@click.option(
    "--config",
    "path",
    envvar="KNOWNGOOD_CONFIG",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Configuration, YAML or TOML; also KNOWNGOOD_CONFIG.",
)
@click.option("--dir", type=GIVEN, help="Working folder; also KNOWNGOOD_DIR.")
@click.option("--store", type=GIVEN, help="Where the record is kept: a path, or postgresql://...")
@click.option("--host", type=GIVEN, help="Address to listen on; 127.0.0.1 otherwise.")
@click.option("--port", type=int, help="Port to listen on; 8400 otherwise, and 0 for any that is free.")
@click.option("--tls-cert", type=GIVEN, metavar="FILE", help="Certificate chain, PEM.")
@click.option("--tls-key", type=GIVEN, metavar="FILE", help="Its key, PEM.")
@click.option("--insecure", is_flag=True, default=None, help="Listen beyond this host without TLS all the same.")
@click.option("--log", type=click.Choice(["json", "text"]), help="How log lines are written; json otherwise.")
def command(*, path: Path | None, **options: str | int | bool | None) -> None:
    """
    Run the control plane for a team: the API, and the control loop of every system.

    It stops at Ctrl-C or SIGTERM: verbs under way may end first, within a time. It may be killed at any moment and
    started again: what matters is on record or can be measured again.
    """
    import os

    try:
        from knowngood.api import create_app
        from knowngood.api.identity import authenticate_replica
        from knowngood.api.logs import write_logs
        from knowngood.api.replicas import replica_router
        from knowngood.api.serving import bind, check_exposure, serve
    except ModuleNotFoundError as error:
        raise NotFoundError(
            f"a server needs {error.name}, which is not installed", hint="Install it: pip install 'knowngood[server]'"
        ) from error
    from knowngood.app import open_server
    from knowngood.config import read_settings

    settings = read_settings(path, os.environ, options)
    check_exposure(settings)
    listener = bind(settings)
    with listener:
        write_logs(settings.log)
        server = open_server(settings)
        router = replica_router(server.hub, authenticate_replica, namesake=server.has_namesake)
        app = create_app(server, routers=[router], on_stop=[server.hub.end_streams])
        url = url_of(settings, listener.getsockname()[1])

        def announce() -> None:
            server.answers_at(url)
            say(f"{mark('good')} listening at {url}; Ctrl-C stops it")
            for line in places_of(settings):
                say(f"  {line}")
            say(f"  then, where you work: export KNOWNGOOD_URL={url} KNOWNGOOD_TOKEN=kg_...")

        _end_with(lambda: serve(app, settings, listener, announce))


def places_of(settings: "Settings") -> list[str]:
    """Return where the systems and their record are, without a password, and how a token gets into that record."""
    from knowngood.domain.store_address import without_password

    token = f"to get a token: kg token create --for NAME --scope on-call --system SYSTEM --dir {settings.folder}"
    if not settings.store:
        return [f"systems and their record: {settings.folder}", token]
    store = settings.store if "://" in settings.store else str(Path(settings.store).absolute())
    shown = without_password(store)
    lines = [f"systems: {settings.folder}", f"their record: {shown}", f"{token} --store {shlex.quote(shown)}"]
    return lines if shown == store else [*lines, "  with the password of the store in PGPASSWORD, or in ~/.pgpass"]


def url_of(settings: "Settings", port: int) -> str:
    """Return where it is asked: who listens everywhere is asked on this host by name, which a certificate may have."""
    scheme = "https" if settings.tls_cert else "http"
    everywhere = settings.host in {"0.0.0.0", "::"}  # noqa: S104 - it is looked for, not listened on
    host = (socket.gethostname() if settings.tls_cert else "127.0.0.1") if everywhere else settings.host
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _end_with(serving: Callable[[], None]) -> None:
    """
    Serve, and end this process with what came of it.

    It does not return: threads of a library that still wait for a database would hold the process up.
    """
    import os
    import sys
    import traceback

    code = ExitCode.ERROR
    try:
        serving()
        code = ExitCode.DONE
    except KnownGoodError as error:
        code = fail(error, "text")
    except BaseException:  # noqa: BLE001 - whatever it is, nobody behind this tells it
        traceback.print_exc()
    finally:
        with suppress(OSError):  # a stream that nobody reads any more
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
