"""Who is there in a campaign: the user that sends its cases, and others that it is nothing without.

A case may delete, demote or lock out the very user that sends it. Whoever is hurt is replaced by another of the same role.
"""

import itertools
import json
import os
import time
import urllib.error
import urllib.request

URL = os.environ["OMS_URL"]
ROLE = os.environ["OMS_ROLE"]
PASSWORD = "coffee and tea"
# Seconds; access tokens live for 15 minutes.
RENEWED_AFTER = 600


def send(method, path, body=None, token=None, accept="application/json", status=200):
    """Sends a request that is no case, which must be answered with this status; returns the body."""
    request = urllib.request.Request(URL + path, method=method, data=json.dumps(body).encode() if body else None)
    request.add_header("content-type", "application/json")
    request.add_header("accept", accept)
    if token:
        request.add_header("authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request) as answer:
            received, text = answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        received, text = error.code, error.read().decode()
    if received != status:
        raise RuntimeError(f"{method} {path} was answered {received}: {text}")
    return json.loads(text) if accept == "application/json" else text


class Person:
    """A user, and a session of theirs."""

    def __init__(self, email, password):
        self.email, self.password, self.renewed = email, password, None
        self.id = None

    def session(self):
        """A new pair of tokens."""
        return send("POST", "/auth", {"email": self.email, "password": self.password})

    def token(self):
        if self.renewed is None or time.monotonic() - self.renewed > RENEWED_AFTER:
            self.access, self.renewed = self.session()["access_token"], time.monotonic()
        return self.access


class People:
    """The caller sends the cases, the guest is signed in and out by them, and the keeper, an admin, makes and looks up what
    they need. Cases of an admin may hurt any of them, but no case hurts two: one admin is left to replace the other.
    """

    def __init__(self):
        self.numbers = itertools.count()
        self.roles = {"keeper": "admin", "caller": ROLE, "guest": "customer"}
        keeper = Person("admin@example.com", os.environ["OMS_ADMIN_PASSWORD"])
        keeper.id = send("GET", "/users?email=admin@example.com", token=keeper.token())["data"][0]["id"]
        self.people = {"keeper": keeper, "guest": self.new("guest", keeper)}
        if ROLE != "nobody":
            self.people["caller"] = self.new("caller", keeper)

    def new(self, part, admin):
        person = Person(f"{part}-{next(self.numbers)}-{os.getpid()}@contract.example", PASSWORD)
        user = {"email": person.email, "password": PASSWORD, "name": f"The {part}", "role": self.roles[part]}
        person.id = send("POST", "/users", user, admin.token(), status=201)["id"]
        return person

    def __getitem__(self, part):
        return self.people[part]

    def hurt(self, id):
        """This user is gone, or their sessions, role or password are not what they were."""
        for part, person in list(self.people.items()):
            if person.id == id:
                admin = self.people["caller" if part == "keeper" else "keeper"]
                self.people[part] = self.new(part, admin)


people = People()


def violations():
    """Where products and orders do not agree; nowhere, after all that was sent."""
    found, cursor = [], ""
    while cursor is not None:
        path = "/orders/consistency" + (f"?cursor={cursor}" if cursor else "")
        page = send("GET", path, token=people["keeper"].token())
        found += page["violations"]
        cursor = page["next_cursor"]
    return found
