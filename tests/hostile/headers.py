from tests.hostile.case import Case

CASES: list[Case] = []
