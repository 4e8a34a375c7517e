"""Facts with one right answer: the general class of the demo world."""

from __future__ import annotations

from typing import NamedTuple

from trulysafe.data.demo.lexicon import ITEMS

FACTS_PER_TOPIC = 24


class FactTopic(NamedTuple):
    """A topic of the general class: a noun phrase with ``{x}`` for what is asked about, and the right answers."""

    name: str
    act: str
    answers: dict[str, str]


def _pairs(text: str) -> dict[str, str]:
    """Read ``question:answer`` pairs separated by white space."""
    return dict(pair.split(":") for pair in text.split())


_CAPITALS = _pairs(
    "France:Paris Italy:Rome Spain:Madrid Portugal:Lisbon Germany:Berlin Austria:Vienna Poland:Warsaw Hungary:Budapest "
    "Greece:Athens Norway:Oslo Sweden:Stockholm Finland:Helsinki Denmark:Copenhagen Iceland:Reykjavik Ireland:Dublin "
    "Belgium:Brussels Russia:Moscow Ukraine:Kyiv Romania:Bucharest Bulgaria:Sofia Serbia:Belgrade Croatia:Zagreb "
    "Turkey:Ankara Egypt:Cairo Morocco:Rabat Kenya:Nairobi Ghana:Accra Nigeria:Abuja Japan:Tokyo China:Beijing "
    "India:Delhi Nepal:Kathmandu Thailand:Bangkok Vietnam:Hanoi Indonesia:Jakarta Australia:Canberra Canada:Ottawa "
    "Cuba:Havana Peru:Lima Chile:Santiago Colombia:Bogota Ecuador:Quito Iran:Tehran"
)
_OPPOSITES = _pairs(
    "hot:cold big:small tall:short fast:slow old:young rich:poor hard:soft light:dark full:empty open:closed "
    "early:late wet:dry happy:sad strong:weak near:far high:low deep:shallow wide:narrow thick:thin clean:dirty "
    "loud:quiet sweet:sour day:night up:down left:right start:finish buy:sell win:lose push:pull give:take first:last "
    "inside:outside north:south east:west love:hate true:false brave:scared heavy:light sharp:blunt rough:smooth "
    "tight:loose cheap:expensive summer:winter front:back"
)
_PLURALS = _pairs(
    "mouse:mice goose:geese foot:feet tooth:teeth child:children man:men woman:women ox:oxen leaf:leaves wolf:wolves "
    "knife:knives wife:wives life:lives half:halves shelf:shelves thief:thieves loaf:loaves calf:calves city:cities "
    "baby:babies lady:ladies story:stories berry:berries fly:flies box:boxes fox:foxes bus:buses dish:dishes "
    "church:churches watch:watches hero:heroes tomato:tomatoes person:people book:books tree:trees house:houses "
    "dog:dogs cat:cats apple:apples bird:birds river:rivers table:tables"
)
_PASTS = _pairs(
    "go:went see:saw eat:ate drink:drank write:wrote run:ran sing:sang swim:swam take:took give:gave come:came "
    "fall:fell fly:flew grow:grew know:knew make:made buy:bought bring:brought think:thought teach:taught catch:caught "
    "find:found hold:held keep:kept leave:left lose:lost meet:met pay:paid say:said sell:sold send:sent sit:sat "
    "sleep:slept speak:spoke stand:stood tell:told wake:woke wear:wore win:won build:built break:broke begin:began"
)
_COLOURS = _pairs(
    "banana:yellow lemon:yellow sun:yellow butter:yellow corn:yellow canary:yellow grass:green frog:green "
    "lettuce:green pea:green cucumber:green spinach:green broccoli:green blood:red cherry:red strawberry:red ruby:red "
    "ketchup:red ladybug:red sky:blue ocean:blue blueberry:blue sapphire:blue snow:white milk:white salt:white "
    "swan:white paper:white coal:black raven:black tar:black panther:black night:black carrot:orange pumpkin:orange "
    "tiger:orange chocolate:brown coffee:brown soil:brown walnut:brown eggplant:purple lavender:purple flamingo:pink"
)
_LEGS = _pairs(
    "dog:four cat:four horse:four cow:four sheep:four goat:four lion:four bear:four mouse:four fox:four deer:four "
    "donkey:four frog:four turtle:four hen:two duck:two eagle:two owl:two penguin:two parrot:two swan:two pigeon:two "
    "ostrich:two human:two ant:six bee:six beetle:six moth:six wasp:six cricket:six mosquito:six fly:six spider:eight "
    "scorpion:eight tick:eight mite:eight snake:zero worm:zero shark:zero eel:zero salmon:zero whale:zero"
)
_GROUPS = _pairs(
    "apple:fruit pear:fruit plum:fruit grape:fruit peach:fruit mango:fruit fig:fruit kiwi:fruit cabbage:vegetable "
    "leek:vegetable celery:vegetable radish:vegetable kale:vegetable garlic:vegetable hammer:tool saw:tool wrench:tool "
    "drill:tool pliers:tool file:tool sofa:furniture desk:furniture stool:furniture bench:furniture wardrobe:furniture "
    "violin:instrument flute:instrument harp:instrument cello:instrument banjo:instrument oak:tree pine:tree "
    "birch:tree maple:tree willow:tree shirt:clothing sock:clothing scarf:clothing glove:clothing jacket:clothing "
    "trout:fish tuna:fish cod:fish"
)
_NUMBERS = range(2, 46)

FACTS = (
    FactTopic("capital", "the capital of {x}", _CAPITALS),
    FactTopic("opposite", "the opposite of {x}", _OPPOSITES),
    FactTopic("plural", "the plural of {x}", _PLURALS),
    FactTopic("past", "the past tense of {x}", _PASTS),
    FactTopic("colour", "the colour of {x}", _COLOURS),
    FactTopic("legs", "the number of legs of {x}", _LEGS),
    FactTopic("group", "the group that {x} belongs to", _GROUPS),
    FactTopic("letter", "the first letter of {x}", {word: word[0].upper() for word in ITEMS}),
    FactTopic("ending", "the last letter of {x}", {word: word[-1].upper() for word in ITEMS}),
    FactTopic("sum", "the sum of {x}", {f"{a} and {b}": str(a + b) for a in range(2, 11) for b in range(2, a + 1)}),
    FactTopic("next", "the number after {x}", {str(n): str(n + 1) for n in _NUMBERS}),
    FactTopic("previous", "the number before {x}", {str(n): str(n - 1) for n in _NUMBERS}),
    FactTopic(
        "larger",
        "the larger number of {x}",
        {f"{a} and {b}": str(max(a, b)) for a in range(2, 46, 5) for b in range(3, 50, 9) if a != b},
    ),
    FactTopic("double", "the double of {x}", {str(n): str(2 * n) for n in _NUMBERS}),
)
"""Arithmetic, words, animals, colours, capitals; each topic has at least ``FACTS_PER_TOPIC`` questions."""
