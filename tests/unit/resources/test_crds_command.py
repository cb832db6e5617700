"""`mooring crds`, and that the repository's own definitions are what the models say."""

from pathlib import Path

import pytest

from mooring.__main__ import main

CRDS = Path(__file__).parents[3] / "crds"
NAMES = ["mooring.dev_githubinstallations.yaml", "mooring.dev_githubusers.yaml", "mooring.dev_projects.yaml"]

Captured = pytest.CaptureFixture[str]


def _one_line(captured: Captured) -> str:
    out, err = captured.readouterr()
    assert out == ""
    assert err.endswith("\n")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    return err


def test_the_definitions_of_the_repository_are_those_of_the_models(capsys: Captured) -> None:
    assert main(["crds", "--check", str(CRDS)]) == 0, capsys.readouterr().out


def test_what_is_written_passes_the_check(tmp_path: Path, capsys: Captured) -> None:
    folder = tmp_path / "new" / "crds"

    assert main(["crds", "--output", str(folder)]) == 0
    assert main(["crds", "--check", str(folder)]) == 0
    assert sorted(file.name for file in folder.iterdir()) == NAMES
    assert capsys.readouterr() == ("", "")


def test_writing_twice_changes_nothing(tmp_path: Path) -> None:
    main(["crds", "--output", str(tmp_path)])
    first = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    main(["crds", "--output", str(tmp_path)])

    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == first


def test_the_check_names_every_difference(tmp_path: Path, capsys: Captured) -> None:
    main(["crds", "--output", str(tmp_path)])
    (tmp_path / NAMES[0]).unlink()
    changed = tmp_path / NAMES[1]
    changed.write_text(changed.read_text(encoding="utf-8").replace("- ghu\n", "- ghx\n"), encoding="utf-8")
    (tmp_path / "mooring.dev_others.yaml").write_text("a: b\n", encoding="utf-8")
    line = next(n for n, text in enumerate(changed.read_text(encoding="utf-8").splitlines(), 1) if "- ghx" in text)

    assert main(["crds", "--check", str(tmp_path)]) == 1

    out, err = capsys.readouterr()
    assert err == ""
    assert out.splitlines() == [
        f"{changed}: differs from the models, first in line {line}",
        f"{tmp_path / NAMES[0]}: missing",
        f"{tmp_path / 'mooring.dev_others.yaml'}: belongs to no kind",
        f"run `mooring crds --output {tmp_path}` and commit the result",
    ]


def test_a_file_that_only_grew_differs(tmp_path: Path, capsys: Captured) -> None:
    main(["crds", "--output", str(tmp_path)])
    with (tmp_path / NAMES[2]).open("ab") as file:
        file.write(b"\n\xff\n")

    assert main(["crds", "--check", str(tmp_path)]) == 1
    assert NAMES[2] in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "COMMAND"),
        (["nothing"], "invalid choice: 'nothing'"),
        (["crds"], "--output --check"),
        (["crds", "--check"], "expected one argument"),
        (["crds", "--output", "a", "--check", "a"], "not allowed with"),
        (["crds", "--out", "a"], "--output"),
        (["--nothing"], "COMMAND"),
    ],
)
def test_bad_arguments_get_one_line(arguments: list[str], said: str, capsys: Captured) -> None:
    assert main(arguments) == 2

    line = _one_line(capsys)
    assert said in line
    assert "--help" in line


def test_a_folder_that_is_not_there_gets_one_line(tmp_path: Path, capsys: Captured) -> None:
    assert main(["crds", "--check", str(tmp_path / "none")]) == 2

    assert f"cannot read {tmp_path / 'none'}: No such file or directory" in _one_line(capsys)


def test_a_file_in_the_place_of_the_folder_gets_one_line(tmp_path: Path, capsys: Captured) -> None:
    file = tmp_path / "file"
    file.touch()

    assert main(["crds", "--output", str(file)]) == 2
    assert f"cannot write to {file}" in _one_line(capsys)
    assert main(["crds", "--check", str(file)]) == 2
    assert f"cannot read {file}" in _one_line(capsys)


@pytest.mark.parametrize(("argument", "said"), [("--version", "mooring "), ("--help", "crds")])
def test_a_question_is_answered(argument: str, said: str, capsys: Captured) -> None:
    with pytest.raises(SystemExit) as ended:
        main([argument])

    assert ended.value.code == 0
    assert said in capsys.readouterr().out
