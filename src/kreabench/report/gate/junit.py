"""A gate as JUnit XML: one suite a pair of settings, one case a check.

A regression is a failure. An inconclusive check is an error: CI shows it as not passed, beside failures and apart from
them, where a skipped case would be shown as good. What the policy leaves out is skipped.
"""

from __future__ import annotations

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from kreabench.decisions.comparison import SettingComparison
from kreabench.decisions.gate import GateCheck, GateResult
from kreabench.report.gate.rows import heading, notes, pairs_text, rests_on, row_of_check, title, warnings
from kreabench.report.text import visible


def render_junit(result: GateResult) -> bytes:
    """The XML, in UTF-8. Text from outside cannot break it: control characters are written out."""
    document = JUnitXml(visible(title(result)))
    if result.obstacles:
        document.add_testsuite(_whole(result))
    for setting in result.comparison.settings:
        document.add_testsuite(_suite(result, setting))
    document.update_statistics()
    return b'<?xml version="1.0" encoding="utf-8"?>\n' + bytes(document.tostring()) + b"\n"


def _whole(result: GateResult) -> TestSuite:
    suite = TestSuite("kreabench gate: the whole")
    case = TestCase("can pass", "kreabench.gate")
    case.result = [Error(visible(text), "inconclusive") for text in result.obstacles]
    suite.add_testcase(case)
    return suite


def _suite(result: GateResult, setting: SettingComparison) -> TestSuite:
    name = visible(heading(setting))
    suite = TestSuite(name)
    for key, text in (("base", result.comparison.base.name), ("candidate", result.comparison.candidate.name)):
        suite.add_property(key, visible(text))
    suite.add_property("policy", visible(result.policy.name))
    suite.add_property("pairs", pairs_text(setting))
    for number, text in enumerate([*warnings(result), *notes(result), *rests_on(result)], start=1):
        suite.add_property(f"note {number}", visible(text))
    for check in result.checks:
        if check.setting is setting:
            suite.add_testcase(_case(check, name))
    for left in result.left_out:
        if left.setting is setting:
            case = TestCase(visible(left.name), f"kreabench.gate.{name}")
            case.result = [Skipped(visible(left.reason))]
            suite.add_testcase(case)
    return suite


def _case(check: GateCheck, classname: str) -> TestCase:
    row = row_of_check(check)
    case = TestCase(visible(check.name), f"kreabench.gate.{classname}")
    text = visible(
        f"base {row.base}, candidate {row.candidate}, change {row.change}, margin {row.margin}: {row.reason}"
    )
    if check.outcome == "passed":
        case.system_out = text
    else:
        result = (Failure if check.outcome == "regressed" else Error)(visible(row.reason), check.outcome)
        result.text = text
        case.result = [result]
    return case
