"""The alarm table: condition → priority, what the pump does, how it ends (decision 9).

One row, one test. Rows for the sensors join it together with their detectors.
"""

LOW = 1
MEDIUM = 2
HIGH = 3

NO_ACTION = 0
STOP = 1

BY_ACKNOWLEDGE = 0
BY_CONDITION = 1

END_OF_INFUSION = 0
CONTAINER_EMPTY = 1
STARVED = 2
STEP_MISMATCH = 3
INTERLOCK_OPEN = 4
HOST_SILENT = 5
DRIVER_FAULT = 6
NEAR_EMPTY = 7

# number, name, priority, what the pump does, how it ends, what a person is told
ALARMS = (
    (END_OF_INFUSION, "end_of_infusion", LOW, NO_ACTION, BY_ACKNOWLEDGE,
     "The VTBI is delivered; if KVO is on, the pump keeps the vein open"),
    (CONTAINER_EMPTY, "container_empty", MEDIUM, STOP, BY_ACKNOWLEDGE,
     "The container is empty; the pump has stopped"),
    (STARVED, "starved", HIGH, STOP, BY_ACKNOWLEDGE,
     "The pump's processor was late and the motor ran out of steps; the pump has stopped"),
    (STEP_MISMATCH, "step_mismatch", HIGH, STOP, BY_ACKNOWLEDGE,
     "The motor made another number of steps than was planned; the pump has stopped"),
    (INTERLOCK_OPEN, "interlock_open", HIGH, STOP, BY_ACKNOWLEDGE,
     "The interlock is open; the pump has stopped"),
    (HOST_SILENT, "host_silent", LOW, NO_ACTION, BY_CONDITION,
     "The host has fallen silent; the pump goes on"),
    (DRIVER_FAULT, "driver_fault", HIGH, STOP, BY_ACKNOWLEDGE,
     "The motor's driver reports a fault or does not answer; the pump has stopped"),
    (NEAR_EMPTY, "near_empty", LOW, NO_ACTION, BY_CONDITION,
     "The container will soon be empty; the pump goes on until it is"),
)  # fmt: skip
