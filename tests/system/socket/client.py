"""A gRPC client that is not ours: it knows the services by reflection alone.

Reads {"addresses": {name: address}, "call": what, ...} as JSON from standard input. "every method" calls all
that reflection lists, and prints what it was; "one product" gets one product.
"""

import base64
import hashlib
import hmac
import json
import sys
import time

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

# Metadata by which this client says that it is a function. It is signed, as docs/protocol/identity.md says.
SYSTEM = [("oms-caller", "system")]



def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(path, message, metadata, secret):
    """Metadata with the signature of a call, if it names its caller."""
    values = dict(metadata)
    if "oms-caller" not in values:
        return metadata
    deadline = str(int(time.time() * 1000) + 20_000)
    frame = b"\0" + len(message).to_bytes(4, "big") + message
    text = "\n".join([
        "oms-signature-v1", path, values["oms-caller"], values.get("oms-caller-function", ""), deadline,
        values.get("x-request-id", ""), base64url(hashlib.sha256(frame).digest()),
    ])
    tag = hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()
    return [*metadata, ("oms-deadline", deadline), ("oms-signature", "v1=" + base64url(tag))]


# Codes that say that a method is missing or broken.
NO_ANSWER = (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL)


class Service:
    def __init__(self, address):
        self.channel = grpc.insecure_channel(address)
        database = ProtoReflectionDescriptorDatabase(self.channel)
        self.listed = sorted(database.get_services())
        pool = descriptor_pool.DescriptorPool(database)
        (name,) = [name for name in self.listed if name.startswith("oms.")]
        self.descriptor = pool.FindServiceByName(name)
        self.called = set()
        health = health_pb2_grpc.HealthStub(self.channel)
        for asked in ("", name):
            answer = health.Check(health_pb2.HealthCheckRequest(service=asked), timeout=10)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING, (asked, answer)

    def __call__(self, method, message, metadata=()):
        found = self.descriptor.methods_by_name[method]
        self.called.add(method)
        path = f"/{self.descriptor.full_name}/{method}"
        call = self.channel.unary_unary(
            path,
            request_serializer=None,
            response_deserializer=message_factory.GetMessageClass(found.output_type).FromString,
        )
        request = json_format.ParseDict(message, message_factory.GetMessageClass(found.input_type)())
        request = request.SerializeToString(deterministic=True)
        metadata = signed(path, request, metadata, given.get("callers_secret", ""))
        answer = call(request, metadata=metadata, timeout=20)
        return json_format.MessageToDict(answer, preserving_proto_field_name=True)


def every_method(services, given):
    users, products, orders = services["users"], services["products"], services["orders"]
    who = {"email": given["email"], "password": given["password"]}
    admin = [("authorization", "Bearer " + users("Authenticate", who)["access_token"])]
    assert users("GetSigningKeys", {})["keys"]
    ada = {"email": "ada@lovelace.example", "password": given["password"], "name": "Ada"}
    ada_id = users("CreateUser", ada)["id"]
    assert users("GetUser", {"id": ada_id}, admin)["name"] == "Ada"
    assert users("UpdateUser", {"id": ada_id, "name": "Ada Lovelace"}, admin)["name"] == "Ada Lovelace"
    assert len(users("ListUsers", {"page": {"limit": "2"}}, admin)["data"]) == 2

    hat = {"sku": "PYTHON-HAT", "name": "Hat", "price": {"amount": "1900", "currency": "EUR"}, "stock": "5"}
    hat = products("CreateProduct", hat, admin)["id"]
    assert products("GetProduct", {"id": hat})["stock"]["on_hand"] == "5"
    assert products("UpdateProduct", {"id": hat, "name": "Top hat"}, admin)["name"] == "Top hat"
    assert products("UpdateStock", {"id": hat, "delta": "5"}, admin)["stock"]["on_hand"] == "10"
    assert products("ListProducts", {})["data"][0]["id"] == hat

    # Who has a token is a user, and no function.
    items = [{"product_id": hat, "quantity": "2"}]
    declared = {"order_id": given["order_id"], "revision": "1", "items": items}
    for metadata in ((), admin, SYSTEM + admin):
        try:
            products("HoldStock", declared, metadata)
            raise AssertionError("only functions may hold stock")
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.PERMISSION_DENIED, error
    assert products("HoldStock", declared, SYSTEM)["products"][0]["name"] == "Top hat"
    folded = products("FoldJournals", {"limit": "10"}, SYSTEM)
    assert folded == {"folded": "1", "last": hat}, folded
    assert products("GetOldestEntry", {}, SYSTEM) == {}
    products("ShipStock", {**declared, "revision": "2"}, SYSTEM)
    products("RestockReturned", {**declared, "revision": "3"}, SYSTEM)
    counts = {"shipped": "2", "restocked": "2"}
    before = {"shipped_before": "2", "restocked_before": "2"}
    moved = {"order_id": given["order_id"], "revision": "4", "items": [{"product_id": hat, **counts, **before}]}
    assert products("MoveStock", moved, SYSTEM) == {}

    ledger = products("ListStockMovements", {"product_id": hat}, admin)["data"]
    assert [it["delta"] for it in ledger] == ["2", "-2", "5", "5"], ledger
    (held,) = products("GetHolds", {"order_ids": [given["order_id"]]}, SYSTEM)["holds"]
    assert held["product_id"] == hat and held["revision"] == "4" and "quantity" not in held, held
    assert counts.items() <= held.items(), held
    (ended,) = products("ListHolds", {"ended": True, "limit": "10"}, SYSTEM)["holds"]
    assert ended == {"at": held["at"], "order_id": given["order_id"]}, ended
    audited = products("AuditStock", {"limit": "10"}, SYSTEM)["products"]
    assert audited == [{"product_id": hat, "on_hand": "10", "ledger": "10"}], audited
    assert products("AuditHolds", {"limit": "10"}, SYSTEM) == {}
    assert products("PruneHolds", {"order_ids": [given["order_id"]]}, SYSTEM) == {"pruned": "1"}

    who = {"email": ada["email"], "password": ada["password"]}
    as_ada = [("authorization", "Bearer " + users("Authenticate", who)["access_token"])]
    session = users("RefreshToken", {"refresh_token": users("Authenticate", who)["refresh_token"]})
    assert session["token_type"] == "Bearer" and session["expires_in"] == "900", session
    assert users("RevokeToken", {"refresh_token": session["refresh_token"]}) == {}
    address = {"line1": "1 Analytical Way", "city": "London", "country": "GB"}
    order = orders("CreateOrder", {"items": items, "shipping_address": address}, as_ada)
    assert order["user_id"] == ada_id and order["total"]["amount"] == "3800", order
    assert orders("GetOrder", {"id": order["id"]}, as_ada) == order
    stock = products("GetProduct", {"id": hat})["stock"]
    assert stock == {"on_hand": "10", "reserved": "2", "available": "8"}, stock
    assert orders("UpdateOrder", {"id": order["id"], "status": "cancelled"}, as_ada)["status"] == "cancelled"
    assert len(orders("ListOrders", {}, as_ada)["data"]) == 1
    reconciled = orders("Reconcile", {}, SYSTEM)
    folding = {"job": "folding", "done": "1", "finished": True}
    assert reconciled == {"finished": True, "jobs": [folding]}, reconciled
    jobs = orders("GetJobs", {}, admin)["jobs"]
    names = ["tasks", "changes", "expiry", "folding", "holds", "pruning"]
    assert jobs == [{"job": name} for name in names], jobs
    checked = orders("CheckConsistency", {}, admin)
    assert checked["checked"] == {"products": "1"} and "violations" not in checked, checked
    # proto3 leaves out what is 0.
    stock = products("GetProduct", {"id": hat})["stock"]
    assert stock == {"on_hand": "10", "available": "10"}, stock

    users("DeleteUser", {"id": users("CreateUser", {**ada, "email": "b@c.example"})["id"]}, admin)
    # A method without a call above is called with an empty request: its own refusal is an answer.
    for service in services.values():
        for method in sorted(set(service.descriptor.methods_by_name) - service.called):
            try:
                service(method, {}, SYSTEM)
            except grpc.RpcError as error:
                assert error.code() not in NO_ANSWER, (method, error)


given = json.load(sys.stdin)
services = {name: Service(address) for name, address in given["addresses"].items()}
if given["call"] == "every method":
    every_method(services, given)
else:
    services["products"]("GetProduct", {"id": given["product_id"]})
listed = {name: service.listed for name, service in services.items()}
called = {name: sorted(service.called) for name, service in services.items()}
print(json.dumps({"listed": listed, "called": called}))
