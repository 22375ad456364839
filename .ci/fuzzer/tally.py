"""Tells what came of the campaigns of `.ci/fuzz-contract`: `tally.py RESULTS LEAST`, where LEAST cases at least must have run.

It fails with what a campaign has found, when one was not finished, and when too few of its valid cases succeeded: a fuzzer
that is refused at the door finds nothing.
"""

import collections
import json
import pathlib
import sys

results, least = pathlib.Path(sys.argv[1]), int(sys.argv[2])
# The least share of valid cases that must succeed, by role. Nobody, and customers, may not do most things.
SHARES = {"nobody": 0.15, "customer": 0.3, "staff": 0.5, "admin": 0.5}

faults = []
total = 0
exempt = collections.Counter()
for role, share in SHARES.items():
    try:
        report = json.loads((results / f"{role}.json").read_text())
        counts = json.loads((results / f"{role}.tally.json").read_text())
    except FileNotFoundError as error:
        print((results / f"{role}.txt").read_text() if (results / f"{role}.txt").exists() else "")
        faults.append(f"{role}: there is no {error.filename}")
        continue
    cases = report["test_cases"]["generated"]
    total += cases
    if report["exit_code"] != 0 or report["failures"] or report["errors"] or not report["complete"]:
        print((results / f"{role}.txt").read_text())
        faults.append(f"{role}: something was found, or it was not finished")
    by_status = collections.Counter()
    done, seen = collections.Counter(), collections.Counter()
    for kind, name, status, count in counts:
        if kind == "exempt":
            exempt[name] += count
        elif kind == "violations":
            faults.append(f"{role}: products and orders do not agree: {name}")
        else:
            by_status[status] += count
            if kind == "valid":
                seen[name] += count
                done[name] += count if status < 400 else 0
    succeeded = sum(done.values()) / max(sum(seen.values()), 1)
    print(f"{role}: {cases} cases in {report['running_time']:.0f} s; of the valid ones {succeeded:.0%} succeeded")
    print("  requests by status: " + ", ".join(f"{status}: {count}" for status, count in sorted(by_status.items())))
    print("  valid ones that succeeded: " + ", ".join(f"{name} {done[name]}/{seen[name]}" for name in sorted(seen)))
    if succeeded < share:
        faults.append(f"{role}: less than {share:.0%} of the valid cases succeeded")
    if role == "admin":
        faults += [f"{role}: {name} never succeeded" for name in sorted(seen) if not done[name]]

print("reported and exempt, each with its reason:")
for reason, count in exempt.most_common():
    print(f"  {count}: {reason}")
print(f"{total} cases in all")
if total < least:
    faults.append(f"{least} cases were wanted")
print("\n".join(faults))
sys.exit(1 if faults else 0)
