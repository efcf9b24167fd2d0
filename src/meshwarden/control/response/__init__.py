"""What now, carried out: the controller, and one file for each action.

`controller` takes findings and what people say; `following` takes one incident move by move;
`records` is how they write; `deciding` holds the guard rails over all incidents at once; `action`
is what is asked of each action. The decisions themselves are values of `response`.
"""

from meshwarden.control.response.action import Action, Applied
from meshwarden.control.response.controller import Controller
from meshwarden.control.response.deciding import Deciding
from meshwarden.control.response.records import Records

__all__ = ["Action", "Applied", "Controller", "Deciding", "Records"]
