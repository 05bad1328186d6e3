"""A server on loopback that sends one file as it is told: with or without Range, cut off, changed, busy."""

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Served:
    """What is sent, and how. content: bytes; ranges: whether Range is understood; mark: the ETag or None;
    cuts: after how many bytes each of the next connections ends; busy: how many answers are 503 first.
    asked: the Range of each request."""

    def __init__(self, content, ranges=True, mark='"1"', cuts=(), busy=0, code=200):
        self.content, self.ranges, self.mark = content, ranges, mark
        self.cuts, self.busy, self.code, self.asked = list(cuts), busy, code, []


class Handler(BaseHTTPRequestHandler):
    """GET alone."""

    def do_GET(self):
        served = self.server.served
        wanted = self.headers.get("Range")
        served.asked.append(wanted)
        if served.busy or served.code != 200:
            code = 503 if served.busy else served.code
            served.busy = max(0, served.busy - 1)
            return self.send_error(code)
        content, first = served.content, 0
        fresh = self.headers.get("If-Range") in (None, served.mark)
        if wanted and served.ranges and fresh:
            first = int(wanted.split("=")[1].rstrip("-"))
            if first >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.send_header("Content-Length", "0")
                return self.end_headers()
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content) - first))
        if served.mark:
            self.send_header("ETag", served.mark)
        self.end_headers()
        cut = served.cuts.pop(0) if served.cuts else None
        self.wfile.write(content[first:][:cut])
        self.close_connection = True
        return None

    def log_message(self, *_):
        """Silent."""


@contextlib.contextmanager
def serving(served):
    """While it lasts, the file is at the address that is given."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.served = served
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/some/data.zip?download=1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
