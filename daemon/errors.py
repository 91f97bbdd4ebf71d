"""Everything punchd raises on purpose.

PunchdError
├── ConfigError          the configuration or a file it names is wrong           exit 78
├── RefusedError         an operator's request cannot be carried out             exit 1, HTTP 4xx
│   ├── NotFoundError    it names something that does not exist                  HTTP 404
│   └── InvalidInputError   it is malformed (CSV, times, badges)                 HTTP 422
├── StorageError         the database cannot be used                             exit 78 at start
│   ├── StorageBusyError     it cannot be used now: full, failing, read-only, locked   exit 75 at start, tried again
│   ├── NewerSchemaError     it was written by a newer punchd
│   └── DamagedError         its header or content is damaged
│       └── ForeignDatabaseError   or it is another program's
└── AlreadyRunningError  another instance owns the state directory               exit 1

Messages begin with what cannot be done and end with the remedy.
"""

from __future__ import annotations

from typing import Final

#: Of a state directory on a file system that takes no changes: whoever mends it need not start the service as well.
READ_ONLY: Final = (
    "its file system is read-only. The kernel makes it so after an error (journalctl -k): check it and mount it again, "
    "a reboot does both, and mind the card's health. If it is so on purpose, name another (kiosk.state_dir), or let "
    "the unit write there (ReadWritePaths)"
)


class PunchdError(Exception):
    """Base of all expected errors. `code` is a stable word for scripts."""

    code = "error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code


class ConfigError(PunchdError):
    """The configuration or a file it names cannot be used."""

    code = "configuration"


class RefusedError(PunchdError):
    """The daemon understood and will not do it, with its reason."""

    code = "refused"


class NotFoundError(RefusedError):
    """What the request names does not exist."""

    code = "not_found"


class InvalidInputError(RefusedError):
    """What was given is malformed; nothing was changed."""

    code = "invalid_input"


class StorageError(PunchdError):
    """The database cannot be used."""

    code = "storage"


class StorageBusyError(StorageError):
    """The database cannot be used now, but perhaps later without anybody changing the configuration."""

    code = "storage_busy"


class NewerSchemaError(StorageError):
    """The database was written by a newer version."""

    code = "newer_schema"


class DamagedError(StorageError):
    """The database is damaged; it is left as it is. `why` is the damage alone, without what to do about it."""

    code = "damaged"

    def __init__(self, message: str, *, why: str | None = None) -> None:
        super().__init__(message)
        self.why = why or message


class ForeignDatabaseError(DamagedError):
    """The file is another program's; it is left as it is."""

    code = "foreign_database"


class AlreadyRunningError(PunchdError):
    """Another instance owns the state directory."""

    code = "already_running"


class SocketGoneError(PunchdError):
    """A socket's file was taken away from under us."""

    code = "socket_gone"
