"""One word is one thing: a reader who finds a class has found the only one of that name."""

import ast
from collections import defaultdict

from tests.tidy.tree import python_files, source_of

# The two ends of one wire: what the edge answers, and what a client hears.
SHARED = {"Answer"}


def test_no_two_classes_of_the_gateway_have_one_name() -> None:
    places = defaultdict(list)
    for path in python_files():
        if path.parts[0] == "gateway":
            for node in ast.parse(source_of(path)).body:
                if isinstance(node, ast.ClassDef):
                    places[node.name].append(str(path))
    assert {name: found for name, found in places.items() if len(found) > 1}.keys() == SHARED
