"""The outline of a text tells JSON from what only looks like it, as the standard library's parser does."""

import json

import pytest

from streamer.core.inbound.outline import Outline

NO_JSON = r'''
[ ] { } [[] []] [} {] [(] [;] [1·1] [1,] [,1] [,] [1,,2] {,} {"a"} {"a":} {"a":1,} {:1} {1:2} {"a"·1} {"a":1·"b":2}
{"a":1,2} ["a":1] [1,"a":2] {"a":[1,"b":2]} {"a":{"b":1,2}} [{"a":1]} {"a":[1}] [[1}] {"a":1] [1} [1],[2] [1][2] {}{}
{}1 1{} [],1 1,[] [01] [1.] [.5] [-] [+1] [1e] [1e+] [0x1] [1_0] [--1] [tru] [truefalse] [nulll] [True] [Nan]
[é] ["a] [a"] ["a"b"] ["\x"] ["\u12g4"] ["\u123"] ["\"] ["\\\"] [\"] [\\] ["a"\\"b"] ["a"\"] [\"a"]
["a"·"b"] ["a""b"] ["a"1] [1"a"] [""""] ['a'] [1;2] ("a":1} {"a":1;"b":2} {("a":1} [v] ["a","b] [//] [/**/] [1]] [[1]
{"a":{}}} {{}} [{}[]] [{}:1] {"a":1:2} {"a"::1} {[]:1} {"a":"b":"c"} {"a":1,"b"} {"a",1} [1,{"a":2],3}
(1} [(1}] {"a":1;2}
'''
JSON = r"""
[] {} [[]] [{}] {"":{}} {"a":[]} [[],[]] [{},{}] [1] [-0.5e-3] [1E+9] [true,false,null] ["\\"] ["\""] ["\\\""] ["\\\\"]
["\u00e9\/"] ["]"] ["[{"] ["{\"a\":"] {"}":"]"} {"a":1,"b":[{"c":2},"d"],"e":{"f":{}}} [[[1],2],3] ["(;"] ["é👍"]
["\ud800"] [1e999] {"a":{"b":1},"c":2} [{"a":1},2,[{"b":[3,{"c":4}]}]] ["",""] [[["a"]]] {"a":"b","c":["d"]} [·1·,·2·]
"""


def texts(block: str) -> list[str]:
    return [text.replace("·", " ") for text in block.split()]


def is_call(text: str) -> bool:
    """Whether it is an object or a list of JSON: the standard library is the judge."""
    try:
        return isinstance(json.loads(text), dict | list)
    except ValueError:
        return False


@pytest.mark.parametrize("text", texts(NO_JSON))
def test_what_is_no_json_is_seen(text: str) -> None:
    assert not is_call(text)
    for form in (text, f" {text}\n", f"[{text}]", f'{{"a":{text}}}', "[" * 40 + text + "]" * 40):
        assert Outline(form).is_document() == is_call(form), form


@pytest.mark.parametrize("text", texts(JSON))
def test_what_is_json_is_seen(text: str) -> None:
    for form in (text, f" {text}\n", f"[{text} , 1]", f'{{"a" : {text}}}', "[" * 40 + text + "]" * 40):
        assert is_call(form)
        assert Outline(form).is_document()
    assert Outline(text).end() == Outline(text + "}]x").end() == len(text)
    listed = f'[ 1,{text} ,"]"\t,{text}]'
    assert [listed[start:end] for start, end in Outline(listed).elements()] == ["1", text, '"]"', text]


@pytest.mark.parametrize(
    "text",
    ["", '"a"', "1", "null", '["\n"]', '["\0"]', "[1\0]", "[\x0c1]", "[1\u00a0]", "\ufeff[]", "[\u0661]"],
)
def test_other_texts_are_no_calls(text: str) -> None:
    assert not Outline(text).is_document()
    assert not is_call(text.replace("\ufeff", "x"))


def test_what_python_reads_besides_json_is_none() -> None:
    for text in ("[NaN]", "[Infinity]", "[-Infinity]"):
        assert not Outline(text).is_document()


@pytest.mark.parametrize("text", ["", " []", "[", '["]', '["]"', ",1", '{"a":[1}'])
def test_a_value_without_start_or_end_has_no_end(text: str) -> None:
    assert Outline(text).end() is None
