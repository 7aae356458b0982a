"""Holds a generated Python client against the contract that is named: everything is there, and has a type and a good name.

Whatever an operation adds to the contract is judged like the rest. Says what is wrong, a line each.
"""

import importlib
import json
import pkgutil
import re
import sys
from collections.abc import Iterator
from typing import Any, get_args, get_type_hints

import ngoma_client.api
import ngoma_client.models

with open(sys.argv[1], encoding="utf-8") as file:
    contract = json.load(file)


def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def operations() -> Iterator[dict[str, Any]]:
    for item in contract["paths"].values():
        yield from item.values()


def calls() -> Iterator[str]:
    """The modules of the client, one for each operation."""
    for tag in pkgutil.iter_modules(ngoma_client.api.__path__, "ngoma_client.api."):
        package = importlib.import_module(tag.name)
        yield from (module.name for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."))


def judge_calls() -> Iterator[str]:
    """An operation is there, and answers with types, unless an answer has no body."""
    made = {name.rpartition(".")[2]: name for name in calls()}
    for operation in operations():
        id = operation["operationId"]
        module = made.pop(snake(id), None)
        if module is None:
            yield f"{id} is not in the client: it is named otherwise, or could not be made"
            continue
        answer = get_type_hints(importlib.import_module(module).sync_detailed)["return"]
        types = [kind for parsed in get_args(answer) for kind in (get_args(parsed) or (parsed,))]
        bodies = [response.get("content") for response in operation["responses"].values()]
        if all(bodies) and (Any in types or object in types):
            yield f"{id} answers with anything: {answer}"
        for schema in re.findall(r"#/components/schemas/(\w+)", json.dumps(bodies)):
            if not re.search(rf"\b{schema}\b", str(answer)):
                yield f"{id} does not answer with {schema}: {answer}"
                break
    yield from (f"{name} is no operation of the contract" for name in made)


def judge_types() -> Iterator[str]:
    """A type is a schema, or an object that the contract leaves open; and so is each of its fields."""
    schemas = contract["components"]["schemas"]
    open_ones = set()
    for name, schema in schemas.items():
        for part in [schema, *schema.get("allOf", [])]:
            for field, kind in part.get("properties", {}).items():
                if "additionalProperties" in kind:
                    open_ones.add(name + "".join(word.capitalize() for word in field.split("_")))
    made = set(ngoma_client.models.__all__)
    for name in sorted(made - set(schemas) - open_ones):
        yield f"{name} is a name that the generator made up: give the schema one"
    # A choice of schemas is a union, which has no name in Python.
    for name in sorted(name for name in set(schemas) - made if "oneOf" not in schemas[name]):
        yield f"{name} is not in the client: it is named otherwise, or could not be made"
    for name in sorted(made):
        for field, kind in vars(getattr(ngoma_client.models, name)).get("__annotations__", {}).items():
            if field != "additional_properties" and re.search(r"\bAny\b", str(kind)):
                yield f"{name}.{field} may be anything: {kind}"


flaws = [*judge_calls(), *judge_types()]
print("\n".join(flaws))
sys.exit(bool(flaws))
