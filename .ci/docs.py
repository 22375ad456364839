"""Checks the documents of the repository, and prints each fault as `file:line: fault`.

- A relative link leads to a file of the repository, and its anchor to a heading there.
- A path in `backticks`, or in a block of shell commands, is there.
- A mention of a document (NAME.md), in any file, names one of the repository.
- A document below docs/ is linked from another one.
- README.md and docs/architecture.md stay short.
"""

import fnmatch
import re
import subprocess
import sys
import unicodedata
from pathlib import Path, PurePosixPath

LIMITS = {"README.md": 8 * 1024, "docs/architecture.md": 12 * 1024}

# Third parties' files speak of documents of their own.
FOREIGN = ("functions/docs/vendor/",)

EXTENSIONS = "css html http js json lock md mjs pem proto py rs sh sql svg toml ts txt yaml yml".split()

FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})\s*(\w*)")
HEADING = re.compile(r"^ {0,3}#{1,6}\s+(.*?)\s*#*\s*$")
CODE = re.compile(r"(`+)(.+?)\1(?!`)")
LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(\s*<?([^)\s>]*)>?(?:\s+\"[^\"]*\")?\s*\)")
REFERENCE = re.compile(r"^ {0,3}\[[^\]]+\]:\s+<?(\S+?)>?\s*$")
HTML = re.compile(r"<(?:a|img)\b[^>]*?\b(?:href|src|id|name)=\"([^\"]+)\"")
MENTION = re.compile(r"(?<![\w/.-])[\w./-]*\w\.md\b")
SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*:|^//")


def git(*arguments, **options):
    command = ["git", "-c", "core.quotePath=off", *arguments]
    return subprocess.run(command, capture_output=True, text=True, **options).stdout


def committed():
    """Files that are in a clone, or will be; a file that was deleted is not."""
    listed = git("ls-files", "--cached", "--others", "--exclude-standard").splitlines()
    return [name for name in dict.fromkeys(listed) if Path(name).is_file()]


FILES = committed()
FILE_SET = set(FILES)
FOLDERS = {str(parent) for name in FILES for parent in PurePosixPath(name).parents if str(parent) != "."}
TOP = {name.split("/")[0] for name in FILES if "/" in name}
NAMES = {PurePosixPath(name).name for name in FILES}
DOCUMENTS = [name for name in FILES if name.endswith(".md") and not name.startswith(FOREIGN)]


def is_there(path):
    if any(character in path for character in "*?["):
        return any(fnmatch.fnmatchcase(name, path.rstrip("/")) for name in FILE_SET | FOLDERS)
    return path.rstrip("/") in FOLDERS if path.endswith("/") else path in FILE_SET or path in FOLDERS


def slug(heading, taken):
    """The anchor that GitHub gives a heading."""
    text = CODE.sub(lambda code: code.group(2), heading)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text).replace("*", "").lower()
    kept = (c for c in text if c in " -_" or unicodedata.category(c)[0] in "LN")
    anchor = "".join(kept).replace(" ", "-")
    count = taken.get(anchor, 0)
    taken[anchor] = count + 1
    return f"{anchor}-{count}" if count else anchor


def lines(name):
    """Each line with its number, and the language of the fenced block that it is in, else None."""
    fence = language = None
    for number, line in enumerate(Path(name).read_text(encoding="utf-8").splitlines(), 1):
        mark = FENCE.match(line)
        if fence is None and mark:
            fence, language = mark.group(1), mark.group(2)
        elif fence and mark and mark.group(1).startswith(fence) and not mark.group(2):
            fence = language = None
        else:
            yield number, line, language if fence else None


def anchors(name):
    taken, found = {}, set()
    for _, line, language in lines(name):
        if language is None:
            heading = HEADING.match(line)
            if heading:
                found.add(slug(heading.group(1), taken))
            found.update(HTML.findall(line))
    return found


ANCHORS = {}
linked = set()


def link_fault(document, target):
    if SCHEME.match(target):
        return None
    path, _, anchor = target.partition("#")
    if path.startswith("/"):
        return f"the link {target} is not relative"
    parts = []
    for part in [*PurePosixPath(document).parent.parts, *path.split("/")] if path else document.split("/"):
        if part == "..":
            if not parts:
                return f"the link {target} leaves the repository"
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    to = "/".join(parts)
    if to not in FILE_SET and to not in FOLDERS:
        return f"the link {target} leads nowhere: there is no {to}"
    if to != document:
        linked.add(to)
    if anchor:
        if to not in DOCUMENTS:
            return f"the link {target} has an anchor, and {to} has no headings"
        if anchor not in ANCHORS.setdefault(to, anchors(to)):
            return f"the link {target} leads nowhere: {to} has no heading #{anchor}"
    return None


def cited(token, anywhere):
    """The path that a piece of code cites, if it cites one of the repository."""
    path = re.sub(r"(?::\d+(?:-\d+)?|#.*)$", "", token.strip("\"'(),;:"))
    if not re.fullmatch(r"[\w.*?/{},-]+", path) or "/" not in path or path.startswith(("/", "../", "./")):
        return None
    extension = path.rsplit(".", 1)[-1] if "." in path.rsplit("/", 1)[-1] else ""
    named = extension in EXTENSIONS or path.startswith(".ci/")
    return path if named or (anywhere and (path.endswith("/") or path.split("/")[0] in TOP)) else None


def expanded(path):
    """What braces stand for, as in a shell."""
    group = re.search(r"\{([^{}]*)\}", path)
    if not group:
        return [path]
    return [it for choice in group.group(1).split(",") for it in expanded(path[: group.start()] + choice + path[group.end() :])]


faults, missing = [], []

for document in DOCUMENTS:
    size = Path(document).stat().st_size
    if size > LIMITS.get(document, size):
        faults.append((document, 1, f"has {size} bytes, more than {LIMITS[document]}"))
    for number, line, language in lines(document):
        if language is None:
            codes = [code for _, code in CODE.findall(line)]
            text = CODE.sub("``", line)
            targets = LINK.findall(text) + REFERENCE.findall(text)
            targets += [it for it in HTML.findall(text) if "/" in it or it.endswith(".md")]
            faults += [(document, number, fault) for it in targets if (fault := link_fault(document, it))]
            tokens = [(token, len(code.split()) == 1) for code in codes for token in code.split()]
        elif language in ("sh", "bash"):
            tokens = [(token, False) for token in line.split("#")[0].split()]
        else:
            continue
        for token, alone in tokens:
            for path in expanded(cited(token, alone) or ""):
                if path and not is_there(path):
                    missing.append((document, number, path))

# What is generated or private may be cited: git ignores it.
paths = "\n".join(sorted({path for _, _, path in missing}))
ignored = set(git("check-ignore", "--stdin", "--no-index", input=paths).splitlines())
faults += [
    (document, number, f"cites {path}, which is not there")
    for document, number, path in missing
    if path not in ignored
]

# In all files: comments cite documents too.
for hit in git("grep", "-nIE", "--untracked", r"\.md\b").splitlines():
    name, number, line = hit.split(":", 2)
    if name.startswith(FOREIGN) or name == ".ci/docs.py" or name not in FILE_SET:
        continue
    for mention in MENTION.findall(re.sub(r"[a-z]+://\S+", "", line)):
        if mention.rsplit("/", 1)[-1] not in NAMES:
            faults.append((name, int(number), f"mentions {mention}, which is no document of the repository"))

faults += [
    (name, 1, "is linked from no other document")
    for name in DOCUMENTS
    if name.startswith("docs/") and name not in linked
]

for name, number, fault in sorted(set(faults)):
    print(f"{name}:{number}: {fault}")
if faults:
    sys.exit(1)
print(f"{len(DOCUMENTS)} documents: links, anchors and cited paths are there")
