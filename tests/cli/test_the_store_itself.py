"""``kg migrate``, ``kg backup`` and ``kg restore``: the store as one file, and what people are told of it."""

from tests.acceptance.stage import Stage


def test_a_store_is_copied_and_put_back_into_another_folder(applied: Stage) -> None:
    done = applied.kg("backup", "copy.db")
    assert done.code == 0, done.err
    assert "1 system(s)" in done.out
    assert "pricing: 1 ledger entries" in done.out
    back = applied.kg("restore", "copy.db", "--dir", "elsewhere")
    assert back.code == 0, back.err
    assert "pricing: 1 ledger entries, whole" in back.out
    assert "kg ledger verify SYSTEM" in back.out
    assert "pricing" in applied.kg("ledger", "show", "pricing", "--dir", "elsewhere", "--output", "json").out


def test_a_store_that_holds_more_than_the_copy_is_kept(applied: Stage) -> None:
    assert applied.kg("backup", "copy.db").code == 0
    (applied.folder / "pricing.yaml").write_text(
        (applied.folder / "pricing.yaml").read_text() + "standby: {keep: 2h}\n"
    )
    assert applied.kg("apply", "pricing.yaml").code == 0
    refused = applied.kg("restore", "copy.db")
    assert refused.code == 1
    assert "holds what the copy does not: entries of pricing" in refused.err
    assert "mv " in refused.err


def test_migrating_says_from_where_to_where(stage: Stage) -> None:
    first = stage.kg("migrate", "--store", "new.db")
    assert "migrated from schema nothing to" in first.out, first.err
    assert "already" in stage.kg("migrate", "--store", "new.db").out
    assert stage.kg("migrate", "--dir", "absent").code == 1


def test_a_store_can_be_named_by_a_variable(stage: Stage) -> None:
    assert stage.kg("migrate", env={"KNOWNGOOD_STORE": "named.db"}).code == 0
    assert (stage.folder / "named.db").exists()
