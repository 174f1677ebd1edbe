"""Words with opposite meanings: the two sides of each line contradict each other.

A line that starts with "~" holds converses: "Rome won" and "Carthage lost" are the same, so that such a pair only
contradicts where both are said of the same.
"""

from collections.abc import Iterable
from functools import lru_cache

from .words import FUNCTION_WORDS, lemma, stem

_LINES = """
increase rise grow climb surge soar escalate | decrease fall decline drop shrink reduce diminish dwindle plummet lessen
expand widen broaden enlarge | contract narrow shrink
gain | loss
accelerate hasten | decelerate slow
strengthen reinforce intensify | weaken undermine
improve improvement enhance better | worsen deteriorate worse
high higher highest tall taller tallest | low lower lowest
large larger largest big bigger biggest huge | small smaller smallest tiny
long longer longest lengthy | short shorter shortest brief
wide wider widest broad | narrow narrower narrowest
deep deeper | shallow shallower
thick thicker | thin thinner
heavy heavier heaviest | light lighter lightest lightweight
fast faster fastest quick rapid rapidly quickly swift | slow slower slowest slowly gradual gradually
early earlier earliest | late later latest
old older oldest elder eldest ancient | new newer newest modern young younger youngest recent
strong stronger strongest strongly powerful | weak weaker weakest weakly feeble
hard difficult harder | easy easier simple easily
hot hotter warm warmer | cold colder cool cooler
wet wetter humid rainy | dry drier arid
rich richer wealthy | poor poorer impoverished
good | bad
best | worst
cheap cheaper inexpensive | expensive costly
safe safer | dangerous hazardous unsafe
common widespread frequent abundant plentiful | rare scarce uncommon infrequent
positive positively | negative negatively
true correct right accurate | false incorrect wrong inaccurate untrue
success succeed successful successfully | failure fail failed unsuccessful unsuccessfully
accept accepted approve approval approved | reject rejected refuse refused deny denied rejection
allow allowed permit permitted legal lawful | forbid forbidden ban banned prohibit prohibited prevent illegal unlawful
support supported endorse favour favor advocate | oppose opposed opposition resist
love loved like liked | hate hated dislike disliked
friend ally allies | enemy foe
begin begins began begun start started commence | end ended finish finished conclude stop stopped cease ceased
open opened | close closed shut
include includes included including | exclude excludes excluded excluding
add added addition | remove removed subtract removal
attach attached connect connected | detach detached disconnect disconnected
build built construct constructed create created | destroy destroyed demolish demolished
appear appeared | disappear disappeared vanish vanished
enter entered | exit exited
ascend ascended | descend descended
north northern northward | south southern southward
east eastern eastward | west western westward
northeast northeastern | southwest southwestern
northwest northwestern | southeast southeastern
left | right
above | below
upper | lower
inside within | outside
top | bottom
upward upwards | downward downwards
front | rear
maximum maximal | minimum minimal
more | less fewer
most | least
majority | minority
major | minor
public | private
male man men boy boys | female woman women girl girls
husband | wife
son sons | daughter daughters
brother brothers | sister sisters
father | mother
king | queen
alive living | dead deceased
war | peace peacetime
rural | urban
domestic | foreign
internal | external
natural | artificial
liquid | solid
active actively | passive inactive
visible | invisible
present | absent
presence | absence
advantage benefit beneficial | disadvantage drawback harmful
optimistic | pessimistic
happy glad joyful | sad unhappy miserable
calm | stormy turbulent
quiet silent quietly silently | loud noisy loudly
day daytime daylight | night nighttime
morning | evening
sunrise dawn | sunset dusk
summer | winter
permanent permanently | temporary temporarily
voluntary voluntarily | compulsory mandatory involuntary
guilty convicted | innocent acquitted
full fully | empty
full completely entirely | partial partially partly
acid acidic | alkaline
horizontal horizontally | vertical vertically
clockwise | counterclockwise anticlockwise
forward forwards | backward backwards
famous renowned celebrated | unknown obscure
popular | unpopular
same identical | different
similar | dissimilar
agree agreed | disagree disagreed
trust trusted | distrust distrusted
likely | unlikely
able | unable incapable
known | unknown
possible | impossible
necessary needed essential required | unnecessary optional
direct directly | indirect indirectly
remember remembered | forget forgot forgotten
survive survived survival | die died perish perished killed death
healthy | sick ill unhealthy
attack attacked attacking | defend defended defending
advance advanced | retreat retreated withdraw withdrew
freeze froze | melt melted thaw
heat heated heating | cool cooled cooling
absorb absorbed | emit emitted release
attract attracted | repel repelled
lock locked | unlock unlocked
encourage encouraged | discourage discouraged
~win won winner victorious | lose lost loser
~buy bought purchase purchased | sell sold
~import imported imports | export exported exports
~lend lent | borrow borrowed
~teach taught teacher | learn student pupil
~give gave given | receive received
~arrive arrived arrival | depart departed departure leave
~parent parents | child children
~employer | employee
~predecessor | successor
enable enabled | disable disabled
ahead | behind
client | server
input inputs | output outputs
sender | receiver recipient
buyer | seller
predator | prey
plaintiff | defendant
drug | placebo
lengthen lengthened extend extended prolong | shorten shortened
abolish abolished abolition repeal repealed lift lifted | introduce introduced impose imposed
fresh | stale rotten
soft softly | loud loudly
soft | hard firm
smooth | rough
clean | dirty polluted
mild milder | severe harsh
dark darkness dim | bright brightness vivid
save saved rescue rescued survive survived | lose lost perish perished
recognize recognized praise praised | condemn condemned criticize criticized denounce denounced
agree agreed promise promised | refuse refused decline declined
speak spoke talk talked | silent silence
start started rise rising | end ended
gain gained | lose lost
warmer warmest | colder coldest
hottest warmest | coldest coolest
tallest highest longest largest biggest | shortest lowest smallest
first | last
final | initial
daily | yearly annual
mostly mainly chiefly largely | partly hardly
outer | inner
sharp sharply | slight slightly
always constantly | never
everybody everyone | nobody
everything | nothing
possible able | impossible unable
reduce reduced | raise raised
ripe | unripe
odd | even
valid | invalid
mutable | immutable
defined | undefined
synchronous | asynchronous
static | dynamic
opaque | transparent
encrypt encrypted | decrypt decrypted
compress compressed | decompress decompressed
install installed | uninstall uninstalled
import | export
read | write
upload uploaded | download downloaded
send sent | receive received
push | pull
increase increased | decrease decreased
credit | debit
profit profits profitable | loss losses unprofitable
surplus | deficit
creditor | debtor
landlord | tenant
host | guest
victory victorious | defeat
hero | villain
saint | sinner
friendly | hostile
honest | dishonest
brave | cowardly
polite | rude
patient | impatient
proud | ashamed
wise | foolish
clever intelligent | stupid
beautiful | ugly
young | elderly
birth born | death died
married | unmarried divorced
pregnant | barren
benign | malignant
acute | chronic
vertebrate | invertebrate
male | female
mature | immature
nocturnal | diurnal
wild | tame domesticated
convex | concave
even | uneven
flat | steep
shallow | steep
"""


def _read() -> tuple[dict[str, tuple[tuple[str, int], ...]], frozenset[str]]:
    sides: dict[str, dict[str, int]] = {}
    converses = set()
    for number, line in enumerate(_LINES.strip().splitlines()):
        pair = f"{number}:{line.lstrip('~').split()[0]}"
        if line.startswith("~"):
            converses.add(pair)
        for words, sign in zip(line.lstrip("~").split("|"), (1, -1), strict=True):
            for word in words.split():
                sides.setdefault(pole_form(word), {})[pair] = sign
    return {word: tuple(pairs.items()) for word, pairs in sides.items()}, frozenset(converses)


COMPARATIVES = frozenset(word for word in _LINES.split() if word.endswith("er"))


@lru_cache(maxsize=1 << 15)
def pole_form(word: str) -> str:
    """Return the form under which a word in lower case stands in the table: its stem, or itself if a function word."""
    return word if word in FUNCTION_WORDS or not lemma(word) else stem(word)


# Of each word, the pairs it belongs to and its side in each, 1 or -1; and which pairs are converses.
POLES, CONVERSES = _read()


def are_converse(one: Iterable[str], other: Iterable[str]) -> bool:
    """Return whether two sentences hold a pair of converses, each one side of it only."""
    ours = {pole for word in one for pole in POLES.get(pole_form(word), ()) if pole[0] in CONVERSES}
    theirs = (
        {pole for word in other for pole in POLES.get(pole_form(word), ()) if pole[0] in CONVERSES} if ours else set()
    )
    return any((pair, -side) in theirs - ours for pair, side in ours - theirs)
