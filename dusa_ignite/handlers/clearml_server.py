"""Is there a ClearML server, and does it answer? Asked once and soon: ClearML itself asks a silent server for hours."""

from __future__ import annotations

import requests

from dusa_ignite.errors import UserError
from dusa_ignite.handlers.clearml_private import configured_access, post_once

ANSWER_SECONDS = 10.0  # a server that has not answered by then does not answer
WAYS_OUT = (
    "run clearml-init, or set CLEARML_API_HOST, CLEARML_API_ACCESS_KEY and CLEARML_API_SECRET_KEY; "
    "without a server: tracking.clearml.mode=offline"
)


def check_server() -> str:
    """The address of the server that clearml.conf or the environment names, once it has answered.

    Raises:
        UserError: none is configured, it does not answer, or it refuses the credentials.
    """
    host, key, secret, token = configured_access()
    if not token and not (key and secret):
        raise UserError(f"tracking.clearml: ClearML is not configured on this machine; {WAYS_OUT}")
    try:
        status = _ask(host, "debug.ping") if token else _ask(host, "auth.login", auth=(key or "", secret or ""))
    except requests.RequestException as error:
        reason = type(error).__name__
        raise UserError(f"tracking.clearml: no answer from the server {host} ({reason}); {WAYS_OUT}") from error
    if status == 401:
        raise UserError(f"tracking.clearml: the server {host} refuses the credentials; {WAYS_OUT}")
    if status != 200:
        raise UserError(f"tracking.clearml: the server {host} answers with status {status}; {WAYS_OUT}")
    return host


def answers(host: str) -> bool:
    """Whether the server answers now."""
    try:
        return _ask(host, "debug.ping") < 500
    except requests.RequestException:
        return False


def _ask(host: str, action: str, *, auth: tuple[str, str] | None = None) -> int:
    """The status of one request, made once."""
    return post_once(f"{host}/{action}", auth=auth, timeout=ANSWER_SECONDS)
