"""A small Hub on this machine that speaks the real one's HTTP protocol to the real `huggingface_hub` client.

It checks every uploaded object against its sha256, and knows tokens that may write, read, or nothing. What a push meets
on a bad day can be ordered: an error on a route, a connection that breaks inside an upload, an answer that is lost, a
commit of somebody else.

Not spoken: Xet (the client must run with HF_HUB_DISABLE_XET=1), and the Hub's rules for what a card may say, of which
only one stands here, that a license must be known.
"""

import base64
import hashlib
import json
import re
import socket
import struct
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml
from hub_state import LFS_SUFFIXES, Account, Blob, Commit, Fault, RefusalError, Repository

LICENSES = {"apache-2.0", "mit", "other"}


class HubServer(ThreadingHTTPServer):
    """The Hub: its state, what it was sent, and the faults that it was told to have."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server_address[1]}"
        self.accounts = {
            "hf_ada": Account("ada", organizations=("lab",)),
            "hf_reader": Account("ada", role="read"),
            "hf_eve": Account("eve"),
        }
        self.repositories: dict[str, Repository] = {}
        self.reserved_names = {"settings"}
        self.ignored: set[str] = set()  # paths that every repository's .gitignore names
        self.requests: list[str] = []
        self.bytes_put: Counter[str] = Counter()  # by sha256, all attempts together
        self.chunk_size: int | None = None  # larger objects are uploaded in parts of this many bytes
        self.page_size = 1000
        self.lock = threading.RLock()
        self.faults: list[Fault] = []
        self.mistakes: list[BaseException | None] = []  # of this server itself
        self.parts: dict[tuple[str, int], bytes] = {}

    def fail(self, route: str, status: int, times: int = 1, message: str = "told to", **headers: str) -> None:
        """Answer the next `times` requests of a route with an error; "METHOD /path" is searched for `route`."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()} | {"X-Error-Message": message}
        self.faults.append(Fault(re.compile(route), times, status, sent, {"error": message}))

    def break_upload(self, route: str, after: int, times: int = 1) -> None:
        """Reset the connection after so many bytes of the request's body."""
        self.faults.append(Fault(re.compile(route), times, break_after=after))

    def lose_answer(self, route: str, times: int = 1) -> None:
        """Carry the request out and reset the connection instead of answering."""
        self.faults.append(Fault(re.compile(route), times, lose_answer=True))

    def meanwhile(self, route: str, action: Callable[[], None]) -> None:
        """Do something just before the next request of a route is carried out."""
        self.faults.append(Fault(re.compile(route), 1, meanwhile=action))

    def add_repository(self, name: str, files: dict[str, bytes], private: bool = False) -> Repository:
        """Make a repository that holds files already."""
        self.repositories[name] = repository = Repository(private)
        first = repository.commit("main", "initial commit", {".gitattributes": Blob(b"*.png filter=lfs\n", False)})
        blobs = {path: Blob(content, path.endswith(LFS_SUFFIXES)) for path, content in files.items()}
        repository.objects |= {blob.sha256: blob.content for blob in blobs.values() if blob.is_lfs}
        if files:
            repository.commit("main", "earlier work", {**first.files, **blobs}, first.oid)
        return repository

    def sent(self, pattern: str) -> list[str]:
        """The requests ("METHOD /path") that match a pattern."""
        return [request for request in self.requests if re.search(pattern, request)]

    def take_fault(self, request: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.times > 0 and fault.route.search(request):
                    fault.times -= 1
                    return fault
        return None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep what went wrong here, other than a client that went away."""
        error = sys.exception()
        if not isinstance(error, ConnectionError):
            self.mistakes.append(error)


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    server: HubServer

    def log_message(self, format: str, *args: Any) -> None:
        """Write nothing."""

    def do_any(self) -> None:
        url = urlsplit(self.path)
        self.route, self.query = url.path, {name: values[-1] for name, values in parse_qs(url.query).items()}
        request = f"{self.command} {unquote(self.route)}"
        self.server.requests.append(request)
        fault = self.server.take_fault(request)
        if fault is not None and fault.break_after is not None:
            self._count(len(self.rfile.read(fault.break_after)))
            return self._reset()
        body = self._body()
        if self.command == "PUT":
            self._count(len(body))
        if fault is not None and fault.status:
            return self._answer(fault.status, fault.body, fault.headers)
        if fault is not None and fault.meanwhile is not None:
            fault.meanwhile()
        try:
            with self.server.lock:
                status, answer, headers = self._carry_out(body)
        except RefusalError as refusal:
            status, answer, headers = refusal.status, refusal.body, refusal.headers
        if fault is not None and fault.lose_answer:
            return self._reset()
        return self._answer(status, answer, headers)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_any  # noqa: N815 - http.server looks these names up

    def _count(self, size: int) -> None:
        with self.server.lock:
            self.server.bytes_put[self.route.split("/")[2]] += size

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def _answer(self, status: int, answer: Any, headers: dict[str, str]) -> None:
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        kind = "application/octet-stream" if isinstance(answer, bytes) else "application/json"
        self.send_response(status)
        for name, value in ({"Content-Type": kind, "Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _carry_out(self, body: bytes) -> tuple[int, Any, dict[str, str]]:
        for method, pattern, action in ROUTES:
            found = re.fullmatch(pattern, self.route)
            if found and self.command in method:
                result = action(self, body, **{name: unquote(text) for name, text in found.groupdict().items() if text})
                return result if isinstance(result, tuple) else (200, result, {})
        raise RefusalError(404, f"no such route: {self.command} {self.route}")

    # --- who asks ----------------------------------------------------------------------------------------------

    def _account(self) -> Account | None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and token not in self.server.accounts:
            raise RefusalError(401, "Invalid credentials in Authorization header")
        return self.server.accounts.get(token)

    def _may_write(self, namespace: str) -> bool:
        account = self._account()
        return account is not None and account.role == "write" and namespace in (account.user, *account.organizations)

    def _repository(self, name: str) -> Repository:
        repository = self.server.repositories.get(name)
        account = self._account()
        visible = repository is not None and (
            not repository.private
            or (account is not None and name.split("/")[0] in (account.user, *account.organizations))
        )
        if not visible or repository is None:
            raise RefusalError(404, "Repository not found", "RepoNotFound")
        return repository

    def _writable(self, name: str) -> Repository:
        repository = self._repository(name)
        # Anybody who may write at all may open a pull request.
        as_request = self.query.get("create_pr") == "1" or self.route.endswith("/objects/batch")
        account = self._account()
        allowed = (
            account is not None and account.role == "write" and (as_request or self._may_write(name.split("/")[0]))
        )
        if not allowed:
            raise RefusalError(403, f"You don't have the rights to write to {name}")
        return repository

    def _commit_of(self, name: str, revision: str) -> Commit:
        commit = self._repository(name).find(revision)
        if commit is None:
            raise RefusalError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return commit

    # --- routes ------------------------------------------------------------------------------------------------

    def whoami(self, body: bytes) -> Any:
        account = self._account()
        if account is None:
            raise RefusalError(401, "Invalid credentials in Authorization header")
        token = {"displayName": "a token", "role": account.role}
        organizations = [{"type": "org", "name": name} for name in account.organizations]
        return {"type": "user", "name": account.user, "orgs": organizations, "auth": {"accessToken": token}}

    def create_repository(self, body: bytes) -> Any:
        asked, account = json.loads(body), self._account()
        if account is None:
            raise RefusalError(401, "Invalid username or password.")
        namespace = asked["organization"] or account.user
        if not self._may_write(namespace):
            raise RefusalError(403, f'You don\'t have the rights to create a model under the namespace "{namespace}"')
        if asked["name"] in self.server.reserved_names:
            raise RefusalError(400, f"Invalid repo name: {asked['name']}")
        name = f"{namespace}/{asked['name']}"
        if name in self.server.repositories:
            raise RefusalError(409, "You already created this model repo")
        # Older clients send the latter.
        self.server.add_repository(name, {}, asked.get("visibility") == "private" or asked.get("private") is True)
        return {"url": f"{self.server.endpoint}/{name}", "name": name}

    def validate_card(self, body: bytes) -> Any:
        found = re.match(r"---\n(.*?)\n---", json.loads(body)["content"], re.DOTALL)
        try:
            metadata = yaml.safe_load(found[1]) if found else {}
        except yaml.YAMLError as error:
            return 400, {"errors": [{"message": str(error)}], "warnings": []}, {}
        if metadata.get("license", "other") not in LICENSES:
            return 400, {"errors": [{"message": '"license" must be one of [apache-2.0, ...]'}], "warnings": []}, {}
        return {"errors": [], "warnings": []}

    def model_info(self, body: bytes, name: str, revision: str = "main") -> Any:
        commit, repository = self._commit_of(name, revision), self._repository(name)
        siblings = [{"rfilename": path} for path in commit.files]
        return {"id": name, "modelId": name, "sha": commit.oid, "private": repository.private, "siblings": siblings}

    def tree(self, body: bytes, name: str, revision: str, folder: str | None = None) -> Any:
        prefix = f"{folder}/" if folder else ""
        files = {p: b for p, b in sorted(self._commit_of(name, revision).files.items()) if p.startswith(prefix)}
        if folder and not files:
            raise RefusalError(404, f"{folder} does not exist", "EntryNotFound")
        entries = [blob.entry(path) for path, blob in files.items()]
        if self.query.get("recursive") != "true":
            folders = sorted({prefix + path.removeprefix(prefix).split("/")[0] for path in files} - files.keys())
            entries = [entry for entry in entries if "/" not in entry["path"].removeprefix(prefix)]
            entries += [{"type": "directory", "path": path, "oid": "0" * 40, "size": 0} for path in folders]
        start = int(self.query.get("cursor", 0))
        end = start + self.server.page_size
        following = f"{self.server.endpoint}{self.route}?recursive={self.query.get('recursive')}&cursor={end}"
        return 200, entries[start:end], {"Link": f'<{following}>; rel="next"'} if end < len(entries) else {}

    def paths_info(self, body: bytes, name: str, revision: str) -> Any:
        files = self._commit_of(name, revision).files
        return [files[path].entry(path) for path in parse_qs(body.decode())["paths"] if path in files]

    def references(self, body: bytes, name: str) -> Any:
        refs = self._repository(name).refs.items()
        listed = [{"name": ref, "ref": f"refs/heads/{ref}", "targetCommit": oid} for ref, oid in refs]
        requests = [entry | {"ref": entry["name"]} for entry in listed if entry["name"].startswith("refs/pr/")]
        branches = [entry for entry in listed if not entry["name"].startswith("refs/pr/")]
        return {"branches": branches, "tags": [], "converts": [], "pullRequests": requests}

    def create_branch(self, body: bytes, name: str, branch: str) -> Any:
        repository = self._writable(name)
        if branch in repository.refs:
            raise RefusalError(409, f"Reference already exists: {branch}")
        repository.refs[branch] = self._commit_of(name, json.loads(body).get("startingPoint", "main")).oid
        return {}

    def preupload(self, body: bytes, name: str, revision: str) -> Any:
        self._writable(name)
        files = self._commit_of(name, revision).files
        answers = []
        for asked in json.loads(body)["files"]:
            mode = "lfs" if asked["path"].endswith(LFS_SUFFIXES) else "regular"
            blob = files.get(asked["path"])
            oid = None if blob is None else blob.sha256 if blob.is_lfs else blob.git_oid
            answers.append(
                {
                    "path": asked["path"],
                    "uploadMode": mode,
                    "shouldIgnore": asked["path"] in self.server.ignored,
                    "oid": oid,
                }
            )
        return {"files": answers}

    def lfs_batch(self, body: bytes, name: str) -> Any:
        repository, objects = self._writable(name), []
        for asked in json.loads(body)["objects"]:
            oid, size = asked["oid"], asked["size"]
            objects.append(answer := {"oid": oid, "size": size})
            if oid in repository.objects:
                continue  # no action: it is here already
            url, header = f"{self.server.endpoint}/storage/{oid}", {}
            upload = {"href": f"{url}?repository={name}&size={size}", "header": header}
            if self.server.chunk_size is not None and size > self.server.chunk_size:
                count = -(-size // self.server.chunk_size)
                header["chunk_size"] = str(self.server.chunk_size)
                header |= {str(n): f"{url}?repository={name}&part={n}" for n in range(1, count + 1)}
            answer["actions"] = {"upload": upload, "verify": {"href": f"{self.server.endpoint}/{name}.git/verify"}}
        return {"transfer": "basic", "objects": objects}

    def put_object(self, body: bytes, oid: str) -> Any:
        if "part" in self.query:
            self.server.parts[oid, int(self.query["part"])] = body
            return 200, {}, {"ETag": f'"{hashlib.md5(body).hexdigest()}"'}
        return self._store(oid, body)

    def complete_object(self, body: bytes, oid: str) -> Any:
        parts = [(part, self.server.parts.pop((oid, part["partNumber"]))) for part in json.loads(body)["parts"]]
        if any(part["etag"] != f'"{hashlib.md5(content).hexdigest()}"' for part, content in parts):
            raise RefusalError(400, "a part's etag is wrong")
        return self._store(oid, b"".join(content for _, content in parts))

    def _store(self, oid: str, content: bytes) -> Any:
        if hashlib.sha256(content).hexdigest() != oid:
            raise RefusalError(400, "the content does not have the sha256 that was announced")
        self.server.repositories[self.query["repository"]].objects[oid] = content
        return {}

    def verify_object(self, body: bytes, name: str) -> Any:
        asked = json.loads(body)
        stored = self._repository(name).objects.get(asked["oid"])
        if stored is None or len(stored) != asked["size"]:
            raise RefusalError(404, "the object is not here")
        return {}

    def commit(self, body: bytes, name: str, revision: str) -> Any:
        repository, parent = self._writable(name), self._commit_of(name, revision)
        header, *operations = [json.loads(line) for line in body.splitlines()]
        if header["value"].get("parentCommit", parent.oid) != parent.oid:
            raise RefusalError(412, "A commit has happened since. Please refresh and try again.")
        files = dict(parent.files)
        for operation in operations:
            kind, value = operation["key"], operation["value"]
            if kind == "file":
                files[value["path"]] = Blob(base64.b64decode(value["content"]), False)
            elif kind == "lfsFile":
                if value["oid"] not in repository.objects:
                    raise RefusalError(400, f"LFS pointer pointed to a file that does not exist: {value['path']}")
                files[value["path"]] = Blob(repository.objects[value["oid"]], True)
            elif kind == "deletedFile" and files.pop(value["path"], None) is None:
                raise RefusalError(404, "A file with this name doesn't exist", "EntryNotFound")
        ref, answer = revision, {}
        if self.query.get("create_pr") == "1":
            number = 1 + sum(ref.startswith("refs/pr/") for ref in repository.refs)
            ref, answer = f"refs/pr/{number}", {"pullRequestUrl": f"{self.server.endpoint}/{name}/discussions/{number}"}
        elif revision not in repository.refs:
            raise RefusalError(400, f"{revision} is not a branch")
        oid = repository.commit(ref, header["value"]["summary"], files, parent.oid).oid
        return answer | {"commitUrl": f"{self.server.endpoint}/{name}/commit/{oid}", "commitOid": oid, "success": True}

    def resolve(self, body: bytes, name: str, revision: str, path: str) -> Any:
        commit = self._commit_of(name, revision)
        headers = {"X-Repo-Commit": commit.oid, "Accept-Ranges": "bytes"}
        blob = commit.files.get(path)
        if blob is None:
            refusal = RefusalError(404, "Entry not found", "EntryNotFound")
            refusal.headers |= headers
            raise refusal
        headers["ETag"] = f'"{blob.git_oid}"'
        if blob.is_lfs:
            headers |= {"X-Linked-Etag": f'"{blob.sha256}"', "X-Linked-Size": str(len(blob.content))}
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not asked:
            return 200, blob.content, headers
        start, end = int(asked[1]), int(asked[2] or len(blob.content) - 1) + 1
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(blob.content)}"
        return 206, blob.content[start:end], headers


_REPOSITORY = r"(?P<name>[^/]+/[^/]+)"
_MODEL = rf"/api/models/{_REPOSITORY}"
_REVISION = r"(?P<revision>[^/]+)"  # slashes in it are quoted
ROUTES: list[tuple[tuple[str, ...], str, Callable[..., Any]]] = [
    (("GET",), "/api/whoami-v2", Handler.whoami),
    (("POST",), "/api/repos/create", Handler.create_repository),
    (("POST",), "/api/validate-yaml", Handler.validate_card),
    (("GET",), _MODEL, Handler.model_info),
    (("GET",), rf"{_MODEL}/revision/{_REVISION}", Handler.model_info),
    (("GET",), rf"{_MODEL}/tree/{_REVISION}(?:/(?P<folder>.+))?", Handler.tree),
    (("POST",), rf"{_MODEL}/paths-info/{_REVISION}", Handler.paths_info),
    (("GET",), rf"{_MODEL}/refs", Handler.references),
    (("POST",), rf"{_MODEL}/branch/(?P<branch>.+)", Handler.create_branch),
    (("POST",), rf"{_MODEL}/preupload/{_REVISION}", Handler.preupload),
    (("POST",), rf"{_MODEL}/commit/{_REVISION}", Handler.commit),
    (("POST",), rf"/{_REPOSITORY}\.git/info/lfs/objects/batch", Handler.lfs_batch),
    (("POST",), rf"/{_REPOSITORY}\.git/verify", Handler.verify_object),
    (("PUT",), "/storage/(?P<oid>[0-9a-f]{64})", Handler.put_object),
    (("POST",), "/storage/(?P<oid>[0-9a-f]{64})", Handler.complete_object),
    (("GET", "HEAD"), rf"/{_REPOSITORY}/resolve/{_REVISION}/(?P<path>.+)", Handler.resolve),
]


@contextmanager
def hub_server() -> Iterator[HubServer]:
    """Run a Hub for the length of the block."""
    server = HubServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert server.mistakes == []
