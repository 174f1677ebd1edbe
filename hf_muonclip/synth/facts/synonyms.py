"""Words that rewriting exchanges for each other; the first stands for its group.

Only to find which sentence says the same: two sentences are never held to be equal because of it, so near-synonyms may
stand together. Words that differ in what polarity, quantifiers or order compare stand in no group together.
"""

GROUPS = """
big large huge vast enormous great massive sizeable sizable substantial considerable extensive immense
small little tiny minor modest compact
begin start commence initiate launch onset beginning
end finish conclude terminate cease ending
abolition abolish
build construct erect building structure edifice
buy purchase acquire acquisition
customer client buyer
help aid assist support assistance
show demonstrate reveal indicate display exhibit illustrate
use utilize employ utilise apply
machine machinery device apparatus appliance
hire recruit
important significant key crucial vital essential major notable principal main chief central primary
resident inhabitant population citizen populace people dweller
war conflict warfare hostilities
country nation state land
city town municipality
create make produce generate manufacture form output
previous earlier
obtain get receive gain earn secure
wage salary income
need require necessitate demand necessary
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
audience spectator
faith religion religious
say state declare announce proclaim remark claim assert report
ask request inquire query
answer reply respond
tell inform notify
find discover detect locate identify
kill slay murder
death die perish decease demise drown
injure wound hurt breeze
attack assault strike raid walkout
capture seize conquer occupy
defeat beat vanquish overcome
win victory triumph prevail
ruler king monarch sovereign
child kid youngster toddler
doctor physician
teacher instructor educator
student pupil
worker employee labourer laborer staff personnel workforce
factory plant
author writer
book volume publication capacity
publish release issue
picture image painting photograph photo artist
job task duty work post
money fund funding cash coin finance
firm company business corporation enterprise
leader head chief boss manager
cable wire
car automobile vehicle
road street route highway path
house home residence household
ship vessel boat
sea ocean
forest wood woodland timber tree
stone rock
area region zone territory district
border boundary frontier
method technique approach procedure function routine
result outcome consequence effect
reason cause
problem issue difficulty challenge
goal aim objective purpose
plan scheme intend
aircraft aeroplane airplane
idea concept notion
part portion section component segment share
harbour port haven
type kind sort form variety order
amount quantity
speed velocity pace
size dimension
weight mass weigh
distance far ticket additional extra
cost price expense expend charge
accuse blame
expensive dear costly
error mistake fault
danger risk hazard threat peril
hard difficult tough challenging
easy simple straightforward
rich wealthy affluent
famous renowned celebrated noted eminent prominent
common widespread prevalent
strange odd unusual peculiar unknown
beautiful lovely attractive
happy glad joyful pleased
angry furious mad
afraid scared frightened fearful
old ancient aged elderly
new recent novel modern lately
wide broad
near nearby adjacent
whole entire complete full accomplish
different distinct varied diverse
similar alike comparable
various numerous multiple several diverse
carry transport convey haul
move relocate migrate
travel journey trip voyage passenger
go head proceed walk
missing gone
proceed continue
run sprint race
look gaze glance stare
see notice observe spot witness perceive aware realize
hear listen
speak talk converse chat negotiate bargain
shout yell scream
weep tear sob cry
throw toss hurl cast fling
pull drag tug
push shove
eat consume devour feed diet nourish
let allow permit enable
licence authorization
stop halt cease discontinue
try attempt endeavour endeavor seek search
destroy demolish ruin wreck devastate
damage harm
repair fix mend restore fasten mount
protect defend guard safeguard shield
hide conceal skin secret clandestine
join unite merge combine link connect
stir mix blend
divide split separate
grow expand develop
establish found set-up institute sink
design devise
invent devise pioneer
test trial examine check experiment
measure gauge sensor meter
study research investigate examine analyse scientist scholar
teach educate instruct
learn study
explain describe clarify
compare contrast
contain include comprise consist encompass hold
cover span bridge crossing
surround encircle enclose
lie situate locate position
reach attain achieve
arrive reach
return revert back
leave depart exit
enter access
stay remain
wait await
marry wed
bear birth born
govern rule control verdict administration authority
law legislation statute act
agreement treaty accord pact deal convention
approve accept endorse
merchant trader dealer
meeting conference gathering session
group band team
army troops military forces soldier garrison
weapon arm
money currency
food meal dinner lunch
water liquid
warm hot
cold chilly cool chill
storm tempest gale
sunlight sun
night evening
year annual yearly
day daily
edge rim side adverse
top summit peak
bottom base cellar
center middle core heart cardiac
speech address
award prize
law rule regulation
own possess property belong
give provide supply offer deliver grant donate
send dispatch transmit spread
put place lay
occur happen arise
raise lift
replace substitute supersede succeed
add supplement
name title
connect attach
estimate calculate compute reckon
use usage application software program
drop fall decline decrease refuse reject
rise increase climb grow ascend
tall height
vanish disappear
bring fetch load cargo freight
hurry rush hasten dash
smash break shatter fracture defective
shut close
unplug disconnect
pay spend
rent lease
rain rainfall downpour
laugh giggle chuckle
smile grin
plead beg implore entreat
promise vow pledge word
ready prepared
descend downward
steer guide
crew sailor seaman mariner
fisherman angler
officer commander captain policeman police constable
surrender capitulate yield crop harvest
flee escape
siege besiege blockade
ambassador envoy diplomat
archipelago islands
coast shore seaside coastline bank
mouth estuary
hill slope
valley vale dale
lake reservoir
pond pool
leaf foliage
flower blossom bloom
seed grain
farm agriculture
field meadow pasture
cattle livestock cow
sheep flock
prey quarry
insect bug defect flaw
larva grub
nest breed breeding hatch
feather plumage
wing wingspan
fur coat cloak jacket
bone skeleton
blood bleed
brain cerebral
lung pulmonary
kidney renal
liver hepatic
stomach gastric
bowel intestine
infection infectious catch
virus viral
bacteria bacterial germ
disease illness sickness
symptom sign signature
fever temperature
pain ache
headache migraine
drug medicine medication pharmaceutical
dose dosage
tablet pill
vaccine vaccination inoculate
treatment therapy cure
patient sufferer
hospital clinic
nurse carer
surgery operation
baby infant newborn
adult grown-up
mother mum
father dad
grandfather grandpa
grandmother grandma
brother sibling
relative kin
husband spouse
friend companion
boy lad
girl lass
lady woman
gentleman man
thief robber burglar
steal rob theft
crime offence felony
prison jail gaol imprison
court tribunal
judge magistrate
lawyer attorney solicitor barrister
sentence penalty punishment fine
evidence proof
confess admit
guilty culprit
vote ballot poll survey
parliament legislature
minister secretary
council assembly
constitution charter map dictionary
independence independent sovereignty
revolt rebellion uprising insurrection
union federation
debt loan credit lend
shareholder owner investor
competitor rival
supplier vendor seller revenue turnover
engine motor
fuel petrol gasoline
electricity power
battery accumulator
switch toggle
lamp light bulb illuminate shine glow
bright vivid brilliant
dark dim
colour hue shade
red crimson scarlet
freeze ice
boil cook
bake oven
fry saute
mash crush
cut slice chop
pour tip
sprinkle scatter
dough pastry
loaf bread
drink beverage
bottle flask
cup mug
bowl dish
pot pan glass
attic loft
door gate
stairs staircase steps
room chamber
tower spire
railway rail railroad train
track line row
carriage wagon coach
bicycle bike cycle cyclist
driver motorist disk
flight fly
satellite spacecraft
orbit circle
film movie
music tune
concert performance
play drama
museum gallery
statue sculpture
poem verse edition
letter mail character
newspaper paper
lesson class
university college
sample specimen
average mean
percent percentage
number count figure
forecast predict expect anticipate projection
total sum
dismiss fire sack blaze burn bag
resign quit
retire pension
forbid ban prohibit
delay postpone
file document
folder directory
update upgrade
install installation setup
crash fail
message notification
password passphrase
server host
cache store storage save shop rescue
memory ram
delete remove erase discard
copy duplicate replica
parse process
string text
argument parameter
option setting configuration
disable deactivate
alarm alert warning
valve tap
pipe pipeline tube
filter strainer
oil lubricant
clean rinse wash
dirty contaminated unclean polluted
wet moist damp
steam vapour
smoke fume
ash cinder
explosion blast
volcano volcanic
eruption outburst
earthquake quake tremor
flood inundation
famine hunger starvation
noon midday
dawn daybreak sunrise
dusk nightfall sunset
moment instant immediately promptly
time period
current present today
eventually finally
together jointly
alone single solitary
sufficient adequate enough
correct right accurate
wrong incorrect faulty
dangerous hazardous risky
strong powerful
weak feeble
long lengthy
short brief
loud noise noisy
quiet silent silence
foreign abroad
cheap inexpensive
special particular
complex complicated
piece fragment bit
bench seat
hat cap
shoe boot
gold golden
box case crate
rope cord
knife blade
metal iron steel
cloth fabric textile
goods merchandise
oar paddle
river stream
canal waterway
dam barrier
clock watch
caretaker janitor
priest clergyman pastor
kingdom realm
castle fortress stronghold
navy fleet
enemy foe
gun cannon artillery
rumour gossip
adhere stick
decay rot decompose
wetland marsh swamp
grassland prairie
persist survive
denounce condemn criticize
skip ignore
doubled twice
tripled thrice
leak leakage
whisper murmur
branch bough limb
drift float
lodger tenant
shadow follow pursue chase tail
recover retrieve
""".strip().splitlines()
