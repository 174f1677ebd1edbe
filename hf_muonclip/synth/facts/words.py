"""Words brought to one form: a light English stemmer, irregular forms, function words.

A stem is no dictionary word. It only has to be the same for the forms that rewriting exchanges ("built" and "building",
"constructed" and "construction"), and different for words that mean something else.
"""

from functools import lru_cache

from .synonyms import GROUPS
from .tables import word_set

FUNCTION_WORDS = word_set("""
    a an the this that these those it its itself he him his himself she her hers herself they them their theirs
    themselves we us our ours ourselves you your yours yourself i me my mine myself who whom whose which what there here
    am is are was were be been being do does did doing done have has had having will would shall should can could may
    might must ought need dare and or but nor so yet if then than as at by for from in into of off on onto out over
    to under up upon with within about above across after against along amid among around before behind below beneath
    beside besides between beyond during except inside near outside past per since through throughout till toward
    towards underneath until via while when where whereas whether why how because although though unless once not no
    never neither either both each every all any some few many more most much less least other others another such
    same own just only even also too very quite rather still already again ever else instead however therefore thus
    hence moreover furthermore meanwhile otherwise namely like unlike despite due according always often usually
    sometimes rarely seldom mostly mainly largely approximately roughly nearly almost around circa exactly well one ones
    oneself let lets got get gets getting him someone somebody something anyone anybody anything everyone everybody
    everything nobody nothing none
    whoever whatever whenever wherever whichever s t d ll re ve m don isn aren wasn weren
    """)

# Content, but of so little that it may come and go: it weighs less wherever words are compared.
LIGHT = word_set("""
    make take give come go become remain seem appear know call name include contain consist use say tell see find put
    set keep begin start become way thing part kind type form time people man woman new old good great able today now
    particular certain various several different number amount total further additional occur happen exist overall
    back down away around
    """)

# The base form first.
_IRREGULAR = """
arise arose arisen; awake awoke awoken; bear bore borne; beat beaten; become became; begin began begun; bend bent;
bind bound; bite bit bitten; bleed bled; blow blew blown; break broke broken; breed bred; bring brought;
build built; burn burnt; buy bought; catch caught; choose chose chosen; cling clung; come came; creep crept; deal dealt;
dig dug; draw drew drawn; dream dreamt; drink drank drunk; drive drove driven; eat ate eaten; fall fell fallen;
feed fed; feel felt; fight fought; find found; flee fled; fling flung; fly flew flown; forbid forbade forbidden;
forget forgot forgotten; forgive forgave forgiven; freeze froze frozen; give gave given; go went gone goes; grind
ground;
grow grew grown; hang hung; hear heard; hide hid hidden; hold held; keep kept; kneel knelt; know knew known; lay laid;
lead led; leap leapt; learn learnt; leave left; lend lent; lie lay lain; light lit; lose lost; make made; mean meant;
meet met; pay paid; ride rode ridden; ring rang rung; rise rose risen; run ran; say said; see saw seen;
seek sought; sell sold; send sent; sew sewn; shake shook shaken; shine shone; shoot shot; show shown; shrink shrank
shrunk; sing sang sung; sink sank sunk; sit sat; sleep slept; slide slid; sow sown; speak spoke spoken; spend spent;
spin spun; spring sprang sprung; stand stood; steal stole stolen; stick stuck; sting stung; strike struck stricken;
strive strove; swear swore sworn; sweep swept; swell swollen; swim swam swum; swing swung; take took taken; teach
taught; tear tore torn; tell told; think thought; throw threw thrown; understand understood; undergo underwent
undergone; wake woke woken; wear wore worn; weave wove woven; weep wept; win won; wind wound; withdraw withdrew
withdrawn; withstand withstood; write wrote written; overcome overcame; overthrow overthrew overthrown; undertake
undertook undertaken; man men; woman women; child children; foot feet; tooth teeth; mouse mice; goose geese;
ox oxen; person persons; leaf leaves; life lives; wife wives; half halves; wolf wolves; knife knives; thief thieves;
criterion criteria; phenomenon phenomena; datum data; bacterium bacteria; nucleus nuclei; analysis analyses; basis
bases;
crisis crises; index indices; matrix matrices; vertex vertices; axis axes; medium media; spectrum spectra; species;
die died dying dies death; bad worse worst; good better best; far further farther furthest; high height; deep depth;
long length; wide width; strong strength; warm warmth; grow growth; bear birth born; marry marriage married; arrive
arrival; refuse refusal; approve approval; lose loss; choose choice; sell sale; see sight; succeed success successful;
fail failure failed; decide decision; produce production producer; reduce reduction; destroy destruction; divide
division; describe description; receive receipt; permit permission; conclude conclusion; extend extension extent;
expand expansion; invade invasion; explode explosion; defend defence defense; respond response; govern government;
analyse analyze analysis; believe belief; prove proof; move motion movement; young youth; poor poverty; free freedom;
hot heat; able ability; centre center; metre meter; litre liter; theatre theater; fibre fiber; grey gray; tyre tire;
catalogue catalog; programme program; cheque; plough plow; aluminium aluminum; defence defense; licence license;
travel travelled traveled travelling traveling traveller traveler; behaviour behavior; labour labor; colour color;
harbour harbor; neighbour neighbor; favour favor; honour honor; armour armor; vapour vapor; sulphur sulfur;
base based; lie lies; pass passed; use used using usage user; emperor empire imperial; music musical musician;
science scientific scientist; art artist artistic; politics political politician; history historical historian historic;
economy economic economical; industry industrial; region regional; nation national; colony colonial; province
provincial;
found founded founding founder foundation
"""
_BASE_OF = {
    form: forms.split()[0] for forms in reversed(_IRREGULAR.split(";")) for form in forms.split() if forms.strip()
}
_BASE_OF["found"] = "found"  # either verb: "find" and "establish" are not told apart

_SIBILANTS = ("ss", "sh", "ch", "x", "z")
# Longest first: the ending, what stands for it, and how many letters must be left.
_ENDINGS = (
    ("izations", "iz", 3), ("isations", "iz", 3), ("ization", "iz", 3), ("isation", "iz", 3), ("ational", "at", 3),
    ("atory", "at", 3), ("is", "iz", 5),
    ("ising", "iz", 3), ("ised", "iz", 3), ("ise", "iz", 3), ("ize", "iz", 3),
    ("fulness", "ful", 3), ("ically", "ic", 3), ("ments", "", 4), ("ment", "", 4), ("nesses", "", 3), ("ness", "", 3),
    ("ities", "", 4), ("ity", "", 4), ("tions", "t", 3), ("tion", "t", 3), ("sions", "s", 3), ("sion", "s", 3),
    ("ally", "al", 3), ("ily", "i", 3), ("ly", "", 4), ("ers", "", 4), ("ors", "", 4), ("er", "", 4), ("or", "", 4),
    ("ances", "", 4), ("ance", "", 4), ("ences", "", 4), ("ence", "", 4), ("ants", "", 5), ("ant", "", 5),
    ("ical", "ic", 3), ("ial", "i", 4), ("al", "", 5),
)  # fmt: skip


@lru_cache(maxsize=1 << 16)
def stem(word: str) -> str:
    """Return what the forms of a word in lower case have in common."""
    word = _BASE_OF.get(word, word)
    if len(word) > 3:
        word = _without_inflection(word)
        word = _BASE_OF.get(word, word)
    for ending, instead, left in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= left:
            word = word[: -len(ending)] + instead
            break
    if word.endswith("our") and len(word) > 4:
        word = word[:-3] + "or"
    if len(word) > 3 and word[-1] == "e":
        word = word[:-1]
    return word[:-1] + "i" if len(word) > 2 and word[-1] == "y" else word


def _without_inflection(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith("ied") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith("es") and word[:-2].endswith(_SIBILANTS):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is", "ews")):
        return word[:-1]
    for ending in ("ing", "ed"):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and any(c in "aeiouy" for c in word[: -len(ending)]):
            word = word[: -len(ending)]
            return word[:-1] if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "lsz" else word
    return word


_HEAD_OF = {stem(word): stem(group.split()[0]) for group in GROUPS for word in group.split()}


@lru_cache(maxsize=1 << 16)
def lemma(word: str) -> str:
    """Return the stem of a word in lower case, or of the synonym that stands for its group; "" of function words."""
    if word.endswith("'s"):
        word = word[:-2]
    if word in FUNCTION_WORDS or "'" in word:
        return ""
    return head_of(stem(word))


def head_of(found: str) -> str:
    """Return the stem of the synonym that stands for the group of a stem, or the stem."""
    return _HEAD_OF.get(found, found)


LIGHT_STEMS = frozenset(map(stem, LIGHT))
