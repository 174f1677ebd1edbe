"""Places with the adjectives and peoples named after them, and names that have a short form.

Each line names one place in all the words that rewriting exchanges: "Germany's army" and "the German army".
"""

_LINES = """
germany german germans
france french frenchman frenchmen
england english englishman englishmen
britain british briton britons uk u.k. gb
scotland scottish scots scot
wales welsh welshman
ireland irish irishman irishmen
spain spanish spaniard spaniards
portugal portuguese
italy italian italians
greece greek greeks
turkey turkish turk turks türkiye
russia russian russians
ussr soviet soviets u.s.s.r.
ukraine ukrainian ukrainians
poland polish pole poles
netherlands dutch holland dutchman dutchmen
belgium belgian belgians
switzerland swiss
austria austrian austrians
hungary hungarian hungarians
czechia czech czechs
slovakia slovak slovaks slovakian
slovenia slovene slovenian slovenians
croatia croatian croat croats croatians
serbia serbian serb serbs serbians
bosnia bosnian bosnians
albania albanian albanians
bulgaria bulgarian bulgarians
romania romanian romanians
moldova moldovan moldovans
sweden swedish swede swedes
norway norwegian norwegians
denmark danish dane danes
finland finnish finn finns
iceland icelandic icelander icelanders
estonia estonian estonians
latvia latvian latvians
lithuania lithuanian lithuanians
belarus belarusian belarusians
america american americans usa u.s. u.s.a.
canada canadian canadians
mexico mexican mexicans
brazil brazilian brazilians
argentina argentine argentinian argentines argentinians
chile chilean chileans
peru peruvian peruvians
bolivia bolivian bolivians
colombia colombian colombians
venezuela venezuelan venezuelans
ecuador ecuadorian ecuadorians
uruguay uruguayan
paraguay paraguayan
cuba cuban cubans
haiti haitian haitians
jamaica jamaican jamaicans
panama panamanian
china chinese
japan japanese
korea korean koreans
mongolia mongolian mongol mongols mongolians
vietnam vietnamese
thailand thai thais
cambodia cambodian cambodians
laos lao laotian
burma burmese myanmar
malaysia malaysian malay malays
singapore singaporean
indonesia indonesian indonesians
philippines filipino filipinos philippine
taiwan taiwanese
tibet tibetan tibetans
india indian indians
pakistan pakistani pakistanis
bangladesh bangladeshi
nepal nepali nepalese
afghanistan afghan afghans
iran iranian iranians
persia persian persians
iraq iraqi iraqis
syria syrian syrians
lebanon lebanese
israel israeli israelis
palestine palestinian palestinians
jordan jordanian jordanians
arabia arabian arab arabs arabic saudi
yemen yemeni yemenis
egypt egyptian egyptians
libya libyan libyans
tunisia tunisian tunisians
algeria algerian algerians
morocco moroccan moroccans
ethiopia ethiopian ethiopians
kenya kenyan kenyans
uganda ugandan
tanzania tanzanian
nigeria nigerian nigerians
ghana ghanaian ghanaians
senegal senegalese
congo congolese
sudan sudanese
somalia somali somalis
zimbabwe zimbabwean
australia australian australians
zealand zealander zealanders
europe european europeans
africa african africans
asia asian asians
rome roman romans
athens athenian athenians
sparta spartan spartans
carthage carthaginian carthaginians
macedonia macedonian macedonians
troy trojan trojans
babylon babylonian babylonians
assyria assyrian assyrians
byzantium byzantine byzantines
venice venetian venetians
florence florentine florentines
naples neapolitan neapolitans
genoa genoese
sicily sicilian sicilians
vienna viennese
paris parisian parisians
london londoner londoners
moscow muscovite muscovites
prussia prussian prussians
bavaria bavarian bavarians
saxony saxon saxons
normandy norman normans
catalonia catalan catalans
ottoman ottomans
habsburg hapsburg
judaism jewish jew jews
christianity christian christians
islam islamic muslim muslims moslem
buddhism buddhist buddhists
hinduism hindu hindus
protestantism protestant protestants
catholicism catholic catholics
texas texan texans
california californian californians
hawaii hawaiian hawaiians
arctic
antarctica antarctic
pacific
atlantic
mediterranean
"""
PLACES = {word: line.split()[0] for line in _LINES.strip().splitlines() for word in line.split()}

# Short forms that a text need not explain, and the words that they stand for.
LONG_FORMS = {
    "america": ("united", "states"),
    "britain": ("united", "kingdom"),
    "ussr": ("soviet", "union"),
    "un": ("united", "nations"),
    "eu": ("european", "union"),
    "wwi": ("world", "war"),
    "ww1": ("world", "war"),
    "wwii": ("world", "war"),
    "ww2": ("world", "war"),
    "nyc": ("new", "york"),
    "la": ("los", "angeles"),
    "dna": ("deoxyribonucleic", "acid"),
    "medieval": ("middle", "ages"),
    "tv": ("television",),
    "ai": ("artificial", "intelligence"),
}
