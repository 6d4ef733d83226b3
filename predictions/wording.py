"""The sentences of /predict. English, like all messages of the REST API.

Descriptions go by severity, 1 to 5, where 5 is always the most serious: predictions.risk turns a
score into a severity first. The names of the targets are the older service's.
"""

DESCRIPTIONS = {
    "availability": (
        "No effect on the availability of the equipment",
        "Minor effect on availability: the equipment keeps running",
        "Noticeable effect on availability: reduced performance or redundancy",
        "Serious effect on availability: the equipment may have to stop",
        "Critical effect on availability: the equipment is lost or about to be",
    ),
    "reliability": (
        "No effect on the reliability and integrity of the equipment",
        "Minor wear or defect: integrity is not at stake",
        "Noticeable degradation: integrity declines if nothing is done",
        "Serious degradation: failure of the equipment is likely",
        "Critical degradation: integrity is lost or about to be",
    ),
    "process_safety": (
        "No effect on process safety",
        "Minor effect on process safety: barriers are intact",
        "Noticeable effect on process safety: a barrier is weakened",
        "Serious effect on process safety: a barrier is missing or ineffective",
        "Critical effect on process safety: people, environment or plant are in danger",
    ),
}

# The older service's word for each band of settings.RISK_BANDS: its clients compare these strings.
RISK_LEVELS = {"normal": "LOW", "high": "HIGH", "critical": "CRITICAL"}

ACTIONS = {
    "normal": "Routine: handle within regular maintenance",
    "high": "Priority: plan the repair at the next opportunity",
    "critical": "Immediate: assess on site now and repair first",
}

BAND_RECOMMENDATIONS = {
    "normal": "Handle the anomaly within regular maintenance and keep watching the equipment.",
    "high": "Plan the repair at the next opportunity and check the equipment until then.",
    "critical": "Have the anomaly assessed on site now, before the equipment stays in or returns to service.",
}

SERIOUS_RECOMMENDATIONS = {
    "availability": "Prepare for the loss of the equipment: spare parts, redundancy and a repair window.",
    "reliability": "Inspect the integrity of the equipment and look for the cause of its degradation.",
    "process_safety": "Check the safety barriers concerned and secure the area until the repair is done.",
}

NOTICEABLE_RECOMMENDATIONS = {
    "availability": "Watch the performance of the equipment: its availability may decline.",
    "reliability": "Shorten the inspection interval of the equipment: its reliability may decline.",
    "process_safety": "Verify at the next round that the safety barriers concerned still hold.",
}
