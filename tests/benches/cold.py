"""What a cold start takes: `scripts/bench cold`.

usage: cold.py ENDPOINT ARTIFACT...

Starts each binary thirty times, in turns, asks it over the Runtime API as Lambda does, and prints the medians: from the
start of the process to its first question for work, the first call, and the most memory that it had.
"""

import http.server
import json
import os
import statistics
import subprocess
import sys
import threading
import time

STARTS = 30
EVENT = json.dumps(
    {
        "resource": "/v1/models",
        "path": "/v1/models",
        "httpMethod": "GET",
        "headers": {},
        "multiValueHeaders": {},
        "queryStringParameters": {"limit": "50"},
        "multiValueQueryStringParameters": {"limit": ["50"]},
        "pathParameters": None,
        "stageVariables": None,
        "requestContext": {
            "accountId": "0",
            "apiId": "cold",
            "httpMethod": "GET",
            "identity": {"sourceIp": "192.0.2.1"},
            "path": "/dev/v1/models",
            "protocol": "HTTP/1.1",
            "requestId": "cold",
            "resourceId": "cold",
            "resourcePath": "/v1/models",
            "stage": "dev",
        },
        "body": None,
        "isBase64Encoded": False,
    }
).encode()


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """A process that was ended leaves its connection as it is."""


class RuntimeApi(http.server.BaseHTTPRequestHandler):
    """Hands out one call, and notes when it is asked for and answered."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        start = self.server.start
        if start["asked"] is not None:
            start["done"].wait()
            self.close_connection = True
            return
        start["asked"] = time.perf_counter()
        self.send_response(200)
        self.send_header("Lambda-Runtime-Aws-Request-Id", "1")
        self.send_header("Lambda-Runtime-Deadline-Ms", str(int(time.time() * 1000) + 60_000))
        self.send_header("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:0:function:cold")
        self.send_header("Content-Length", str(len(EVENT)))
        self.end_headers()
        self.wfile.write(EVENT)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"] or 0)) if "Content-Length" in self.headers else self.chunks()
        start = self.server.start
        start["answered"], start["path"], start["body"] = time.perf_counter(), self.path, body
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()
        start["answer"].set()

    def chunks(self):
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body


def cold(binary, endpoint):
    """Milliseconds until the first question and of the first call, and the most memory in MB."""
    # A server of its own, for a process that was ended may have asked once more.
    server = Server(("127.0.0.1", 0), RuntimeApi)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    start = {"asked": None, "answered": None, "answer": threading.Event(), "done": threading.Event()}
    server.start = start
    environment = {
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{server.server_port}",
        "AWS_LAMBDA_FUNCTION_NAME": "cold",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_ENDPOINT_URL_DYNAMODB": endpoint,
        "_HANDLER": "list-models",
        "LOG_LEVEL": "error",
        **{f"{table.upper()}_TABLE": f"roster-dev-{table}" for table in ("models", "published", "history", "runtime")},
    }
    begun = time.perf_counter()
    process = subprocess.Popen([binary], env=environment)
    try:
        if not start["answer"].wait(60):
            sys.exit(f"{binary} gave no answer")
        with open(f"/proc/{process.pid}/status") as status:
            peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    finally:
        process.kill()
        process.wait()
        start["done"].set()
        server.shutdown()
        server.server_close()
    answer = json.loads(start["body"])
    if not start["path"].endswith("/response") or answer.get("statusCode") != 200:
        sys.exit(f"{binary} answered {start['path']} {start['body'][:300]}")
    return (start["asked"] - begun) * 1000, (start["answered"] - start["asked"]) * 1000, peak / 1024


def main(endpoint, *binaries):
    names = [os.path.basename(os.path.dirname(binary)) for binary in binaries]
    seen = {name: [] for name in names}
    for _ in range(STARTS):
        for name, binary in zip(names, binaries):
            seen[name].append(cold(binary, endpoint))
    print(f"| median of {STARTS} starts | start to first question, ms | first call, ms | most memory, MB |")
    print("| --- | --- | --- | --- |")
    medians = {name: [statistics.median(column) for column in zip(*rows)] for name, rows in seen.items()}
    for name, (init, call, memory) in medians.items():
        print(f"| {name} | {init:.1f} | {call:.1f} | {memory:.0f} |")
    print(f"| {names[-1]} beside {names[-2]} | {medians[names[-1]][0] / medians[names[-2]][0]:.2f} (goal 1.5) | | |")


main(*sys.argv[1:])
