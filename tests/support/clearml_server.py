"""As much of a ClearML server as one task needs, on loopback and in memory."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt

SERVICES = ("auth", "debug", "events", "models", "projects", "tasks")
STATUS = {"started": "in_progress", "stopped": "stopped", "completed": "completed", "failed": "failed"}


class ClearMLServer(ThreadingHTTPServer):
    """Answers as the API and the file server do.

    Attributes:
        task: the one task, as the API describes it.
        events: everything reported, in order.
        models: output models by id.
        calls: names of the calls, in order.
        files: sizes in bytes of what was uploaded.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        empty: dict[str, Any] = {"output": {}, "hyperparams": {}, "script": {}, "models": {"input": [], "output": []}}
        self.task = {"id": f"{1:032}", "type": "training", "status": "created", "project": "p", **empty}
        self.task |= {"name": "none", "tags": [], "system_tags": ["development"], "execution": {"artifacts": []}}
        self.events: list[dict[str, Any]] = []
        self.models: dict[str, dict[str, Any]] = {}
        self.calls: list[str] = []
        self.files: list[int] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def environment(self) -> dict[str, str]:
        """What leads a client here."""
        host = f"http://127.0.0.1:{self.server_address[1]}"
        hosts = {f"CLEARML_{name}_HOST": host for name in ("API", "WEB", "FILES")}
        return {**hosts, "CLEARML_API_ACCESS_KEY": "key", "CLEARML_API_SECRET_KEY": "secret"}

    def stop(self) -> None:
        """Fall silent: the port is closed."""
        self.shutdown()
        self.server_close()

    def answer(self, action: str, body: bytes) -> dict[str, Any]:
        """What the API returns."""
        if action == "events.add_batch":
            self.events += [json.loads(line) for line in body.decode().splitlines()]
            return {"added": 1}
        request = json.loads(body or "{}")
        if action == "auth.login":
            return {"token": jwt.encode({"exp": int(time.time()) + 10**6, "api_version": "2.26"}, "x" * 40)}
        if action == "tasks.create":
            self.task |= {"name": request["name"]}
            return {"id": self.task["id"]}
        if action == "tasks.get_by_id":
            return {"task": self.task}
        if action == "tasks.get_all":
            return {"tasks": [self.task]}
        if action == "tasks.edit":
            self.task |= {key: value for key, value in request.items() if key not in ("task", "force")}
        if action == "tasks.add_or_update_artifacts":
            new = {artifact["key"]: artifact for artifact in request["artifacts"]}
            old = {artifact["key"]: artifact for artifact in self.task["execution"]["artifacts"]}
            self.task["execution"]["artifacts"] = list((old | new).values())
        if action.startswith("tasks.") and action[6:] in STATUS:
            self.task["status"] = STATUS[action[6:]]
        if action == "projects.get_all":
            return {"projects": [{"id": "p", "name": "dusa_ignite"}]}
        if action == "projects.get_by_id":
            return {"project": {"id": "p", "name": "dusa_ignite"}}
        if action == "models.create":
            number = f"{len(self.models) + 2:032}"
            self.models[number] = {**request, "id": number}
            return {"id": number, "created": True}
        if action == "models.get_by_id":
            return {"model": self.models[request["model"]]}
        if action == "models.edit":
            self.models[request["model"]] |= request
        return {"updated": 1}


class _Request(BaseHTTPRequestHandler):
    """HTTP/1.0: no connection outlives its request, so that a server that has stopped is silent."""

    server: ClearMLServer

    def do_POST(self) -> None:
        action = self.path.split("?")[0].rsplit("/", 1)[-1]
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        data: dict[str, Any] = {}
        if action.split(".")[0] in SERVICES:
            self.server.calls.append(action)
            data = self.server.answer(action, body)
        elif body:
            self.server.files.append(len(body))
        meta = {"id": "1", "trx": "1", "result_code": 200, "result_subcode": 0, "result_msg": "OK"}
        meta |= {"endpoint": {"name": action, "requested_version": "2.9", "actual_version": "2.9"}}
        text = json.dumps({"meta": meta, "data": data}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_PUT = do_HEAD = do_POST

    def log_message(self, *_: Any) -> None:
        """Nothing."""
