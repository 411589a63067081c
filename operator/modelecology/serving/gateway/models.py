"""What clients may write in `model`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from modelecology.api.routing import RoutingTable


class ModelCard(BaseModel):
    """One name. `root` is who answers to it now: a served name, or nothing for the population itself."""

    model_config = ConfigDict(frozen=True)

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: Literal["modelecology"] = "modelecology"
    kind: Literal["population", "task", "specialist", "revision", "generalist"]
    root: str | None = None


def model_cards(table: RoutingTable) -> list[ModelCard]:
    """Each name once: the population, tasks, specialists, revisions, the generalist; the first wins."""
    barred = {*table.quarantined}
    base = None if table.generalist in barred else table.generalist
    cards = [ModelCard(id=table.population, kind="population")]
    for route in table.routes:
        now = route.live if route.live is not None and route.live not in barred else base
        cards.append(ModelCard(id=route.task, kind="task", root=now))
        if route.specialist is not None:
            cards.append(ModelCard(id=route.specialist, kind="specialist", root=now))
    for route in table.routes:
        names = (*(() if route.live is None else (route.live,)), *route.pinned)
        cards += [ModelCard(id=name, kind="revision", root=name) for name in names if name not in barred]
    if base is not None:
        cards.append(ModelCard(id=base, kind="generalist", root=base))
    first: dict[str, ModelCard] = {}
    for card in cards:
        first.setdefault(card.id, card)
    return list(first.values())


def model_list(table: RoutingTable) -> dict[str, object]:
    """OpenAI's list of models."""
    return {"object": "list", "data": [card.model_dump(exclude_none=True) for card in model_cards(table)]}
