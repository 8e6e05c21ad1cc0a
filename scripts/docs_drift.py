"""Say where Artanis's documentation moved since `openapi.yaml` was last brought in step with it.

python scripts/docs_drift.py             # make docs-drift
python scripts/docs_drift.py --accept    # make docs-drift-accept

Read are the Markdown of the pages that the contract names, and of those that the site's index, llms.txt, lists under
/rest-api; recorded are hashes of them and of their sections, so that a change can be located and none of Artanis's text
is kept here. Exit status: 0 in step, 1 drift, 2 nothing to compare or to compare with, 5 the site could not be read.
"""

import argparse
import asyncio
import hashlib
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import TypedDict

import httpx
import yaml

PROJECT = Path(__file__).resolve().parent.parent
FINGERPRINTS = PROJECT / "scripts" / "docs-fingerprints.json"
LARGEST = 2**21  # bytes; the pages are a hundredth of it
MARKDOWN = {"text/markdown", "text/x-markdown", "text/plain"}
# Indented ones count too: these pages nest them in components, and have no code that only its indentation marks.
HEADING = re.compile(r"\s*(#{1,6})\s+(.*)")
FENCE = re.compile(r"\s*(`{3,}(?!.*`)|~{3,})(.*)")
NAMED_BY = {"contract": "the contract names it", "index": "llms.txt lists it"}
ADVICE = (
    "Read what these pages say now, bring `openapi.yaml` in step with it, then run `make docs-drift-accept` and commit "
    "what it records."
)


class Page(TypedDict):
    """Who names a page, and the hashes of its text and of each section: empty if the site says that it is gone."""

    named_by: list[str]
    sha256: str
    sections: dict[str, str]


class Stop(Exception):
    """Nothing can be said about drift: an exit status, and a sentence that says why and what to do."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status, as the module says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accept", action="store_true", help="record what the pages say now")
    parser.add_argument("--json", action="store_true", help="print what was found as JSON instead of Markdown")
    parser.add_argument("--spec", type=Path, default=PROJECT / "openapi.yaml", metavar="FILE")
    parser.add_argument("--fingerprints", type=Path, default=FINGERPRINTS, metavar="FILE")
    parser.add_argument("--timeout", type=float, default=10, metavar="SECONDS", help="for each page (default: 10)")
    options = parser.parse_args(arguments)
    try:
        named = named_pages(options.spec)
        is_compared = not options.accept
        recorded = load(options.fingerprints) if is_compared and options.fingerprints.exists() else {}
        pages = asyncio.run(read(named, options.timeout))
        if is_compared and not options.fingerprints.exists():
            why = "nothing is recorded yet. `make docs-drift-accept` does it, with network."
            raise Stop(2, f"{options.fingerprints}: {why}")
        there = {url: page for url, page in pages.items() if page["sha256"]}
        # Compared with what is there, only what the contract names in vain is left: that is not to be accepted.
        found = compare(there if options.accept else recorded, pages)
        if options.accept and not found:
            save(options.fingerprints, there)
    except Stop as stop:
        status, why = stop.args
        print(why, file=sys.stderr)
        return int(status)
    if options.json:
        print(json.dumps(found, indent=2))
    elif found:
        for url, lines in found.items():
            print(f"- {url}", *lines, sep="\n  - ")
        print(f"\n{ADVICE}")
    else:
        print("Recorded:" if options.accept else "As recorded:", *there, sep="\n- ")
    return 1 if found else 0


def named_pages(spec: Path) -> set[str]:
    """Return the pages in the externalDocs of the contract, and those of the same sites in its security schemes."""
    try:
        document = yaml.safe_load(spec.read_bytes())
        pages = {page_of(url) for url in links(document, "externalDocs")}
        others = {page_of(url) for url in links(document, "securitySchemes")}
    except (OSError, ValueError, yaml.YAMLError, httpx.InvalidURL) as error:
        raise Stop(2, f"{spec} cannot be read: {error}") from error
    if not pages:
        raise Stop(2, f"{spec}: no `externalDocs` says which pages the contract was read from.")
    return pages | {page for page in others if site_of(page) in map(site_of, pages)}


def links(node: object, wanted: str) -> Iterator[str]:
    """Yield every URL in whatever stands under the key `wanted`, anywhere in the document."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        if key == wanted:
            yield from re.findall(r"https?://[^\s\\'\"()<>]*\w", str(value))
        else:
            yield from links(value, wanted)


def page_of(url: str) -> str:
    """Return the page that a link leads to: the URL without user info, query, fragment and `.md`."""
    path = httpx.URL(url).raw_path.decode().partition("?")[0]
    return site_of(url) + (path.rstrip("/").removesuffix(".md") or "/index")


def site_of(url: str) -> str:
    return f"{httpx.URL(url).scheme}://{httpx.URL(url).netloc.decode()}"


async def read(named: set[str], timeout: float) -> dict[str, Page]:
    """Return every page that the contract names or an index lists, as the site has it now, in order."""
    listed = set[str]()
    found: dict[str, Page] = {}
    async with new_client() as client:
        for site in sorted({site_of(page) for page in named}):
            index = await fetch(client, f"{site}/llms.txt", timeout)
            if index is None:
                print(f"{site}/llms.txt is gone (404 or 410), so it lists nothing.", file=sys.stderr)
                continue
            paths = re.findall(rf"\]\(<?(?:{re.escape(site)})?(/[^\s()<>?#]*)", index)
            if not paths:
                raise Stop(5, f"{site}/llms.txt: the answer links to no page of this site, so it is no index.")
            pages = {site + path.rstrip("/").removesuffix(".md") for path in paths}
            listed |= {page for page in pages if page in named or page.startswith(f"{site}/rest-api/")}
        for page in sorted(named | listed):
            text = await fetch(client, f"{page}.md", timeout)
            sha256, sections = fingerprint(text) if text else ("", {})
            named_by = ["contract"] * (page in named) + ["index"] * (page in listed)
            found[page] = {"named_by": named_by, "sha256": sha256, "sections": sections}
    return found


def new_client() -> httpx.AsyncClient:
    """Return a client that sends no credentials and no cookies."""
    # An Auth that adds nothing goes before user info in a URL, or a netrc file.
    auth, cookies = httpx.Auth(), CookieJar(DefaultCookiePolicy(allowed_domains=[]))
    # One connection per page, so that no request meets a connection that the site has just closed.
    limits = httpx.Limits(max_keepalive_connections=0)
    try:
        return httpx.AsyncClient(auth=auth, cookies=cookies, limits=limits, timeout=None)  # noqa: S113 - fetch() has one
    except (OSError, ValueError, ImportError, httpx.InvalidURL) as error:
        raise Stop(5, f"The environment's proxy or certificates cannot be used: {error}") from error


async def fetch(client: httpx.AsyncClient, url: str, timeout: float) -> str | None:
    """Return the text at `url`, or None if it does not exist; stop for any other failure."""
    target = url
    try:
        async with asyncio.timeout(timeout):
            for _ in range(5):
                async with client.stream("GET", target) as response:
                    if response.next_request is None:
                        return await text_of(response)
                    following = str(response.next_request.url)
                if site_of(following) != site_of(url):
                    raise Stop(5, f"{target} redirects to another site, {following}, which is not followed.")
                print(f"{target} redirects to {following}.", file=sys.stderr)
                target = following
    except TimeoutError as error:
        raise Stop(5, f"{target}: no whole answer within {timeout:g} s.") from error
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, ExceptionGroup) as error:
        raise Stop(5, f"{target} cannot be read: {str(error) or type(error).__name__}") from error
    raise Stop(5, f"{url} redirects again and again.")


async def text_of(response: httpx.Response) -> str | None:
    """Return the Markdown of an answer, or None after a 404 or 410; stop for anything else."""
    if response.status_code in (404, 410):
        return None
    kind = response.headers.get("content-type", "of no type").partition(";")[0].strip().lower()
    body = b""
    if response.status_code == 200 and kind in MARKDOWN:
        async for part in response.aiter_bytes():
            body += part
            if len(body) > LARGEST:
                raise Stop(5, f"{response.url}: more than {LARGEST} bytes are no page.")
    if not body.strip() or re.match(rb"\s*<(!doctype|html|head)\b", body, re.IGNORECASE):
        raise Stop(5, f"{response.url}: not a page in Markdown, but status {response.status_code}, {kind}.")
    return body.decode()


def fingerprint(text: str) -> tuple[str, dict[str, str]]:
    """Return the hash of a page, and one of each section by the headings that lead to it; line ends do not count."""
    lines = [line.rstrip() for line in re.split(r"\r\n?|\n", text)]
    title, fence = "(before the first heading)", ""
    path: list[tuple[int, str]] = []
    seen = Counter[str]()
    sections: dict[str, list[str]] = {}
    for line in lines:
        if mark := FENCE.match(line):
            if not fence:
                fence = mark[1]
            elif mark[1].startswith(fence) and not mark[2]:
                fence = ""
        elif not fence and (heading := HEADING.match(line)):
            # It is printed between backticks, and pasted into issues.
            words = "".join(letter for letter in heading[2].strip("# ") if letter.isprintable() and letter != "`")
            path = [*(step for step in path if step[0] < len(heading[1])), (len(heading[1]), words)]
            title = " > ".join(words for _, words in path)
            seen[title] += 1
            title += f" ({seen[title]})" * (seen[title] > 1)
        sections.setdefault(title, []).append(line)
    return digest(lines), {title: digest(part)[:12] for title, part in sections.items() if any(part)}


def digest(lines: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(lines).strip("\n").encode()).hexdigest()


def compare(recorded: dict[str, Page], pages: dict[str, Page]) -> dict[str, list[str]]:
    """Return the pages that differ from those recorded, in order, with what is known of each, in Markdown."""
    found: dict[str, list[str]] = {}
    for url in sorted(recorded | pages):
        old, new = recorded.get(url), pages.get(url)
        lines: list[str] = []
        if new and not new["sha256"]:
            if old or "contract" in new["named_by"]:  # that an index lists what never was is no affair of ours
                lines = ["vanished: the site answers 404 or 410"]
        elif new and not old:
            lines = [f"appeared: {NAMED_BY[name]}" for name in new["named_by"]]
        elif old:
            lost = (name for name in old["named_by"] if not new or name not in new["named_by"])
            lines = [f"vanished: {NAMED_BY[name]} no more" for name in lost]
            if new and new["sha256"] != old["sha256"]:
                lines += changes(old["sections"], new["sections"])
        if lines:
            found[url] = lines
    return found


def changes(old: dict[str, str], new: dict[str, str]) -> list[str]:
    """Return a line for each section that differs."""
    lines: list[str] = []
    for title in sorted(title for title in old | new if old.get(title) != new.get(title)):
        what = "changed" if title in old and title in new else "appeared" if title in new else "vanished"
        lines.append(f"section {what}: `{title}`")
    return lines or ["changed: the same sections, in another order or spaced otherwise"]


def load(path: Path) -> dict[str, Page]:
    """Return the pages as recorded."""
    try:
        return {
            url: {
                "named_by": [name for name in NAMED_BY if name in page["named_by"]],
                "sha256": str(page["sha256"]),
                "sections": dict(page["sections"]),
            }
            for url, page in json.loads(path.read_bytes()).items()
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        advice = "take it from the last commit, or record it anew with `make docs-drift-accept`"
        raise Stop(2, f"{path} cannot be read ({error!r}): {advice}.") from error


def save(path: Path, pages: dict[str, Page]) -> None:
    """Record the pages, all or none."""
    fresh = path.with_name(f".{path.name}.new")
    try:
        fresh.write_text(json.dumps(pages, indent=2) + "\n", encoding="utf-8")
        fresh.replace(path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise Stop(2, f"{path} cannot be written: {error}") from error


if __name__ == "__main__":
    sys.exit(main())
