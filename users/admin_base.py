"""What every list and page of the admin is made of. Nothing else names the library that gives it its look."""

from typing import TYPE_CHECKING, Any

from django.core.exceptions import BadRequest
from django.core.paginator import EmptyPage, Page, Paginator
from django.db.models import QuerySet
from django.http import HttpRequest

if TYPE_CHECKING:  # the library's classes are Django's own, without types
    from django.contrib.admin import AdminSite, RelatedFieldListFilter, TabularInline
    from django.contrib.admin import ModelAdmin as BaseModelAdmin
    from django.contrib.auth.forms import AdminPasswordChangeForm, UserChangeForm
    from django.contrib.auth.forms import AdminUserCreationForm as UserCreationForm

    AutocompleteFilter = RelatedFieldListFilter
else:
    from unfold.admin import ModelAdmin as BaseModelAdmin
    from unfold.admin import TabularInline
    from unfold.contrib.filters.admin import AutocompleteSelectFilter as AutocompleteFilter
    from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
    from unfold.sites import UnfoldAdminSite as AdminSite

__all__ = [
    "AdminPasswordChangeForm",
    "AdminSite",
    "AutocompleteFilter",
    "InfinitePaginator",
    "ModelAdmin",
    "TabularInline",
    "UserChangeForm",
    "UserCreationForm",
]

MOST_PAGES = 1000
MOST_WORDS = 20


class InfinitePage(Page[Any]):
    """A page that has been told whether another one follows."""

    is_last = True

    def has_next(self) -> bool:
        return not self.is_last


class InfinitePaginator(Paginator[Any]):
    """Pages without a COUNT: each reads one row more than it shows, to know whether another page follows.

    The database passes over the rows before a page; so there is a last one, however long the list is. (By this name
    the templates know that nothing was counted.)
    """

    template_name = "admin/infinite_pages.html"
    num_pages = MOST_PAGES
    is_last = True  # of the page that was read last, for the template

    @property
    def count(self) -> int:
        """More than a page holds; nobody is told."""
        return MOST_PAGES * self.per_page + 1

    def page(self, number: Any) -> InfinitePage:
        number = self.validate_number(number)
        first = (number - 1) * self.per_page
        rows = list(self.object_list[first : first + self.per_page + 1])
        if not rows and number > 1:
            raise EmptyPage("Nothing follows.")
        page = InfinitePage(rows[: self.per_page], number, self)
        page.is_last = self.is_last = len(rows) <= self.per_page or number == MOST_PAGES
        return page


class ModelAdmin(BaseModelAdmin[Any]):
    """A list that opens as fast with a million rows as with ten."""

    paginator = InfinitePaginator
    list_per_page = 50
    show_full_result_count = False
    list_max_show_all = 0
    list_disable_select_all = True  # what is selected is what is seen

    def get_paginator(self, request: HttpRequest, queryset: QuerySet[Any], *args: Any, **kwargs: Any) -> Paginator[Any]:
        """The history of a thing is short, and its page tells how long it is."""
        paginator = self.paginator if queryset.model is self.model else Paginator
        return paginator(queryset, *args, **kwargs)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Each word is a condition on each row: so many would keep a database busy, or be too many for it."""
        if len(search_term.split()) > MOST_WORDS:
            raise BadRequest(f"More than {MOST_WORDS} words to search for.")
        return super().get_search_results(request, queryset, search_term)
