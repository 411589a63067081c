"""What plan() may and may not ask for, whatever an engine lists."""

from hypothesis import given
from hypothesis import strategies as st

from modelecology.engines.port import ModelCard
from modelecology.engines.residency import plan

NAMES = st.sampled_from(["generalist", "dates-1", "dates-2", "cron-1", "theirs"])
PATHS = st.sampled_from(["/store/a", "/store/b"])
CARDS = st.lists(
    st.builds(ModelCard, NAMES, st.one_of(st.none(), PATHS), st.sampled_from([None, "generalist"])),
    unique_by=lambda card: card.id,
)
DESIRED = st.dictionaries(NAMES, PATHS)
OURS = st.sets(NAMES)


@given(DESIRED, CARDS, OURS)
def test_only_adapters_of_ours_are_ever_unloaded(
    desired: dict[str, str], cards: list[ModelCard], ours: set[str]
) -> None:
    adapters = {card.id for card in cards if card.parent is not None}
    assert set(plan(desired, cards, ours).to_unload) <= adapters & ours


@given(DESIRED, CARDS, OURS)
def test_after_the_plan_the_engine_is_as_desired_foreign_names_aside(
    desired: dict[str, str], cards: list[ModelCard], ours: set[str]
) -> None:
    todo = plan(desired, cards, ours)
    served = {card.id: card for card in cards if card.id not in todo.to_unload}
    for name, path in todo.to_load:
        assert name not in served, "an engine refuses a name that it serves"
        served[name] = ModelCard(name, path, "generalist")
    for name, path in desired.items():
        if name not in todo.foreign:
            assert served[name].root == path
    ours_left = {name for name, card in served.items() if card.parent is not None and name in ours}
    assert ours_left <= desired.keys()


@given(DESIRED, CARDS, OURS)
def test_a_second_plan_has_nothing_to_do(
    desired: dict[str, str], cards: list[ModelCard], ours: set[str]
) -> None:
    todo = plan(desired, cards, ours)
    loaded = [ModelCard(name, path, "generalist") for name, path in todo.to_load]
    after = [card for card in cards if card.id not in todo.to_unload] + loaded
    again = plan(desired, after, ours)
    assert again.empty
    assert again.foreign == todo.foreign


@given(DESIRED, CARDS, OURS)
def test_the_plan_does_not_depend_on_the_order_of_the_list(
    desired: dict[str, str], cards: list[ModelCard], ours: set[str]
) -> None:
    assert plan(desired, cards, ours) == plan(desired, list(reversed(cards)), ours)


@given(DESIRED, CARDS, OURS)
def test_what_is_to_be_loaded_keeps_the_order_in_which_it_is_desired(
    desired: dict[str, str], cards: list[ModelCard], ours: set[str]
) -> None:
    loads = plan(desired, cards, ours).to_load
    assert loads == tuple(each for each in desired.items() if each in loads)


def test_an_adapter_at_another_path_is_unloaded_and_loaded_anew() -> None:
    todo = plan({"dates-1": "/new"}, [ModelCard("dates-1", "/old", "generalist")], {"dates-1"})
    assert todo.to_unload == ("dates-1",)
    assert todo.to_load == (("dates-1", "/new"),)


def test_a_path_is_the_same_with_or_without_a_trailing_slash() -> None:
    assert plan({"dates-1": "/a/b/"}, [ModelCard("dates-1", "/a/b", "generalist")], {"dates-1"}).empty
