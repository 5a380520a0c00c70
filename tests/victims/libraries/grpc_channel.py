"""A gRPC channel that was made at import and not used, with the library's own threads and descriptors."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

SAME = ("answer", "unavailable")

CHANNEL = grpc.insecure_channel("127.0.0.1:9")


class _Echo(grpc.GenericRpcHandler):
    def service(self, details: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(lambda request, _context: request[::-1])


def handler(event: Any, context: Any) -> dict[str, Any]:
    try:
        CHANNEL.unary_unary("/victim/echo")(b"x", timeout=5)
        unavailable = "answered"
    except grpc.RpcError as error:
        unavailable = error.code().name
    server = grpc.server(ThreadPoolExecutor(2), handlers=[_Echo()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            answer = channel.unary_unary("/victim/echo")(b"abc", timeout=20)
    finally:
        server.stop(None).wait(10)
    return {"answer": answer.decode(), "unavailable": unavailable}
