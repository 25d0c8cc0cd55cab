"""The alarm table: condition → priority, what the pump does, how it ends.

One row, one test. Where sources disagree about a priority, decision 0013 says what was taken. An
alarm that ends by acknowledging stays until then, whatever has become of its cause.
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
OCCLUSION = 8
UPSTREAM_OCCLUSION = 9
PARTIAL_OCCLUSION = 10
DISCONNECTED = 11
AIR_BUBBLE = 12
AIR_ACCUMULATED = 13
STALL = 14
SYRINGE_REMOVED = 15
WRONG_SYRINGE = 16
DOOR_OPEN = 17
BATTERY_LOW = 18
BATTERY_DEPLETED = 19
OVER_TEMPERATURE = 20
SENSOR_FAULT = 21
NEAR_END = 22
PAUSED_LONG = 23
IDLE_LONG = 24
MOTOR_SUPPLY = 25
END_STOP = 26
WATCHDOG_RESET = 27

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
    (OCCLUSION, "occlusion", HIGH, STOP, BY_ACKNOWLEDGE,
     "The line is closed; the pump has stopped, and a syringe pump takes the pressure off it"),
    (UPSTREAM_OCCLUSION, "upstream_occlusion", HIGH, STOP, BY_ACKNOWLEDGE,
     "The supply is closed or its vent blocked; the pump has stopped"),
    (PARTIAL_OCCLUSION, "partial_occlusion", MEDIUM, NO_ACTION, BY_CONDITION,
     "The line's pressure is far above where it was; the pump goes on"),
    (DISCONNECTED, "disconnected", HIGH, STOP, BY_ACKNOWLEDGE,
     "The line's pressure fell to that of the air: it may have come off; the pump has stopped"),
    (AIR_BUBBLE, "air_bubble", HIGH, STOP, BY_ACKNOWLEDGE,
     "There is a bubble of air in the line; the pump has stopped"),
    (AIR_ACCUMULATED, "air_accumulated", HIGH, STOP, BY_ACKNOWLEDGE,
     "There was too much air in the line within 15 min; the pump has stopped"),
    (STALL, "stall", HIGH, STOP, BY_ACKNOWLEDGE,
     "The motor does not turn as it is stepped; the pump has stopped"),
    (SYRINGE_REMOVED, "syringe_removed", HIGH, STOP, BY_ACKNOWLEDGE,
     "There is no syringe in the clamp; the pump has stopped"),
    (WRONG_SYRINGE, "wrong_syringe", HIGH, STOP, BY_ACKNOWLEDGE,
     "The syringe in the clamp is not of the size that was programmed; the pump has stopped"),
    (DOOR_OPEN, "door_open", HIGH, STOP, BY_ACKNOWLEDGE,
     "The door or cassette is open; the pump has stopped"),
    (BATTERY_LOW, "battery_low", LOW, NO_ACTION, BY_CONDITION,
     "The battery is low: 30 min are left, or less"),
    (BATTERY_DEPLETED, "battery_depleted", HIGH, STOP, BY_ACKNOWLEDGE,
     "The battery is empty; the pump has stopped"),
    (OVER_TEMPERATURE, "over_temperature", HIGH, STOP, BY_ACKNOWLEDGE,
     "The pump is too hot and has stopped"),
    (SENSOR_FAULT, "sensor_fault", HIGH, STOP, BY_ACKNOWLEDGE,
     "A sensor cannot be believed; the pump has stopped"),
    (NEAR_END, "near_end", LOW, NO_ACTION, BY_CONDITION,
     "The infusion will soon be at its end"),
    (PAUSED_LONG, "paused_long", MEDIUM, NO_ACTION, BY_CONDITION,
     "The pump has been paused for 15 min, or for as long as was set"),
    (IDLE_LONG, "idle_long", LOW, NO_ACTION, BY_CONDITION,
     "A program has been waiting for its start for 5 min; after 10 it is dropped"),
    (MOTOR_SUPPLY, "motor_supply", HIGH, STOP, BY_ACKNOWLEDGE,
     "The motor's supply is out of its range; the pump has stopped"),
    (END_STOP, "end_stop", HIGH, STOP, BY_ACKNOWLEDGE,
     "The pusher is at its end stop; the pump has stopped"),
    (WATCHDOG_RESET, "watchdog_reset", HIGH, NO_ACTION, BY_ACKNOWLEDGE,
     "The pump's processor hung and was reset; what was infusing has stopped"),
)  # fmt: skip

# Bits of those that stop the pump, and of those whose cause, once gone, ends them.
STOPPING = 0
ENDING = 0
for _row in ALARMS:
    if _row[3] == STOP:
        STOPPING |= 1 << _row[0]
    if _row[4] == BY_CONDITION:
        ENDING |= 1 << _row[0]
