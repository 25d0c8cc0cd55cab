"""Syringes, peristaltic heads and the drives that turn them: published figures, each with a source.

Data only: tuples of short strings and integers below 2**30, so that the board keeps them as small
integers. ``*_COLUMNS`` name the columns; a unit is part of each name. A source is a key of
``SOURCES``; what each source says, where sources disagree and which was taken stands in
``docs/catalogue.md``, whose tables the tests compare with these.
"""

# Least recommended rate of a syringe: the entry with the greatest capacity that it reaches.
# (capacity_from_ul, least_rate_ul_h), source LEAST_RATE_SOURCE.
LEAST_RATES = ((0, 10), (5000, 50), (10000, 100), (20000, 500), (30000, 1000))
LEAST_RATE_SOURCE = "S7"

# The stroke is the plunger's way from the zero mark to the nominal capacity.
SYRINGE_COLUMNS = (
    "id",
    "maker",
    "model",
    "capacity_ul",
    "inner_diameter_um",
    "stroke_um",
    "least_rate_ul_h",
    "source",
    "stroke_source",
)
SYRINGES = (
    ("bd-plastipak-1", "BD", "Plastipak 1 mL", 1000, 4780, 55726, 10, "S2", "D1"),
    ("bd-plastipak-3", "BD", "Plastipak 3 mL", 3000, 8660, 50933, 10, "S2", "D1"),
    ("bd-plastipak-5", "BD", "Plastipak 5 mL", 5000, 12060, 43771, 50, "S2", "D1"),
    ("bd-plastipak-10", "BD", "Plastipak 10 mL", 10000, 14500, 60559, 100, "S2", "D1"),
    ("bd-plastipak-20", "BD", "Plastipak 20 mL", 20000, 19130, 69585, 500, "S2", "D1"),
    ("bd-plastipak-30", "BD", "Plastipak 30 mL", 30000, 21700, 81118, 1000, "S2", "D1"),
    ("bd-plastipak-50", "BD", "Plastipak 50 mL", 50000, 26700, 89302, 1000, "S2", "D1"),
    ("bd-plastipak-60", "BD", "Plastipak 60 mL", 60000, 26700, 107162, 1000, "S2", "D1"),
    ("hsw-norm-ject-1", "HSW", "Norm-Ject 1 mL", 1000, 4690, 57885, 10, "S1", "D1"),
    ("hsw-norm-ject-2", "HSW", "Norm-Ject 2 mL", 2000, 9650, 27346, 10, "S1", "D1"),
    ("hsw-norm-ject-5", "HSW", "Norm-Ject 5 mL", 5000, 12450, 41072, 50, "S1", "D1"),
    ("hsw-norm-ject-10", "HSW", "Norm-Ject 10 mL", 10000, 15900, 50364, 100, "S1", "D1"),
    ("hsw-norm-ject-20", "HSW", "Norm-Ject 20 mL", 20000, 20050, 63345, 500, "S1", "D1"),
    ("hsw-norm-ject-30", "HSW", "Norm-Ject 30 mL", 30000, 22900, 72839, 1000, "S1", "D1"),
    ("hsw-norm-ject-50", "HSW", "Norm-Ject 50 mL", 50000, 29200, 74665, 1000, "S1", "D1"),
    ("monoject-3", "Covidien", "Monoject 3 mL", 3000, 8941, 47782, 10, "S1", "D1"),
    ("monoject-6", "Covidien", "Monoject 6 mL", 6000, 12700, 47365, 50, "S1", "D1"),
    ("monoject-12", "Covidien", "Monoject 12 mL", 12000, 15720, 61829, 100, "S1", "D1"),
    ("monoject-20", "Covidien", "Monoject 20 mL", 20000, 20120, 62905, 500, "S1", "D1"),
    ("monoject-35", "Covidien", "Monoject 35 mL", 35000, 23520, 80558, 1000, "S1", "D1"),
    ("monoject-60", "Covidien", "Monoject 60 mL", 60000, 26640, 107645, 1000, "S1", "D1"),
    ("terumo-1", "Terumo", "Syringe 1 mL", 1000, 4700, 57639, 10, "S1", "D1"),
    ("terumo-3", "Terumo", "Syringe 3 mL", 3000, 8950, 47686, 10, "S1", "D1"),
    ("terumo-5", "Terumo", "Syringe 5 mL", 5000, 13000, 37670, 50, "S1", "D1"),
    ("terumo-10", "Terumo", "Syringe 10 mL", 10000, 15800, 51004, 100, "S1", "D1"),
    ("terumo-20", "Terumo", "Syringe 20 mL", 20000, 20150, 62718, 500, "S1", "D1"),
    ("terumo-30", "Terumo", "Syringe 30 mL", 30000, 23100, 71583, 1000, "S1", "D1"),
    ("terumo-60", "Terumo", "Syringe 60 mL", 60000, 29700, 86607, 1000, "S1", "D1"),
    ("braun-injekt-2", "B. Braun", "Injekt Luer Solo 2 mL", 2000, 9800, 26515, 10, "S3", "D1"),
    ("braun-injekt-5", "B. Braun", "Injekt Luer Solo 5 mL", 5000, 12500, 40744, 50, "S3", "D1"),
    ("braun-injekt-10", "B. Braun", "Injekt Luer Solo 10 mL", 10000, 16000, 49736, 100, "S3", "D1"),
    ("braun-injekt-20", "B. Braun", "Injekt Luer Solo 20 mL", 20000, 20200, 62408, 500, "S3", "D1"),
    ("poulten-graf-2", "Poulten & Graf", "Glass 2 mL", 2000, 8910, 32077, 10, "S1", "D1"),
    ("poulten-graf-3", "Poulten & Graf", "Glass 3 mL", 3000, 9060, 46535, 10, "S1", "D1"),
    ("poulten-graf-5", "Poulten & Graf", "Glass 5 mL", 5000, 11750, 46111, 50, "S1", "D1"),
    ("poulten-graf-10", "Poulten & Graf", "Glass 10 mL", 10000, 14670, 59163, 100, "S1", "D1"),
    ("poulten-graf-20", "Poulten & Graf", "Glass 20 mL", 20000, 19620, 66152, 500, "S1", "D1"),
    ("poulten-graf-30", "Poulten & Graf", "Glass 30 mL", 30000, 22690, 74193, 1000, "S1", "D1"),
    ("poulten-graf-50", "Poulten & Graf", "Glass 50 mL", 50000, 26960, 87588, 1000, "S1", "D1"),
    ("hamilton-1001", "Hamilton", "Gastight 1001, 1 mL", 1000, 4608, 59964, 10, "S2", "D1"),
    ("hamilton-1002-5", "Hamilton", "Gastight 1002.5, 2.5 mL", 2500, 7284, 59995, 10, "S2", "D1"),
    ("hamilton-1005", "Hamilton", "Gastight 1005, 5 mL", 5000, 10300, 60008, 50, "S2", "D1"),
    ("hamilton-1010", "Hamilton", "Gastight 1010, 10 mL", 10000, 14570, 59978, 100, "S2", "D1"),
    ("hamilton-1025", "Hamilton", "Gastight 1025, 25 mL", 25000, 23030, 60016, 500, "S2", "D1"),
)

# The least rate is one roller passage a minute (E1): two within the shortest observation window of
# a trumpet curve, so that the window averages over the roller ripple.
PERISTALTIC_HEAD_COLUMNS = (
    "id",
    "maker",
    "model",
    "tube",
    "nl_per_rev",
    "rollers",
    "greatest_rpm",
    "least_rate_ul_h",
    "source",
    "rollers_source",
)
PERISTALTIC_HEAD_LEAST_RATE_SOURCE = "E1"
PERISTALTIC_HEADS = (
    ("masterflex-ls-13", "Masterflex", "L/S head", "L/S 13", 60000, 3, 600, 1200, "S4", "M1"),
    ("masterflex-ls-14", "Masterflex", "L/S head", "L/S 14", 210000, 3, 600, 4200, "S4", "M1"),
    ("masterflex-ls-16", "Masterflex", "L/S head", "L/S 16", 800000, 3, 600, 16000, "S4", "M1"),
    ("masterflex-ls-17", "Masterflex", "L/S head", "L/S 17", 2800000, 3, 600, 56000, "S4", "M1"),
    ("masterflex-ls-18", "Masterflex", "L/S head", "L/S 18", 3800000, 3, 600, 76000, "S4", "M1"),
    ("runze-yz1515x-16", "Runze", "YZ1515-3", "#16, 3.2 mm", 909312, 3, 400, 18187, "S5", "S5"),
    ("runze-yz1515x-6r-16", "Runze", "YZ1515-6", "#16, 3.2 mm", 666624, 6, 400, 6667, "S5", "S5"),
    ("runze-rz1030-0142", "Runze", "RZ1030B-4", "1.42 mm", 116447, 4, 300, 1747, "S5", "S5"),
    (
        "kamoer-kphm400-b25",
        "Kamoer",
        "KPHM400-ST",
        "BPT, 4.8 mm",
        1000000,
        3,
        400,
        20000,
        "S6",
        "S6",
    ),
)

# A reduction of gear_num : gear_den turns the screw gear_den times for gear_num turns of the motor.
SYRINGE_DRIVE_COLUMNS = (
    "id",
    "name",
    "lead_um",
    "steps_per_rev",
    "microsteps",
    "gear_num",
    "gear_den",
    "max_speed_um_s",
    "source",
)
SYRINGE_DRIVES = (
    ("t8-2mm-16", "Tr8x2 screw, 1.8 deg motor, 1/16 step", 2000, 200, 16, 1, 1, 10000, "E2"),
    ("t8-8mm-16", "Tr8x8 screw, 1.8 deg motor, 1/16 step", 8000, 200, 16, 1, 1, 40000, "E2"),
    ("m5-0.8-16", "M5x0.8 screw, 1.8 deg motor, 1/16 step", 800, 200, 16, 1, 1, 4000, "S8"),
    ("m5-0.8-32", "M5x0.8 screw, 1.8 deg motor, 1/32 step", 800, 200, 32, 1, 1, 4000, "S8"),
    ("t8-2mm-pg5-16", "Tr8x2 screw, 57:11 planetary gear", 2000, 200, 16, 57, 11, 1929, "S9"),
)

# max_rpm is the motor's; the head turns slower by the gear.
HEAD_DRIVE_COLUMNS = (
    "id",
    "name",
    "steps_per_rev",
    "microsteps",
    "gear_num",
    "gear_den",
    "max_rpm",
    "source",
)
HEAD_DRIVES = (
    ("direct-16", "1.8 deg motor on the head, 1/16 step", 200, 16, 1, 1, 300, "E2"),
    ("direct-32", "1.8 deg motor on the head, 1/32 step", 200, 32, 1, 1, 300, "E2"),
    ("pg5-16", "1.8 deg motor, 57:11 planetary gear, 1/16 step", 200, 16, 57, 11, 300, "S9"),
    ("28byj-48", "28BYJ-48 with its gear train, half step", 32, 2, 25792, 405, 468, "S10"),
)

SOURCES = (
    (
        "S1",
        "New Era Pump Systems Inc., NE-1000 Multi-Phaser User Manual, Publication #1200-01,"
        " firmware V3.923, 2016-04-06, section 12.7 Syringe Diameters and Rate Limits;"
        " www.syringepump.com; read in the transcription of the Python package"
        " labmcp-new-era 0.1.2, driver.py",
    ),
    (
        "S2",
        "Syringe table of KD Scientific and Harvard Apparatus pumps, read in the transcription of"
        " the GitHub repository GurazLIPHY/DecLiq---Microfluidic-Platform-Control, commit 75a1314,"
        " syringe_database.py",
    ),
    (
        "S3",
        "GitHub repository AlexNeckar2020/SV, commit 31913c1, Rsc/syringes.csv: parameters of"
        " B. Braun Injekt Luer Solo syringes on NE-1000 pumps",
    ),
    (
        "S4",
        "AguaClara Cornell, Python package aguaclara 0.4.0, research/data/LS_tubing.txt: volume per"
        " revolution of Masterflex L/S tubing; 600 rpm: Cole-Parmer drive 07528-10 as quoted in"
        " GitHub issue sr320/LabDocs#647, 2017-06-29",
    ),
    (
        "S5",
        "Nanjing Runze Fluid Control Equipment Co., Peristaltic Pump Tubing Size vs Flow Rate,"
        " www.runzefluid.com: Q [mL/s] = k r^2 N with r [cm], N [rpm] and k by head and rotor;"
        " greatest speed: that of its worked examples",
    ),
    (
        "S6",
        "Kamoer, figures of the KPHM400-ST (400 mL/min at 400 rpm with water and no back pressure,"
        " 3 rollers, BPT tube 4.8 x 8.0 mm), second-hand from a public project's notes of"
        " 2026-08-30; the data sheet itself was not seen",
    ),
    (
        "S7",
        "B. Braun Melsungen AG, Perfusor compactplus, Instructions for Use, version 1.0, software"
        " 002A: least recommended rate by syringe size, as collected for this project and not read"
        " again in the manual",
    ),
    (
        "S8",
        "GitHub repository pachterlab/poseidon, SOFTWARE/poseidon_main.py: 0.8 mm a revolution,"
        " 200 full steps, up to 1/32 step; greatest speed: E2",
    ),
    (
        "S9",
        "GitHub wiki seonghapark/cuav, Rail, 2019-12-20: 17HS4401G-PG518 geared motor, ratio 11:57;"
        " greatest motor speed: E2",
    ),
    (
        "S10",
        "Arduino forum topic 71308, teeth counted in a 28BYJ-48: 31*32*26*22/(11*10*9*9) ="
        " 25792/405; greatest speed from the pull-in rate of 500 half steps a second, Seeed Studio"
        " wiki, Gear Stepper Motor Driver Pack",
    ),
    (
        "D1",
        "Derived: capacity divided by the area of the bore, rounded up to a micrometre",
    ),
    (
        "E1",
        "Engineering choice: one roller passage a minute, nl_per_rev * 60 / rollers, rounded up",
    ),
    (
        "E2",
        "Engineering choice: motors limited to 5 revolutions a second; the lead of a screw is in"
        " its designation",
    ),
    ("M1", "From memory, unverified"),
)
