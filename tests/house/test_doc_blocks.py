"""A documentation page is read into the commands that it shows, and its promises are held against what they print."""

import pytest

from tools.doc_blocks import PageError, commands, mismatch, read_page

PAGE = """
# A page

<!-- file: deep/app.py -->
```python
print("it's me")
```

```console
$ python deep/app.py
it's me
$ false # exit 1
$ cat <<END
> two lines
> END
```

```python
assert True
```

<!-- not run: it would take the machine down -->
```console
$ shutdown
```

```yaml
only: shown
```
"""


def test_blocks_of_a_page_become_its_commands_in_order() -> None:
    read = list(commands(read_page(PAGE)))
    assert [command.exit_code for command in read] == [0, 0, 1, 0, 0]
    assert "deep/app.py" in read[0].text
    assert read[1].output == ["it's me"]
    assert read[3].text == "cat <<END\ntwo lines\nEND"
    assert read[4].text.startswith("python -c")


def test_block_left_out_must_say_why() -> None:
    with pytest.raises(PageError, match="line 2: say why"):
        read_page("<!-- not run:  -->\n```console\n$ true\n```\n")


def test_console_block_starts_with_a_command() -> None:
    with pytest.raises(PageError, match="starts with a command"):
        list(commands(read_page("```console\nmake test\n```\n")))


@pytest.mark.parametrize(
    ("expected", "printed", "agree"),
    [
        pytest.param([], ["anything"], True, id="nothing promised"),
        pytest.param(["done"], ["done  ", ""], True, id="blanks at the end do not count"),
        pytest.param(["done"], ["done", "and more"], False, id="more than promised"),
        pytest.param(["done"], [], False, id="nothing printed"),
        pytest.param(["a", "...", "z"], ["a", "b", "c", "z"], True, id="dots on a line of their own stand for lines"),
        pytest.param(["a", "...", "z"], ["a", "z"], True, id="and for none"),
        pytest.param(["took ... s"], ["took 0.3 s"], True, id="dots inside a line stand for text"),
        pytest.param(["took ... s"], ["took", "0.3 s"], False, id="but not for a line's end"),
        pytest.param(["1+1"], ["11"], False, id="the rest is literal"),
    ],
)
def test_output_is_held_against_the_page(expected: list[str], printed: list[str], *, agree: bool) -> None:
    assert (mismatch(expected, printed) is None) == agree
