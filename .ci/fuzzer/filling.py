"""What no schema can know is filled into valid cases before they are sent: which password is right, which product is for
sale, what an order's next status is. Else most of them would end at the first thing that is not there, and what comes
behind it would never be tried. Every fourth is left as it was generated.
"""

import collections
import datetime
import decimal
import itertools
import re
import uuid

from people import ROLE, people, send

STAFF = ROLE in ("staff", "admin")
turns = collections.defaultdict(itertools.count)
# What is most likely not free.
taken = {"sku": set(), "email": set(), "external_number": set(), "key": set()}
# IDs of orders that were placed, and with which something may still be done.
orders = collections.deque(maxlen=500)

NEXT = {
    "placed": ["paid", "cancelled"],
    "paid": ["shipped", "cancelled"],
    "shipped": ["delivered"],
    "delivered": ["returned"],
    "returned": ["refunded"],
    "cancelled": ["refunded"],
}


def turn(name, of):
    """The number of this turn: 0, 1, … and again 0."""
    return next(turns[name]) % of


def fill(case, operation, linked):
    """Makes a valid case one that can succeed. `linked`: where it goes to comes from an earlier answer."""
    if turn(operation, 4) == 3:
        return
    headers = case.headers
    if "If-Match" in headers:
        headers["If-Match"] = "*"
    if "Idempotency-Key" in headers and headers["Idempotency-Key"] in taken["key"]:
        headers["Idempotency-Key"] = uuid.uuid4().hex
    filler = FILLERS.get(operation)
    if filler:
        filler(case, linked)


def learn(operation, sent, headers, status, answer):
    """What a request has taken, has found taken, or has made."""
    if 200 <= status < 300 or status == 409:
        taken["sku"].add(sent.get("sku"))
        taken["email"].add(str(sent.get("email")).lower())
        taken["external_number"].add(sent.get("external_number"))
    if 200 <= status < 300:
        taken["key"].add(headers.get("Idempotency-Key"))
    if operation == "placeOrder" and status == 201:
        orders.append(answer["id"])
    elif operation == "updateOrder" and status == 409 and answer["instance"][8:] in orders:
        # There is not much left to be done with it.
        orders.remove(answer["instance"][8:])


def fresh(case, field, made):
    """The first of many examples with one value keeps it, so that each value is sent once."""
    value = case.body.get(field) if isinstance(case.body, dict) else None
    if isinstance(value, str) and (value in taken[field] or value.lower() in taken[field]):
        case.body = {**case.body, field: made()}


def create_product(case, linked):
    fresh(case, "sku", lambda: uuid.uuid4().hex)


def create_user(case, linked):
    fresh(case, "email", lambda: f"{uuid.uuid4().hex}@example.com")
    if ROLE != "admin" and isinstance(case.body, dict) and case.body.get("role"):
        case.body = {**case.body, "role": "customer"}


def get_user(case, linked):
    if ROLE == "customer" and not linked:
        case.path_parameters["id"] = people["caller"].id


def update_user(case, linked):
    if ROLE in ("customer", "staff") and not linked:
        case.path_parameters["id"] = people["caller"].id
    fresh(case, "email", lambda: f"{uuid.uuid4().hex}@example.com")
    if not isinstance(case.body, dict):
        return
    body = dict(case.body)
    if ROLE != "admin":
        body.pop("role", None)
        body.pop("status", None)
    if ROLE != "admin" and turn("password", 4):
        # Else nearly every change would end the caller's sessions.
        body.pop("password", None)
    if (body.get("password") or body.get("email")) and ROLE != "nobody":
        body["current_password"] = people["caller"].password
    case.body = body


def sign_in(case, linked):
    guest = people["guest"]
    case.body = {"email": guest.email, "password": guest.password}


def go_on(case, linked):
    case.body = {"refresh_token": people["guest"].session()["refresh_token"]}


def items(some):
    """As many as these, of products that are for sale in one currency."""
    for_sale = send("GET", "/products?status=active&currency=EUR&in_stock=true&limit=100")["data"]
    some = [item for item in some if isinstance(item, dict)] or [{}]
    chosen = for_sale[turn("items", 5) :] or for_sale
    return [item_of(product, item) for product, item in zip(chosen, some)]


def item_of(product, like):
    """An item of this product, with discounts and taxes like these that fit its price."""
    quantity = like.get("quantity", 1)
    few = min(quantity, 2, product["max_per_order"] or 2)
    item = {"product_id": product["id"], "quantity": few if turn("quantity", 4) else quantity}
    if STAFF:
        # Whole numbers may be generated as 12.0.
        base = product["price"]["amount"] * int(item["quantity"])
        item["discounts"] = []
        for discount in like.get("discounts") or []:
            item["discounts"].append({**discount, "amount": min(discount["amount"], base)})
            base -= int(item["discounts"][-1]["amount"])
        item["taxes"] = taxes(like.get("taxes"), base)
    return item


def taxes(some, base):
    """Taxes like these, which are what their rates make of the base."""
    filled = []
    for tax in some or []:
        with decimal.localcontext() as context:
            context.prec = 60
            rate = decimal.Decimal(tax["rate"])
            amount = base * rate / (1 + rate) if tax["included"] else base * rate
            amount = int(amount.quantize(decimal.Decimal(1), decimal.ROUND_HALF_UP))
        # More than any amount may be: nothing makes this one valid.
        filled.append({**tax, "amount": min(amount, 10**12)})
    return filled


def shipping(like):
    """A shipping like this one, with taxes that fit its amount."""
    return like and {**like, "taxes": taxes(like.get("taxes"), int(like["amount"]))}


def place_order(case, linked):
    if not isinstance(case.body, dict):
        return
    fresh(case, "external_number", lambda: uuid.uuid4().hex)
    body = {**case.body, "items": items(case.body.get("items") or [])}
    if STAFF:
        body["shipping"] = shipping(body.get("shipping"))
    else:
        body.pop("shipping", None)
        body.pop("internal_note", None)
    if STAFF and body.get("expires_at"):
        # Most times that are generated have passed, or are too far ahead.
        ahead = datetime.timedelta(hours=1 + turn("expires", 48))
        body["expires_at"] = (datetime.datetime.now(datetime.timezone.utc) + ahead).isoformat()
    if body.get("user_id"):
        body["user_id"] = people["guest" if STAFF else "caller"].id if ROLE != "nobody" else None
    case.body = body


def get_order(case, linked):
    if orders and not linked:
        case.path_parameters["id"] = orders[turn("order", len(orders))]


def update_order(case, linked):
    get_order(case, linked)
    if not isinstance(case.body, dict):
        return
    # What belongs to different changes is refused together.
    of = turn("change", 3)
    if of == 0 and orders:
        case.body = next_status(case.path_parameters["id"], case.body)
        return
    fields = {"shipping_address", "note"} | ({"billing_address", "internal_note", "metadata"} if STAFF else set())
    body = {name: value for name, value in case.body.items() if name in fields}
    if of == 1 and case.body.get("items"):
        body["items"] = items(case.body["items"])
        if STAFF and "shipping" in case.body:
            body["shipping"] = shipping(case.body["shipping"])
    case.body = body


def next_status(id, body):
    """A change to a status that may follow, with what it needs of this body."""
    if id not in orders:
        return {"status": "cancelled"}
    order = send("GET", f"/orders/{id}", token=people["keeper"].token())
    follow = NEXT.get(order["status"], ["placed"])
    status = follow[turn("status", len(follow))] if STAFF else "cancelled"
    change = {"status": status}
    if body.get("reason"):
        change["reason"] = body["reason"]
    given = body.get("payment") or {}
    if status == "paid":
        change["payment"] = {"reference": uuid.uuid4().hex, "method": given.get("method")}
    elif status == "refunded":
        change["payment"] = {"refund_reference": given.get("refund_reference") or "re_1"}
    elif status == "shipped":
        given = {name: value for name, value in (body.get("tracking") or {}).items() if value}
        change["tracking"] = {"carrier": "DHL", "number": "1", **given}
    elif status == "returned":
        change["restock"] = bool(body.get("restock"))
    return change


def create_payment(case, linked):
    get_order(case, linked)
    # Most references that are generated twice are of another order.
    if isinstance(case.body, dict) and turn("reference", 4):
        case.body = {**case.body, "reference": uuid.uuid4().hex}


def paid(id):
    """Pays a little, so that something can be refunded. True if there is such an order."""
    if id not in orders:
        return False
    payment = {"amount": 3, "reference": uuid.uuid4().hex}
    try:
        send("POST", f"/orders/{id}/payments", payment, people["keeper"].token(), status=201)
    except RuntimeError:
        # It has as many as an order may have.
        orders.remove(id)
        return False
    return True


def create_refund(case, linked):
    """A refund of what the order has: some of its money, or of its items."""
    get_order(case, linked)
    if not isinstance(case.body, dict):
        return
    paid(case.path_parameters["id"])
    body = {name: value for name, value in case.body.items() if name in ("reason", "reference")}
    if case.path_parameters["id"] in orders and case.body.get("items"):
        order = send("GET", f"/orders/{case.path_parameters['id']}", token=people["keeper"].token())
        body["items"] = [{"id": item["id"], "quantity": 1} for item in order["items"]]
    else:
        body["amount"] = min(case.body.get("amount") or 1, 3)
    case.body = body


def update_refund(case, linked):
    get_order(case, linked)
    id = case.path_parameters["id"]
    if paid(id):
        refund = send("POST", f"/orders/{id}/refunds", {"amount": 1}, people["keeper"].token(), status=201)
        case.path_parameters["refund_id"] = refund["id"]


# Changes that walk a new order to a status in which parts of it may be made.
WALKS = {
    "placed": [],
    "paid": [{"status": "paid", "payment": {}}],
    "delivered": [
        {"status": "paid", "payment": {}},
        {"status": "shipped", "tracking": {"carrier": "DHL", "number": "1"}},
        {"status": "delivered"},
    ],
}


def new_order(status):
    """An order of the caller for two units of a product of its own, in this status."""
    keeper = people["keeper"].token()
    product = {"sku": uuid.uuid4().hex, "name": "Mug", "price": {"amount": 500, "currency": "EUR"}, "stock": 2}
    product = send("POST", "/products", product, keeper, status=201)
    address = {"line1": "1 Way", "city": "Bonn", "country": "DE"}
    body = {"items": [{"product_id": product["id"], "quantity": 2}], "shipping_address": address}
    if ROLE != "nobody":
        body["user_id"] = people["caller"].id
    order = send("POST", "/orders", body, keeper, status=201)
    for change in WALKS[status]:
        if "payment" in change:
            change = {**change, "payment": {"reference": uuid.uuid4().hex}}
        order = send("PUT", f"/orders/{order['id']}", change, keeper)
    return order


def units(order, like):
    """Items of the order, with other fields of these, one unit of each."""
    some = [item for item in like or [] if isinstance(item, dict)] or [{}]
    kept = {name: some[0][name] for name in ("reason",) if name in some[0]}
    return [{**kept, "id": item["id"], "quantity": 1} for item in order["items"]]


def create_part(status):
    """Fills a part of an order that has this status."""

    def fill_part(case, linked):
        if not isinstance(case.body, dict):
            return
        order = new_order(status)
        case.path_parameters["id"] = order["id"]
        if case.body.get("items"):
            case.body = {**case.body, "items": units(order, case.body["items"])}

    return fill_part


def update_fulfillment(case, linked):
    order = new_order("paid")
    path = f"/orders/{order['id']}/fulfillments"
    parcel = send("POST", path, {"tracking": None}, people["keeper"].token(), status=201)
    case.path_parameters.update(id=order["id"], fulfillment_id=parcel["id"])


def update_return(case, linked):
    order = new_order("delivered")
    path, keeper = f"/orders/{order['id']}/returns", people["keeper"].token()
    # The keeper's are approved, and the caller's are asked for.
    may_ask = ROLE == "customer" or turn("return", 2)
    owner = people["caller"].token() if may_ask and ROLE != "nobody" else keeper
    back = send("POST", path, {"items": units(order, None)}, owner, status=201)
    case.path_parameters.update(id=order["id"], return_id=back["id"])
    if not isinstance(case.body, dict):
        return
    follow = {"requested": ["approved", "rejected", "cancelled"], "approved": ["received", "cancelled"]}
    follow = ["cancelled"] if ROLE == "customer" else follow[back["status"]]
    status = follow[turn(f"back {back['status']}", len(follow))]
    body = {"status": status}
    if status in ("rejected", "cancelled"):
        body["reason"] = case.body.get("reason") or "as agreed"
    elif status == "received" and case.body.get("items"):
        received = case.body["items"][0].get("received", 1) if isinstance(case.body["items"][0], dict) else 1
        received = min(int(received), 1)
        item = {"id": order["items"][0]["id"], "received": received, "restocked": received}
        body["items"] = [item]
    case.body = body


def list_anything(case, linked):
    # A cursor is one of an earlier page, or is refused.
    case.query.pop("cursor", None)


def list_products(case, linked):
    list_anything(case, linked)
    if case.query.keys() & {"min_price", "max_price"}:
        case.query.setdefault("currency", "EUR")


ASSETS = re.findall(r"/docs/assets/([^\"'?]+)", send("GET", "/docs", accept="text/html"))


def asset(case, linked):
    case.path_parameters["file"] = ASSETS[turn("asset", len(ASSETS))]


FILLERS = {
    "createProduct": create_product,
    "updateProduct": create_product,
    "createUser": create_user,
    "getUser": get_user,
    "updateUser": update_user,
    "signIn": sign_in,
    "refresh": go_on,
    "signOut": go_on,
    "placeOrder": place_order,
    "getOrder": get_order,
    "updateOrder": update_order,
    "createPayment": create_payment,
    "createRefund": create_refund,
    "previewRefund": create_refund,
    "updateRefund": update_refund,
    "createFulfillment": create_part("paid"),
    "updateFulfillment": update_fulfillment,
    "createCancellation": create_part("placed"),
    "createReturn": create_part("delivered"),
    "updateReturn": update_return,
    "listProducts": list_products,
    "listOrders": list_anything,
    "listUsers": list_anything,
    "listStockMovements": list_anything,
    "checkConsistency": list_anything,
    "asset": asset,
}
