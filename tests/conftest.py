"""Files whose tests take minutes come first, so that at the end no worker waits for another one."""

LONGEST = ("test_paper_smoke", "test_end_to_end", "test_second_family", "test_faults")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))
