"""Idle connections in the pools of requests, urllib3 and httpx: closed at the freeze, opened anew later."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import requests
import urllib3

SAME = ("requests", "urllib3", "httpx")
ALONE = True

SESSION = requests.Session()
POOL = urllib3.PoolManager()
CLIENT = httpx.Client()


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = self.path.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True


PORT = 48_211


def _ask() -> dict[str, Any]:
    with Server(("127.0.0.1", PORT), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        address = f"http://127.0.0.1:{PORT}"
        try:
            return {
                "requests": SESSION.get(f"{address}/requests", timeout=5).text,
                "urllib3": POOL.request("GET", f"{address}/urllib3", timeout=5).data.decode(),
                "httpx": CLIENT.get(f"{address}/httpx", timeout=5).text,
            }
        finally:
            server.shutdown()
            thread.join()


_ask()


def handler(event: Any, context: Any) -> dict[str, Any]:
    return _ask()
