"""Trials of the system in containers: gateway, gRPC, containers that are killed under load, and a rolling update.

Called by .ci/target-compose with the URL of the gateway, the password of the first admin, and the files of a
certificate for localhost.
"""
import gzip
import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse
import uuid

import grpc

URL, PASSWORD, CERTIFICATE, KEY = sys.argv[1:5]
GATEWAY = urllib.parse.urlsplit(URL)
# Time in which a killed container is back, and its service answers.
BACK = 60
BUYERS = 8


# Set once the gateway speaks TLS.
TLS = None


def request(method, path, body=None, token=None, headers=None, timeout=35):
    """Sends a request on a connection of its own. Returns status, headers and body."""
    if TLS:
        connection = http.client.HTTPSConnection("localhost", GATEWAY.port, timeout=timeout, context=TLS)
    else:
        connection = http.client.HTTPConnection(GATEWAY.hostname, GATEWAY.port, timeout=timeout)
    try:
        sent = dict(headers or {})
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            sent.setdefault("content-type", "application/json")
        if token:
            sent["authorization"] = f"Bearer {token}"
        try:
            connection.request(method, path, body, sent)
        except BrokenPipeError:
            # It was refused before it was sent whole.
            pass
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def call(method, path, body=None, token=None, expected=(200, 201), headers=None):
    status, _, text = request(method, path, body, token, headers)
    assert status in expected, f"{method} {path}: {status} {text[:500]}"
    return json.loads(text) if text else None


def sign_in(email, password):
    return call("POST", "/auth", {"email": email, "password": password})["access_token"]


def docker(*arguments, env=None):
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, env=env)
    assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr}"
    return done.stdout.strip()


def gateway():
    """Limits of the gateway, and what it passes on."""
    status, headers, _ = request("GET", "/products", headers={"x-request-id": "Asked-1", "x-forwarded-for": "9.9.9.9"})
    assert status == 200 and headers["x-request-id"] == "Asked-1", headers
    assert "server" not in headers or "caddy" not in headers["server"].lower(), headers
    status, _, _ = request("GET", "/products", headers={"x-large": "x" * 20_000})
    assert status == 431, status
    status, _, _ = request("POST", "/auth", b"x" * 11_000_000, headers={"content-type": "application/json"})
    assert status == 413, status
    status, headers, body = request("GET", "/openapi.json", headers={"accept-encoding": "gzip"})
    assert status == 200 and headers.get("content-encoding") == "gzip" and gzip.decompress(body), headers
    # A call of gRPC is an unknown path.
    status, _, body = request(
        "POST", "/oms.orders.v1.OrderService/GetOrder", b"\0\0\0\0\0", headers={"content-type": "application/grpc"}
    )
    assert status == 404 and b"/problems/not-found" in body, (status, body)
    for path in ("/ready", "/metrics"):
        status, _, _ = request("GET", path)
        assert status in (200, 404), (path, status)
    # What it cannot pass on it answers itself.
    docker("compose", "stop", "docs")
    status, headers, body = request("GET", "/health")
    assert (status, json.loads(body)) == (503, {"message": "Service Unavailable"}), (status, body)
    assert headers["retry-after"] == "1", headers
    docker("compose", "up", "--detach", "--wait", "docs")
    print("gateway: limits, compression, request IDs, no gRPC")


def console():
    """Pages for staff through the gateway: a form of its own origin, and a session."""
    form = urllib.parse.urlencode({"email": "admin@example.com", "password": PASSWORD}).encode()

    def signed_in(origin):
        headers = {"content-type": "application/x-www-form-urlencoded", "origin": origin}
        return request("POST", "/console/sign-in", form, headers=headers)

    status, _, _ = signed_in("https://evil.example")
    assert status == 403, status
    status, headers, body = signed_in(URL)
    assert status == 303, (status, body[:500])
    cookie = headers["set-cookie"].split(";")[0]
    for path in ("/console/orders", "/console/products"):
        status, headers, body = request("GET", path, headers={"cookie": cookie, "accept-encoding": "gzip"})
        assert status == 200 and "content-encoding" not in headers, (path, status, headers)
        assert b"admin@example.com" in body, path
    print("console: a sign-in, and pages of its session")


def services():
    """gRPC at the ports of the services, as a client of the former system would."""
    for port, method in (
        ("OMS_ORDERS_PORT", "/oms.orders.v1.OrderService/ListOrders"),
        ("OMS_PRODUCTS_PORT", "/oms.products.v1.ProductService/ListProducts"),
        ("OMS_USERS_PORT", "/oms.users.v1.UserService/ListUsers"),
    ):
        with grpc.insecure_channel(f"127.0.0.1:{os.environ[port]}") as channel:
            check = channel.unary_unary("/grpc.health.v1.Health/Check")
            assert check(b"", timeout=10) == b"\x08\x01", "not serving"
            if "Products" in method:
                assert channel.unary_unary(method)(b"", timeout=10) is not None
                continue
            try:
                channel.unary_unary(method)(b"", timeout=10)
                raise AssertionError(f"{method} answers anybody")
            except grpc.RpcError as error:
                assert error.code() == grpc.StatusCode.UNAUTHENTICATED, error
    print("gRPC: health, products for all, orders and users for those who sign in")


class Load:
    """Buyers who order without pause, and note every order that was acknowledged."""

    def __init__(self, product, tokens, patient):
        self.product, self.tokens = product, tokens
        # Patient buyers send a failed request again with the same key. The others take down each failure.
        self.patient = patient
        self.acknowledged, self.failed, self.sent = {}, [], 0
        self.stopped = threading.Event()
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.buy, args=(token,)) for token in tokens]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        for thread in self.threads:
            thread.join()

    def buy(self, token):
        order = {
            "items": [{"product_id": self.product, "quantity": 1}],
            "shipping_address": {"line1": "1 Analytical Way", "city": "London", "country": "GB"},
        }
        while not self.stopped.is_set():
            key = str(uuid.uuid4())
            while True:
                try:
                    status, _, body = request("POST", "/orders", order, token, {"idempotency-key": key})
                    outcome = f"{status} {body[:300]}"
                except (OSError, http.client.HTTPException) as error:
                    status, outcome = 0, repr(error)
                with self.lock:
                    self.sent += 1
                    if status == 201:
                        self.acknowledged[json.loads(body)["id"]] = token
                    elif not self.patient:
                        self.failed.append(outcome)
                if status == 201 or not self.patient or self.stopped.is_set():
                    break
                time.sleep(0.2)

    def since(self, number):
        """Waits until so many more orders were acknowledged."""
        end, wanted = time.monotonic() + BACK, len(self.acknowledged) + number
        while len(self.acknowledged) < wanted:
            assert time.monotonic() < end, f"no orders for {BACK} s"
            time.sleep(0.05)


def containers(service):
    return docker("compose", "ps", "--quiet", service).split()


def killed(product, tokens):
    """Kills one container after the other under load. No acknowledged order is lost."""
    with Load(product, tokens, patient=True) as load:
        load.since(20)
        for service in ("order-service", "product-service", "user-service", "mongodb", "docs", "console", "gateway"):
            container = containers(service)[0]
            # From outside: what Docker itself kills is not started again.
            os.kill(int(docker("inspect", "--format", "{{.State.Pid}}", container)), signal.SIGKILL)
            began = time.monotonic()
            time.sleep(0.5)
            load.since(20)
            print(f"killed {service}: orders again after {time.monotonic() - began:.1f} s")
    for order, token in load.acknowledged.items():
        found = call("GET", f"/orders/{order}", token=token)
        assert found["status"] == "placed", found
    print(f"{len(load.acknowledged)} acknowledged orders, none lost, of {load.sent} requests")
    return len(load.acknowledged)


def consistent(admin):
    """Waits until Reconcile has healed what the kills have left."""
    end = time.monotonic() + 240
    while True:
        violations, cursor = [], None
        while True:
            path = "/orders/consistency" + (f"?cursor={urllib.parse.quote(cursor)}" if cursor else "")
            page = call("GET", path, token=admin)
            violations += page["violations"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        if not violations:
            print("the consistency check finds nothing")
            return
        assert time.monotonic() < end, violations[:10]
        time.sleep(5)


def rolled(product, tokens):
    """A rolling update of three replicas of each service under load: no request fails."""
    environment = {
        **os.environ,
        "COMPOSE_FILE": "compose.yaml:containers/production.yaml",
        "OMS_TLS_CERTIFICATE": CERTIFICATE,
        "OMS_TLS_KEY": KEY,
        "OMS_HTTPS_PORT": str(GATEWAY.port),
    }
    docker("compose", "up", "--detach", "--wait", env=environment)
    global TLS
    TLS = ssl.create_default_context(cafile=CERTIFICATE)
    began = time.monotonic()
    with Load(product, tokens, patient=False) as load:
        load.since(20)
        for service in ("user-service", "product-service", "order-service", "docs", "console"):
            done = subprocess.run(["containers/roll", service], capture_output=True, text=True, env=environment)
            assert done.returncode == 0, done.stderr
            print(done.stdout.strip().splitlines()[-1])
        load.since(20)
    assert not load.failed, f"{len(load.failed)} of {load.sent} requests failed: {load.failed[:5]}"
    print(f"rolling update: {load.sent} requests in {time.monotonic() - began:.0f} s, none failed")


def main():
    gateway()
    console()
    services()
    admin = sign_in("admin@example.com", PASSWORD)
    product = {"sku": f"HAT-{uuid.uuid4().hex[:8]}", "name": "Hat", "price": {"amount": 5, "currency": "EUR"}, "stock": 1_000_000}
    product = call("POST", "/products", product, admin)["id"]
    tokens = []
    for number in range(BUYERS):
        email, password = f"buyer-{uuid.uuid4().hex}@example.com", f"a password {uuid.uuid4().hex}"
        call("POST", "/users", {"email": email, "password": password, "name": f"Buyer {number}"})
        tokens.append(sign_in(email, password))
    killed(product, tokens)
    status, headers, body = request("GET", "/orders?limit=20", token=admin, headers={"accept-encoding": "gzip"})
    assert status == 200 and headers.get("content-encoding") == "gzip" and gzip.decompress(body), headers
    consistent(admin)
    rolled(product, tokens)
    consistent(sign_in("admin@example.com", PASSWORD))


main()
