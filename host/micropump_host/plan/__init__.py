"""What a program is going to do: its schedule, worked out from what the pump itself would run.

``schedule_of`` lays the core's program out in time; ``plots`` draws it; ``occlusion_of`` says what
a closed line would come to. Nothing here knows how a therapy is made: that is
``micropump.therapy``'s, which the pump asks with the same fields.
"""

from micropump_host.plan.occlusion import (
    FROM_LIBRARY,
    FROM_OPTION,
    FROM_PUMP,
    OcclusionAt,
    OcclusionForecast,
    Span,
    occlusion_of,
)
from micropump_host.plan.schedule import (
    DAY_S,
    ContainerChange,
    Demands,
    Row,
    Schedule,
    row_name,
    schedule_of,
)

__all__ = [
    "DAY_S",
    "FROM_LIBRARY",
    "FROM_OPTION",
    "FROM_PUMP",
    "ContainerChange",
    "Demands",
    "OcclusionAt",
    "OcclusionForecast",
    "Row",
    "Schedule",
    "Span",
    "occlusion_of",
    "row_name",
    "schedule_of",
]
