"""Short encyclopedic passages for development, each with one free paraphrase and many changes of a few words."""

from fidelity_passage import Passage

DEVELOPMENT_ENCYCLOPEDIC_SHORT = (
    Passage(
        "lighthouse",
        "encyclopedic",
        """The Carrow Light stands on a granite ledge 9 km off the coast of Fermanay. It was lit for the first time
        on 4 November 1873, after six years of work under the engineer Duncan Mallory. The tower is 41 metres
        tall, and its lamp can be seen from 24 nautical miles away. Until 1988 three keepers lived in the tower
        for four weeks at a time. Since then it has been controlled from Port Essel. Storms have broken the
        lantern glass twice, in 1902 and in 1950, but the masonry has never been damaged.""",
        (
            """Nine kilometres from the Fermanay shore, on a ledge of granite, rises the Carrow Light, a tower of 41
            metres whose beam reaches ships 24 nautical miles distant. Duncan Mallory, the engineer in charge,
            needed six years to complete it; its lamp first shone on November 4, 1873. Keepers, always three of
            them, used to spend four-week turns inside, a practice that ended in 1988, when control passed to Port
            Essel. The sea has twice smashed the glass of the lantern (1902 and 1950), yet it has never harmed the
            stonework.""",
        ),
        (
            ("negated", "has never been damaged", "has often been damaged"),
            ("negated", "yet it has never harmed the stonework", "and it has also harmed the stonework"),
            ("number changed", "six years", "eight years"),
            ("name replaced", "Duncan Mallory", "Peter Garvey"),
            ("unit changed", "24 nautical miles", "24 kilometres"),
            ("detail changed", "granite", "sandstone"),
            ("roles swapped", "controlled from Port Essel", "controlled from Fermanay"),
            ("roles swapped", "control passed to Port Essel", "control passed to Fermanay"),
            ("antonym", "The tower is 41 metres tall", "The tower is 41 metres deep"),
            ("invented", "Since then", "Two keepers fell to their deaths from the gallery. Since then"),
            ("invented", "The sea has twice", "Two keepers fell to their deaths from the gallery. The sea has twice"),
        ),
    ),
    Passage(
        "beetle",
        "encyclopedic",
        """The banded stag beetle lives in old oak forests from Spain to the Caucasus. Males grow up to 7 cm long and
        use their large jaws to fight each other; females are smaller and have short jaws, but their bite is
        stronger. The larvae feed on rotting wood and need between four and six years to develop. Adults live for
        only a few weeks in summer and hardly eat anything. The species is protected in most countries of the
        European Union, because many old trees have been felled.""",
        (
            """Ancient oak woods between Spain and the Caucasus are home to the banded stag beetle. With a length of
            as much as 7 cm and huge jaws, which serve in combat with rivals, the male outdoes the female in size,
            though it is she, despite her short jaws, who bites harder. Decaying wood nourishes the larva, whose
            development takes four to six years. The adult insect, by contrast, survives for just a few summer
            weeks, during which it takes almost no food. Because so many old trees have been cut down, the beetle
            enjoys legal protection in most EU countries.""",
        ),
        (
            (
                "roles swapped",
                "females are smaller and have short jaws, but their bite is stronger",
                "females are larger and have short jaws, but their bite is weaker",
            ),
            ("roles swapped", "the male outdoes the female in size", "the female outdoes the male in size"),
            ("quantifier changed", "in most countries of", "in all countries of"),
            ("quantifier changed", "in most EU countries", "in no EU country"),
            ("antonym", "old oak forests", "young oak forests"),
            ("antonym", "Ancient oak woods", "Young oak woods"),
            ("unit changed", "7 cm", "7 mm"),
            ("number changed", "four and six years", "four and nine years"),
            ("number changed", "four to six years", "four to nine years"),
            ("negated", "is protected in", "is not protected in"),
            ("negated", "enjoys legal protection", "enjoys no legal protection"),
            ("detail changed", "rotting wood", "fallen fruit"),
            ("detail changed", "Decaying wood", "Fallen fruit"),
            ("unit changed", "four to six years", "four to six weeks"),
        ),
    ),
    Passage(
        "strike",
        "encyclopedic",
        """On 11 February 1906 some 2,400 weavers in Lodwick stopped work. They demanded a ten-hour day and an end to
        fines. The mill owners, led by Edgar Pryce, refused to negotiate and locked the workers out. The mayor
        supported the strikers and opened soup kitchens, while the bishop condemned the strike. After nine weeks
        both sides accepted a proposal by the judge Harriet Vane: the working day was shortened to ten and a half
        hours, but the fines remained. Only 60 strikers were not taken back.""",
        (
            """A walkout by about 2,400 Lodwick weavers began on February 11, 1906. What they wanted was a working
            day of ten hours and the abolition of fines. Edgar Pryce and the other owners of the mills would not
            hear of negotiations; instead they shut the workers out. While the strike was denounced by the bishop,
            it had the backing of the mayor, who had soup kitchens set up. Nine weeks passed before the two
            parties agreed to what Judge Harriet Vane proposed. The day was cut to ten and a half hours, whereas
            the fines stayed in force, and all but 60 of the strikers got their jobs back.""",
        ),
        (
            (
                "roles swapped",
                "The mayor supported the strikers and opened soup kitchens, while the bishop condemned the strike",
                "The bishop supported the strikers and opened soup kitchens, while the mayor condemned the strike",
            ),
            (
                "roles swapped",
                "denounced by the bishop, it had the backing of the mayor",
                "denounced by the mayor, it had the backing of the bishop",
            ),
            ("negated", "refused to negotiate", "agreed to negotiate"),
            ("negated", "would not hear of negotiations", "were ready for negotiations"),
            ("antonym", "the working day was shortened", "the working day was lengthened"),
            ("antonym", "The day was cut", "The day was extended"),
            ("name replaced", "Harriet Vane", "Walter Simms"),
            ("number changed", "2,400", "3,400"),
            ("unit changed", "nine weeks", "nine months"),
            ("unit changed", "Nine weeks", "Nine months"),
            ("antonym", "but the fines remained", "and the fines were abolished"),
            ("antonym", "whereas the fines stayed in force", "and the fines were lifted"),
            ("quantifier changed", "Only 60 strikers were not taken back", "Only 60 strikers were taken back"),
            ("quantifier changed", "all but 60 of the strikers", "only 60 of the strikers"),
            ("invented", "After nine weeks", "A boy was shot dead by a guard at the gate. After nine weeks"),
            ("invented", "Nine weeks passed", "A boy was shot dead by a guard at the gate. Nine weeks passed"),
        ),
    ),
    Passage(
        "painter",
        "encyclopedic",
        """Ilse Varnhagen (1881-1944) was a painter and printmaker from Bremen. She studied in Munich with Karl
        Oberle and moved to Paris in 1907, where she shared a studio with the sculptor Marta Lind. Her early
        landscapes are dark, but after a journey to Morocco in 1912 she used bright colours. Critics in Berlin
        disliked her work, whereas collectors in Zurich bought nearly all of it. In 1937 nine of her pictures were
        removed from German museums. She died in Zurich of pneumonia. The largest collection of her prints belongs
        to the museum of Winterthur.""",
        (
            """Born in Bremen, the painter and printmaker Ilse Varnhagen lived from 1881 to 1944. Karl Oberle was her
            teacher in Munich. In 1907 she went to Paris and set up in a studio together with Marta Lind, a
            sculptor. A trip to Morocco in 1912 marked a turning point: the darkness of her first landscapes gave
            way to vivid colours. Her art found little favour with the critics of Berlin, but hardly any of it
            remained unsold in Zurich, thanks to the collectors there. German museums had to part with nine of her
            paintings in 1937. Pneumonia ended her life in Zurich. Winterthur's museum owns more of her prints
            than any other.""",
        ),
        (
            (
                "names swapped",
                """studied in Munich with Karl Oberle and moved to Paris in 1907, where she shared a studio with the
                sculptor Marta Lind""",
                """studied in Munich with Marta Lind and moved to Paris in 1907, where she shared a studio with the
                sculptor Karl Oberle""",
            ),
            ("names swapped", "Karl Oberle was her teacher in Munich", "Marta Lind was her teacher in Munich"),
            (
                "roles swapped",
                "Critics in Berlin disliked her work, whereas collectors in Zurich",
                "Critics in Zurich disliked her work, whereas collectors in Berlin",
            ),
            ("name replaced", "Morocco", "Egypt"),
            ("antonym", "Her early landscapes are dark", "Her late landscapes are dark"),
            (
                "antonym",
                "the darkness of her first landscapes gave way to vivid colours",
                "the vivid colours of her first landscapes gave way to darkness",
            ),
            ("date changed", "1912", "1921"),
            ("detail changed", "pneumonia", "cholera"),
            ("detail changed", "Pneumonia", "Cholera"),
            ("quantifier changed", "nearly all of it", "almost none of it"),
            ("quantifier changed", "hardly any of it remained unsold", "nearly all of it remained unsold"),
            ("number changed", "nine of her", "ninety of her"),
            ("invented", "She died in Zurich", "She never married and had two sons. She died in Zurich"),
            ("invented", "Pneumonia ended", "She never married and had two sons. Pneumonia ended"),
        ),
    ),
    Passage(
        "volcano",
        "encyclopedic",
        """Mount Ossara is the highest volcano on the island of Teluk, with a height of 3,140 metres. Its largest
        known eruption, in 1783, lasted 17 days and killed about 4,000 people, most of them through famine in the
        following winter. Ash fell on Singkal, 210 km to the north. The crater holds a lake whose water is too
        acid for fish. Scientists measure gases at five stations and expect no eruption in the near future.
        Climbing is forbidden from October to March because of heavy rain.""",
        (
            """No volcano on Teluk is higher than Mount Ossara, which rises 3,140 metres. In 1783 it had the greatest
            outburst on record. For seventeen days it erupted, and around 4,000 inhabitants of the island lost
            their lives, the greater part not immediately but from hunger in the winter after. As far away as
            Singkal, 210 kilometres northward, ash came down. Fish cannot live in the crater lake since its water
            is too acidic. Gas readings are taken at five stations, and researchers do not anticipate that the
            mountain will erupt soon. Because rain is heavy at that time, nobody may climb it between October and
            March.""",
        ),
        (
            ("antonym", "to the north", "to the south"),
            ("antonym", "northward", "southward"),
            ("negated", "expect no eruption", "expect an eruption"),
            ("negated", "researchers do not anticipate", "researchers do anticipate"),
            ("number changed", "17 days", "71 days"),
            ("number changed", "seventeen days", "seventy days"),
            ("quantifier changed", "most of them through famine", "few of them through famine"),
            ("antonym", "Climbing is forbidden", "Climbing is allowed"),
            ("negated", "nobody may climb it", "everybody may climb it"),
            ("date changed", "October to March", "April to September"),
            ("date changed", "October and March", "April and September"),
            ("detail changed", "through famine", "through fire"),
            ("unit changed", "210 km", "210 miles"),
            ("unit changed", "210 kilometres", "210 metres"),
            ("detail changed", "too acid for fish", "too salty for fish"),
            ("negated", "Fish cannot live", "Fish can live"),
        ),
    ),
    Passage(
        "vaccine",
        "encyclopedic",
        """Rotavirus causes severe diarrhoea, above all in children under two years of age. The virus spreads through
        contaminated hands and objects and survives on surfaces for several days. The first vaccine, licensed in
        the United States in 1998, was withdrawn a year later because it increased the risk of a blockage of the
        bowel. Two newer vaccines have been in use since 2006; they are given by mouth. In Mexico deaths from
        diarrhoea among infants fell by 41% after vaccination had begun. Breastfeeding does not protect against
        infection, but it makes the illness milder.""",
        (
            """Children younger than two are the main victims of the severe diarrhoea that rotavirus brings on.
            Unclean hands and objects transmit it, and on a surface it can persist for days. A vaccine was
            licensed in America as early as 1998, but the higher risk of bowel blockage that came with it led to
            its withdrawal one year later. Since 2006 two other, more recent vaccines have been available, which
            are swallowed. Mexico saw 41 percent fewer infants die of diarrhoea once it had started to vaccinate.
            Babies that are breastfed can catch the infection all the same, but they fall less seriously ill.""",
        ),
        (
            ("antonym", "increased the risk", "reduced the risk"),
            ("antonym", "the higher risk of bowel blockage", "the lower risk of bowel blockage"),
            ("negated", "does not protect against infection", "protects against infection"),
            ("negated", "can catch the infection all the same", "cannot catch the infection"),
            ("bound turned", "children under two years", "children over two years"),
            ("bound turned", "Children younger than two", "Children older than two"),
            ("name replaced", "In Mexico", "In Brazil"),
            ("name replaced", "Mexico saw", "Brazil saw"),
            ("number changed", "41%", "14%"),
            ("number changed", "41 percent", "14 percent"),
            ("detail changed", "given by mouth", "given by injection"),
            ("antonym", "makes the illness milder", "makes the illness worse"),
            ("antonym", "they fall less seriously ill", "they fall more seriously ill"),
            ("date changed", "1998", "1989"),
            ("events reordered", "after vaccination had begun", "before vaccination had begun"),
            ("quantifier changed", "for several days", "for several minutes"),
        ),
    ),
    Passage(
        "union",
        "encyclopedic",
        """The Free State of Morvan was founded in 1861, when the provinces of Aude and Lissa left the kingdom. Lissa
        was rich and had most of the factories; Aude was larger but poor. The constitution gave every man over 25
        the vote, but women could not vote until 1919. The capital was first Brenn and, from 1874 on, Castel Nord.
        In the war of 1902 Morvan remained neutral and sold grain to both sides. The state was dissolved in 1948
        after a referendum in which 54% voted for joining the federation. Its last president, Jules Farran, later
        became ambassador in Ottawa.""",
        (
            """When Aude and Lissa broke away from the kingdom in 1861, these two provinces formed the Free State of
            Morvan. The bigger one, Aude, was poor, whereas Lissa was wealthy and possessed the majority of
            factories. Under the constitution, voting was a right of all men older than 25, and it was extended to
            women only in 1919. Brenn served as the capital up to 1874 and was replaced by Castel Nord. Morvan
            took neither side in the 1902 war, but supplied grain to each of them. In 1948 a referendum, won with
            54 percent by those in favour of entering the federation, brought the state to its end. Jules Farran,
            who had been the last president, afterwards served as ambassador in Ottawa.""",
        ),
        (
            (
                "roles swapped",
                "Lissa was rich and had most of the factories; Aude was larger but poor",
                "Aude was rich and had most of the factories; Lissa was larger but poor",
            ),
            (
                "roles swapped",
                "The bigger one, Aude, was poor, whereas Lissa was wealthy",
                "The bigger one, Lissa, was poor, whereas Aude was wealthy",
            ),
            (
                "events reordered",
                "first Brenn and, from 1874 on, Castel Nord",
                "first Castel Nord and, from 1874 on, Brenn",
            ),
            (
                "names swapped",
                "Brenn served as the capital up to 1874 and was replaced by Castel Nord",
                "Castel Nord served as the capital up to 1874 and was replaced by Brenn",
            ),
            ("negated", "women could not vote until 1919", "women could vote before 1919"),
            ("negated", "Morvan remained neutral", "Morvan did not remain neutral"),
            ("negated", "Morvan took neither side", "Morvan took one side"),
            ("bound turned", "every man over 25", "every man under 25"),
            ("bound turned", "all men older than 25", "all men younger than 25"),
            ("quantifier changed", "every man over 25", "few men over 25"),
            ("number off by one", "54%", "53%"),
            ("number off by one", "54 percent", "55 percent"),
            ("name replaced", "Ottawa", "Lisbon"),
            ("detail changed", "sold grain", "sold weapons"),
            ("detail changed", "supplied grain", "supplied weapons"),
            ("antonym", "voted for joining", "voted against joining"),
            ("antonym", "in favour of entering", "opposed to entering"),
            ("antonym", "Its last president", "Its first president"),
            ("antonym", "the last president", "the first president"),
        ),
    ),
    Passage(
        "treaty",
        "encyclopedic",
        """Under the Convention of Port Hale, Sweden ceded the island of Runsa to Denmark and received the right to
        fish along its coast. The talks began in June 1721 and lasted five months. Denmark wanted the whole
        archipelago, but its envoy, Otto Grahn, gave way after the Danish fleet had been defeated near Skerry.
        England acted as mediator and kept a garrison on the island for ten years. The inhabitants were free to
        leave within a year, and about a third did so. Not all of the articles were published; a secret one
        concerned the tolls.""",
        (
            """The Convention of Port Hale made Runsa a Danish island, while Sweden, its former owner, was allowed to
            fish off the coast. Negotiations, opened in June 1721, went on for five months. At the outset Denmark
            claimed all of the archipelago. It was after the defeat of its fleet near Skerry that Otto Grahn, the
            Danish envoy, backed down. For a decade English troops, sent by the mediator, were stationed on Runsa.
            Those who lived there had a year to move away if they wished, which approximately one in three chose
            to do. Some articles, among them one about tolls, were kept secret.""",
        ),
        (
            (
                "roles swapped",
                "Sweden ceded the island of Runsa to Denmark",
                "Denmark ceded the island of Runsa to Sweden",
            ),
            (
                "roles swapped",
                "made Runsa a Danish island, while Sweden, its former owner",
                "made Runsa a Swedish island, while Denmark, its former owner",
            ),
            ("name replaced", "England acted", "France acted"),
            ("name replaced", "English troops", "French troops"),
            ("unit changed", "five months", "five weeks"),
            ("number changed", "about a third", "about a quarter"),
            ("number changed", "one in three", "one in five"),
            ("negated", "Not all of the articles were published", "All of the articles were published"),
            ("quantifier changed", "Some articles", "All articles"),
            ("antonym", "The talks began in June", "The talks ended in June"),
            ("antonym", "opened in June", "closed in June"),
            ("names swapped", "the Danish fleet had been defeated", "the Swedish fleet had been defeated"),
            ("events reordered", "gave way after the Danish fleet", "gave way before the Danish fleet"),
            ("events reordered", "after the defeat of its fleet", "before the defeat of its fleet"),
            ("number changed", "for ten years", "for five years"),
            ("number changed", "For a decade", "For a century"),
            ("antonym", "were free to leave", "were forbidden to leave"),
            ("detail changed", "concerned the tolls", "concerned the prisoners"),
            ("detail changed", "one about tolls", "one about prisoners"),
        ),
    ),
    Passage(
        "whale",
        "encyclopedic",
        """The dwarf right whale is the smallest of the baleen whales. It lives only in the southern hemisphere,
        usually alone or in pairs, and was not seen alive by scientists until 1965. Adults are about 6 metres long
        and weigh three tonnes. They eat mostly copepods. Unlike other baleen whales, this species has ribs that
        are broad and flat, and nobody knows why. It dives for less than five minutes and does not jump. There is
        no estimate of its numbers, but it has never been hunted by whaling fleets because of its small size.""",
        (
            """Among baleen whales none is smaller than the dwarf right whale, an inhabitant of the southern
            hemisphere alone. Scientists had to wait until 1965 to see a living one. It is found by itself or with
            one companion as a rule. At some 6 m in length, an adult has a weight of three tonnes, and its diet
            consists chiefly of copepods. Its broad, flat ribs, which set it apart from the other species in the
            group, are still unexplained. Dives last under five minutes; jumping has not been observed. How many
            there are is unknown. Whalers never pursued it, since it was too small for them.""",
        ),
        (
            ("antonym", "the smallest of the baleen", "the largest of the baleen"),
            ("antonym", "none is smaller than", "none is larger than"),
            ("antonym", "southern hemisphere", "northern hemisphere"),
            ("quantifier changed", "It lives only in the", "It lives not only in the"),
            ("quantifier changed", "usually alone", "never alone"),
            ("negated", "has never been hunted", "has often been hunted"),
            ("negated", "Whalers never pursued it", "Whalers pursued it"),
            ("number changed", "three tonnes", "thirty tonnes"),
            ("unit changed", "three tonnes", "three kilograms"),
            ("unit changed", "6 metres", "6 feet"),
            ("bound turned", "less than five minutes", "more than five minutes"),
            ("bound turned", "under five minutes", "over five minutes"),
            ("antonym", "broad and flat", "narrow and round"),
            ("antonym", "Its broad, flat ribs", "Its narrow, flat ribs"),
            ("detail changed", "copepods", "squid"),
            ("negated", "does not jump", "often jumps"),
            ("date changed", "1965", "1956"),
            ("invented", "There is no estimate", "Its song can be heard for hundreds of miles. There is no estimate"),
            ("invented", "How many there are", "Its song can be heard for hundreds of miles. How many there are"),
        ),
    ),
    Passage(
        "library",
        "encyclopedic",
        """The public library of Halvorsund opened in 1889 with 3,200 books, most of them donated by the merchant
        Aksel Dahl. Children under 12 were not admitted at first. A fire in 1923 destroyed the reading room, but
        the manuscripts were saved by the caretaker, Signe Moe. The present building was designed by Pal Ruud and
        cost 11 million crowns. It is open every day except Sunday. Since 2015 the library has lent out tools and
        musical instruments too, and the number of visitors has doubled. The city council rejected a plan to
        charge fees.""",
        (
            """Halvorsund's public library began in 1889 with a stock of 3,200 volumes, the bulk of which the
            merchant Aksel Dahl had given. In the beginning, no child below the age of 12 was let in. When the
            reading room burned down in 1923, it was thanks to Signe Moe, the caretaker, that the manuscripts
            survived. Pal Ruud was the architect of today's building, whose price was 11 million crowns. Only on
            Sundays is it closed. Tools and musical instruments have also been on loan since 2015, and visitors
            have become twice as many. A proposal to make people pay fees was turned down by the city council.""",
        ),
        (
            ("negated", "were not admitted at first", "were admitted from the first"),
            ("negated", "no child below the age of 12 was let in", "any child below the age of 12 was let in"),
            ("antonym", "the manuscripts were saved", "the manuscripts were lost"),
            ("antonym", "that the manuscripts survived", "that the manuscripts perished"),
            ("names swapped", "designed by Pal Ruud", "designed by Aksel Dahl"),
            ("names swapped", "Pal Ruud was the architect", "Signe Moe was the architect"),
            ("antonym", "rejected a plan", "approved a plan"),
            ("antonym", "was turned down by", "was accepted by"),
            ("bound turned", "Children under 12", "Children over 12"),
            ("quantifier changed", "most of them donated", "all of them donated"),
            ("number changed", "has doubled", "has tripled"),
            ("number changed", "twice as many", "three times as many"),
            ("name replaced", "Signe Moe", "Greta Holm"),
            ("date changed", "1923", "1932"),
            ("negated", "It is open every day except Sunday", "It is open on no day except Sunday"),
            ("antonym", "Only on Sundays is it closed", "Only on Sundays is it open"),
            ("unit changed", "11 million crowns", "11 million dollars"),
            ("detail changed", "the reading room", "the roof"),
            ("invented", "Since 2015", "The poet Henrik Foss worked there for a year. Since 2015"),
        ),
    ),
)
