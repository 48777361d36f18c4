"""The lists of the admin, which count nothing."""

from typing import Any

import pytest
from django.core.paginator import EmptyPage
from django.test import Client

from users import admin_base
from users.admin_base import InfinitePaginator
from users.models import User


@pytest.mark.parametrize("length", [1, 4, 5, 6, 10, 11, 23])
def test_the_pages_together_are_the_list_and_only_the_last_is_the_last(length: int) -> None:
    rows, number, last = [], 0, False
    while not last:
        number += 1
        page = InfinitePaginator(list(range(length)), 5).page(number)
        rows += list(page)
        last = not page.has_next()
    assert rows == list(range(length))
    assert number == -(-length // 5)


def test_an_empty_list_has_one_empty_page() -> None:
    page = InfinitePaginator([], 5).page(1)
    assert list(page) == []
    assert not page.has_next()


def test_past_the_end_there_is_no_page() -> None:
    with pytest.raises(EmptyPage):
        InfinitePaginator(list(range(10)), 5).page(3)


def test_a_list_without_end_has_a_last_page() -> None:
    paginator = InfinitePaginator(range(10**9), 5)
    assert not paginator.page(admin_base.MOST_PAGES).has_next()
    with pytest.raises(EmptyPage):
        paginator.page(admin_base.MOST_PAGES + 1)


@pytest.fixture
def many(db: None) -> None:
    User.objects.bulk_create(User(username=f"user {number:03}") for number in range(90))


def test_a_page_costs_one_query_without_a_count(office: Client, many: None, django_assert_num_queries: Any) -> None:
    # 1 session, 1 user, 1 page
    with django_assert_num_queries(3):
        office.get("/admin/users/user/?p=2")


def test_the_first_page_leads_to_the_second_and_keeps_the_query(office: Client, many: None) -> None:
    first = office.get("/admin/users/user/?is_staff__exact=0").content.decode()
    assert "user 049" in first
    assert "user 050" not in first
    assert 'href="?is_staff__exact=0&amp;p=2" rel="next"' in first
    assert 'rel="prev"' not in first


def test_the_last_page_leads_back_only(office: Client, many: None) -> None:
    second = office.get("/admin/users/user/?p=2").content.decode()
    assert "user 089" in second
    assert 'rel="next"' not in second
    assert 'href="?p=1" rel="prev"' in second


def test_a_page_that_is_not_there_leads_to_the_list(office: Client, many: None) -> None:
    response = office.get("/admin/users/user/?p=3")
    assert (response.status_code, response["Location"]) == (302, "/admin/users/user/?e=1")


def test_all_at_once_is_not_to_be_had(office: Client, many: None) -> None:
    assert "user 089" not in office.get("/admin/users/user/?all=").content.decode()


@pytest.mark.parametrize(("words", "status"), [(20, 200), (21, 400)])
def test_a_search_has_twenty_words_at_most(office: Client, words: int, status: int) -> None:
    assert office.get("/admin/users/user/", {"q": "a " * words}).status_code == status


def test_an_autocompletion_pages_without_a_count(office: Client, many: None, django_assert_num_queries: Any) -> None:
    where = "app_label=devices&model_name=device&field_name=owner&term=user"
    # 1 session, 1 user, 1 page
    with django_assert_num_queries(3):
        answer = office.get(f"/admin/autocomplete/?{where}").json()
    assert answer["pagination"] == {"more": True}
