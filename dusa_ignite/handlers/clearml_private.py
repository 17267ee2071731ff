"""The parts of ClearML's client that it does not document, all of them in one place.

They are needed to ask a server once instead of for hours, and to keep the client from forking and from waiting when the
process ends. Versions 2.0.0, 2.0.2, 2.1.0, 2.1.3, 2.1.5 and 2.1.12 have them; whether the installed one does, tells
``tests/handlers/test_clearml_private.py``.
"""

from __future__ import annotations

import atexit
from typing import NamedTuple

from clearml import OutputModel, Task
from clearml.backend_api.session import Session
from clearml.backend_api.session.defs import ENV_ACCESS_KEY, ENV_AUTH_TOKEN, ENV_SECRET_KEY
from clearml.backend_api.utils import get_http_session_with_retry
from clearml.binding.environ_bind import PatchOsFork
from clearml.config import config_obj


class Access(NamedTuple):
    """What clearml.conf and the environment say of the server; ``None`` or empty = nothing."""

    host: str
    key: str | None
    secret: str | None
    token: str | None


def configured_access() -> Access:
    """The server and the credentials that this machine is configured for."""
    return Access(
        host=Session.get_api_server_host(),
        key=ENV_ACCESS_KEY.get() or config_obj.get("api.credentials.access_key", None),
        secret=ENV_SECRET_KEY.get() or config_obj.get("api.credentials.secret_key", None),
        token=ENV_AUTH_TOKEN.get(),
    )


def post_once(url: str, *, auth: tuple[str, str] | None, timeout: float) -> int:
    """The status of one request with the client's own settings (certificates, proxies), made once.

    Raises:
        requests.RequestException: there was no answer.
    """
    with get_http_session_with_retry(total=0, config=config_obj) as http:
        return http.post(url, auth=auth, timeout=timeout).status_code


def do_not_fork() -> None:
    """Keep the client from forking a process for its reports: this one has threads and a GPU."""
    Task._report_subprocess_enabled = False  # type: ignore[assignment]


def do_not_follow_forks() -> None:
    """Keep processes that are forked from this one, such as data loader workers, from starting to report."""
    PatchOsFork.patch_fork(None)  # type: ignore[arg-type]


def forget_at_exit() -> None:
    """Keep the client from waiting for its server when the process ends."""
    atexit.unregister(_FromClearML())  # type: ignore[arg-type]


class NewModel(OutputModel):
    """An output model that has not been published: offline, ClearML 2.1 cannot tell and fails."""

    published = False


class _FromClearML:
    """Equal to every function of ClearML's."""

    def __eq__(self, other: object) -> bool:
        return str(getattr(other, "__module__", "")).startswith("clearml.")

    __hash__ = object.__hash__
