"""What schemathesis calls in `.ci/fuzz-contract`: signs in, fills valid cases, and counts what came of them."""

import atexit
import collections
import json
import os
import re

import schemathesis

import exemptions
from filling import fill, learn, orders
from people import ROLE, people, violations

# By what it was (valid, invalid, of an unsupported method), operation and status; and failures that are exempt, by reason.
tally = collections.Counter()
# What the caller's cases were given as `Authorization`.
given = set()

if ROLE != "nobody":

    @schemathesis.auth(refresh_interval=None)
    class Caller:
        """Sends the caller's token with each case."""

        def get(self, case, context):
            return people["caller"].token()

        def set(self, case, token, context):
            case.headers["Authorization"] = f"Bearer {token}"
            given.add(case.headers["Authorization"])


def identity(case):
    return case.operation.definition.raw["operationId"]


def is_valid(case):
    return case.meta is not None and case.meta.generation.mode.is_positive


@schemathesis.hook
def before_call(context, case, kwargs):
    # A case may have waited while another one ended the session of its token.
    if case.headers.get("Authorization") in given:
        case.headers["Authorization"] = f"Bearer {people['caller'].token()}"
    if is_valid(case):
        fill(case, identity(case), linked=case.meta.phase.name.value == "stateful")


@schemathesis.hook
def after_call(context, case, response):
    request, status, operation = response.request, response.status_code, identity(case)
    if request.method != case.operation.method.upper():
        tally["unsupported", request.method, status] += 1
        return
    tally["valid" if is_valid(case) else "invalid", operation, status] += 1
    succeeded = 200 <= status < 300
    if request.method == "GET" or not (succeeded or status == 409):
        return
    sent = json.loads(request.body) if request.body else {}
    learn(operation, sent, request.headers, status, response.json() if response.content else None)
    user = re.search(r"/users/(user_[0-9a-z]{26})$", request.url)
    if succeeded and user and (operation == "deleteUser" or {"email", "password", "role", "status"} & sent.keys()):
        if ROLE == "customer" and user[1] == people["caller"].id:
            # They were theirs.
            orders.clear()
        people.hurt(user[1])


@schemathesis.check
def documented_headers(context, response, case):
    """An answer has the headers that the document names: schemathesis asks only for those that are marked as required."""
    documented = case.operation.responses.find_by_status_code(response.status_code)
    if documented is None or response.request.method != case.operation.method.upper():
        return
    # The last page has no link, and most answers are no replays.
    at_times = {"Link", "Idempotency-Replayed"}
    names = [name for name, _ in documented.headers.items() if name not in at_times]
    missing = [name for name in names if name.lower() not in response.headers]
    assert not missing, f"without {missing}"


@schemathesis.hook
def filter_failure(context, failure, case, response):
    reason = exemptions.reason(failure, case, response, identity(case))
    if reason:
        tally["exempt", reason, 0] += 1
    return reason is None


@atexit.register
def write():
    for violation in violations():
        tally["violations", json.dumps(violation), 0] += 1
    with open(os.environ["OMS_TALLY"], "w") as file:
        json.dump([[*key, count] for key, count in sorted(tally.items())], file)
