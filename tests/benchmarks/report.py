"""The tables in ``docs/benchmarks.md``, between two marks, from what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.benchmarks import others

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def write(page: Path, text: str) -> None:
    """Put the text between the marks of a page.

    Raises
    ------
    ValueError
        If the page has not both marks.
    """
    whole = page.read_text(encoding="utf-8")
    if BEGIN not in whole or END not in whole:
        raise ValueError(f"{page} has no place for the tables: it needs {BEGIN} and {END}")
    before, rest = whole.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    page.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}", encoding="utf-8")


def tables(measured: dict[str, Any]) -> str:
    """What was measured, as Markdown."""
    parts = [_conditions(measured)]
    if measured["networks"]:
        parts += ["## Networks", "", _networks(measured)]
    if measured["operations"]:
        parts += ["## One operation, forward and back", "", _operations(measured)]
    if measured.get("others"):
        parts += ["## Other engines on NumPy", "", _others(measured)]
    return "\n".join(parts)


def _conditions(measured: dict[str, Any]) -> str:
    about = measured["about"]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    lines = [
        f"Measured on {about['date']}: {about['machine']}; {about['threads']} threads for every "
        f"engine; {versions}. A 2048 x 2048 float32 matrix product reached "
        f"{measured['rate']:.0f} GFLOP/s. Each figure is the least of {about['rounds']} processes "
        "that took turns."
    ]
    if about["load"] > 0.5:
        lines.append(
            f"**Others used the machine meanwhile (load {about['load']:.1f} before the start): "
            "times on the clock are too long, and more so for PyTorch, whose threads wait for one "
            "another by spinning. Compare processor times.**"
        )
    return "\n\n".join(lines) + "\n"


def _networks(measured: dict[str, Any]) -> str:
    rows = [
        "| | minisegnet | PyTorch | channels last | ratio | ratio, processor | memory | PyTorch's "
        "| of the matrix rate |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, engines in measured["networks"].items():
        ours, torch, last = _three(engines)
        share = ""
        if ours and ours.get("gflop"):
            share = f"{100 * ours['gflop'] / ours['least'] * 1e3 / measured['rate']:.0f} %"
        rows.append(
            f"| {name} | {_ms(ours)} | {_ms(torch)} | {_ms(last)} | {_ratio(ours, torch)} "
            f"| {_ratio(ours, torch, 'processor')} | {_mb(ours)} | {_mb(torch)} | {share} |"
        )
    return "\n".join(rows) + "\n"


def _operations(measured: dict[str, Any]) -> str:
    rows = [
        "| | minisegnet | PyTorch | channels last | ratio | ratio, processor |",
        "|---|---|---|---|---|---|",
    ]
    for name, engines in measured["operations"].items():
        ours, torch, last = _three(engines)
        rows.append(
            f"| {name} | {_ms(ours)} | {_ms(torch)} | {_ms(last)} | {_ratio(ours, torch)} "
            f"| {_ratio(ours, torch, 'processor')} |"
        )
    return "\n".join(rows) + "\n"


def _others(measured: dict[str, Any]) -> str:
    cases = [name for name in others.CASES if name in measured["operations"]]
    rows = ["| | " + " | ".join(cases) + " |", "|---" * (len(cases) + 1) + "|"]
    ours = {name: measured["operations"][name]["minisegnet"] for name in cases}
    for engine, found in {"minisegnet": ours, **measured["others"]}.items():
        times = [_time_or_reason(found.get(name), ours[name]) for name in cases]
        rows.append(f"| {engine} {found.get('version', '')} | {' | '.join(times)} |")
    return "\n".join(rows) + "\n"


def _time_or_reason(found: Any, ours: dict[str, float]) -> str:
    """A time, and how many times as long as ours it is by the processor; or why there is none."""
    if found is None or "error" in found:
        reason = "not measured" if found is None else found["error"].strip().splitlines()[0]
        return "fails: " + reason.split(". ")[0][:80].replace("|", "/")
    return f"{_ms(found)} ({found['processor'] / ours['processor']:.1f} times the processor time)"


def _three(engines: dict[str, Any]) -> tuple[Any, Any, Any]:
    return tuple(  # type: ignore[return-value]
        engines.get(name) for name in ("minisegnet", "torch", "torch, channels last")
    )


def _ms(found: dict[str, float] | None) -> str:
    return "-" if found is None else f"{found['least']:.3g} ms"


def _mb(found: dict[str, float] | None) -> str:
    return "-" if found is None else f"{found['megabytes']:.0f} MB"


def _ratio(ours: Any, theirs: Any, key: str = "least") -> str:
    return "-" if ours is None or theirs is None else f"{ours[key] / theirs[key]:.2f}"
