"""Code and tests of Go, Java and PHP become one program."""

import pytest

from tenfold.verifiers.programs import joined


@pytest.mark.parametrize(
    "imports",
    [
        'import "fmt"\nimport "os"',
        'import (\n "fmt" // for Print()\n "os"\n)',
        'import "fmt"; import "os"',
        'import ("fmt"; "os")',
    ],
)
def test_imports_of_go_may_have_any_form(imports: str) -> None:
    program = joined.go(f"package lib\n{imports}\nfunc Add() {{ fmt.Println(os.Args) }}", "main")
    lines = [line for line in program.splitlines() if line.strip()]
    assert lines == ["package main", 'import "fmt"', 'import "os"', "func Add() { fmt.Println(os.Args) }"]


@pytest.mark.parametrize("text", ["<?php\n$a = 1;\n?>\n", "<?php $a = 1; ?>", "$a = 1;"])
def test_tests_of_php_are_code_whatever_tags_the_response_has(text: str) -> None:
    program = joined.php(f"{joined.php_code(text)}\n{joined.php_code('<?php assert($a === 1);')}")
    assert program.startswith("<?php")
    assert program.count("<?php") == 1
    assert "?>" not in program


def test_text_after_the_code_of_php_does_not_make_text_of_the_tests() -> None:
    assert joined.php_code("<?php $a = 1; ?>\n<b>x</b>").endswith("<?php\n")


def test_each_type_of_java_gets_a_file_with_the_imports_of_its_text() -> None:
    first = '@SuppressWarnings({"unchecked"})\nclass A { /* class B {} */ List<String> l; }'
    files = joined.java([f"import\tjava.util.List;\n{first}\nrecord C(int n) {{ }}"])
    assert [*files] == ["A.java", "C.java"]
    assert all("import\tjava.util.List;" in content for content in files.values())


def test_types_and_imports_that_become_long_files_are_refused() -> None:
    many = "".join(f"import a.b{number};\n" for number in range(4_000))
    with pytest.raises(joined.TooLong, match="1048576 characters"):
        joined.java([many + "".join(f"class A{number} {{ }}\n" for number in range(4_000))])
