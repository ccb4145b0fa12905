"""Markdown tables: every row has the columns of the heading, whatever it holds."""

from galaxy_edge.models.markdown import markdown_row, markdown_table


def test_a_table_has_a_heading_a_rule_and_its_rows():
    lines = markdown_table(["form", "KiB"], [["int8", "120"], ["fp32", "470"]])
    assert lines == ["| form | KiB |", "| --- | --- |", "| int8 | 120 |", "| fp32 | 470 |"]


def test_columns_can_be_aligned_to_the_right():
    assert markdown_table(["form", "KiB", "ms"], [], right_from=1)[1] == "| --- | ---: | ---: |"


def test_a_bar_in_a_cell_does_not_begin_a_column():
    assert markdown_row(["a|b", ""]) == "| a\\|b | |"
