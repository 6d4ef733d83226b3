"""What the sample is drawn from: equipment, its faults and their usual scores, and how people write."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong: in French and English, the usual scores (availability, fiability, process safety)."""

    french: str
    english: str
    scores: tuple[int, int, int]
    hazard: str


@dataclass(frozen=True, slots=True)
class Kind:
    """Pieces of equipment that fail alike: one for each label in each unit."""

    name: str  # {x}: the label
    labels: str
    system: str
    section: str
    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True)
class Addition:
    """Words after the fault, what they add to the scores, how often they come, and from which score on."""

    french: str
    english: str
    added: tuple[int, int, int]
    weight: int
    from_availability: int = 1


ADDITIONS = (
    Addition("", "", (0, 0, 0), 16),
    Addition(", constaté pendant la ronde", ", seen on the round", (0, 0, 0), 9),
    Addition(", signalé par le quart de nuit", ", reported by the night shift", (0, 0, 0), 9),
    Addition(", voir photo", ", see photo", (0, 0, 0), 9),
    Addition(" depuis ce matin", " since this morning", (0, 0, 0), 9),
    Addition(", même constat que la semaine dernière", ", same as last week", (0, 0, 0), 9),
    Addition(", DI à créer", ", work request to be raised", (0, 0, 0), 9),
    Addition(", à surveiller", ", to be monitored", (-1, -1, 0), 7, 2),
    Addition(", intervention urgente", ", urgent", (1, 0, 0), 6, 2),
    Addition(", défaut répétitif", ", recurring", (0, 1, 0), 9, 2),
    Addition(", baisse de charge en cours", ", unit load reduced", (2, 0, 0), 6, 3),
    Addition(", secours en service", ", standby in service", (-1, 0, 0), 6, 3),
)

HAZARDS = {
    "hot": (", risque de brûlure", ", burn hazard"),
    "oil": (", risque d'incendie", ", fire hazard"),
    "slip": (", sol glissant", ", slippery floor"),
    "fall": (", risque de chute", ", fall hazard"),
    "shock": (", risque d'électrisation", ", electric shock hazard"),
    "splash": (", risque de projection", ", splash hazard"),
    "coal": (", risque d'échauffement", ", risk of self-heating"),
    "moving": (", pièces tournantes accessibles", ", moving parts exposed"),
}

PLACES = {
    "{side}": (("côté libre", "côté accouplement"), ("non-drive end", "drive end")),
    "{n}": (("1", "2", "3", "4"), ("1", "2", "3", "4")),
}

# Longest first: "côté libre" before "côté".
ABBREVIATIONS = {
    "côté accouplement": "CA",
    "côté libre": "CL",
    "non-drive end": "NDE",
    "drive end": "DE",
    "température": "T°",
    "temperature": "temp",
    "Pression": "P°",
    "pression": "P°",
    "Prévoir": "Prv",
    "prévoir": "prv",
    "différentielle": "diff",
    "indication": "indic",
    "bearing": "brg",
    "pressure": "press",
}

TYPOS = {
    "vibration": "vibartion",
    "Vibration": "Vibrtion",
    "Fuite": "Fuit",
    "bruit": "briut",
    "anormal": "annormal",
    "étanche": "étenche",
    "défaillant": "défaillent",
    "bloquée": "bloqué",
    "graissage": "graisage",
    "Bouchage": "Bouchge",
    "leak": "leack",
    "noise": "noize",
    "valve": "vavle",
    "level": "levle",
}

_KINDS = """
Broyeur à charbon {x} | A B C D | Broyage du charbon | MEC
  Sortie de charbon pulvérisé par le joint du classificateur | Pulverised coal escaping from the classifier gasket | 2 1 4 | coal
  Bruit anormal aux galets | Abnormal noise from the grinding rollers | 3 2 2 |
  Température d'huile du réducteur élevée | Gearbox oil temperature high | 3 1 2 |
  Débit d'air primaire instable | Primary air flow unstable | 2 1 1 |
  Caisse à pyrites pleine, vidange impossible | Pyrite box full and cannot be emptied | 2 1 2 | coal
  Déclenchement par pression d'huile basse | Tripped on low lube oil pressure | 4 2 2 |
Alimentateur de charbon {x} | A B C D | Broyage du charbon | MEC
  Bande décentrée et frottement sur la tôle latérale | Belt off track and rubbing on the side plate | 3 1 2 | moving
  Pesage incohérent avec le débit réel | Weighing does not match the real flow | 1 1 1 |
  Racleur de fond à l'arrêt, chaîne cassée | Clean-out scraper stopped, chain broken | 3 2 2 |
  Éclairage du hublot grillé | Sight glass lamp burnt out | 1 1 1 |
  Infiltration d'eau par le toit du silo, charbon collant | Water getting in through the bunker roof, sticky coal | 2 1 1 |
Ventilateur de tirage {x} | A B | Air et fumées | MEC
  Vibration élevée du palier {side} | High vibration of the bearing, {side} | 4 2 2 |
  Joint de manchette de gaine déchiré, sortie de fumées | Duct expansion joint torn, flue gas escaping | 2 1 3 | hot
  Niveau d'huile bas au palier {side} | Low oil level in the bearing, {side} | 1 1 1 |
  Inclinaison des pales bloquée à mi-course | Blade pitch stuck half-way | 3 2 1 |
  Thermocouple du palier {side} défaillant | Bearing thermocouple faulty, {side} | 1 1 1 |
Ventilateur de soufflage {x} | A B | Air et fumées | MEC
  Bruit de frottement à l'accouplement | Rubbing noise from the coupling | 3 1 2 | moving
  Silencieux d'aspiration encrassé | Intake silencer fouled | 1 1 1 |
  Fuite d'huile au groupe de régulation des aubes | Oil leak at the vane control unit | 2 1 2 | slip
  Capot d'accouplement mal fixé | Coupling guard loose | 1 1 3 | moving
Ventilateur d'air primaire {x} | A B | Air et fumées | MEC
  Vibration du moteur {side} | Motor vibration, {side} | 3 2 2 |
  Registre d'aspiration ne ferme pas complètement | Inlet damper does not close fully | 1 1 1 |
  Purge de gaine bouchée par les cendres | Duct drain choked with ash | 1 1 1 |
Pompe alimentaire {x} | A B C | Eau alimentaire | MEC
  Fuite d'eau chaude à la garniture mécanique {side} | Hot water leak at the mechanical seal, {side} | 4 2 3 | hot
  Température de la butée en hausse | Thrust bearing temperature rising | 4 2 1 |
  Clapet de débit minimum non étanche | Minimum flow valve passing | 2 1 1 |
  Crépine d'aspiration colmatée, pression différentielle haute | Suction strainer choked, high differential pressure | 3 1 1 |
  Fuite d'huile au coupleur hydraulique | Oil leak from the fluid coupling | 3 2 2 | oil
Pompe d'extraction des condensats {x} | A B | Condensats | MEC
  Entrée d'air au presse-étoupe | Air drawn in at the gland packing | 1 1 1 |
  Manomètre de refoulement cassé | Discharge pressure gauge broken | 1 1 1 |
  Vibration du moteur en tête de pompe | Motor vibration at the pump head | 3 1 1 |
  Appoint de graisse à prévoir au palier supérieur | Top bearing needs greasing | 1 1 1 |
Pompe de circulation d'eau de mer {x} | A B | Eau de mer | MEC
  Corrosion perforante de la bride de refoulement | Discharge flange corroded through | 4 3 1 | slip
  Clapet de refoulement ne se ferme pas | Discharge check valve does not close | 3 2 1 |
  Eau de lubrification des paliers insuffisante | Bearing flushing water insufficient | 3 1 1 |
  Anode sacrificielle à remplacer | Sacrificial anode to be replaced | 1 1 1 |
Tambour filtrant {x} | A B | Eau de mer | MEC
  Panneau de filtration percé | Filter panel torn | 1 1 1 |
  Rampe de lavage bouchée par les moules | Wash water nozzles blocked by mussels | 2 1 1 |
  Caillebotis manquant devant le tambour | Floor grating missing in front of the drum | 1 1 4 | fall
Électrofiltre champ {x} | 1A 1B 2A 2B | Dépoussiérage | ELEC
  Champ déclenché par surintensité | Field tripped on overcurrent | 2 1 1 |
  Frappage des plaques hors service | Plate rapping out of service | 1 1 1 |
  Trémie de cendres pleine, niveau haut permanent | Ash hopper full, high level alarm standing | 3 1 2 |
  Résistance de chauffage de trémie coupée | Hopper heater open circuit | 1 1 2 |
  Porte de visite fermée sans cadenas de sécurité | Inspection door closed without its safety lock | 1 1 5 | shock
Convoyeur à bande {x} | T1 T2 T3 | Parc à charbon | CHARBON
  Rouleaux bloqués sous la bande, échauffement | Seized idlers under the belt, heating up | 2 1 4 | coal
  Câble d'arrêt d'urgence distendu | Emergency pull cord slack | 1 1 5 | moving
  Déchirure de bande près de la jonction | Belt torn close to the splice | 4 2 2 |
  Dégagement de poussières à la jetée | Dust emission at the transfer chute | 1 1 3 | coal
  Détecteur de déport de bande hors service | Belt sway switch out of service | 2 1 2 | moving
  Racleur de tête usé, retour de charbon | Head scraper worn, coal carried back | 1 1 1 |
Concasseur {x} | 1 | Parc à charbon | CHARBON
  Bourrage par du charbon humide | Choked with wet coal | 3 1 1 |
  Marteaux usés, granulométrie hors tolérance | Hammers worn, coal size out of range | 2 2 1 |
Transformateur {x} | principal auxiliaire | Évacuation d'énergie | ELEC
  Suintement d'huile au joint de traversée | Oil seeping from the bushing gasket | 2 2 4 | oil
  Silicagel saturé, couleur rose | Silica gel saturated, turned pink | 1 1 1 |
  Aéroréfrigérant {n} à l'arrêt | Cooling fan {n} stopped | 2 1 1 |
  Alarme Buchholz apparue puis disparue | Buchholz alarm came and went | 5 3 4 |
  Point chaud sur la cosse vu en thermographie | Hot spot on the terminal seen by thermography | 3 2 2 |
Tableau 6,6 kV {x} | LA LB | Distribution électrique | ELEC
  Disjoncteur embroché sans verrouillage de porte | Breaker racked in without door interlock | 2 1 5 | shock
  Relais de protection en défaut interne | Protection relay with internal fault | 3 2 2 |
  Voyant de position éteint | Position lamp out | 1 1 1 |
Ramoneur {x} | 3 7 12 18 | Ramonage | MEC
  Lance bloquée dans la chaudière | Lance stuck inside the boiler | 3 1 1 |
  Fuite de vapeur au clapet d'admission | Steam leak at the admission valve | 2 1 3 | hot
  Fin de course arrière déréglée | Rear limit switch out of adjustment | 1 1 1 |
  Moteur de translation ne démarre pas | Traverse motor does not start | 1 1 1 |
Soupape de sûreté {x} | ballon surchauffeur | Vapeur vive | CHAUD
  Soupape non étanche après essai | Safety valve passing after its test | 3 2 4 | hot
  Tuyau d'échappement desserré de son support | Vent pipe loose from its support | 1 1 3 | fall
  Levée avant la pression de tarage | Lifted below its set pressure | 4 2 5 |
Désurchauffe {x} | HP RH | Vapeur vive | CHAUD
  Vanne réglante ne suit pas la consigne | Control valve does not follow its set point | 3 1 1 |
  Calorifuge absent sur deux mètres | Two metres of lagging missing | 1 1 2 | hot
  Fuite au presse-étoupe de la vanne d'isolement | Gland leak on the isolating valve | 2 1 3 | hot
Réchauffeur d'alimentation {x} | BP2 HP6 HP7 | Poste d'eau | CHAUD
  Niveau haut, purge normale bloquée fermée | High level, normal drain stuck closed | 3 2 2 |
  Percement d'un tube, by-pass en service | Tube leak, heater bypassed | 4 3 1 |
  Glace de niveau illisible | Level gauge unreadable | 1 1 2 |
  Évent laisse passer de la vapeur | Vent valve passing steam | 1 1 2 | hot
Décrasseur {x} | 1 | Cendres de foyer | MEC
  Chaîne détendue et racleurs de travers | Chain slack and flight bars askew | 4 2 1 |
  Garde d'eau insuffisante, entrée d'air au foyer | Water seal too low, air drawn into the furnace | 3 1 3 |
  Goulotte bouchée par un bloc de mâchefer | Chute blocked by a lump of clinker | 3 1 2 |
  Débordement d'eau de cendres sur le passage | Ash water overflowing onto the walkway | 1 1 2 | slip
Groupe hydraulique de turbine {x} | HP BP | Turbine | TURB
  Fuite d'huile de régulation sur conduite proche de la vapeur | Control oil leak on a pipe close to steam lines | 3 2 5 | oil
  Filtre duplex encrassé, basculement à faire | Duplex filter fouled, change-over needed | 1 1 1 |
  Pompe de secours en défaut au test hebdomadaire | Standby pump failed at the weekly test | 3 2 2 |
  Niveau de bâche en baisse lente | Tank level falling slowly | 2 1 1 |
Pompe doseuse {x} | ammoniaque phosphate | Conditionnement chimique | CHIM
  Fuite de produit à la bride de refoulement | Chemical leak at the discharge flange | 1 1 5 | splash
  Membrane percée, débit nul | Diaphragm torn, no flow | 2 1 2 | splash
  Douche de sécurité voisine sans eau | No water at the safety shower next to it | 1 1 5 | splash
  Course de réglage grippée | Stroke adjustment seized | 1 1 1 |
Analyseur {x} | pH conductivité oxygène | Contrôle chimique | CHIM
  Indication figée depuis le quart de nuit | Reading frozen since the night shift | 1 1 1 |
  Débit d'échantillon insuffisant | Sample flow too low | 1 1 1 |
  Étalonnage à refaire, dérive constatée | Drift observed, calibration due | 1 1 1 |
Compresseur d'air {x} | 1 2 | Air comprimé | MEC
  Température de refoulement haute | Discharge temperature high | 2 1 1 |
  Purgeur automatique reste ouvert | Automatic drain stays open | 1 1 1 |
  Déclenchement par surcharge du moteur | Tripped on motor overload | 3 1 1 |
  Courroies usées, bruit au démarrage | Belts worn, noise at start | 1 1 1 |
Sécheur d'air {x} | 1 2 | Air comprimé | MEC
  Point de rosée hors limite | Dew point out of range | 1 1 1 |
  Électrovanne de régénération bloquée | Regeneration solenoid valve stuck | 2 1 1 |
Pompe incendie {x} | diesel électrique | Protection incendie | HSE
  Ne démarre pas en automatique au test | Does not start automatically at the test | 1 3 5 |
  Batterie de démarrage faible | Starting battery weak | 1 2 3 |
  Fuite d'eau au presse-étoupe | Water leak at the gland packing | 1 1 1 |
Plateforme chaudière {x} | +20m +35m | Génie civil | HSE
  Garde-corps descellé | Handrail loose from its footing | 1 1 4 | fall
  Caillebotis corrodé à remplacer | Corroded floor grating to be replaced | 1 1 4 | fall
  Éclairage de secours éteint dans l'escalier | Emergency lighting out in the stairway | 1 1 3 | fall
  Peinture écaillée sur la charpente | Paint flaking off the steelwork | 1 1 1 |
"""  # noqa: E501  # a table: one fault a line


def _parse(text: str) -> tuple[Kind, ...]:
    kinds: list[tuple[list[str], list[Fault]]] = []
    for line in text.strip().splitlines():
        parts = [part.strip() for part in line.split("|")]
        if line.startswith(" "):
            french, english, scores, hazard = parts
            availability, fiability, safety = map(int, scores.split())
            kinds[-1][1].append(Fault(french, english, (availability, fiability, safety), hazard))
        else:
            kinds.append((parts, []))
    return tuple(
        Kind(name, labels, system, section, tuple(f)) for (name, labels, system, section), f in kinds
    )


KINDS = _parse(_KINDS)
