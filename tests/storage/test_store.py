from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from storage import layout, lease
from storage.errors import DamagedArtifact, RequestError, StoreDenied, UnknownArtifact
from storage.manifest import MANIFEST_SCHEMA, Manifest, content_digest
from storage.sealing import Draft, bury, commit
from storage.store import Store
from storage.workspace import Workspace

Seal = Callable[..., Manifest]
KEY = "f" * 64


def _manifest_path(store: Store, manifest: Manifest) -> Path:
    return Path(store.address) / "versions" / manifest.name / manifest.version / "manifest.json"


# --- looking up ---------------------------------------------------------------------------------


def test_what_is_committed_is_found_by_another_store(store: Store, seal: Seal) -> None:
    made = seal(store)
    found = Store(Path(store.address)).find("clean", KEY)
    assert found == made
    assert (store.folder(made) / "part/a.txt").read_text() == "hello"
    assert [entry.path for entry in made.files] == ["log.txt", "part/a.txt"]
    assert made.digest == content_digest(made.files)
    assert made.rows_out == 2 and made.config == {"min_words": 5}
    assert store.files(made, "part/") == [store.folder(made) / "part/a.txt"]
    assert store.find("clean", "0" * 64) is None
    assert store.find("dedup", KEY) is None


def test_commit_drops_the_workspace(store: Store, seal: Seal) -> None:
    seal(store)
    assert [p.name for p in (Path(store.address) / "work/clean").iterdir() if p.is_dir()] == []


def test_resolve_by_name_latest_version_and_unique_beginning(store: Store, seal: Seal) -> None:
    old, new = seal(store, fingerprint="a"), seal(store, fingerprint="b")
    assert store.resolve("clean") == new
    assert store.resolve("clean@latest") == new
    assert store.resolve(old.label) == old
    other = new.version
    unique = next(
        old.version[:i] for i in range(len(old.version)) if not other.startswith(old.version[:i])
    )
    assert store.resolve(f"clean@{unique}") == old


def test_an_ambiguous_beginning_is_refused(store: Store, seal: Seal) -> None:
    versions = [seal(store, fingerprint=key).version for key in "ab"]
    with pytest.raises(UnknownArtifact) as caught:
        store.resolve("clean@20")
    assert all(version in str(caught.value) for version in versions)


@pytest.mark.parametrize("reference", ["clean@1999", "clean@", "clean"])
def test_unknown_says_what_there_is(store: Store, seal: Seal, reference: str) -> None:
    wanted = "clean" if reference == "clean@1999" else "crawl"
    made = seal(store, wanted)
    with pytest.raises(UnknownArtifact) as caught:
        store.resolve(reference)
    assert (made.version if wanted == "clean" else "names held: crawl") in str(caught.value)
    assert "phusa artifacts" in str(caught.value)
    assert caught.value.exit_code == 2


def test_latest_may_be_restricted_to_a_recipe(store: Store, seal: Seal) -> None:
    demo = seal(store, fingerprint="a", recipe="demo")
    seal(store, fingerprint="b", recipe="web")
    assert store.resolve("clean", "demo") == demo
    with pytest.raises(UnknownArtifact, match="made by recipe 'other'"):
        store.resolve("clean", "other")


def test_a_bare_name_of_several_recipes_is_asked_back(store: Store, seal: Seal) -> None:
    demo = seal(store, fingerprint="a", recipe="demo")
    assert store.resolve("clean") == store.resolve("demo/clean") == demo
    web = seal(store, fingerprint="b", recipe="web")
    for reference in ("clean", "clean@latest"):
        for near in (None, "other"):
            with pytest.raises(RequestError) as caught:
                store.resolve(reference, near=near)
            (fault,) = caught.value.faults
            assert fault.code == "ambiguous_recipe"
            assert "demo/clean" in fault.remedy and "web/clean" in fault.remedy
        assert store.resolve(reference, near="demo") == demo
        assert store.resolve(f"web/{reference}", near="demo") == web
    bury(store, web.name, web.version, "old")
    assert store.resolve("clean") == demo


def test_a_recipe_restricts_versions_and_aliases(store: Store, seal: Seal) -> None:
    demo, web = (seal(store, fingerprint=r, recipe=r) for r in ("demo", "web"))
    store.aliases.promote("clean", demo.version, "prod", "", set)
    assert store.resolve("clean@prod") == store.resolve("demo/clean@prod") == demo
    assert store.resolve("web/clean@2") == web and store.resolve(f"demo/{demo.label}") == demo
    for reference in ("web/clean@prod", f"web/{demo.label}", "other/clean", "a/web/clean"):
        with pytest.raises(UnknownArtifact):
            store.resolve(reference)


def test_versions_are_listed_oldest_first(store: Store, seal: Seal) -> None:
    made = [seal(store, fingerprint=str(i)) for i in range(3)]
    crawled = seal(store, "crawl")
    assert sorted(store.versions("clean")) == sorted(m.version for m in made)
    assert [m.created for m in store.manifests()] == [
        m.created for m in [*sorted(made, key=lambda m: m.version), crawled]
    ]
    assert store.names() == ["clean", "crawl"]
    assert store.versions("nothing") == []


def test_latest_before_another(store: Store, seal: Seal) -> None:
    first, web, second, third = (
        seal(store, fingerprint=key, recipe="web" if key == "w" else "demo") for key in "1w23"
    )
    assert store.latest("clean", before=third) == second
    assert store.latest("clean", "demo", before=second) == first
    assert store.latest("clean", "web", before=web) is None
    assert store.latest("clean", before=first) is None


def test_resolve_by_alias(store: Store, seal: Seal) -> None:
    old, new = seal(store, fingerprint="a"), seal(store, fingerprint="b")
    store.aliases.promote("clean", old.version, "prod", "", set)
    assert store.resolve("clean@prod") == old
    store.aliases.promote("clean", new.version, "prod", "", set)
    assert store.resolve("clean@prod") == new
    for reference in ("clean@dev", "dedup@prod"):
        with pytest.raises(UnknownArtifact, match=f"no artifact {reference}"):
            store.resolve(reference)
    with pytest.raises(UnknownArtifact, match="aliases: prod"):
        store.resolve("clean@dev")


def test_an_alias_of_a_damaged_version_says_so(store: Store, seal: Seal) -> None:
    made = seal(store)
    store.aliases.promote("clean", made.version, "prod", "", set)
    _manifest_path(store, made).write_bytes(b"{")
    with pytest.raises(DamagedArtifact, match=made.label):
        store.resolve("clean@prod")


def test_an_ambiguous_beginning_says_what_would_do(store: Store, seal: Seal) -> None:
    for key in "1234567":
        seal(store, fingerprint=key)
    versions = store.versions("clean")
    with pytest.raises(UnknownArtifact, match="7 versions that begin so") as caught:
        store.resolve("clean@2")
    said = str(caught.value)
    assert "expected one unique beginning of a version" in said
    assert [version for version in versions if version in said] == versions[-5:]


def test_a_beginning_is_unique_among_what_is_sealed(store: Store, seal: Seal) -> None:
    made = seal(store)
    store.backend.create(layout.data_key("clean", f"{made.version}x") + "/a.txt", b"half")
    assert store.resolve(f"clean@{made.version[:10]}") == made
    attempt = layout.data_key("clean", "19990101-000000-000-aaaa") + "/a.txt"
    store.backend.create(attempt, b"half")
    with pytest.raises(UnknownArtifact, match="no artifact clean@1999"):
        store.resolve("clean@1999")


def test_what_was_collected_is_said_to_be(store: Store, seal: Seal) -> None:
    old, new = seal(store, fingerprint="a"), seal(store, fingerprint="b")
    bury(store, "clean", old.version, "gc: older than the last 1")
    with pytest.raises(
        UnknownArtifact, match=f"{old.label} was collected by gc or taken"
    ) as caught:
        store.resolve(old.label)
    assert new.version in str(caught.value)  # what there is instead
    assert store.versions("clean") == [new.version]
    assert store.manifest("clean", old.version) == old  # for the lineage
    assert store.find("clean", "a") is None
    assert not store.is_whole(old) and store.is_whole(new)


def _in_schema(store: Store, manifest: Manifest, schema: int, **more: object) -> None:
    raw = json.loads(manifest.to_json()) | {"schema_version": schema, **more}
    _manifest_path(store, manifest).write_text(json.dumps(raw))


@pytest.mark.parametrize("more", [{}, {"signature": "from the future"}])
def test_a_manifest_of_a_newer_phusa_is_never_built_over(
    store: Store, seal: Seal, more: dict[str, object]
) -> None:
    made = seal(store)
    _in_schema(store, made, MANIFEST_SCHEMA + 1, **more)
    looks: list[Callable[[], object]] = [
        lambda: store.find("clean", KEY),
        lambda: store.latest("clean"),
        lambda: store.resolve("clean"),
        lambda: store.resolve(made.label),
        lambda: store.manifest("clean", made.version),
        lambda: seal(store),
    ]
    for look in looks:
        with pytest.raises(RequestError, match="Install that phusa, or a newer one") as caught:
            look()
        assert not isinstance(caught.value, UnknownArtifact)
        assert f"manifest of {made.label}: found schema version 4" in str(caught.value)
    (error,) = store.scan()
    assert isinstance(error, RequestError)
    assert list(store.manifests()) == []


@pytest.mark.parametrize("schema", [1, 2])
def test_a_manifest_of_an_older_phusa_is_read(store: Store, seal: Seal, schema: int) -> None:
    """Until schema 3 an artifact had the name of its stage, and no type."""
    made = seal(store)
    raw = json.loads(made.to_json()) | {"schema_version": schema}
    of_run = ("work_bytes", "memory_bytes") if schema == 1 else ()
    for new in ("stage", "type", *(("checks", "forgotten") if schema == 1 else ())):
        del raw[new]
    for new in of_run:
        del raw["run"][new]
    _manifest_path(store, made).write_text(json.dumps(raw))
    old = made.model_copy(update={"schema_version": schema, "type": ""})
    assert store.find("clean", KEY) == store.resolve("clean") == old
    assert (old.stage, old.reference) == ("clean", made.version.encode())


def test_equal_instances_share_one_artifact(store: Store, seal: Seal) -> None:
    """The reference of a fingerprint is its stage's; it names the instance that was first."""
    made = seal(store, "a", stage="clean")
    key = layout.recipe_key("clean", KEY)
    assert store.backend.read(key) == made.label.encode() == made.reference
    assert store.find("clean", KEY) == made and store.find("a", KEY) is None
    assert seal(store, "b", stage="clean", text="as it came out there") == made
    assert store.names() == ["a"]
    own = seal(store, replace=True)  # the stage's own name: the version alone, as it always was
    assert store.backend.read(key) == own.version.encode()
    assert store.find("clean", KEY) == own and store.resolve("a") == made


def test_a_store_that_is_not_there_is_empty_and_stays_away(tmp_path: Path) -> None:
    store = Store(tmp_path / "none")
    assert store.names() == store.versions("clean") == list(store.manifests()) == []
    assert store.find("clean", KEY) is None and store.latest("clean") is None
    assert store.unsealed("clean") == []
    with pytest.raises(UnknownArtifact, match="no version of it"):
        store.resolve("clean")
    assert not (tmp_path / "none").exists()


def test_a_store_that_may_not_be_read(
    store: Store, seal: Seal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may read everything, so the system's answer is put into its mouth."""
    seal(store)

    def forbidden(*args: object, **kw: object) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", forbidden)
    monkeypatch.setattr(os, "scandir", forbidden)
    for look in (lambda: store.find("clean", KEY), store.names, lambda: store.resolve("clean")):
        with pytest.raises(StoreDenied, match="Permission denied") as caught:
            look()
        assert store.address in str(caught.value) and "--store" in str(caught.value)
        assert caught.value.exit_code == 2


# --- damage -------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["part/a.txt", "log.txt"])
@pytest.mark.parametrize("harm", ["missing", "truncated"])
def test_damaged_files_are_noticed_and_built_again(
    store: Store, seal: Seal, file: str, harm: str
) -> None:
    damaged = seal(store)
    path = store.folder(damaged) / file
    path.unlink() if harm == "missing" else os.truncate(path, 1)
    (line,) = store.damage(damaged)
    assert line.startswith(f"{file}: ")
    assert ("missing" if harm == "missing" else "1 bytes, expected") in line
    assert store.find("clean", KEY) is None
    assert store.latest("clean") is None
    again = seal(store)
    assert again.version != damaged.version
    assert again.digest == damaged.digest
    assert store.find("clean", KEY) == again


@pytest.mark.parametrize("content", [b"", b"{", b'{"schema_version": 1}', b"\xff\x00"])
def test_a_damaged_manifest_says_what_to_do(store: Store, seal: Seal, content: bytes) -> None:
    made = seal(store)
    _manifest_path(store, made).write_bytes(content)
    for look in (store.manifest, lambda n, v: store.resolve(f"{n}@{v}")):
        with pytest.raises(DamagedArtifact, match="remove that version's folder") as caught:
            look("clean", made.version)
        assert made.label in str(caught.value)
    assert store.find("clean", KEY) is None
    assert store.latest("clean") is None


def test_latest_passes_over_what_is_damaged(store: Store, seal: Seal) -> None:
    whole, torn, short = (seal(store, fingerprint=key) for key in "abc")
    _manifest_path(store, torn).write_bytes(b"{")
    os.truncate(store.folder(short) / "part/a.txt", 1)
    assert store.latest("clean") == whole


@pytest.mark.parametrize("content", [b"", b"\0\0\0\0", b"\xff\xfe", b"20261121-000000-000-0000"])
def test_a_damaged_reference_is_built_over(store: Store, seal: Seal, content: bytes) -> None:
    seal(store)
    (Path(store.address) / "refs/recipes/clean" / KEY).write_bytes(content)
    assert store.find("clean", KEY) is None
    again = seal(store)
    assert store.find("clean", KEY) == again


# --- building -----------------------------------------------------------------------------------


def test_a_build_goes_on_where_it_stopped(store: Store) -> None:
    with store.building("clean", KEY) as workspace, workspace.writing("a.txt") as stream:
        stream.write(b"done")
    with store.building("clean", KEY) as workspace:
        assert workspace.entry("a.txt") is not None
    with store.building("clean", "other") as workspace:
        assert workspace.entry("a.txt") is None


def test_a_second_builder_waits(store: Store) -> None:
    order: list[str] = []

    def second() -> None:
        with Store(store.address).building("clean", KEY, waiting=order.append):
            order.append("second")

    with store.building("clean", KEY):
        waiting = threading.Thread(target=second)
        waiting.start()
        with Store(store.address).building("clean", "other", waiting=order.append):
            waiting.join(0.2)
        order.append("first")
    waiting.join()
    assert f"process {os.getpid()}, since" in order.pop(0)
    assert order == ["first", "second"]


def test_a_second_builder_on_another_host_waits_for_the_lease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seal: Seal
) -> None:
    """Where no lock reaches: another machine has another work folder."""
    hosts = []
    for host in ("a", "b"):
        monkeypatch.setenv("PHUSA_CACHE", str(tmp_path / host))
        hosts.append(Store(f"memory://{tmp_path}"))
    order: list[str] = []
    looks: list[float] = []

    def look_again_soon(seconds: float) -> None:
        looks.append(seconds)
        threading.Event().wait(0.01)

    monkeypatch.setattr("storage.lease.time.sleep", look_again_soon)

    def second() -> None:
        with hosts[1].building("clean", KEY, ["crawl@1"], waiting=order.append):
            order.append("second")

    with hosts[0].building("clean", KEY, ["crawl@1"]) as workspace:
        (held,) = lease.live(hosts[0].backend).values()
        assert held.uses == ("crawl@1",)
        thread = threading.Thread(target=second)
        thread.start()
        with hosts[1].building("clean", "other", waiting=order.append) as other:
            assert other.root != workspace.root
        deadline = time.monotonic() + 10
        while len(looks) < 5 and time.monotonic() < deadline:
            threading.Event().wait(0.01)
        order.append("first")
    thread.join()
    assert order == [str(held), "first", "second"]  # said once, however long it lasts
    assert lease.live(hosts[0].backend) == {}


def test_work_folders_have_names_of_their_own(tmp_path: Path) -> None:
    one, two = Store(tmp_path / "one"), Store(tmp_path / "two")
    with one.building("clean", KEY), two.building("clean", KEY):
        names = [lease.live(store.backend).popitem()[1].work for store in (one, two)]
    assert all(names) and len(set(names)) == 2
    with Store(tmp_path / "one").building("clean", "other"):
        assert lease.live(one.backend).popitem()[1].work == names[0]


def test_a_killed_builder_holds_no_lock(
    store: Store, python: Callable[..., SimpleNamespace]
) -> None:
    code = """
import os, signal, sys
from storage.store import Store
with Store(sys.argv[1]).building("clean", "key"):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert python(code, Path(store.address)).wait().status == -9
    said: list[str] = []
    started = time.monotonic()
    with store.building("clean", "key", waiting=said.append):
        assert time.monotonic() - started < 5  # its lease is left, and is not waited for
    assert said == []


# --- commit -------------------------------------------------------------------------------------


def test_replace_swaps_the_reference_and_keeps_the_old_version(store: Store, seal: Seal) -> None:
    old = seal(store, text="old")
    new = seal(store, text="new", replace=True)
    assert store.find("clean", KEY) == new
    assert set(store.versions("clean")) == {old.version, new.version}
    assert (store.folder(old) / "part/a.txt").read_text() == "old"
    assert store.resolve(old.label) == old


def test_the_loser_of_a_race_adopts_the_winner(store: Store, seal: Seal) -> None:
    winner = seal(store, text="same")
    loser = seal(Store(Path(store.address)), text="same")  # did not look before it built
    assert loser == winner
    assert store.versions("clean") == [winner.version]
    assert [m.version for m in store.manifests()] == [winner.version]


def test_stores_on_many_threads_racing_end_with_one_artifact(
    store: Store, draft: Callable[..., Draft]
) -> None:
    """Workspaces of their own, as on several hosts: there is no lock, only the compare-and-swap."""
    start = threading.Barrier(6)

    def build(number: int) -> Manifest:
        workspace = Workspace(Path(store.address) / f"elsewhere-{number}")
        with workspace.writing("a.txt") as stream:
            stream.write(b"same")
        start.wait()
        return commit(Store(store.address), workspace, draft())

    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(build, range(6)))
    assert len({manifest.version for manifest in made}) == 1
    assert store.versions("clean") == [made[0].version]
    assert store.find("clean", KEY) == made[0]


COMMIT = """
import os, signal, sys
from pathlib import Path
from storage.manifest import CodeRef, RunRef
from storage.sealing import Draft, commit
from storage.store import Store
from storage.workspace import Workspace

store = Store(sys.argv[1])
workspace = Workspace(Path(sys.argv[2]))
for name in ("a", "b"):
    with workspace.writing(f"{name}.txt") as stream:
        stream.write(name.encode() * 1000)
draft = Draft(
    name="clean", stage="clean", type="documents", fingerprint="f" * 64, config={}, inputs={},
    rows_in=1, rows_out=1, stats={},
    code=CodeRef(stage_version=1, source_sha256="0"), run=RunRef(recipe="demo", host="t"),
)
"""

KILLED = """
backend = store.backend
def die_at(name, when):
    call = getattr(backend, name)
    def dying(*args):
        if when == "after":
            call(*args)
        os.kill(os.getpid(), signal.SIGKILL)
    setattr(backend, name, dying)

import storage.backends.local as local
step, when = sys.argv[3], sys.argv[4]
if step == "link":
    os.link = lambda *args: os.kill(os.getpid(), signal.SIGKILL)
elif step == "rename":
    Path.replace = lambda *args: os.kill(os.getpid(), signal.SIGKILL)
elif step == "rmtree":
    import shutil
    shutil.rmtree = lambda *args, **kw: os.kill(os.getpid(), signal.SIGKILL)
else:
    die_at(step, when)
commit(store, workspace, draft)
"""

# (step, when, versions that the store shows afterwards)
MOMENTS = [
    ("link", "before", 0),
    ("put_file", "after", 0),
    ("create", "before", 0),
    ("create", "after", 1),  # sealed, and not yet the recipe's
    ("rename", "before", 0),  # a data file gets its name
    ("swap", "after", 1),
    ("rmtree", "before", 1),
]


@pytest.mark.parametrize(("step", "when", "visible"), MOMENTS)
def test_kill_at_each_step_of_commit(
    store: Store,
    tmp_path: Path,
    python: Callable[..., SimpleNamespace],
    draft: Callable[..., Draft],
    step: str,
    when: str,
    visible: int,
) -> None:
    work = tmp_path / "work"
    ended = python(COMMIT + KILLED, Path(store.address), work, step, when).wait()
    assert ended.status == -9, ended.err
    shown = [m for m in store.manifests() if not store.damage(m)]
    assert len(shown) == len(store.versions("clean")) == visible
    found = store.find("clean", KEY)
    assert (found is not None) == ((step, when) in {("swap", "after"), ("rmtree", "before")})

    workspace = Workspace(work)  # what a second attempt finds there
    assert [entry.path for entry in workspace.entries()] == ["a.txt", "b.txt"]
    again = commit(store, workspace, draft())
    assert store.find("clean", KEY) == again
    assert again == found or found is None
    assert (store.folder(again) / "b.txt").read_text() == "b" * 1000
    assert all(not store.damage(manifest) for manifest in store.manifests())


RACE = """
print("ready", flush=True)
sys.stdin.readline()
print(commit(store, workspace, draft).version)
"""


def test_two_processes_racing_end_with_one_artifact(store: Store, tmp_path: Path) -> None:
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", COMMIT + RACE, str(Path(store.address)), str(tmp_path / str(i))],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for i in range(3)
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("\n")
        racer.stdin.flush()
    versions = {racer.communicate(timeout=30)[0].strip() for racer in racers}
    assert len(versions) == 1
    assert store.versions("clean") == list(versions)


FULL = """
import resource
from storage.errors import StoreFull
resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))
try:
    commit(store, workspace, draft)
except StoreFull as error:
    print("full")
"""


def test_a_full_disk_seals_nothing_and_the_same_workspace_commits_later(
    store: Store,
    tmp_path: Path,
    python: Callable[..., SimpleNamespace],
    draft: Callable[..., Draft],
) -> None:
    ended = python(COMMIT + FULL, Path(store.address), tmp_path / "work").wait()
    assert ended.out == "full\n", ended.err
    assert store.versions("clean") == []
    sealed = commit(store, Workspace(tmp_path / "work"), draft())
    assert store.find("clean", KEY) == sealed


def test_manifest_survives_its_own_json(store: Store, seal: Seal) -> None:
    upstream = seal(store, "crawl")
    made = seal(store, inputs=(upstream,))
    assert Manifest.model_validate_json(made.to_json()) == made
    assert made.inputs["crawl"].digest == upstream.digest
    assert made.num_bytes == len("hello") + len("when")
