"""Families of everyday questions: a template, and a table of its exact answers."""

from __future__ import annotations

from collections.abc import Iterator

from testbed.quickstart.everyday import Question

# Each line is an answer and what it is the answer to; a slash parts spellings.
_CONTINENTS = """
Africa: Algeria, Angola, Botswana, Cameroon, Chad, Ethiopia, Ghana, Libya, Madagascar, Mali, Morocco, \
Mozambique, Namibia, Niger, Nigeria, Rwanda, Senegal, Somalia, South Africa, Sudan, Tanzania, Tunisia, \
Uganda, Zambia, Zimbabwe
Asia: Afghanistan, Bangladesh, Bhutan, Cambodia, India, Indonesia, Iran, Iraq, Israel, Jordan, Kuwait, \
Laos, Lebanon, Malaysia, Mongolia, Myanmar, Nepal, North Korea, Oman, Pakistan, Qatar, Saudi Arabia, \
Singapore, South Korea, Sri Lanka, Syria, Thailand, Vietnam, Yemen
Europe: Albania, Austria, Belgium, Bulgaria, Croatia, Denmark, Estonia, Finland, France, Greece, \
Hungary, Iceland, Ireland, Latvia, Lithuania, Luxembourg, Norway, Poland, Portugal, Romania, Serbia, \
Slovakia, Slovenia, Sweden, Switzerland, Ukraine
South America: Bolivia, Chile, Colombia, Ecuador, Paraguay, Uruguay, Venezuela
"""
_KINDS = """
bird/animal: sparrow, eagle, parrot, owl, penguin, swan, crow, pigeon, robin, ostrich
fish/animal: salmon, tuna, trout, shark, cod
insect/bug: butterfly, mosquito, beetle, grasshopper, ladybug, bee, ant, moth
fruit: mango, banana, pear, peach, plum, strawberry, pineapple, cherry, kiwi, grapefruit
vegetable/root/plant: carrot, cabbage, potato, cucumber, turnip, radish
tree: pine tree, willow, maple, birch, palm tree
flower/plant: tulip, daisy, lily, orchid, sunflower, daffodil
instrument: trumpet, guitar, flute, drum, cello, harp, saxophone, clarinet, trombone, banjo
mammal/animal: dolphin, bat, horse, tiger, elephant, kangaroo, bear, rabbit, deer, giraffe, zebra, \
squirrel
reptile/animal: crocodile, lizard, turtle
snake/reptile/animal: cobra, python
dog: poodle, bulldog, beagle, labrador
tool: hammer, screwdriver, saw, shovel, wrench
furniture: sofa, chair, desk, bookshelf, table
vehicle/car/transportation: truck, bus, bicycle, motorcycle, van
boat/ship/vessel/watercraft: canoe, yacht, ferry, kayak, submarine
clothing/garment/clothes: shirt, jacket, sweater, skirt, coat
dance: waltz, tango, polka
cheese: cheddar, brie
gem/gemstone/stone/mineral/crystal: ruby, diamond, emerald, sapphire
shape/polygon/figure: triangle, rectangle, circle, pentagon, hexagon
"""

# Each entry is what is asked for, and its answer.
_OPPOSITES = """
cold hot, night day, sad happy/joyful, new old, bad good, slow fast/quick, closed open, dark
light/bright, late early, empty full, lose win, last first, death life, sell buy, end beginning/start,
thin thick/fat, narrow wide/broad, below above, expensive cheap/inexpensive, near far, low high,
different same/similar, rough smooth, female male, father mother, failure success, depart arrive, down
up, right left/wrong, white black, little big/much, west east, south north, outside inside, poor
rich/wealthy, weak strong, soft hard/loud, quiet loud/noisy, false true, dead alive, asleep awake, off
on, pull push, negative positive, modern ancient/old, summer winter, cry laugh, peace war, answer
question, shallow deep, dirty clean, short tall/long, heavy light, long short, lazy
hardworking/diligent/active/energetic, kind cruel/unkind/mean, safe dangerous/unsafe, simple
complex/complicated, friend enemy/foe, victory defeat, sunrise sunset, before after, always never, all
none/nothing, many few, more less/fewer, accept reject/refuse, agree disagree, appear disappear/vanish,
attack defend/defense, forget remember, give take/receive, increase decrease/reduce, laughter
tears/sadness/crying, public private, odd even, polite rude/impolite, possible impossible, legal
illegal, visible invisible, honest dishonest, patient impatient, lucky unlucky, healthy
unhealthy/sick/ill, wise foolish/unwise, sharp dull/blunt, straight curved/crooked/bent, tight loose,
raw cooked, fresh stale/rotten, calm agitated/angry/turbulent/stormy, guilty innocent, major minor,
maximum minimum, top bottom, front back/rear, upstairs downstairs, entrance exit, heaven hell, king
queen, boy girl, brother sister, uncle aunt, husband wife, son daughter
"""
_PLURALS = """
child children, man men, woman women, foot feet, tooth teeth, mouse mice, goose geese, person people,
leaf leaves, knife knives, wolf wolves, city cities, baby babies, box boxes, bus buses, church churches,
dog dogs, cat cats, tree trees, book books, house houses, apple apples, story stories, country
countries, lady ladies, wife wives, life lives, half halves, shelf shelves, potato potatoes, tomato
tomatoes, hero heroes, watch watches, dish dishes, class classes, fox foxes, glass glasses, party
parties, family families, cherry cherries, thief thieves, ox oxen, toy toys, day days, key keys, monkey
monkeys, boy boys, car cars, flower flowers, chair chairs, table tables, bird birds, horse horses, cow
cows, star stars, teacher teachers, window windows, river rivers
"""
_SYMBOLS = """
copper Cu, lead Pb, sodium Na, potassium K, nitrogen N, calcium Ca, zinc Zn, tin Sn, mercury Hg, sulfur
S, chlorine Cl, neon Ne, magnesium Mg, aluminum Al, silicon Si, phosphorus P, nickel Ni, iodine I,
uranium U, platinum Pt, lithium Li, fluorine F, argon Ar, titanium Ti, cobalt Co, radium Ra, boron B,
barium Ba
"""
_COUNTRIES = """
Paris France, Berlin Germany, Rome Italy, Madrid Spain, Tokyo Japan, Beijing China, Moscow Russia, Cairo
Egypt, Athens Greece, Vienna Austria, Warsaw Poland, Budapest Hungary, Oslo Norway, Stockholm Sweden,
Helsinki Finland, Dublin Ireland, Ottawa Canada, Lima Peru, Nairobi Kenya, Hanoi Vietnam, Seoul South
Korea, Bangkok Thailand, Kabul Afghanistan, Baghdad Iraq, Tehran Iran, Jakarta Indonesia, Manila
Philippines, Havana Cuba, Bogotá Colombia, Santiago Chile, Canberra Australia, Wellington New Zealand,
Brussels Belgium, Bern Switzerland, Prague Czech/Czechia, Sofia Bulgaria, Bucharest Romania, Ankara
Turkey, Damascus Syria, Dakar Senegal, Accra Ghana, Harare Zimbabwe, Kathmandu Nepal, Dhaka Bangladesh,
Islamabad Pakistan
"""


def families() -> Iterator[Question]:
    """Give the questions of all families, in a fixed order."""
    for answers, countries in _table(_CONTINENTS):
        yield from ((f"On which continent is {country}?", answers) for country in countries)
    for answers, things in _table(_KINDS):
        for thing in things:
            article = "an" if thing[0] in "aeiou" else "a"
            yield f"What is {article} {thing}?", answers
    for asked, answers in _entries(_OPPOSITES):
        yield f"What is the opposite of {asked}?", answers
    for asked, answers in _entries(_PLURALS):
        yield f"What is the plural of the word {asked}?", answers
    for asked, answers in _entries(_SYMBOLS):
        yield f"What is the chemical symbol for {asked}?", answers
    for asked, answers in _entries(_COUNTRIES):
        yield f"Of which country is {asked} the capital?", answers


def _table(text: str) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    for line in text.strip().splitlines():
        answers, _, asked = line.partition(": ")
        yield tuple(answers.split("/")), asked.split(", ")


def _entries(text: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    for entry in " ".join(text.split()).split(", "):
        asked, _, answers = entry.partition(" ")
        yield asked, tuple(answers.split("/"))
