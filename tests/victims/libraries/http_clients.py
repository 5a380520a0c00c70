"""Sessions and pools of requests, urllib3 and httpx that were made and never used."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

SAME = ("requests", "urllib3", "httpx", "headers")

SESSION = requests.Session()
SESSION.mount("http://", HTTPAdapter(pool_maxsize=5, max_retries=Retry(2)))
SESSION.headers["X-Victim"] = "yes"
POOL = urllib3.PoolManager(num_pools=3, timeout=urllib3.Timeout(5))
CLIENT = httpx.Client(timeout=5, headers={"X-Victim": "yes"})


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = f"{self.path} {self.headers.get('X-Victim', '-')}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def handler(event: Any, context: Any) -> dict[str, Any]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        try:
            return {
                "requests": SESSION.get(f"{address}/requests").text,
                "urllib3": POOL.request("GET", f"{address}/urllib3").data.decode(),
                "httpx": CLIENT.get(f"{address}/httpx").text,
                "headers": SESSION.headers["X-Victim"],
            }
        finally:
            server.shutdown()
            SESSION.close()
            POOL.clear()
            server.server_close()
