"""Words that rewriting exchanges for each other; the first stands for its group.

Only to find which sentence says the same: two sentences are never held to be equal because of it, so near-synonyms may
stand together. Words that differ in what polarity, quantifiers or order compare stand in no group together.
"""

GROUPS = """
big large huge vast enormous great massive sizeable sizable substantial considerable extensive immense
small little tiny minor modest compact
begin start commence initiate launch onset beginning
end finish conclude terminate cease ending
build construct erect building structure edifice
buy purchase acquire acquisition
help aid assist support assistance
show demonstrate reveal indicate display exhibit illustrate
use utilize employ utilise apply
important significant key crucial vital essential major notable principal main chief central primary
resident inhabitant population citizen populace people dweller
war conflict warfare hostilities
country nation state land
city town municipality
create make produce generate manufacture form
obtain get receive gain earn secure
need require necessitate demand
call name term dub known title entitle
live reside
quick fast rapid swift speedy
begin originate origin
often frequent regular
keep retain maintain preserve
change alter modify transform shift
fight battle combat
choose select pick elect opt
think believe consider regard deem view
say state declare announce proclaim remark claim assert report
ask request inquire
answer reply respond
tell inform notify
find discover detect locate identify
kill slay murder
death die perish decease demise
injure wound hurt
attack assault strike raid
capture seize conquer occupy
defeat beat vanquish overcome
win victory triumph prevail
ruler king monarch sovereign
child kid youngster
doctor physician
teacher instructor educator
student pupil
worker employee labourer laborer staff
author writer
book volume publication
publish release issue
picture image painting photograph photo
job task duty work
money fund funding cash
firm company business corporation enterprise
leader head chief boss
car automobile vehicle
road street route highway
house home residence
ship vessel boat
sea ocean
forest wood woodland
stone rock
area region zone territory district
border boundary frontier
method technique approach procedure
result outcome consequence effect
reason cause
problem issue difficulty challenge
goal aim objective purpose
plan scheme intend
idea concept notion
part portion section component segment share
type kind sort form variety
amount quantity
speed velocity pace
size dimension
weight mass weigh
distance far
cost price expense expend charge
error mistake fault
danger risk hazard threat peril
hard difficult tough challenging
easy simple straightforward
rich wealthy affluent
famous renowned celebrated noted eminent prominent
common widespread prevalent
strange odd unusual peculiar
beautiful lovely attractive
happy glad joyful pleased
angry furious mad
afraid scared frightened fearful
old ancient aged elderly
new recent novel modern
wide broad
near nearby adjacent
whole entire complete full
different distinct varied diverse
similar alike comparable
various numerous multiple several diverse
carry transport convey haul
move relocate migrate
travel journey trip voyage
go head proceed walk
run sprint race
look gaze glance stare
see notice observe spot witness perceive
hear listen
speak talk converse chat
shout yell cry scream
throw toss hurl
pull drag tug
push shove
eat consume devour
let allow permit enable
stop halt cease discontinue
try attempt endeavour endeavor seek
destroy demolish ruin wreck devastate
damage harm
repair fix mend restore
protect defend guard safeguard shield
hide conceal
join unite merge combine link connect
divide split separate
grow expand develop
establish found set-up institute
design devise
invent devise pioneer
test trial examine check
measure gauge
study research investigate examine analyse
teach educate instruct
learn study
explain describe clarify
compare contrast
contain include comprise consist encompass
cover span
surround encircle enclose
lie situate locate position
reach attain achieve
arrive reach
return revert
leave depart exit
enter access
stay remain
wait await
marry wed
bear birth born
govern rule control
law legislation statute act
agreement treaty accord pact deal
meeting conference gathering
group band team
army troops military forces soldier
weapon arm
money currency
food meal
water liquid
warm hot
cold chilly cool
storm tempest
sunlight sun
night evening
year annual yearly
day daily
edge rim side
top summit peak
bottom base
center middle core heart
speech address
award prize
law rule regulation
own possess
give provide supply offer deliver grant
send dispatch transmit
put place lay
replace substitute supersede
add supplement
name title
connect attach
estimate calculate compute
use usage application
drop fall decline decrease
rise increase climb grow
""".strip().splitlines()
