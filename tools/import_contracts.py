"""
Two contracts for import-linter that its own types cannot say.

``purity`` lists what a set of packages may import from outside themselves, so that anything new (a clock, a socket, a
logger, a library) has to be written down first. ``vendors_at_home`` lists every third-party library with the only
modules that may import it, so that a library that nobody gave a home to is a broken contract too.

Both read the graph with external packages in it (``include_external_packages``), where each external package stands as
one node under its top-level name.
"""

import sys
from typing import cast

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output

__all__ = ["PurityContract", "VendorsAtHomeContract"]


def _external_imports(graph: ImportGraph) -> list[tuple[str, str]]:
    """Return each (importer, external package) of the graph, sorted."""
    externals = sorted(module for module in graph.modules if graph.is_module_squashed(module))
    return sorted(
        (importer, external) for external in externals for importer in graph.find_modules_that_directly_import(external)
    )


def _is_within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def _render(check: ContractCheck) -> None:
    for line in check.metadata["violations"]:
        output.print_error(f"- {line}", bold=False)
    output.new_line()


class PurityContract(Contract):
    """
    The packages import, from outside themselves, only what is allowed by name.

    Options:
        packages: Packages (or modules) that the contract covers, with all below them.
        allowed: What they may import: a package allows all below it; the standard library is not allowed as such.
    """

    type_name = "purity"

    packages = fields.SetField(subfield=fields.StringField())
    allowed = fields.SetField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:  # noqa: ARG002, FBT001 - the base's signature
        """Name each import that is not on the list, and each covered package that does not exist."""
        packages = cast("set[str]", self.packages)
        may_import = packages | cast("set[str]", self.allowed)
        violations = [f"{package} does not exist" for package in sorted(packages - graph.modules)]
        violations += [
            f"{importer} imports {imported}, which is not on the list of what it may import"
            for importer in sorted(graph.modules)
            if any(_is_within(importer, package) for package in packages)
            for imported in sorted(graph.find_modules_directly_imported_by(importer))
            if not any(_is_within(imported, package) for package in may_import)
        ]
        return ContractCheck(kept=not violations, metadata={"violations": violations})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print one line for each import that breaks it."""
        _render(check)


class VendorsAtHomeContract(Contract):
    """
    A third-party library is imported only by the modules that are its home.

    Options:
        homes: One line a library: ``library: package, package``. Everything not in the standard library must be here.
    """

    type_name = "vendors_at_home"

    homes = fields.ListField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:  # noqa: ARG002, FBT001 - the base's signature
        """Name each import of a library outside its home, and each library without a home."""
        homes: dict[str, list[str]] = {}
        for line in cast("list[str]", self.homes):
            library, _, packages = line.partition(":")
            homes[library.strip()] = [package.strip() for package in packages.split(",")]
        violations = []
        for importer, external in _external_imports(graph):
            if external in sys.stdlib_module_names:
                continue
            if external not in homes:
                violations.append(f"{importer} imports {external}, which has no home in the contract")
            elif not any(_is_within(importer, home) for home in homes[external]):
                violations.append(f"{importer} imports {external}, whose home is {', '.join(homes[external])}")
        return ContractCheck(kept=not violations, metadata={"violations": violations})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print one line for each import that breaks it."""
        _render(check)
