"""What every answer has around it, and how lists are told by pages."""

from tests.contract.shapes import ANY, COUNT, FLAG, NULL, OBJECT, TIME, WORDS, Shape

SUCCESS: dict[str, Shape] = {
    "data": ANY,
    "error": NULL,
    "meta": {"timestamp": TIME, "request_id": WORDS, "version": WORDS},
}
FAILURE: dict[str, Shape] = {
    "data": NULL,
    "error": {"code": WORDS, "message": WORDS, "details": OBJECT},
    "meta": {"timestamp": TIME, "request_id": WORDS},
}
REFUSED_FIELD: Shape = {"field": WORDS, "issue": WORDS}
"""The details of a refusal that concerns a field."""

PAGE = {
    "items": [ANY],
    "total": COUNT,
    "page": COUNT,
    "page_size": COUNT,
    "pages": COUNT,
    "has_next": FLAG,
    "has_previous": FLAG,
}
LINKED_PAGE = {
    "items": [ANY],
    "pagination": {
        "total": COUNT,
        "page": COUNT,
        "page_size": COUNT,
        "pages": COUNT,
        "links": {"first": WORDS, "previous": WORDS, "next": WORDS, "last": WORDS},
    },
}
"""How some endpoints tell a page: which ones is not said."""
