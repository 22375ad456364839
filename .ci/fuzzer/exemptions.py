"""What is no fault though schemathesis reports it: valid by its schema, and refused for what a schema cannot say; or the
other way round.

Each exemption is of one check, of the operations that have the rule, and of the very answer; and the request must have what
the rule is about. `.ci/fuzz-contract` prints how often each was used.
"""

import json
import re

from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.openapi.checks import RejectedPositiveData

PRODUCT = re.compile(r"/items/\d+/product_id")
TAX = re.compile(r"/(items/\d+|shipping)/taxes/\d+/amount")


def at(body, pointer):
    """What is there in the body; None where nothing is."""
    for name in pointer.split("/")[1:]:
        name = name.replace("~1", "/").replace("~0", "~")
        try:
            body = body[int(name)] if isinstance(body, list) else body[name]
        except (KeyError, IndexError, TypeError, ValueError):
            return None
    return body


def is_whole_float(body, pointer, detail):
    return isinstance(at(body, pointer), float) and detail.startswith("must be an integer (12, not 12.0")


def is_blank_beyond(body, pointer, detail):
    """A text that shows nothing, by characters that no pattern names: clients write those beyond U+FFFF in many ways."""
    text = at(body, pointer)
    return detail == "must not be blank" and isinstance(text, str) and any(ord(character) > 0xFFFF for character in text)


def stands_twice(body, pointer, detail):
    same = [item for item in body["items"] if item["product_id"] == at(body, pointer)]
    return detail.startswith("is in another item already") and len(same) > 1


# Operation, pointer and beginning of the detail of an error of a 422, and why no schema says it.
ORDERS = ("placeOrder", "updateOrder")
REFUNDS = ("createRefund", "previewRefund")
PARTS = ("createFulfillment", "createCancellation", "createReturn", "updateReturn")
KNOWN = "which IDs and e-mail addresses there are, and what they are of, is data"
SUMS = "a schema does not compute a tax or a total"
FIELDS = "what fields of one change need of each other is said in prose, for a schema of it is read by no client generator"
ERRORS = [
    (ORDERS, PRODUCT, "must be the ID of an active product", KNOWN),
    (ORDERS, PRODUCT, "is priced in ", KNOWN),
    (ORDERS, re.compile("/items/[0-9]+/quantity"), "must be at most ", "a product may have a limit of its own"),
    (ORDERS, re.compile("/items/[0-9]+/discounts"), "must be at most ", "what items cost is data"),
    (ORDERS, re.compile("/items"), "must total at most ", SUMS),
    (("placeOrder",), re.compile("/user_id"), "must be the ID of an active user", KNOWN),
    (("updateUser",), re.compile("/current_password"), "", "which password is the right one is data"),
    (
        (*ORDERS, "createProduct", "updateProduct"),
        re.compile("/(metadata|attributes)"),
        "must have at most 16384 bytes",
        "a schema counts entries and characters, and no bytes",
    ),
    (("updateOrder",), re.compile("/(items|expires_at)"), "cannot be changed together with the status", FIELDS),
    (("updateOrder",), re.compile("/shipping"), "is changed together with `items`", FIELDS),
    (ORDERS, re.compile("/expires_at"), "must be in the future", "a schema does not know the time"),
    (("updateOrder",), re.compile("/reason"), "belongs to a change of status", FIELDS),
    (("updateOrder",), re.compile("/(payment(/.*)?|tracking|restock)"), "belongs to a change of status to ", FIELDS),
    (("updateOrder",), re.compile("/(payment|tracking)(/.*)?"), "is required", FIELDS),
    (REFUNDS, re.compile("(/amount)?"), "", "that one of two forms is needed is said in prose"),
    (REFUNDS, re.compile("/(items/[0-9]+/id|payment_id|return_id)"), "must be the ID of", KNOWN),
    (PARTS, re.compile("/items/[0-9]+/id"), "must be the ID of an item of ", KNOWN),
    (("updateReturn",), re.compile("/items"), "belongs to a change of status to ", FIELDS),
    (("updateReturn",), re.compile("/reason"), "is required for rejected", FIELDS),
    (("updateReturn",), re.compile("/items/[0-9]+/restocked"), "must be at most ", "a schema does not compare two fields"),
    (("updateReturn",), re.compile("/items/[0-9]+/received"), "must be at most ", "what is to come back is data"),
    (("updateStock",), re.compile("/delta"), "would exceed the maximum on_hand of 1000000000", "what is on hand is data"),
    (
        ("createUser", "updateUser"),
        re.compile("/password"),
        "is too common",
        "a schema does not list common passwords",
    ),
    (
        ("createUser", "updateUser"),
        re.compile("/password"),
        "must not contain the ",
        "a schema does not compare two fields",
    ),
]


def explained(error, body, operation):
    """Why no schema says this error of a 422, or None."""
    pointer, detail = error["pointer"], error["detail"]
    if is_whole_float(body, pointer, detail):
        return "12.0 is an integer in JSON Schema, and none here"
    if is_blank_beyond(body, pointer, detail):
        return "a pattern names no characters beyond U+FFFF that show nothing"
    if operation in (*REFUNDS, *PARTS) and detail.startswith("stands twice"):
        return "that elements differ in one member is nothing a schema says"
    if operation in ORDERS and PRODUCT.fullmatch(pointer) and stands_twice(body, pointer, detail):
        return "that elements differ in one member is nothing a schema says"
    if operation in ORDERS and TAX.fullmatch(pointer) and ", or 1 more or less: " in detail:
        return SUMS
    for operations, where, beginning, why in ERRORS:
        if operation in operations and where.fullmatch(pointer) and detail.startswith(beginning):
            return why
    return None


def is_shorter_as_stored(failure, body):
    """A text that is too long, with line ends that become shorter."""
    too_long = re.search(r"violates `maxLength` at \S*/(description|note) ", failure.message)
    return too_long is not None and "\r\n" in (at(body, f"/{too_long[1]}") or "")


def reason(failure, case, response, operation):
    """Why this failure is none, or None."""
    if isinstance(failure, AcceptedNegativeData) and response.request.body:
        if is_shorter_as_stored(failure, json.loads(response.request.body)):
            return "a line end of two characters is stored as one, and counts as one"
    if not isinstance(failure, RejectedPositiveData):
        return None
    sent, problem = response.request.headers, response.json()
    kind, detail = problem["type"], problem["detail"]
    match response.status_code, kind:
        case 412, "/problems/version-mismatch" if "If-Match" in sent:
            return "which version there is, is data"
        case 400, "/problems/invalid-query" if detail.startswith("`cursor` is not valid for this list"):
            return "a cursor is opaque, and of one list" if "cursor" in case.query else None
        case 400, "/problems/invalid-query" if operation == "listProducts" and "needs `currency`" in detail:
            alone = "currency" not in case.query and case.query.keys() & {"min_price", "max_price"}
            return "that a parameter needs another one is nothing OpenAPI says" if alone else None
        case 422, "/problems/idempotency-key-reused" if "Idempotency-Key" in sent:
            return "which keys were used, is data"
        case 422, "/problems/validation":
            body = json.loads(response.request.body)
            reasons = [explained(error, body, operation) for error in problem["errors"]]
            return reasons[0] if all(reasons) else None
    return None
