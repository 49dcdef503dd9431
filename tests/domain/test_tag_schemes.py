"""What tags mean, told from all that stand beside them."""

import pytest

from app.domain.tag_schemes import ONLY_TYPE, Tag, complete, read_scheme

NONE = Tag(None)


def meanings(tags: str, **known) -> dict[str, tuple[str | None, str]]:
    scheme = read_scheme(tags.split(), **known)
    assert not scheme.doubts
    assert None not in scheme.meanings.values()
    return {name: (tag.kind, tag.mark) for name, tag in scheme.meanings.items()}


@pytest.mark.parametrize(
    ("tags", "name", "notation"),
    [
        ("O B-PER I-PER", "IOB", "B-X"),
        ("O B_PER I_PER B_LOC", "IOB", "B_X"),
        ("O B:PER I:PER", "IOB", "B:X"),
        ("O PER-B PER-I", "IOB", "X-B"),
        ("O PER_B PER_I LOC_B", "IOB", "X_B"),
        ("o b-PER i-PER", "IOB", "b-X"),
        ("O i-PER", "IO", "b-X"),
        ("O I-PER", "IO", "B-X"),
        ("O PER", "IO", "X"),
        ("O I-PER E-PER", "IOE", "B-X"),
        ("O E-PER E-LOC", "IOE", "B-X"),
        ("O B-PER I-PER E-PER S-PER", "BIOES", "B-X"),
        ("O S-PER", "BIOES", "B-X"),
        ("O U-PER U-LOC", "BILOU", "B-X"),
        ("O B-PER L-PER U-PER", "BILOU", "B-X"),
        ("O PER-U LOC-L PER-B", "BILOU", "X-B"),
        ("O B-PER U-PER E-PER", "BIOEU", "B-X"),
        ("O B-PER M-PER E-PER S-PER", "BMES", "B-X"),
        ("O B_PER M_PER E_PER W_PER", "BMEWO", "B_X"),
    ],
)
def test_schemes_and_notations(tags, name, notation):
    scheme = read_scheme(tags.split())
    assert (scheme.name, scheme.notation, scheme.doubts) == (name, notation, "")
    kinds = {tag.kind for tag in scheme.meanings.values() if tag and tag.kind}
    assert kinds <= {"PER", "LOC"}


@pytest.mark.parametrize("tags", ["O B I", "o b i", "O B- I-", "O B I E S", "O B M E S", "O B"])
def test_marks_without_a_type(tags):
    outside, first, *_ = tags.split()
    found = meanings(tags)
    assert found[outside] == (None, "")
    assert found[first] == (ONLY_TYPE, "B")
    assert {kind for kind, _ in found.values()} == {None, ONLY_TYPE}


def test_marks_of_first_and_last_tokens():
    found = read_scheme(["O", *(f"{mark}-X" for mark in "BIESLU")]).meanings
    assert {name[0] for name, tag in found.items() if tag and tag.mark == "B"} == set("BSU")
    assert {name[0] for name, tag in found.items() if tag and tag.is_last} == set("ESLU")


@pytest.mark.parametrize(
    "tags", ["O E-MAIL", "O S-BAHN BUS", "O TYPE_A TYPE_C", "O i-phone galaxy", "O W-2 FORM"]
)
def test_types_that_only_look_like_marks(tags):
    assert meanings(tags) == {name: (None if name == "O" else name, "") for name in tags.split()}


@pytest.mark.parametrize("tags", ["O S-FOO", "O U-FOO E-BAR", "O S", "O A B C", "O BPER IPER", "O FOO-S"])
def test_tags_that_are_not_clear(tags):
    assert read_scheme(tags.split()).doubts


@pytest.mark.parametrize(
    ("tags", "strange"),
    [
        ("O B-PER LOC", {"LOC"}),
        ("O B_PER LOC", {"LOC"}),
        ("O B-PER B_LOC", {"B_LOC"}),
        ("O B-PER I-PER M-PER", {"M-PER"}),
        ("O PER-B LOC", {"LOC"}),
        ("O TYPE_A TYPE_B", {"TYPE_A"}),
        ("O B-", set()),
    ],
)
def test_tags_that_do_not_go_with_others(tags, strange):
    scheme = read_scheme(tags.split())
    assert {name for name, tag in scheme.meanings.items() if tag is None} == strange


def test_what_somebody_lists_is_what_it_says():
    assert meanings("O S-FOO", are_named=True)["S-FOO"] == ("S-FOO", "")
    assert meanings("TYPE_A TYPE_B", are_named=True)["TYPE_B"] == ("TYPE_B", "")
    assert meanings("A B C", are_named=True)["B"] == ("B", "")
    assert meanings("O S-FOO", kinds=["FOO"])["S-FOO"] == ("FOO", "B")
    assert None in read_scheme(["O", "B_PER", "LOC"], are_named=True).meanings.values()


def test_both_tags_of_each_kind():
    scheme = read_scheme(["O", "B_PER", "I_PER", "B_LOC"])
    assert complete({name: tag for name, tag in scheme.meanings.items() if tag}) == [
        *("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
    ]
