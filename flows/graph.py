"""The graph of a recipe: its instances, and which is made from which.

A port that a recipe leaves out takes the nearest producer of its type: not one that another
candidate was made from. It is looked for among what the instance is made from already (the
tokenizer of its sequences), then, of instances of a stage's own name, on the main line that they
make up, and of further ones among all, where what is made from the same goes first (the scores of
their own documents). What is needed and named by nobody is there with its defaults, on the main
line.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from pydantic import ValidationError

from flows.recipe import FURTHER, Recipe
from flows.stages import STAGES
from storage.errors import Fault, RequestError, suggestion
from tasks.config import Config
from tasks.stage import Port, Stage


@dataclass(frozen=True)
class Instance:
    """A stage with its knobs, under a name.

    `sources` are, by port, instances of the recipe or artifacts of the store (NAME@…).
    """

    name: str
    stage: Stage
    config: Config
    sources: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    is_named: bool = True

    @property
    def where(self) -> str:
        """Say where it stands in the recipe."""
        return self.name if self.name == self.stage.name else f"{FURTHER}.{self.name}"

    @property
    def upstream(self) -> tuple[str, ...]:
        """Name the instances that it is made from, each once."""
        found = (s for of in self.sources.values() for s in of if not is_artifact(s))
        return tuple(dict.fromkeys(found))


def is_artifact(source: str) -> bool:
    """Say whether a source names an artifact of the store, not an instance."""
    return "@" in source


@dataclass(frozen=True)
class Graph:
    """All instances of a recipe, each after those that it is made from."""

    instances: Mapping[str, Instance]

    def __iter__(self) -> Iterator[Instance]:
        return iter(self.instances.values())

    def __getitem__(self, name: str) -> Instance:
        return self.instances[name]

    def above(self, names: Iterable[str], stop: Collection[str] = ()) -> set[str]:
        """Name these instances and all that they are made from, not looking beyond `stop`."""
        return _reached(names, lambda n: () if n in stop else self.instances[n].upstream)

    def below(self, names: Iterable[str]) -> set[str]:
        """Name these instances and all that is made from them."""
        made: dict[str, list[str]] = {name: [] for name in self.instances}
        for instance in self:
            for source in instance.upstream:
                made[source].append(instance.name)
        return _reached(names, lambda name: made[name])

    def match(self, option: str, patterns: Iterable[str]) -> tuple[set[str], list[Fault]]:
        """Name the instances that names and globs mean, and what is wrong with them."""
        found, faults = set[str](), []
        for pattern in patterns:
            meant = {name for name in self.instances if fnmatchcase(name, pattern)}
            found |= meant
            if not meant:
                says = f"unknown instance `{pattern}`"
                faults.append(Fault(option, says, *_one_of(pattern, self.instances)))
        return found, faults


def _reached(names: Iterable[str], step: Callable[[str], Iterable[str]]) -> set[str]:
    found, waiting = set[str](), list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(step(name))
    return found


def _one_of(found: str, known: Iterable[str]) -> tuple[str, str, str]:
    """What was expected where a name is not one of those known, the remedy, and the code."""
    names = list(known)
    remedy = suggestion(found, names, "Name an instance of the recipe.")
    expected = f"one of {', '.join(names) or 'none, for the recipe has no instance'}"
    return expected, remedy, "unknown_instance"


def graph_of(recipe: Recipe) -> Graph:
    """Connect a recipe's instances. Raises RequestError, with all faults at once."""
    builder = _Builder(recipe)
    if not builder.found and not builder.faults:
        remedy = "Begin with `crawl: …`, as recipes/demo.yaml does."
        expected = f"one of {', '.join(STAGES)}"
        raise RequestError(Fault(recipe.name, "no stage", expected, remedy, "no_stage"))
    builder.connect()
    if builder.faults:
        raise RequestError(builder.faults)
    return Graph({name: builder.found[name] for name in builder.order()})


class _Builder:
    """A graph that is being put together."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._place = {name: at for at, name in enumerate(STAGES)}
        self.found: dict[str, Instance] = {}
        self.faults: list[Fault] = []
        for name, stage, config, inputs in recipe.named():
            instance = Instance(name, stage, config, inputs)
            if name in STAGES and (name != stage.name or name in self.found):
                found = f"an instance of {stage.name} with the name of a stage"
                remedy = "Give it another name, or set its knobs at the top of the recipe."
                where = f"{FURTHER}.{name}"
                self.faults.append(Fault(where, found, "a name of its own", remedy, "taken_name"))
                continue
            self.found[name] = instance

    def connect(self) -> None:
        """Check the inputs that are named, then find those that are not."""
        for instance in list(self.found.values()):
            self._check_named(instance)
        if not self.faults:
            self._check_cycles()
        if self.faults:  # what is nearest cannot be said of a broken graph
            return
        for name in sorted(self.found, key=lambda n: self._place[self.found[n].stage.name]):
            self._fill(name)
        for instance in self.found.values():
            self._check_made_with(instance)

    def order(self) -> list[str]:
        """Name all instances, each after its sources, else by stage and as the recipe has them."""
        ordered: dict[str, None] = {}

        def visit(name: str) -> None:
            if name not in ordered:
                for source in sorted(self.found[name].upstream, key=place.__getitem__):
                    visit(source)
                ordered[name] = None

        by_stage = sorted(self.found, key=lambda n: self._place[self.found[n].stage.name])
        place = {name: at for at, name in enumerate(by_stage)}
        for name in by_stage:
            visit(name)
        return list(ordered)

    # --- inputs that the recipe names -------------------------------------------------------------

    def _check_named(self, instance: Instance) -> None:
        for name, sources in instance.sources.items():
            where = f"{instance.where}.inputs.{name}"
            ports = [p for p in instance.stage.ports if not p.names]  # the others have a knob
            port = next((p for p in ports if p.name == name), None)
            if port is None:
                known = ", ".join(p.name for p in ports) or "none: it takes nothing"
                found = f"a port that {instance.stage.name} does not have"
                remedy = suggestion(name, (p.name for p in ports), "Mend its name.")
                self.faults.append(Fault(where, found, f"one of {known}", remedy, "unknown_port"))
                continue
            if port.how != "many" and len(sources) != 1:
                found, expected = f"{len(sources)} of them", f"one {port.type.name}"
                self.faults.append(Fault(where, found, expected, "Name one.", "not_one_input"))
            for source in sources:
                self._check_source(where, port, source)

    def _check_source(self, where: str, port: Port, source: str) -> None:
        """An artifact of the store is looked at when the graph is planned, with the store."""
        if is_artifact(source):
            return
        if source in STAGES and source not in self.found:
            self._add_default(STAGES[source], where)
            if source not in self.found:
                return
        if source not in self.found:
            says = f"`{source}`, which is not there"
            self.faults.append(Fault(where, says, *_one_of(source, self.found)))
            return
        made = self.found[source].stage.output
        if not made.serves(port.type):
            able = [i.name for i in self.found.values() if i.stage.output.serves(port.type)]
            remedy = f"Name one that makes {port.type.name}: {', '.join(able) or 'none does yet'}."
            found = f"`{source}`, which makes {made.name}"
            self.faults.append(Fault(where, found, port.type.name, remedy, "wrong_artifact"))

    def _check_cycles(self) -> None:
        done = set[str]()

        def visit(name: str, path: tuple[str, ...]) -> None:
            if name in path:
                circle = (*path[path.index(name) :], name)
                where = f"{self.found[name].where}.inputs"
                remedy = "Let one of them take something else."
                found = f"a cycle: {' ← '.join(circle)}"
                expected = "nothing made from itself"
                self.faults.append(Fault(where, found, expected, remedy, "cycle"))
                done.update(circle)
            elif name not in done:
                for source in self.found[name].upstream:
                    visit(source, (*path, name))
                done.add(name)

        for name in self.found:
            visit(name, ())

    # --- inputs that it leaves out ----------------------------------------------------------------

    def _fill(self, name: str) -> None:
        instance = self.found[name]
        for port in instance.stage.ports:
            if port.name not in instance.sources and port.how == "one":
                source = self._nearest(instance, port)
                if source is not None:
                    sources = {**instance.sources, port.name: (source,)}
                    instance = self.found[name] = replace(instance, sources=sources)
        ports = {p.name: instance.sources.get(p.name, ()) for p in instance.stage.ports}
        self.found[name] = replace(instance, sources=ports)

    def _nearest(self, instance: Instance, port: Port) -> str | None:
        candidates = self._candidates(instance, port)
        nearest = [n for n in candidates if not self._is_source_of_another(n, candidates)]
        if len(nearest) == 1:
            return nearest[0]
        where = f"{instance.where}.inputs.{port.name}"
        if nearest:
            found = f"nothing, where {' and '.join(nearest)} could be meant"
            expected = f"the name of one that makes {port.type.name}"
            remedy = f"Name it under {FURTHER}: inputs: {{{port.name}: {nearest[0]}}}."
            self.faults.append(Fault(where, found, expected, remedy, "ambiguous_input"))
        elif not self.faults:
            remedy = "Name an artifact: NAME@VERSION."
            self.faults.append(Fault(where, "nothing", f"a {port.type.name}", remedy, "missing"))
        return None

    def _candidates(self, instance: Instance, port: Port) -> list[str]:
        """All that a port may take; of the main line, the instance that belongs to it."""
        above = self._serving(self._above(instance.upstream), port)
        if above:
            return above
        usual = self._usual(instance.stage, port)
        able = self._serving(self._before(instance.stage), port)
        if usual is None:
            return able
        on_main_line = instance.name == instance.stage.name
        if usual.name not in self.found and (
            on_main_line or not any(self.found[name].stage is usual for name in able)
        ):
            self._add_default(usual, instance.name)
            able = self._serving(self._before(instance.stage), port)
        if on_main_line:
            able = [name for name in able if name == usual.name]
        return [name for name in able if self._shares_sources(name, instance)] or able

    def _check_made_with(self, instance: Instance) -> None:
        """What is given together has to fit together."""
        for port in instance.stage.ports:
            given = [s for s in instance.sources.get(port.name, ()) if not is_artifact(s)]
            other = instance.stage.port(port.made_with)
            for maker in (self.found[source] for source in given if other is not None):
                used = {
                    source
                    for own in maker.stage.ports
                    if other is not None and own.type is other.type and not own.names
                    for source in maker.sources.get(own.name, ())
                }
                wanted = instance.sources.get(port.made_with, ())
                if used != {*wanted}:
                    names, of = " and ".join(sorted(used)), " and ".join(wanted)
                    found = f"{maker.name}, made from {names}, beside {of}"
                    expected = f"{port.type.name} made from the {port.made_with} given with it"
                    where = f"{instance.where}.inputs.{port.name}"
                    remedy = f"Name both under {FURTHER}, inputs, or leave {port.made_with} out."
                    self.faults.append(Fault(where, found, expected, remedy, "made_apart"))

    def _usual(self, stage: Stage, port: Port) -> Stage | None:
        """The last stage before this one that makes what the port takes."""
        before = list(STAGES.values())[: self._place[stage.name]]
        return next((s for s in reversed(before) if s.output.serves(port.type)), None)

    def _before(self, stage: Stage) -> list[str]:
        place = self._place[stage.name]
        return [n for n, i in self.found.items() if self._place[i.stage.name] < place]

    def _serving(self, names: Iterable[str], port: Port) -> list[str]:
        return [n for n in names if self.found[n].stage.output.serves(port.type)]

    def _above(self, names: Iterable[str]) -> set[str]:
        return _reached(names, lambda name: self.found[name].upstream)

    def _shares_sources(self, name: str, instance: Instance) -> bool:
        """Say whether both take the same, where both take a type: scores are of some documents."""
        candidate = self.found[name]
        return all(
            candidate.sources.get(port.name) == instance.sources.get(own.name)
            for port in candidate.stage.ports
            for own in instance.stage.ports
            if own.type is port.type and own.name in instance.sources and not own.names
        )

    def _is_source_of_another(self, name: str, names: Iterable[str]) -> bool:
        return any(name in self._above(self.found[n].upstream) for n in names)

    def _add_default(self, stage: Stage, needed_by: str) -> None:
        """Put an instance of the stage's own name there, with its defaults and all it needs."""
        try:
            config = stage.config()
        except ValidationError as error:
            lacking = [str(details["loc"][0]) for details in error.errors()]
            needs = f"a `{stage.name}`, which {needed_by} needs"
            knobs = ", ".join(f"{stage.name}.{knob}" for knob in lacking)
            remedy = f"Add `{stage.name}: {{{lacking[0]}: …}}` ({knobs} has no default)."
            fault = Fault(stage.name, "nothing", needs, remedy, "missing")
            if fault not in self.faults:
                self.faults.append(fault)
            return
        self.found[stage.name] = Instance(stage.name, stage, config, is_named=False)
        self._fill(stage.name)
