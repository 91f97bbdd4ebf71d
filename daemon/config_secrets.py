"""Where the key to the service comes from: exactly one of a file, a systemd credential, or an OAuth pair."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from daemon.config_read import Problem, Raw

#: The name of the systemd credential (LoadCredential=connecteam-api-key:…).
CREDENTIAL = "connecteam-api-key"
#: Where systemd has the unit's credentials while it runs, and where it takes them from.
PLACES = (Path("/run/credentials/punchd.service"), Path("/etc/credstore"))
#: No key or secret is longer; a file that is, was named by mistake.
_SECRET_MAX = 4096


@dataclass(frozen=True, slots=True)
class Credentials:
    """The one source of the key; a systemd credential stands as its path in `api_key_file`."""

    api_key_file: Path | None = None
    oauth_client_id: str | None = None
    oauth_client_secret_file: Path | None = None


def find_credentials(raw: Raw, environment: Mapping[str, str]) -> tuple[Credentials, list[Problem]]:
    """Decide which source is meant and look into its file; the problems name what does not fit."""
    values, given = raw.section("connecteam"), raw.given("connecteam")
    folder = environment.get("CREDENTIALS_DIRECTORY", "")
    credential = Path(folder) / CREDENTIAL if folder else None
    oauth = {"oauth_client_id", "oauth_client_secret_file"} & given
    if credential is not None and not _is_there(credential, unseen=not oauth and "api_key_file" not in given):
        credential = None
    sources = [name for name in ("api_key_file",) if name in given]
    sources += [f"the systemd credential {CREDENTIAL}"] if credential else []
    sources += ["the OAuth pair"] if oauth else []
    problems = []
    if len(sources) > 1:
        text = " and ".join(sources) + " are both given" if len(sources) == 2 else ", ".join(sources) + " are all given"
        problems.append(raw.problem("connecteam", text, "give one of them"))
    elif not sources:
        remedy = f'add api_key_file = "/etc/punchd/connecteam.key", or LoadCredential={CREDENTIAL}:FILE in the unit'
        problems.append(raw.problem("connecteam.api_key_file", "no key to the service is given", remedy))
    for missing in sorted({"oauth_client_id", "oauth_client_secret_file"} - given) if oauth else []:
        problems.append(raw.problem(f"connecteam.{missing}", f"is missing beside {next(iter(oauth))}", "give both"))
    key_file, secret_file = values.get("api_key_file"), values.get("oauth_client_secret_file")
    if key_file is not None:
        problems += secret_problems(raw, "connecteam.api_key_file", key_file)
    if secret_file is not None:
        problems += secret_problems(raw, "connecteam.oauth_client_secret_file", secret_file)
    if credential is not None:
        # The directory is systemd's own and closed to others, whatever the mode of the file in it.
        problems += secret_problems(raw, f"credential {CREDENTIAL}", credential, guarded=True)
    return Credentials(key_file or credential, values.get("oauth_client_id"), secret_file), problems


def as_the_unit_sees(environment: Mapping[str, str], places: Iterable[Path] = PLACES) -> dict[str, str]:
    """The environment with the credential that the unit gets, for a command that is typed beside it.

    As far as this user may look: the places are root's.
    """
    found = [str(place) for place in places if os.path.lexists(place / CREDENTIAL)]
    return {"CREDENTIALS_DIRECTORY": found[0], **environment} if found else dict(environment)


def _is_there(path: Path, *, unseen: bool) -> bool:
    """Whether anything is there; `unseen` is the answer where this user may not look."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return unseen
    return True


def secret_problems(raw: Raw, key: str, path: Path, *, guarded: bool = False) -> list[Problem]:
    """What is wrong with a file that holds one secret. No text of it is ever part of a problem."""
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            return [Problem(path, key, "is not a file", "name a file that holds the secret alone")]
        found = []
        if not guarded and mode & (stat.S_IRWXO | stat.S_IWGRP):
            remedy = f"chmod 640 {path}, and change the key if others use this box"
            found.append(Problem(path, key, f"is open to others (mode {stat.S_IMODE(mode):03o})", remedy))
        with path.open("rb") as file:
            content = file.read(_SECRET_MAX + 1)
    except FileNotFoundError:
        return [Problem(path, key, "does not exist", "write the secret into it, alone, or name the right file")]
    except OSError as error:
        remedy = "let the user of the service read it (chown, chmod 640), or run this command as that user"
        return [Problem(path, key, f"cannot be read: {error.strerror}", remedy)]
    secret = content.strip()
    visible = all(0x21 <= byte <= 0x7E for byte in secret)  # what an HTTP header can carry
    if not secret:
        found.append(Problem(path, key, "is empty", "write the secret into it, alone"))
    elif len(content) > _SECRET_MAX or not visible:
        found.append(Problem(path, key, "does not hold one secret alone", "write the secret into it, on one line"))
    return found
